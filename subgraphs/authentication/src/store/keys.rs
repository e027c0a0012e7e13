use chrono::{DateTime, Utc};
use sqlx::MySqlExecutor;
use uuid::Uuid;

use crate::domain::SealedKey;

/// Returns all keys, oldest first.
pub async fn all(executor: impl MySqlExecutor<'_>) -> Result<Vec<SealedKey>, sqlx::Error> {
    sqlx::query_as!(
        SealedKey,
        r#"SELECT number, id AS "id: Uuid", nonce, sealed, signs_from AS "signs_from: DateTime<Utc>"
           FROM signing_key ORDER BY number"#
    )
    .fetch_all(executor)
    .await
}

/// Inserts a key. Returns false if another replica has inserted this number.
pub async fn insert(
    executor: impl MySqlExecutor<'_>,
    key: &SealedKey,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "INSERT IGNORE INTO signing_key (number, id, nonce, sealed, signs_from, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        key.number,
        key.id,
        key.nonce,
        key.sealed,
        key.signs_from,
        now,
    )
    .execute(executor)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Deletes the keys before `number`.
pub async fn remove_before(executor: impl MySqlExecutor<'_>, number: u32) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM signing_key WHERE number < ?", number)
        .execute(executor)
        .await
        .map(drop)
}
