//! Deletes profiles of deleted accounts, and released usernames that are free again.

use chassis::{deleted_accounts, transaction};

use crate::State;
use crate::domain::QUARANTINE;
use crate::error::Error;
use crate::store;

/// Sweeps until nothing is left. May be stopped at any time.
pub async fn run(state: &State) -> Result<(), Error> {
    let (pool, now) = (&state.pool, state.clock.now());
    deleted_accounts::sweep(pool, now, |user| async move {
        transaction!(pool, Error, |tx, _| Ok(store::remove(tx, user, now).await?))
    })
    .await?;
    while store::delete_released_before(pool, now - QUARANTINE).await? == 1000 {}
    Ok(())
}
