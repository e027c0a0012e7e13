//! Deletes comments of deleted photos and accounts, and old rows.

use chassis::deleted_accounts::GRACE;
use chassis::{deleted_accounts, transaction};
use chrono::TimeDelta;

use crate::State;
use crate::error::Error;
use crate::store;

/// How long idempotency keys are kept. Clients repeat calls much sooner.
const IDEMPOTENCY_KEY_LIFETIME: TimeDelta = TimeDelta::days(7);

/// Deletes the comments of deleted photos and accounts, and tombstones without replies. Each batch is a separate
/// transaction, so it may be stopped at any time.
///
/// A deletion counts as swept only some time after it was recorded, because on another database node a comment may have
/// been written at the same time.
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
    while !store::delete_tombstones_without_replies(pool, now - GRACE).await? {}
    Ok(())
}

/// Deletes old idempotency keys.
pub async fn delete_old_keys(state: &State) -> Result<(), Error> {
    while !store::delete_old_keys(&state.pool, state.clock.now() - IDEMPOTENCY_KEY_LIFETIME).await? {}
    Ok(())
}
