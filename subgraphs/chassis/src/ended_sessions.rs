//! Ended login sessions. An access token is valid for up to ten minutes after its session has ended, and is refused
//! then.
//!
//! The issuer's event `session.ended` reaches one replica of each service, which records the ids in a table. Every
//! replica reloads the table several times a second, so that reads need no query. Writes check the table itself, in the
//! same statement as deleted accounts ([`crate::deleted_accounts::require_active_account`]).

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::limits::ACCESS_TOKEN_LIFETIME;
use sqlx::{MySql, MySqlExecutor, QueryBuilder};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::database::Pool;
use crate::worker::Job;
use crate::{Clock, error};

/// The interval between reloads of the table.
const RELOAD_INTERVAL: Duration = Duration::from_millis(250);
/// The interval between deletions of old rows.
const DELETE_INTERVAL: Duration = Duration::from_secs(60);
/// How long rows are kept beyond the lifetime of access tokens, because clocks differ.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(5);

/// A replica's copy of the table. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct EndedSessions(Arc<RwLock<Option<HashSet<Uuid>>>>);

impl EndedSessions {
    /// Whether the session has ended; `None` before the first load.
    pub fn contains(&self, session: Uuid) -> Option<bool> {
        let ids = self.0.read().unwrap_or_else(PoisonError::into_inner);
        ids.as_ref().map(|ids| ids.contains(&session))
    }

    /// Loads the table.
    pub async fn reload(&self, pool: &Pool) -> Result<(), sqlx::Error> {
        let ids = sqlx::query_scalar!(r#"SELECT session_id AS "session_id: Uuid" FROM ended_session"#)
            .fetch_all(pool)
            .await?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(ids.into_iter().collect());
        Ok(())
    }

    /// Loads the table, and starts two tasks that reload it and delete old rows until `stop`.
    pub async fn watch(&self, pool: &Pool, clock: &Clock, stop: &CancellationToken) -> [JoinHandle<()>; 2] {
        if let Err(error) = self.reload(pool).await {
            tracing::warn!(
                error = error::chain(&error),
                "the ended sessions cannot be loaded; trying again"
            );
        }
        let reloading = tokio::spawn(reload_until(self.clone(), pool.clone(), stop.clone()));
        let (database, clock) = (pool.clone(), clock.clone());
        let deleting = Job::new("delete-ended-sessions", DELETE_INTERVAL);
        let deleting = deleting.spawn(pool.clone(), stop.clone(), move |_| {
            let (pool, now) = (database.clone(), clock.now());
            async move { delete_old(&pool, now).await }
        });
        [reloading, deleting]
    }
}

/// Not a job with a lease, because every replica needs its own copy.
async fn reload_until(ended: EndedSessions, pool: Pool, stop: CancellationToken) {
    let mut failing = false;
    while stop
        .run_until_cancelled(tokio::time::sleep(RELOAD_INTERVAL))
        .await
        .is_some()
    {
        let reloaded = ended.reload(&pool).await;
        if let (Err(error), false) = (&reloaded, failing) {
            tracing::warn!(
                error = error::chain(error),
                "the ended sessions cannot be reloaded; the last copy is used"
            );
        }
        failing = reloaded.is_err();
    }
}

/// Records ended sessions. Idempotent.
pub async fn record(
    executor: impl MySqlExecutor<'_>,
    sessions: &[Uuid],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    if sessions.is_empty() {
        return Ok(());
    }
    let mut insert =
        QueryBuilder::<MySql>::new("INSERT IGNORE INTO ended_session (session_id, recorded_at) ");
    insert.push_values(sessions, |mut row, session| {
        row.push_bind(*session).push_bind(now);
    });
    insert.build().execute(executor).await.map(drop)
}

/// Deletes sessions whose tokens have all expired.
pub async fn delete_old(pool: &Pool, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    const DELETE_BATCH_SIZE: u64 = 1000;
    let before = now - ACCESS_TOKEN_LIFETIME - CLOCK_SKEW;
    loop {
        let done = sqlx::query!(
            "DELETE FROM ended_session WHERE recorded_at < ? LIMIT ?",
            before,
            DELETE_BATCH_SIZE
        )
        .execute(pool)
        .await?;
        if done.rows_affected() < DELETE_BATCH_SIZE {
            return Ok(());
        }
    }
}
