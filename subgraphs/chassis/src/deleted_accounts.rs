//! Deleted accounts: their tokens are refused, and their rows are deleted.

use chrono::{DateTime, TimeDelta, Utc};
use contracts::accounts::KnownAccount;
use sqlx::{MySql, MySqlConnection, MySqlExecutor, QueryBuilder};
use uuid::Uuid;

use crate::database::Pool;
use crate::internal::{InternalClient, InternalError};
use crate::viewer::{NoViewer, UserId, Viewer};
use crate::{Classify, Code, database};

/// The maximum duration of a write that began before a deletion was recorded, with a wide margin.
pub const GRACE: TimeDelta = TimeDelta::seconds(60);

/// Why a write was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The account was deleted, or the login session has ended.
    #[error(transparent)]
    Refused(#[from] NoViewer),
    #[error("cannot look up whether the account is still there")]
    Database(#[from] sqlx::Error),
}

impl Classify for AccountError {
    fn code(&self) -> Code {
        match self {
            Self::Refused(error) => error.code(),
            Self::Database(error) => error.code(),
        }
    }

    fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Refused(_) => None,
            Self::Database(error) => Some(error),
        }
    }
}

/// Returns an error if the viewer's account was deleted or the login session has ended. Mutations use `require_writer`.
pub async fn require_active_account(pool: &Pool, viewer: &Viewer) -> Result<(), AccountError> {
    let (deleted, ended) = database::read(pool, || refusals(pool, viewer)).await?;
    if deleted {
        return Err(NoViewer::AccountDeleted.into());
    }
    if ended {
        return Err(NoViewer::SessionEnded.into());
    }
    Ok(())
}

/// The same as [`require_active_account`], and prevents that the deletion is recorded before the transaction ends. So
/// the deletion finds the written rows. Only within one database node; [`sweep`] covers clusters.
pub async fn require_active_account_until_commit(
    tx: &mut MySqlConnection,
    viewer: &Viewer,
) -> Result<(), AccountError> {
    let row = sqlx::query!(
        "SELECT 1 AS one FROM departed_account WHERE user_id = ? LOCK IN SHARE MODE",
        viewer.id.0,
    )
    .fetch_optional(tx)
    .await?;
    if row.is_some() {
        return Err(NoViewer::AccountDeleted.into());
    }
    Ok(())
}

/// Returns whether the account was deleted, and whether the session has ended.
async fn refusals(executor: impl MySqlExecutor<'_>, viewer: &Viewer) -> Result<(bool, bool), sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT EXISTS (SELECT 1 FROM departed_account WHERE user_id = ?) AS "deleted!: bool",
                  EXISTS (SELECT 1 FROM ended_session WHERE session_id = ?) AS "ended!: bool""#,
        viewer.id.0,
        viewer.session,
    )
    .fetch_one(executor)
    .await?;
    Ok((row.deleted, row.ended))
}

/// Whether the account was deleted.
pub async fn is_deleted(executor: impl MySqlExecutor<'_>, user: UserId) -> Result<bool, sqlx::Error> {
    let row = sqlx::query!("SELECT 1 AS one FROM departed_account WHERE user_id = ?", user.0)
        .fetch_optional(executor)
        .await?;
    Ok(row.is_some())
}

/// Records a deleted account. Returns false if it was recorded before.
pub async fn record(
    executor: impl MySqlExecutor<'_>,
    user: UserId,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "INSERT IGNORE INTO departed_account (user_id, departed_at) VALUES (?, ?)",
        user.0,
        now,
    )
    .execute(executor)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Returns the deleted accounts among `users`.
pub async fn deleted_among(
    executor: impl MySqlExecutor<'_>,
    users: &[UserId],
) -> Result<Vec<UserId>, sqlx::Error> {
    let mut query = QueryBuilder::<MySql>::new("SELECT user_id FROM departed_account WHERE user_id IN ");
    database::push_ids(&mut query, users.iter().copied());
    query.build_query_scalar().fetch_all(executor).await
}

/// Returns at most a hundred deleted accounts after `after` that may still have rows, ordered by id.
pub async fn unswept(executor: impl MySqlExecutor<'_>, after: UserId) -> Result<Vec<UserId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT user_id AS "user_id: UserId" FROM departed_account
           WHERE swept_at IS NULL AND user_id > ? ORDER BY user_id LIMIT 100"#,
        after,
    )
    .fetch_all(executor)
    .await
}

/// Records that all rows of the account were deleted.
pub async fn mark_swept(
    executor: impl MySqlExecutor<'_>,
    user: UserId,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE departed_account SET swept_at = ? WHERE user_id = ?",
        now,
        user.0
    )
    .execute(executor)
    .await
    .map(drop)
}

async fn mark_swept_if_recorded_before(
    executor: impl MySqlExecutor<'_>,
    user: UserId,
    now: DateTime<Utc>,
    before: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE departed_account SET swept_at = ? WHERE user_id = ? AND departed_at < ?",
        now,
        user.0,
        before,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Deletes the rows of deleted accounts. `remove` deletes all rows of an account, in batches.
///
/// An account counts as swept only [`GRACE`] after it was recorded: on another database node a row may have been
/// written at the same time, and a later sweep deletes it.
pub async fn sweep<E, F>(pool: &Pool, now: DateTime<Utc>, remove: impl Fn(UserId) -> F) -> Result<(), E>
where
    E: From<sqlx::Error>,
    F: Future<Output = Result<(), E>>,
{
    let mut after = UserId(Uuid::nil());
    loop {
        let users = unswept(pool, after).await?;
        let Some(last) = users.last() else {
            return Ok(());
        };
        after = *last;
        for user in users {
            remove(user).await?;
            mark_swept_if_recorded_before(pool, user, now, now - GRACE).await?;
        }
    }
}

/// Asks the issuer's service which accounts do not exist any more, and records those that are new. Returns their
/// number. Repairs lost events. `users_after` returns at most a thousand users with rows in this service, ordered by
/// id. `accounts` is `None` for an external issuer, which cannot be asked.
pub async fn reconcile<F>(
    pool: &Pool,
    accounts: Option<&InternalClient>,
    now: DateTime<Utc>,
    users_after: impl Fn(UserId) -> F,
) -> Result<u64, ReconcileError>
where
    F: Future<Output = Result<Vec<UserId>, sqlx::Error>>,
{
    let Some(accounts) = accounts else {
        return Ok(0);
    };
    let mut repaired = 0;
    let mut after = UserId(Uuid::nil());
    loop {
        let people = users_after(after).await?;
        let Some(&last) = people.last() else {
            return Ok(repaired);
        };
        for gone in accounts.gone::<KnownAccount, _>(&people).await? {
            repaired += u64::from(record(pool, gone, now).await?);
        }
        after = last;
    }
}

/// Why a comparison with another service failed.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The other service did not respond.
    #[error(transparent)]
    Internal(#[from] InternalError),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl Classify for ReconcileError {
    fn code(&self) -> Code {
        match self {
            Self::Internal(error) => error.code(),
            Self::Database(error) => error.code(),
        }
    }

    fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Internal(_) => None,
            Self::Database(error) => Some(error),
        }
    }
}
