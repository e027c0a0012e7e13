//! Handles events of photo and authentication, and sweeps expired rows.

use std::sync::Arc;

use chassis::events::{Event, EventHandler};
use chassis::{Clock, UserId, deleted_accounts, transaction};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use sqlx::{MySqlConnection, MySqlPool};
use tokio::sync::Notify;

use crate::domain::{KnownPhoto, PhotoId};
use crate::error::Error;
use crate::store;

/// A write that began before a deletion was recorded has ended long after this.
const GRACE: TimeDelta = TimeDelta::seconds(60);
/// A client that repeats a call does so much sooner.
const KEYS_LIVE: TimeDelta = TimeDelta::days(7);

/// Applies events in any order and any number of times.
#[derive(Debug, Clone)]
pub struct Effects {
    /// Tells the time.
    pub clock: Clock,
    /// Wakes the sweep.
    pub wake: Arc<Notify>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PhotoDeleted {
    photo_id: PhotoId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccountDeleted {
    account_id: UserId,
}

impl EventHandler for Effects {
    type Error = Error;

    /// The first thousand comments go in the event's own transaction, which is all of them but for the busiest; the
    /// sweep removes the rest in batches of that size.
    async fn apply(&self, connection: &mut MySqlConnection, event: &Event) -> Result<(), Error> {
        let now = self.clock.now();
        match event.kind.as_str() {
            "photo.published" => {
                let photo: KnownPhoto = event.parse()?;
                store::adopt(connection, &photo).await?;
            }
            "photo.deleted" => {
                let deleted: PhotoDeleted = event.parse()?;
                store::record_deleted(connection, deleted.photo_id, now).await?;
                store::remove_of_photo(connection, deleted.photo_id).await?;
            }
            "account.deleted" => {
                let deleted: AccountDeleted = event.parse()?;
                deleted_accounts::record(&mut *connection, deleted.account_id, now).await?;
                store::delete_of_author(connection, deleted.account_id, now).await?;
            }
            _ => {}
        }
        Ok(())
    }

    fn applied(&self) {
        self.wake.notify_one();
    }
}

/// Removes what deleted photos and accounts left, and tombstones that lost their last reply. Each batch is a
/// transaction of its own, so being killed in the middle loses nothing.
///
/// A deletion counts as swept only some time after it was recorded, because on several database nodes a comment
/// may have been written at that very moment.
pub async fn sweep(pool: &MySqlPool, now: DateTime<Utc>) -> Result<(), Error> {
    for photo in store::unswept_photos(pool).await? {
        while !transaction!(pool, Error, |tx, _| Ok(store::remove_of_photo(tx, photo).await?))? {}
        store::mark_photo_swept(pool, photo, now, now - GRACE).await?;
    }
    for author in deleted_accounts::unswept(pool).await? {
        while !transaction!(pool, Error, |tx, _| Ok(
            store::delete_of_author(tx, author, now).await?
        ))? {}
        deleted_accounts::mark_swept_if_recorded_before(pool, author, now, now - GRACE).await?;
    }
    while !store::remove_bare_tombstones(pool, now - GRACE).await? {}
    Ok(())
}

/// Deletes rows that are no longer needed.
pub async fn forget(pool: &MySqlPool, now: DateTime<Utc>) -> Result<(), Error> {
    chassis::events::inbox::forget_old(pool, now).await?;
    while !store::forget_keys(pool, now - KEYS_LIVE).await? {}
    Ok(())
}
