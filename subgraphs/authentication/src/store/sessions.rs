use chassis::UserId;
use chrono::{DateTime, Utc};
use sqlx::MySqlExecutor;

use crate::domain::{Account, LoginSession, SessionId};

/// A session to start.
pub struct NewSession<'a> {
    /// Its id.
    pub id: SessionId,
    /// Whose.
    pub account: UserId,
    /// The `User-Agent` of the device.
    pub user_agent: Option<&'a str>,
    /// Now.
    pub now: DateTime<Utc>,
    /// When it ends unless it is used.
    pub expires_at: DateTime<Utc>,
}

/// Inserts a session; doing so again changes nothing.
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

/// A refresh token to hand out.
pub struct NewToken<'a> {
    /// Its SHA-256.
    pub hash: &'a [u8],
    /// Of which family.
    pub session: SessionId,
    /// One more than that of the token that it answers.
    pub generation: u32,
    /// When it stops being good.
    pub expires_at: DateTime<Utc>,
}

/// Remembers a refresh token; doing so again changes nothing.
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

/// A refresh token that was handed out for a session that has not ended.
pub struct KnownToken {
    /// Its place in the family.
    pub generation: u32,
    /// The family.
    pub session: SessionId,
    /// Whose.
    pub account: Account,
}

/// Looks a refresh token up.
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

/// Uses a token of `generation`: one compare-and-swap. False when a token of a later generation was used before, when
/// the tokens were withdrawn, or when the session has ended.
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

/// Ends a session in which a token of `generation` was replayed, unless that token was withdrawn meanwhile. True when
/// it ended.
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

/// Withdraws all refresh tokens of a session that goes on, and gives the generation of the next one. None when the
/// session has ended.
pub async fn withdraw_tokens(
    connection: &mut sqlx::MySqlConnection,
    session: SessionId,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<Option<u32>, sqlx::Error> {
    // Handed out so far are generations up to used_generation + 1.
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

/// The sessions of an account that have not ended, the one that was used last first.
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

// These statements are not checked when the service is compiled: the database describes what RETURNING gives only when it
// runs them.

/// Ends the least recently used sessions of an account until `keep` are left, and returns their ids. `new` is not among
/// them, independent of the replicas' clocks. Call it with the account locked.
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

/// Ends one session of an account. False when it had ended.
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

/// Ends all sessions of an account, and returns their ids. There are never more than a hundred and a few.
pub async fn end_all(
    executor: impl MySqlExecutor<'_>,
    account: UserId,
) -> Result<Vec<SessionId>, sqlx::Error> {
    sqlx::query_scalar("DELETE FROM session WHERE account_id = ? RETURNING id")
        .bind(account.0)
        .fetch_all(executor)
        .await
}

/// Removes sessions that ended by themselves; at most a thousand a call.
pub async fn prune(executor: impl MySqlExecutor<'_>, now: DateTime<Utc>) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!("DELETE FROM session WHERE expires_at <= ? LIMIT 1000", now)
        .execute(executor)
        .await?;
    Ok(done.rows_affected())
}

/// Forgets refresh tokens that expired; at most a thousand a call.
pub async fn prune_tokens(executor: impl MySqlExecutor<'_>, now: DateTime<Utc>) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!("DELETE FROM refresh_token WHERE expires_at <= ? LIMIT 1000", now)
        .execute(executor)
        .await?;
    Ok(done.rows_affected())
}

/// The last of the next thousand session ids after `after`; None when there are no more.
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

/// Removes sessions without an account among those after `after` up to `last`. Only a hand in the database makes any.
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
