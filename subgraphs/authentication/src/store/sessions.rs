use chassis::UserId;
use chrono::{DateTime, Utc};
use sqlx::MySqlExecutor;

use crate::domain::{Account, LoginSession, SessionId};

/// A new session.
pub struct NewSession<'a> {
    pub id: SessionId,
    pub account: UserId,
    /// The `User-Agent` of the device.
    pub user_agent: Option<&'a str>,
    pub now: DateTime<Utc>,
    /// When it ends unless it is used.
    pub expires_at: DateTime<Utc>,
}

/// Inserts a session. Idempotent.
pub async fn insert(executor: impl MySqlExecutor<'_>, session: &NewSession<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO session (id, account_id, user_agent, created_at, last_used_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)
         ON DUPLICATE KEY UPDATE id = id",
        session.id.0,
        session.account.0,
        session.user_agent,
        session.now,
        session.now,
        session.expires_at,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// A new refresh token.
pub struct NewToken<'a> {
    /// Its SHA-256 hash.
    pub hash: &'a [u8],
    pub session: SessionId,
    /// One more than that of the used token.
    pub generation: u32,
    pub expires_at: DateTime<Utc>,
}

/// Inserts a refresh token. Idempotent.
pub async fn insert_token(executor: impl MySqlExecutor<'_>, token: &NewToken<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO refresh_token (token_hash, session_id, generation, expires_at) VALUES (?, ?, ?, ?)
         ON DUPLICATE KEY UPDATE token_hash = token_hash",
        token.hash,
        token.session.0,
        token.generation,
        token.expires_at,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// A refresh token of a session that has not ended.
pub struct KnownToken {
    pub generation: u32,
    pub session: SessionId,
    pub account: Account,
}

/// Looks up a refresh token.
pub async fn token(
    executor: impl MySqlExecutor<'_>,
    hash: &[u8],
    now: DateTime<Utc>,
) -> Result<Option<KnownToken>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT t.generation, s.id AS "session: SessionId", a.id AS "id: UserId", a.email,
                  a.moderator AS "moderator: bool", a.created_at AS "created_at: DateTime<Utc>"
           FROM refresh_token t
           JOIN session s ON s.id = t.session_id
           JOIN account a ON a.id = s.account_id
           WHERE t.token_hash = ? AND t.expires_at > ? AND s.expires_at > ? AND t.generation >= s.first_generation"#,
        hash,
        now,
        now,
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|row| KnownToken {
        generation: row.generation,
        session: row.session,
        account: Account {
            id: row.id,
            email: row.email,
            moderator: row.moderator,
            created_at: row.created_at,
        },
    }))
}

/// Uses a token of `generation` (compare-and-swap). Returns false if a token of a later generation was used, the tokens
/// were withdrawn, or the session has ended.
pub async fn advance(
    executor: impl MySqlExecutor<'_>,
    session: SessionId,
    generation: u32,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "UPDATE session SET used_generation = ?, last_used_at = GREATEST(last_used_at, ?), expires_at = GREATEST(expires_at, ?)
         WHERE id = ? AND used_generation <= ? AND first_generation <= ?",
        generation,
        now,
        expires_at,
        session.0,
        generation,
        generation,
    )
    .execute(executor)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends a session in which a token of `generation` was replayed, unless the token was withdrawn meanwhile. Returns true
/// if it was ended.
pub async fn end_replayed(
    executor: impl MySqlExecutor<'_>,
    session: SessionId,
    generation: u32,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "DELETE FROM session WHERE id = ? AND used_generation > ? AND first_generation <= ?",
        session.0,
        generation,
        generation,
    )
    .execute(executor)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Withdraws all refresh tokens of a session, and returns the generation of the next one. `None` if the session has
