//! Leases: who does a job of which there must be one at a time.
//!
//! A lease is advice, not a lock: a holder that was stopped for a while may believe that it still holds one.
//! What the holder does must therefore be harmless when two do it (delete exactly what was read, in one transaction).

use std::time::Duration;

use sqlx::MySqlPool;
use uuid::Uuid;

/// Takes or renews the lease `name` for `holder`. True while `holder` has it for at least `term` from now.
///
/// The times are the database's, so that the clocks of the replicas do not matter.
pub async fn hold(pool: &MySqlPool, name: &str, holder: Uuid, term: Duration) -> Result<bool, sqlx::Error> {
    let term = i64::try_from(term.as_micros()).unwrap_or(i64::MAX);
    // `holder` is assigned first; the second assignment sees the new value.
    sqlx::query!(
        "INSERT INTO lease (name, holder, expires_at)
         VALUES (?, ?, UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND)
         ON DUPLICATE KEY UPDATE
             holder = IF(holder = VALUES(holder) OR expires_at < UTC_TIMESTAMP(6), VALUES(holder), holder),
             expires_at = IF(holder = VALUES(holder), VALUES(expires_at), expires_at)",
        name,
        holder,
        term,
    )
    .execute(pool)
    .await?;
    let row = sqlx::query!(
        r#"SELECT holder AS "holder: Uuid" FROM lease WHERE name = ?"#,
        name
    )
    .fetch_one(pool)
    .await?;
    Ok(row.holder == holder)
}

/// Gives the lease up, so that another replica need not wait for its end.
pub async fn release(pool: &MySqlPool, name: &str, holder: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM lease WHERE name = ? AND holder = ?", name, holder)
        .execute(pool)
        .await
        .map(drop)
}
