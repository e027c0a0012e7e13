//! Removes what was hidden before: photos of deleted accounts, expired uploads, and files of both and of deleted photos.
//!
//! Every step can be killed and begun again: rows go in the transaction that notes their files as garbage, and a
//! garbage row goes after its files.

use chassis::{UserId, deleted_accounts, transaction};

use crate::State;
use crate::error::Error;
use crate::events;
use crate::store::sweeping;

/// How many photos of a deleted account go in one transaction: each tells every subscriber.
const PHOTOS: u32 = 100;
/// How many folders are listed at a time.
const FOLDERS: u32 = 100;

/// Sweeps until nothing is left to sweep. Returns how many uploads were discarded.
pub async fn run(state: &State) -> Result<u64, Error> {
    let uploads = discard_uploads(state).await?;
    deleted_accounts::sweep(&state.pool, state.clock.now(), |author| async move {
        delete_photos_of(state, author).await.map(drop)
    })
    .await?;
    empty_garbage(state).await?;
    Ok(uploads)
}

/// Deletes every photo of an account that is gone.
pub async fn delete_photos_of(state: &State, author: UserId) -> Result<u64, Error> {
    let mut swept = 0;
    loop {
        let now = state.clock.now();
        let deleted = transaction!(state.pool, Error, |tx, _| {
            let photos = sweeping::lock_photos_of(&mut *tx, author, PHOTOS).await?;
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
        let keys = sweeping::garbage(&state.pool, FOLDERS).await?;
        if keys.is_empty() {
            return Ok(());
        }
        for key in keys {
            state.files.remove(key).await?;
            sweeping::forget_garbage(&state.pool, key).await?;
        }
    }
}
