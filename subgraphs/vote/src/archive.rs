//! Records the winner of a day when it ends.

use chassis::lease::Held;
use chassis::transaction;

use crate::error::Error;
use crate::store::days;
use crate::{State, domain, fold};

/// Records the winners of past days without one. With a lease, only while it is held, so that a paused process does not
/// record an old ranking.
pub async fn close_days(state: &State, lease: Option<Held>) -> Result<(), Error> {
    let (pool, now) = (&state.pool, state.clock.now());
    let today = domain::day_at(now, state.time_zone);
    if days::unclosed(pool, today).await?.is_empty() {
        return Ok(());
    }
    // The last votes of the day count even if they were not folded yet. Folding may add days, so the days are read
    // again.
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
