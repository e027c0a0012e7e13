//! Handles events of the photo service.

use chassis::UserId;
use chassis::events::{self, Event};
use chrono::{DateTime, Utc};
use contracts::photos::{PhotoDeleted, PublishedPhoto};
use sqlx::MySqlConnection;

use crate::domain::PhotoId;
use crate::error::Error;
use crate::store::photos::{self, Removal};

/// Applies `photo.published` and `photo.deleted`. Idempotent, and in any order.
pub struct EventHandler;

impl events::EventHandler for EventHandler {
    type Error = Error;

    async fn apply(&self, tx: &mut MySqlConnection, event: &Event, now: DateTime<Utc>) -> Result<(), Error> {
        let delta = chassis::id::new_uuid(now);
        if let Some(published) = event.payload::<PublishedPhoto>()? {
            photos::adopt(tx, &published.into(), delta).await?;
        } else if let Some(deleted) = event.payload::<PhotoDeleted>()? {
            let removal = Removal {
                photo: PhotoId(deleted.photo_id),
                author: deleted.author_id.map(UserId),
                now,
                delta,
            };
            photos::remove(tx, &removal).await?;
        }
        Ok(())
    }
}
