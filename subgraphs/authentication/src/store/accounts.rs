use chassis::UserId;
use chrono::{DateTime, Utc};
use sqlx::{MySql, MySqlExecutor, QueryBuilder};
use uuid::Uuid;

use crate::domain::{Account, Email, PasswordHash, SessionId};

/// The columns for signing in.
pub struct Credentials {
    pub account: Account,
    pub password_hash: PasswordHash,
    /// Whether the account has been signed in to from this address.
    pub address_is_known: bool,
}

/// Returns the account with this e-mail, for a client at `address` (a hash). If several spellings have accounts,
/// returns the one with the typed spelling.
pub async fn by_email(
    executor: impl MySqlExecutor<'_>,
    email: &Email,
    address: &[u8],
) -> Result<Option<Credentials>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT a.id AS "id: UserId", a.email, a.moderator AS "moderator: bool",
                  a.created_at AS "created_at: DateTime<Utc>", a.password_hash AS "password_hash: PasswordHash",
                  EXISTS (SELECT 1 FROM known_address k WHERE k.account_id = a.id AND k.address = ?) AS "address_is_known: bool"
           FROM account a WHERE a.email_folded IN (?, ?) ORDER BY a.email_folded = ? DESC LIMIT 1"#,
        address,
        email.folded(),
        email.folded_before(),
        email.folded_before(),
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|row| Credentials {
        account: Account {
            id: row.id,
            email: row.email,
            moderator: row.moderator,
            created_at: row.created_at,
        },
        password_hash: row.password_hash,
        address_is_known: row.address_is_known,
    }))
}

/// Returns the account of a session that has not ended.
pub async fn of_session(
    executor: impl MySqlExecutor<'_>,
    id: UserId,
    session: SessionId,
    now: DateTime<Utc>,
) -> Result<Option<Account>, sqlx::Error> {
    sqlx::query_as!(
        Account,
        r#"SELECT a.id AS "id: UserId", a.email, a.moderator AS "moderator: bool", a.created_at AS "created_at: DateTime<Utc>"
           FROM account a JOIN session s ON s.account_id = a.id
           WHERE a.id = ? AND s.id = ? AND s.expires_at > ?"#,
        id.0,
        session.0,
        now,
    )
    .fetch_optional(executor)
    .await
}

pub async fn by_id(executor: impl MySqlExecutor<'_>, id: UserId) -> Result<Option<Account>, sqlx::Error> {
    sqlx::query_as!(
        Account,
        r#"SELECT id AS "id: UserId", email, moderator AS "moderator: bool", created_at AS "created_at: DateTime<Utc>"
           FROM account WHERE id = ?"#,
        id.0,
    )
    .fetch_optional(executor)
    .await
}

/// Returns the password hash of the account.
pub async fn password_hash(
    executor: impl MySqlExecutor<'_>,
    id: UserId,
) -> Result<Option<PasswordHash>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT password_hash AS "password_hash: PasswordHash" FROM account WHERE id = ?"#,
        id.0,
    )
    .fetch_optional(executor)
    .await
}

/// Returns the password hash, and locks the account until the transaction ends: sessions of an account are started,
/// renewed and ended one after another.
pub async fn lock(executor: impl MySqlExecutor<'_>, id: UserId) -> Result<Option<PasswordHash>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT password_hash AS "password_hash: PasswordHash" FROM account WHERE id = ? FOR UPDATE"#,
        id.0,
    )
    .fetch_optional(executor)
    .await
}

/// Inserts an account. A unique violation means that the e-mail is taken, or that an earlier attempt was committed.
pub async fn insert(
    executor: impl MySqlExecutor<'_>,
    id: UserId,
    email: &Email,
    password_hash: &PasswordHash,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO account (id, email, email_folded, email_is_canonical, password_hash, created_at)
         VALUES (?, ?, ?, TRUE, ?, ?)",
        id.0,
        email.as_str(),
        email.folded(),
        password_hash.0,
        now,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Replaces the password hash.
pub async fn set_password_hash(
    executor: impl MySqlExecutor<'_>,
    id: UserId,
    hash: &PasswordHash,
) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE account SET password_hash = ? WHERE id = ?", hash.0, id.0)
        .execute(executor)
        .await
        .map(drop)
}

/// Replaces the password hash if it is still `old`. Returns false otherwise.
pub async fn replace_password_hash(
    executor: impl MySqlExecutor<'_>,
    id: UserId,
    old: &PasswordHash,
    new: &PasswordHash,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "UPDATE account SET password_hash = ? WHERE id = ? AND password_hash = ?",
        new.0,
        id.0,
        old.0,
    )
    .execute(executor)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Grants or revokes the moderator role. Returns false if there is no such account.
pub async fn set_moderator(
    executor: impl MySqlExecutor<'_>,
    email: &Email,
    moderator: bool,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "UPDATE account SET moderator = ? WHERE email_folded IN (?, ?) ORDER BY email_folded = ? DESC LIMIT 1",
        moderator,
        email.folded(),
        email.folded_before(),
        email.folded_before(),
    )
    .execute(executor)
    .await?;
    // sqlx counts matched rows, even if nothing changed.
    Ok(done.rows_affected() == 1)
}

/// Returns at most a thousand accounts whose e-mail may not be canonical.
pub async fn not_canonical(executor: impl MySqlExecutor<'_>) -> Result<Vec<(UserId, String)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT id AS "id: UserId", email FROM account WHERE email_is_canonical = FALSE ORDER BY id LIMIT 1000"#
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.email)).collect())
}

/// Sets the canonical form of the account's e-mail. If another account has it, keeps the old form.
pub async fn set_canonical(
    executor: impl MySqlExecutor<'_>,
    id: UserId,
    email: &str,
    folded: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE IGNORE account SET email_folded = ? WHERE id = ? AND email = ?",
        folded,
        id.0,
        email,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Records that the e-mails of accounts up to `last` were checked.
pub async fn mark_canonical(executor: impl MySqlExecutor<'_>, last: UserId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE account SET email_is_canonical = TRUE WHERE email_is_canonical = FALSE AND id <= ?",
        last.0
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Deletes the account's row.
pub async fn delete(executor: impl MySqlExecutor<'_>, id: UserId) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM account WHERE id = ?", id.0)
        .execute(executor)
        .await
        .map(drop)
}

/// Returns the accounts after `after`, ordered by id.
pub async fn list(
    executor: impl MySqlExecutor<'_>,
    after: Uuid,
    limit: u32,
) -> Result<Vec<contracts::accounts::KnownAccount>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT id AS "account_id: UserId", created_at AS "created_at: DateTime<Utc>"
           FROM account WHERE id > ? ORDER BY id LIMIT ?"#,
        after,
        limit,
    )
    .fetch_all(executor)
    .await?;
    let announced = rows.into_iter().map(|row| contracts::accounts::KnownAccount {
        account_id: row.account_id.0,
        created_at: row.created_at,
    });
    Ok(announced.collect())
}

/// Returns those of `ids` that are accounts.
pub async fn existing(executor: impl MySqlExecutor<'_>, ids: &[UserId]) -> Result<Vec<UserId>, sqlx::Error> {
    ids_in(executor, "SELECT id FROM account WHERE id IN ", ids).await
}

async fn ids_in(
    executor: impl MySqlExecutor<'_>,
    select: &'static str,
    ids: &[UserId],
) -> Result<Vec<UserId>, sqlx::Error> {
    let mut query = QueryBuilder::<MySql>::new(select);
    chassis::database::push_ids(&mut query, ids.iter().copied());
    query.build_query_scalar().fetch_all(executor).await
}
