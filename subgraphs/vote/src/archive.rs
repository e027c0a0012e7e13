//! Records the winner of a day when it ends.

use chassis::lease::Held;
use chassis::transaction;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sqlx::MySqlPool;

use crate::error::Error;
use crate::store::days;
use crate::{domain, fold};

/// Records the winners of the days that are over at `now` and have none yet; under a lease only while it is held, so
/// that nobody who was stopped for a while records who was best then.
pub async fn close_days(
    pool: &MySqlPool,
    now: DateTime<Utc>,
    time_zone: Tz,
    lease: Option<Held>,
) -> Result<(), Error> {
    let today = domain::day_at(now, time_zone);
    if days::unclosed(pool, today).await?.is_empty() {
        return Ok(());
    }
    // The last votes of the day count, whether or not the fold had its turn. It may also name days that only had
    // photos which nobody folded, so they are asked for again.
    fold::run(pool).await?;
    for day in days::unclosed(pool, today).await? {
        transaction!(pool, Error, |tx, _| {
            if let Some(winner) = days::best(&mut *tx, day).await? {
                days::close(&mut *tx, day, winner, now).await?;
            }
            match lease {
                Some(lease) if !lease.confirm(tx).await? => Err(Error::LeaseLost),
                _ => Ok(()),
            }
        })?;
    }
    Ok(())
}
