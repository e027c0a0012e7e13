//! Deletes hidden data: photos of deleted accounts, expired uploads, and the files of deleted photos and uploads.
//!
//! Every step can be repeated after a kill: the transaction that deletes rows records their folders as garbage, and a
//! garbage row is deleted after its files.

use chassis::{UserId, deleted_accounts, transaction};

use crate::State;
use crate::error::Error;
use crate::events;
use crate::store::sweeping;

/// The number of photos of a deleted account that are deleted in one transaction. Each sends an event to every
/// subscriber.
const PHOTO_BATCH_SIZE: u32 = 100;
/// The number of folders that are listed at a time.
const FOLDER_BATCH_SIZE: u32 = 100;

/// Sweeps until nothing is left. Returns the number of deleted uploads.
pub async fn run(state: &State) -> Result<u64, Error> {
    let uploads = discard_uploads(state).await?;
    deleted_accounts::sweep(&state.pool, state.clock.now(), |author| async move {
        delete_photos_of(state, author).await.map(drop)
    })
    .await?;
    empty_garbage(state).await?;
    Ok(uploads)
}

/// Deletes all photos of a deleted account.
pub async fn delete_photos_of(state: &State, author: UserId) -> Result<u64, Error> {
    let mut swept = 0;
    loop {
        let now = state.clock.now();
        let deleted = transaction!(state.pool, Error, |tx, _| {
            let photos = sweeping::lock_photos_of(&mut *tx, author, PHOTO_BATCH_SIZE).await?;
            for photo in &photos {
                sweeping::delete_photo(tx, photo, now).await?;
                state.outbox.publish(tx, &events::deleted(photo, now)).await?;
            }
            Ok(photos.len())
        })?;
        if deleted == 0 {
            return Ok(swept);
        }
        swept += deleted as u64;
        state.outbox.wake();
    }
}

async fn discard_uploads(state: &State) -> Result<u64, Error> {
    let mut discarded = 0;
    loop {
        let now = state.clock.now();
        let done = transaction!(state.pool, Error, |tx, _| Ok(
            sweeping::discard_uploads(tx, now).await?
        ))?;
        if done == 0 {
            return Ok(discarded);
        }
        discarded += done;
    }
}

async fn empty_garbage(state: &State) -> Result<(), Error> {
    loop {
        let keys = sweeping::garbage(&state.pool, FOLDER_BATCH_SIZE).await?;
        if keys.is_empty() {
            return Ok(());
        }
        for key in keys {
            state.files.remove(key).await?;
            sweeping::delete_garbage_row(&state.pool, key).await?;
        }
    }
}
