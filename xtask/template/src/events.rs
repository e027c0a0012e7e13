//! Handles events of the authentication service.

use chassis::UserId;
use chassis::events::{self, Event};
use chrono::{DateTime, Utc};
use contracts::accounts::AccountDeleted;
use sqlx::MySqlConnection;

use crate::error::Error;
use crate::store;

/// Applies events in any order and any number of times.
pub struct EventHandler;

impl events::EventHandler for EventHandler {
    type Error = Error;

    async fn apply(&self, tx: &mut MySqlConnection, event: &Event, _: DateTime<Utc>) -> Result<(), Error> {
        if let Some(deleted) = event.payload::<AccountDeleted>()? {
            // The first batch. The sweep, which runs next, removes the rest.
            store::delete_of_owner(tx, UserId(deleted.account_id)).await?;
        }
        Ok(())
    }
}
