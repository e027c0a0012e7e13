//! Accounts that were deleted: their tokens are refused, and what they left behind is swept away.

use chrono::{DateTime, TimeDelta, Utc};
use contracts::accounts::KnownAccount;
use sqlx::{MySql, MySqlConnection, MySqlExecutor, QueryBuilder};
use uuid::Uuid;

use crate::database::Pool;
use crate::internal::{InternalClient, InternalError};
use crate::viewer::{NoViewer, UserId, Viewer};
use crate::{Classify, Code, database};

/// How long a write that began before a deletion was recorded may take at most, with a wide margin.
pub const GRACE: TimeDelta = TimeDelta::seconds(60);

/// Why a write is refused, or could not be decided.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The account was deleted, or the login session has ended.
    #[error(transparent)]
    Refused(#[from] NoViewer),
    /// The database failed.
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

/// Refuses a viewer whose account was deleted or whose login session has ended. Mutations check this by `require_writer`.
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

/// The same inside the transaction of a write: until it ends, the account's deletion cannot be recorded, so recording
/// it later finds the write. On one database node; the sweep covers several.
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

/// Whether the viewer's account was deleted, and whether the session has ended.
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

/// Records that the account is gone. True when this is news.
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

/// Those of `users` whose account was deleted.
pub async fn deleted_among(
    executor: impl MySqlExecutor<'_>,
    users: &[UserId],
) -> Result<Vec<UserId>, sqlx::Error> {
    let mut query = QueryBuilder::<MySql>::new("SELECT user_id FROM departed_account WHERE user_id IN ");
    database::push_ids(&mut query, users.iter().copied());
    query.build_query_scalar().fetch_all(executor).await
}

/// Deleted accounts after `after` of which rows may still be here, in the order of their ids; at most a hundred.
pub async fn unswept(executor: impl MySqlExecutor<'_>, after: UserId) -> Result<Vec<UserId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT user_id AS "user_id: UserId" FROM departed_account
           WHERE swept_at IS NULL AND user_id > ? ORDER BY user_id LIMIT 100"#,
        after,
    )
    .fetch_all(executor)
    .await
}

/// Notes that nothing of the account is here any more.
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

/// Removes what deleted accounts left here: `remove` removes everything of one account, in batches.
///
/// An account counts as swept only [`GRACE`] after it was recorded: on several database nodes a row may have been
/// written at that very moment, and a later sweep has to find it.
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

/// Asks the issuer's service which accounts are gone, and records those that were not known to be. Returns how many.
/// `people_after` returns people with rows here, in the order of their ids, at most a thousand at a time, until there are
/// no more. For reconcilers: it repairs a lost event. Without `accounts`, another issuer's, there is nothing to compare.
pub async fn reconcile<F>(
    pool: &Pool,
    accounts: Option<&InternalClient>,
    now: DateTime<Utc>,
    people_after: impl Fn(UserId) -> F,
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
        let people = people_after(after).await?;
        let Some(&last) = people.last() else {
            return Ok(repaired);
        };
        for gone in accounts.gone::<KnownAccount, _>(&people).await? {
            repaired += u64::from(record(pool, gone, now).await?);
        }
        after = last;
    }
}

/// Why a comparison with another service did not finish.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The other service did not answer.
    #[error(transparent)]
    Internal(#[from] InternalError),
    /// The database failed.
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
