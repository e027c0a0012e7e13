//! Sends and handles events.

use std::sync::Arc;

use chassis::UserId;
use chassis::deleted_accounts;
use chassis::events::{Event, EventHandler};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;
use sqlx::MySqlConnection;
use tokio::sync::Notify;

use crate::domain::Photo;
use crate::error::Error;

/// A photo is there.
pub fn published(photo: &Photo, now: DateTime<Utc>) -> Event {
    let data = json!({
        "photoId": photo.id, "authorId": photo.author_id,
        "publishedAt": photo.published_at, "hotDay": photo.hot_day,
    });
    Event::new("photo.published", data, now)
}

/// A photo is gone.
pub fn deleted(photo: &Photo, now: DateTime<Utc>) -> Event {
    Event::new(
        "photo.deleted",
        json!({ "photoId": photo.id, "authorId": photo.author_id }),
        now,
    )
}

/// Receives others' events.
#[derive(Debug, Clone)]
pub struct Handler {
    /// Wakes the sweeper.
    pub sweep: Arc<Notify>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccountDeleted {
    account_id: UserId,
}

impl EventHandler for Handler {
    type Error = Error;

    async fn apply(&self, connection: &mut MySqlConnection, event: &Event) -> Result<(), Error> {
        if event.kind == "account.deleted" {
            let account: AccountDeleted = event.parse()?;
            // From here on that person's photos are hidden; the sweeper removes them, however many they are.
            deleted_accounts::record(connection, account.account_id, event.occurred_at).await?;
        }
        Ok(())
    }

    fn applied(&self) {
        self.sweep.notify_one();
    }
}
