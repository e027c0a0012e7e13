//! Sends and handles events.

use std::sync::Arc;

use chassis::UserId;
use chassis::deleted_accounts;
use chassis::events::{Event, EventHandler, new_event};
use chrono::{DateTime, Utc};
use contracts::accounts::AccountDeleted;
use contracts::photos::{PhotoDeleted, PublishedPhoto};
use sqlx::MySqlConnection;
use tokio::sync::Notify;

use crate::domain::Photo;
use crate::error::Error;

/// A photo was published.
pub fn published(photo: &Photo, now: DateTime<Utc>) -> Event {
    new_event(&PublishedPhoto::from(photo), now)
}

/// A photo was deleted.
pub fn deleted(photo: &Photo, now: DateTime<Utc>) -> Event {
    let deleted = PhotoDeleted {
        photo_id: photo.id.0,
        author_id: Some(photo.author_id.0),
    };
    new_event(&deleted, now)
}

impl From<&Photo> for PublishedPhoto {
    fn from(photo: &Photo) -> Self {
        Self {
            photo_id: photo.id.0,
            author_id: photo.author_id.0,
            published_at: photo.published_at,
            hot_day: photo.hot_day,
        }
    }
}

/// Receives others' events.
#[derive(Debug, Clone)]
pub struct Handler {
    /// Wakes the sweeper.
    pub sweep: Arc<Notify>,
}

impl EventHandler for Handler {
    type Error = Error;

    async fn apply(&self, connection: &mut MySqlConnection, event: &Event) -> Result<(), Error> {
        if let Some(account) = event.payload::<AccountDeleted>()? {
            // From here on that person's photos are hidden; the sweeper removes them, however many they are.
            deleted_accounts::record(connection, UserId(account.account_id), event.occurred_at).await?;
        }
        Ok(())
    }

    fn applied(&self) {
        self.sweep.notify_one();
    }
}
