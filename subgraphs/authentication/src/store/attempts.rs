use chassis::UserId;
use chrono::{DateTime, Utc};
use sqlx::MySqlExecutor;

/// The tries counted in a window that has not ended.
pub struct Window {
    /// How many.
    pub tries: u32,
    /// When they are forgotten.
    pub ends_at: DateTime<Utc>,
}

/// The window of a subject, if one runs.
pub async fn window(
    executor: impl MySqlExecutor<'_>,
    subject: &[u8],
    now: DateTime<Utc>,
) -> Result<Option<Window>, sqlx::Error> {
    sqlx::query_as!(
        Window,
        r#"SELECT tries, ends_at AS "ends_at: DateTime<Utc>" FROM attempt WHERE subject = ? AND ends_at > ?"#,
        subject,
        now,
    )
    .fetch_optional(executor)
    .await
}

/// Counts one more try, in the window that runs or in a new one until `ends_at`. Returns how many there are now.
pub async fn count(
    executor: impl MySqlExecutor<'_>,
    subject: &[u8],
    now: DateTime<Utc>,
    ends_at: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    // One statement counts and tells, so that tries at the same moment get different numbers: the value goes through
    // LAST_INSERT_ID(…) into the answer. The assignments run in this order; the first still sees the old ends_at.
    let done = sqlx::query!(
        "INSERT INTO attempt (subject, tries, ends_at) VALUES (?, LAST_INSERT_ID(1), ?)
         ON DUPLICATE KEY UPDATE
             tries = LAST_INSERT_ID(IF(ends_at <= ?, 1, LEAST(tries + 1, 1000000))),
             ends_at = IF(ends_at <= ?, VALUES(ends_at), ends_at)",
        subject,
        ends_at,
        now,
        now,
    )
    .execute(executor)
    .await?;
    Ok(done.last_insert_id())
}

/// Takes one try back.
pub async fn refund(executor: impl MySqlExecutor<'_>, subject: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE attempt SET tries = tries - 1 WHERE subject = ? AND tries > 0",
        subject
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Forgets windows that ended; at most a thousand a call.
pub async fn prune(executor: impl MySqlExecutor<'_>, now: DateTime<Utc>) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!("DELETE FROM attempt WHERE ends_at <= ? LIMIT 1000", now)
        .execute(executor)
        .await?;
    Ok(done.rows_affected())
}

/// Notes that the account was signed in to from `address` (a hash).
pub async fn remember_address(
    executor: impl MySqlExecutor<'_>,
    account: UserId,
    address: &[u8],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO known_address (account_id, address, last_used_at) VALUES (?, ?, ?)
         ON DUPLICATE KEY UPDATE last_used_at = VALUES(last_used_at)",
        account.0,
        address,
        now,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Forgets from where an account was signed in to; at most a thousand addresses a call.
pub async fn forget_addresses(executor: impl MySqlExecutor<'_>, account: UserId) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "DELETE FROM known_address WHERE account_id = ? LIMIT 1000",
        account.0
    )
    .execute(executor)
    .await?;
    Ok(done.rows_affected())
}

/// Forgets addresses that were not used since `before`; at most a thousand a call.
pub async fn prune_addresses(
    executor: impl MySqlExecutor<'_>,
    before: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "DELETE FROM known_address WHERE last_used_at <= ? LIMIT 1000",
        before
    )
    .execute(executor)
    .await?;
    Ok(done.rows_affected())
}
