//! Handles events of photo and authentication.

use chassis::UserId;
use chassis::events::{self, Event};
use chrono::{DateTime, Utc};
use contracts::accounts::AccountDeleted;
use contracts::photos::{PhotoDeleted, PublishedPhoto};
use sqlx::MySqlConnection;

use crate::domain::PhotoId;
use crate::error::Error;
use crate::store;

/// Applies events in any order and any number of times.
pub struct EventHandler;

impl events::EventHandler for EventHandler {
    type Error = Error;

    /// The first thousand comments go in the event's own transaction, which is all of them but for the busiest; the
    /// sweep removes the rest in batches of that size.
    async fn apply(&self, tx: &mut MySqlConnection, event: &Event, now: DateTime<Utc>) -> Result<(), Error> {
        if let Some(photo) = event.payload::<PublishedPhoto>()? {
            store::adopt(tx, &photo.into()).await?;
        } else if let Some(deleted) = event.payload::<PhotoDeleted>()? {
            let photo = PhotoId(deleted.photo_id);
            store::record_deleted(tx, photo, now).await?;
            store::remove_of_photo(tx, photo).await?;
        } else if let Some(deleted) = event.payload::<AccountDeleted>()? {
            store::delete_of_author(tx, UserId(deleted.account_id), now).await?;
        }
        Ok(())
    }
}
