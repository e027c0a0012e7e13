//! Handles events of the authentication service.

use std::sync::Arc;

use chassis::events::{Event, EventHandler};
use chassis::{Clock, UserId, deleted_accounts, transaction};
use chrono::{DateTime, TimeDelta, Utc};
use contracts::accounts::{Account, AccountDeleted};
use sqlx::{MySqlConnection, MySqlPool};
use tokio::sync::Notify;

use crate::domain::QUARANTINE;
use crate::error::Error;
use crate::store;

/// A write that began before the departure was recorded has ended long after this.
const GRACE: TimeDelta = TimeDelta::seconds(60);

/// Applies `account.created` and `account.deleted`, in any order and any number of times.
#[derive(Debug, Clone)]
pub struct Accounts {
    /// Tells the time.
    pub clock: Clock,
    /// Wakes the sweep.
    pub wake: Arc<Notify>,
}

impl EventHandler for Accounts {
    type Error = Error;

    async fn apply(&self, connection: &mut MySqlConnection, event: &Event) -> Result<(), Error> {
        if let Some(created) = event.payload::<Account>()? {
            store::ensure(connection, UserId(created.account_id), created.created_at).await?;
        } else if let Some(deleted) = event.payload::<AccountDeleted>()? {
            let (user, now) = (UserId(deleted.account_id), self.clock.now());
            deleted_accounts::record(&mut *connection, user, now).await?;
            // One row, so it goes at once; its name is free in 90 days.
            store::remove(connection, user, now).await?;
        }
        Ok(())
    }

    fn applied(&self) {
        self.wake.notify_one();
    }
}

/// Removes what may have been written while a departure was recorded, or was found by the reconciler.
pub async fn sweep(pool: &MySqlPool, now: DateTime<Utc>) -> Result<(), Error> {
    while transaction!(pool, Error, |tx, _| Ok(store::remove_departed(tx, now).await?))? == 1000 {}
    while store::delete_released_before(pool, now - QUARANTINE).await? == 1000 {}
    store::mark_swept(pool, now, now - GRACE).await?;
    Ok(())
}
