//! The schedule of full backups.

use chrono::{DateTime, NaiveTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;

/// Returns the last time, not after `now`, at which the clock in `zone` showed `at`.
fn last_time(now: DateTime<Utc>, zone: Tz, at: NaiveTime) -> DateTime<Utc> {
    let today = now.with_timezone(&zone).date_naive();
    (0..3)
        .filter_map(|days| {
            let day = today.checked_sub_signed(TimeDelta::days(days))?;
            // A time that is skipped by a clock change is an hour later.
            let local = day.and_time(at);
            let found = zone.from_local_datetime(&local).earliest();
            found.or_else(|| {
                zone.from_local_datetime(&(local + TimeDelta::hours(1)))
                    .earliest()
            })
        })
        .map(|time| time.with_timezone(&Utc))
        .find(|time| *time <= now)
        .unwrap_or(now)
}

/// Whether a full backup is due: the last one was before the last scheduled time.
pub fn is_due(now: DateTime<Utc>, last: Option<DateTime<Utc>>, zone: Tz, at: NaiveTime) -> bool {
    last.is_none_or(|last| last < last_time(now, zone, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_backup_is_due_at_the_scheduled_time() {
        let (zone, at) = (Tz::Europe__Berlin, NaiveTime::from_hms_opt(3, 30, 0).unwrap());
        let due = |now: &str, last: &str| is_due(utc(now), Some(utc(last)), zone, at);
        assert!(is_due(utc("2026-11-22T12:00:00Z"), None, zone, at));
        // Half past three in Berlin is half past two in winter.
        assert!(due("2026-11-22T02:31:00Z", "2026-11-21T02:31:00Z"));
        assert!(!due("2026-11-22T02:29:00Z", "2026-11-21T02:31:00Z"));
        assert!(!due("2026-11-22T12:00:00Z", "2026-11-22T02:31:00Z"));
        // A missed backup is made later.
        assert!(due("2026-11-22T12:00:00Z", "2026-11-21T12:00:00Z"));
    }

    #[test]
    fn a_skipped_time_is_an_hour_later() {
        // On 29 March 2026 the clocks of Berlin go from 2:00 to 3:00.
        let (zone, at) = (Tz::Europe__Berlin, NaiveTime::from_hms_opt(2, 30, 0).unwrap());
        let due = |now: &str| is_due(utc(now), Some(utc("2026-03-28T12:00:00Z")), zone, at);
        assert!(!due("2026-03-29T01:29:00Z"));
        assert!(due("2026-03-29T01:30:00Z"));
    }
}
