//! Handles events of photo and authentication, and sweeps expired rows.

use std::sync::Arc;

use chassis::events::{Event, EventHandler};
use chassis::{Clock, UserId, deleted_accounts, transaction};
use chrono::{DateTime, TimeDelta, Utc};
use contracts::accounts::AccountDeleted;
use contracts::photos::{PhotoDeleted, PublishedPhoto};
use sqlx::{MySqlConnection, MySqlPool};
use tokio::sync::Notify;

use crate::domain::PhotoId;
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

impl EventHandler for Effects {
    type Error = Error;

    /// The first thousand comments go in the event's own transaction, which is all of them but for the busiest; the
    /// sweep removes the rest in batches of that size.
    async fn apply(&self, connection: &mut MySqlConnection, event: &Event) -> Result<(), Error> {
        let now = self.clock.now();
        if let Some(photo) = event.payload::<PublishedPhoto>()? {
            store::adopt(connection, &photo.into()).await?;
        } else if let Some(deleted) = event.payload::<PhotoDeleted>()? {
            let photo = PhotoId(deleted.photo_id);
            store::record_deleted(connection, photo, now).await?;
            store::remove_of_photo(connection, photo).await?;
        } else if let Some(deleted) = event.payload::<AccountDeleted>()? {
            let author = UserId(deleted.account_id);
            deleted_accounts::record(&mut *connection, author, now).await?;
            store::delete_of_author(connection, author, now).await?;
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