/// ended.
pub async fn withdraw_tokens(
    connection: &mut sqlx::MySqlConnection,
    session: SessionId,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<Option<u32>, sqlx::Error> {
    // Generations up to used_generation + 1 were issued.
    sqlx::query!(
        "UPDATE session SET first_generation = used_generation + 2, used_generation = used_generation + 1,
                            last_used_at = ?, expires_at = ? WHERE id = ?",
        now,
        expires_at,
        session.0,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query_scalar!("SELECT first_generation FROM session WHERE id = ?", session.0)
        .fetch_optional(&mut *connection)
        .await
}

/// Returns the active sessions of an account, most recently used first.
pub async fn of_account(
    executor: impl MySqlExecutor<'_>,
    account: UserId,
    now: DateTime<Utc>,
) -> Result<Vec<LoginSession>, sqlx::Error> {
    sqlx::query_as!(
        LoginSession,
        r#"SELECT id AS "id: SessionId", user_agent, created_at AS "created_at: DateTime<Utc>",
                  last_used_at AS "last_used_at: DateTime<Utc>"
           FROM session WHERE account_id = ? AND expires_at > ?
           ORDER BY last_used_at DESC, id DESC LIMIT 100"#,
        account.0,
        now,
    )
    .fetch_all(executor)
    .await
}

// The following statements are not checked at compile time, because MariaDB only describes the columns of RETURNING when it
// executes them.

/// Ends the least recently used sessions of an account until `keep` are left, and returns their ids. `new` is not among
/// them, independent of the replicas' clocks. The account must be locked.
pub async fn end_oldest(
    connection: &mut sqlx::MySqlConnection,
    account: UserId,
    new: SessionId,
    keep: i64,
) -> Result<Vec<SessionId>, sqlx::Error> {
    let count = sqlx::query_scalar!("SELECT COUNT(*) FROM session WHERE account_id = ?", account.0)
        .fetch_one(&mut *connection)
        .await?;
    if count <= keep {
        return Ok(Vec::new());
    }
    sqlx::query_scalar(
        "DELETE FROM session WHERE account_id = ? AND id <> ? ORDER BY last_used_at, id LIMIT ? RETURNING id",
    )
    .bind(account.0)
    .bind(new.0)
    .bind(count - keep)
    .fetch_all(&mut *connection)
    .await
}

/// Ends one session of an account. Returns false if it had ended.
pub async fn end(
    executor: impl MySqlExecutor<'_>,
    account: UserId,
    session: SessionId,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "DELETE FROM session WHERE id = ? AND account_id = ?",
        session.0,
        account.0
    )
    .execute(executor)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends the other sessions of an account, and returns their ids.
pub async fn end_others(
    executor: impl MySqlExecutor<'_>,
    account: UserId,
    keep: SessionId,
) -> Result<Vec<SessionId>, sqlx::Error> {
    sqlx::query_scalar("DELETE FROM session WHERE account_id = ? AND id <> ? RETURNING id")
        .bind(account.0)
        .bind(keep.0)
        .fetch_all(executor)
        .await
}

/// Ends all sessions of an account, and returns their ids. There are little more than a hundred.
pub async fn end_all(
    executor: impl MySqlExecutor<'_>,
    account: UserId,
) -> Result<Vec<SessionId>, sqlx::Error> {
    sqlx::query_scalar("DELETE FROM session WHERE account_id = ? RETURNING id")
        .bind(account.0)
        .fetch_all(executor)
        .await
}

/// Deletes at most a thousand expired sessions.
pub async fn delete_expired(
    executor: impl MySqlExecutor<'_>,
    now: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!("DELETE FROM session WHERE expires_at <= ? LIMIT 1000", now)
        .execute(executor)
        .await?;
    Ok(done.rows_affected())
}

/// Deletes at most a thousand expired refresh tokens.
pub async fn delete_expired_tokens(
    executor: impl MySqlExecutor<'_>,
    now: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!("DELETE FROM refresh_token WHERE expires_at <= ? LIMIT 1000", now)
        .execute(executor)
        .await?;
    Ok(done.rows_affected())
}

/// Returns the last of the next thousand session ids after `after`; `None` if there are no more.
pub async fn end_of_page(
    executor: impl MySqlExecutor<'_>,
    after: SessionId,
) -> Result<Option<SessionId>, sqlx::Error> {
    let ids = sqlx::query_scalar!(
        r#"SELECT id AS "id: SessionId" FROM session WHERE id > ? ORDER BY id LIMIT 1000"#,
        after.0,
    )
    .fetch_all(executor)
    .await?;
    Ok(ids.last().copied())
}

/// Deletes sessions without an account after `after` and up to `last`. They only exist after manual changes.
pub async fn remove_orphans(
    executor: impl MySqlExecutor<'_>,
    after: SessionId,
    last: SessionId,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "DELETE FROM session WHERE id > ? AND id <= ?
         AND NOT EXISTS (SELECT 1 FROM account WHERE account.id = session.account_id)",
        after.0,
        last.0,
    )
    .execute(executor)
    .await?;
    Ok(done.rows_affected())
}
