//! Deletes votes on deleted photos and of deleted accounts.

use chassis::database::Pool;
use chassis::deleted_accounts::GRACE;
use chassis::{deleted_accounts, transaction};
use chrono::{DateTime, Utc};

use crate::State;
use crate::error::Error;
use crate::store::{days, photos, votes};

/// Sweeps in batches until nothing is left. May be stopped at any time.
pub async fn run(state: &State) -> Result<(), Error> {
    let (pool, now) = (&state.pool, state.clock.now());
    sweep_photos(pool, now).await?;
    deleted_accounts::sweep(pool, now, |user| async move {
        while transaction!(pool, Error, |tx, _| Ok(
            votes::remove_of_user(tx, user, now).await?
        ))? > 0
        {}
        Ok::<_, Error>(())
    })
    .await
}

async fn sweep_photos(pool: &Pool, now: DateTime<Utc>) -> Result<(), Error> {
    loop {
        let due = photos::unswept(pool, now).await?;
        if due.is_empty() {
            return Ok(());
        }
        for (photo, deleted_at) in due {
            while votes::remove_on_photo(pool, photo).await? > 0 {}
            // Repairs a photo that became the winner while it was being deleted.
            transaction!(pool, Error, |tx, _| Ok(days::promote(tx, photo).await?))?;
            if deleted_at + GRACE <= now {
                photos::mark_swept(pool, photo).await?;
            } else {
                photos::sweep_again(pool, photo, deleted_at + GRACE).await?;
            }
        }
    }
}
