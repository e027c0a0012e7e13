//! Handles events of the photo and the authentication service.

use chassis::UserId;
use chassis::events::{self, Event};
use chrono::{DateTime, Utc};
use contracts::accounts::AccountDeleted;
use contracts::photos::{PhotoDeleted, PublishedPhoto};
use sqlx::MySqlConnection;

use crate::domain::PhotoId;
use crate::error::Error;
use crate::store;

/// Idempotent, and in any order.
pub struct EventHandler;

impl events::EventHandler for EventHandler {
    type Error = Error;

    /// Deletes the first thousand comments in the event's transaction; the sweep deletes the rest in batches.
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
