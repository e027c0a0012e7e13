//! Handles events of the authentication service.

use chassis::UserId;
use chassis::events::{self, Event};
use chrono::{DateTime, Utc};
use contracts::accounts::{AccountDeleted, KnownAccount};
use sqlx::MySqlConnection;

use crate::error::Error;
use crate::store;

/// Applies `account.created` and `account.deleted`. Idempotent, and in any order.
pub struct EventHandler;

impl events::EventHandler for EventHandler {
    type Error = Error;

    async fn apply(&self, tx: &mut MySqlConnection, event: &Event, now: DateTime<Utc>) -> Result<(), Error> {
        if let Some(created) = event.payload::<KnownAccount>()? {
            store::ensure(tx, UserId(created.account_id), created.created_at).await?;
        } else if let Some(deleted) = event.payload::<AccountDeleted>()? {
            // Only one row, so it is deleted immediately. The name is free after 90 days.
            store::remove(tx, UserId(deleted.account_id), now).await?;
        }
        Ok(())
    }
}
