//! What this service does about events of the photo and the authentication service.

use std::sync::Arc;

use chassis::events::{Event, EventHandler};
use chassis::{Clock, UserId, departed, transaction};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use sqlx::{MySqlConnection, MySqlPool};
use tokio::sync::Notify;

use crate::domain::{PhotoId, PublishedPhoto};
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PhotoDeleted {
    photo_id: PhotoId,
    author_id: Option<UserId>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccountDeleted {
    account_id: UserId,
}

impl EventHandler for Inbox {
    type Error = Error;

    async fn apply(&self, connection: &mut MySqlConnection, event: &Event) -> Result<(), Error> {
        let now = self.clock.now();
        let delta = chassis::id::new_uuid(now);
        match event.kind.as_str() {
            "photo.published" => {
                let published: PublishedPhoto = event.parse()?;
                photos::adopt(connection, &published, delta).await?;
            }
            "photo.deleted" => {
                let deleted: PhotoDeleted = event.parse()?;
                let removal = Removal { photo: deleted.photo_id, author: deleted.author_id, now, delta };
                photos::remove(connection, &removal).await?;
            }
            "account.deleted" => {
                let deleted: AccountDeleted = event.parse()?;
                departed::record(connection, deleted.account_id, now).await?;
            }
            _ => {}
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
    for (photo, deleted_at) in photos::unswept(pool).await? {
        while votes::remove_on_photo(pool, photo).await? > 0 {}
        // A photo that was made the winner in the moment of its deletion is noticed here.
        transaction!(pool, Error, |tx, _| Ok(days::promote(tx, photo).await?))?;
        if deleted_at < now - GRACE {
            photos::mark_swept(pool, photo).await?;
        }
    }
    for user in departed::unswept(pool).await? {
        while transaction!(pool, Error, |tx, _| Ok(votes::remove_of_user(tx, user, now).await?))? > 0 {}
        votes::mark_departed_swept(pool, user, now, now - GRACE).await?;
    }
    Ok(())
}
