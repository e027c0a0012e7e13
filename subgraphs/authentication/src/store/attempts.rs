use chassis::UserId;
use chrono::{DateTime, Utc};
use sqlx::MySqlExecutor;

/// The counted attempts of a running window.
pub struct Window {
    /// The number of attempts.
    pub tries: u32,
    pub ends_at: DateTime<Utc>,
}

/// Returns the running window of a subject.
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

/// Counts an attempt in the running window, or in a new one until `ends_at`. Returns the number of attempts.
pub async fn count(
    executor: impl MySqlExecutor<'_>,
    subject: &[u8],
    now: DateTime<Utc>,
    ends_at: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    // One statement counts and returns, so that concurrent attempts get different numbers: the value is returned by
    // LAST_INSERT_ID(…). The assignments run in this order; the first one uses the old ends_at.
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

/// Subtracts an attempt.
pub async fn refund(executor: impl MySqlExecutor<'_>, subject: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE attempt SET tries = tries - 1 WHERE subject = ? AND tries > 0",
        subject
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Deletes at most a thousand windows that have ended.
pub async fn delete_expired(
    executor: impl MySqlExecutor<'_>,
    now: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!("DELETE FROM attempt WHERE ends_at <= ? LIMIT 1000", now)
        .execute(executor)
        .await?;
    Ok(done.rows_affected())
}

/// Records that the account was signed in to from `address` (a hash).
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

/// Deletes at most a thousand addresses of an account.
pub async fn delete_addresses(executor: impl MySqlExecutor<'_>, account: UserId) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "DELETE FROM known_address WHERE account_id = ? LIMIT 1000",
        account.0
    )
    .execute(executor)
    .await?;
    Ok(done.rows_affected())
}

/// Deletes at most a thousand addresses that were not used since `before`.
pub async fn delete_unused_addresses(
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
