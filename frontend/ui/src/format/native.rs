//! Formats for the router, as `Intl` writes them for `en-US` and `de-DE`.

use chrono::{DateTime as ChronoTime, Datelike as _, NaiveDate, TimeDelta, Utc};

use crate::graphql::{Date, DateTime};
use crate::language::Language;

const GERMAN_MONTHS: [&str; 12] = [
    "Januar",
    "Februar",
    "März",
    "April",
    "Mai",
    "Juni",
    "Juli",
    "August",
    "September",
    "Oktober",
    "November",
    "Dezember",
];

/// A number with separators.
pub(super) fn grouped(value: i32) -> String {
    let separator = match Language::current() {
        Language::English => ',',
        Language::German => '.',
    };
    let digits = value.unsigned_abs().to_string();
    let mut grouped = String::from(if value < 0 { "-" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(separator);
        }
        grouped.push(digit);
    }
    grouped
}

/// The date. A relative time would become stale in a cached page.
pub fn time(time: &DateTime) -> String {
    let Ok(time) = time.0.parse::<ChronoTime<Utc>>() else {
        return String::new();
    };
    let format = match Language::current() {
        Language::English => "%b %-d, %Y",
        Language::German => "%d.%m.%Y",
    };
    time.format(format).to_string()
}

/// Only the browser knows the time zone of the visitor.
pub fn full_date(_: &DateTime) -> Option<String> {
    None
}

/// "November 21, 2026".
pub fn long_day(day: &Date) -> String {
    let Some(day) = parse(day) else {
        return String::new();
    };
    match Language::current() {
        Language::English => day.format("%B %-d, %Y").to_string(),
        Language::German => format!("{}. {} {}", day.day(), german_month(day), day.year()),
    }
}

/// "Nov 21".
pub fn short_day(day: &Date) -> String {
    let Some(day) = parse(day) else {
        return String::new();
    };
    match Language::current() {
        Language::English => day.format("%b %-d").to_string(),
        Language::German => {
            let month = match german_month(day) {
                "September" => "Sept.".to_owned(),
                short if short.chars().count() <= 4 => short.to_owned(),
                long => format!("{}.", long.chars().take(3).collect::<String>()),
            };
            format!("{}. {month}", day.day())
        }
    }
}

/// The day `days` later; `None` for an invalid day.
pub fn days_after(day: &Date, days: i32) -> Option<Date> {
    let later = parse(day)?.checked_add_signed(TimeDelta::days(i64::from(days)))?;
    Some(Date(later.to_string()))
}

fn parse(day: &Date) -> Option<NaiveDate> {
    day.0.parse().ok()
}

fn german_month(day: NaiveDate) -> &'static str {
    GERMAN_MONTHS[day.month0() as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_those_of_the_browser() {
        let day = |text: &str| Date(text.to_owned());
        let time_of = |text: &str| time(&DateTime(text.to_owned()));
        assert_eq!(short_day(&day("2026-11-21")), "Nov 21");
        assert_eq!(long_day(&day("2026-11-21")), "November 21, 2026");
        assert_eq!(time_of("2026-11-02T10:00:00Z"), "Nov 2, 2026");
        assert_eq!(grouped(-1_234_567), "-1,234,567");
        assert_eq!(grouped(1000), "1,000");
        Language::German.scope(|| {
            assert_eq!(long_day(&day("2026-03-02")), "2. März 2026");
            assert_eq!(short_day(&day("2026-03-02")), "2. März");
            assert_eq!(short_day(&day("2026-09-30")), "30. Sept.");
            assert_eq!(short_day(&day("2026-11-21")), "21. Nov.");
            assert_eq!(time_of("2026-11-02T10:00:00+01:00"), "02.11.2026");
            assert_eq!(grouped(12_345), "12.345");
        });
    }

    #[test]
    fn days_are_counted_over_the_end_of_a_month() {
        let day = |text: &str| Date(text.to_owned());
        assert_eq!(days_after(&day("2026-03-01"), -1), Some(day("2026-02-28")));
        assert_eq!(days_after(&day("2026-12-31"), 1), Some(day("2027-01-01")));
        assert_eq!(days_after(&day("today"), 1), None);
    }
}
