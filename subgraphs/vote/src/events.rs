//! Handles events of the photo and authentication services.

use std::sync::Arc;

use chassis::events::{Event, EventHandler};
use chassis::{Clock, UserId, deleted_accounts, transaction};
use chrono::{DateTime, TimeDelta, Utc};
use contracts::accounts::AccountDeleted;
use contracts::photos::{PhotoDeleted, PublishedPhoto};
use sqlx::{MySqlConnection, MySqlPool};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::domain::PhotoId;
use crate::error::Error;
use crate::store::photos::{self, Removal};
use crate::store::{days, votes};

/// A vote that began before a deletion was recorded has ended long after this.
const GRACE: TimeDelta = TimeDelta::seconds(60);

/// Applies `photo.published`, `photo.deleted` and `account.deleted`, in any order and any number of times.
#[derive(Debug, Clone)]
pub struct Inbox {
    /// Tells the time.
    pub clock: Clock,
    /// Wakes the sweep.
    pub wake: Arc<Notify>,
}

impl EventHandler for Inbox {
    type Error = Error;

    async fn apply(&self, connection: &mut MySqlConnection, event: &Event) -> Result<(), Error> {
        let now = self.clock.now();
        let delta = chassis::id::new_uuid(now);
        if let Some(published) = event.payload::<PublishedPhoto>()? {
            photos::adopt(connection, &published.into(), delta).await?;
        } else if let Some(deleted) = event.payload::<PhotoDeleted>()? {
            let removal = Removal {
                photo: PhotoId(deleted.photo_id),
                author: deleted.author_id.map(UserId),
                now,
                delta,
            };
            photos::remove(connection, &removal).await?;
        } else if let Some(deleted) = event.payload::<AccountDeleted>()? {
            deleted_accounts::record(connection, UserId(deleted.account_id), now).await?;
        }
        Ok(())
    }

    fn applied(&self) {
        self.wake.notify_one();
    }
}

/// Removes the votes on deleted photos and the votes of deleted accounts, in batches. It may be stopped anywhere and
/// goes on where it was.
pub async fn sweep(pool: &MySqlPool, now: DateTime<Utc>) -> Result<(), Error> {
    sweep_photos(pool, now).await?;
    sweep_accounts(pool, now).await
}

async fn sweep_photos(pool: &MySqlPool, now: DateTime<Utc>) -> Result<(), Error> {
    loop {
        let due = photos::unswept(pool, now).await?;
        if due.is_empty() {
            return Ok(());
        }
        for (photo, deleted_at) in due {
            while votes::remove_on_photo(pool, photo).await? > 0 {}
            // A photo that was made the winner in the moment of its deletion is noticed here.
            transaction!(pool, Error, |tx, _| Ok(days::promote(tx, photo).await?))?;
            if deleted_at + GRACE <= now {
                photos::mark_swept(pool, photo).await?;
            } else {
                photos::sweep_again(pool, photo, deleted_at + GRACE).await?;
            }
        }
    }
}

async fn sweep_accounts(pool: &MySqlPool, now: DateTime<Utc>) -> Result<(), Error> {
    let mut after = UserId(Uuid::nil());
    loop {
        let users = votes::unswept_accounts(pool, after).await?;
        let Some(last) = users.last() else {
            return Ok(());
        };
        after = *last;
        for user in users {
            while transaction!(pool, Error, |tx, _| Ok(
                votes::remove_of_user(tx, user, now).await?
            ))? > 0
            {}
            deleted_accounts::mark_swept_if_recorded_before(pool, user, now, now - GRACE).await?;
        }
    }
}
