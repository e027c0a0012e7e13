//! Records the winner of a day when it ends.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sqlx::MySqlPool;

use crate::error::Error;
use crate::store::days;
use crate::{domain, fold};

/// Records the winners of the days that are over at `now` and have none yet.
pub async fn close_days(pool: &MySqlPool, now: DateTime<Utc>, time_zone: Tz) -> Result<(), Error> {
    let today = domain::day_at(now, time_zone);
    if days::unclosed(pool, today).await?.is_empty() {
        return Ok(());
    }
    // The last votes of the day count, whether or not the fold had its turn. It may also name days that only had
    // photos which nobody folded, so they are asked for again.
    fold::run(pool).await?;
    for day in days::unclosed(pool, today).await? {
        if let Some(winner) = days::best(pool, day).await? {
            days::close(pool, day, winner, now).await?;
        }
    }
    Ok(())
}
