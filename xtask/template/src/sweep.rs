//! Removes the samples of deleted accounts.

use chassis::{deleted_accounts, transaction};

use crate::State;
use crate::error::Error;
use crate::store;

/// Sweeps until nothing is left. Each batch is a transaction, so the sweep may be stopped at any time.
pub async fn run(state: &State) -> Result<(), Error> {
    let (pool, now) = (&state.pool, state.clock.now());
    deleted_accounts::sweep(pool, now, |owner| async move {
        while !transaction!(pool, Error, |tx, _| Ok(
            store::delete_of_owner(&mut *tx, owner).await?
        ))? {}
        Ok(())
    })
    .await
}
