//! Removes what deletions left behind, and rows that are no longer needed.

use chassis::deleted_accounts::GRACE;
use chassis::{deleted_accounts, transaction};
use chrono::TimeDelta;

use crate::State;
use crate::error::Error;
use crate::store;

/// A client that repeats a call does so much sooner.
const KEYS_LIVE: TimeDelta = TimeDelta::days(7);

/// Deletes the comments of deleted photos and accounts, and tombstones without replies. Each batch is a separate
/// transaction, so a kill between two of them loses nothing.
///
/// A deletion counts as swept only some time after it was recorded, because on several database nodes a comment
/// may have been written at that very moment.
pub async fn run(state: &State) -> Result<(), Error> {
    let (pool, now) = (&state.pool, state.clock.now());
    for photo in store::unswept_photos(pool).await? {
        while !transaction!(pool, Error, |tx, _| Ok(store::remove_of_photo(tx, photo).await?))? {}
        store::mark_photo_swept(pool, photo, now, now - GRACE).await?;
    }
    deleted_accounts::sweep(pool, now, |author| async move {
        while !transaction!(pool, Error, |tx, _| Ok(
            store::delete_of_author(tx, author, now).await?
        ))? {}
        Ok::<_, Error>(())
    })
    .await?;
    while !store::remove_bare_tombstones(pool, now - GRACE).await? {}
    Ok(())
}

/// Deletes old idempotency keys.
pub async fn forget_keys(state: &State) -> Result<(), Error> {
    while !store::forget_keys(&state.pool, state.clock.now() - KEYS_LIVE).await? {}
    Ok(())
}
