//! Leases: at most one process runs a job.
//!
//! A paused or disconnected holder may believe that it still has a lease that another process has taken. So a job is
//! either harmless if two processes run it (delivering events that are recognised by id, deleting rows), or its
//! transaction confirms the lease ([`Held::confirm`]), and its commit fails if another holder has taken it.

use std::time::Duration;

use crate::database::Pool;
use sqlx::MySqlConnection;
use uuid::Uuid;

/// A lease and the id of its holder. The id is never reused, so it distinguishes the terms of two holders.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    name: &'static str,
    holder: Uuid,
    term: Duration,
}

impl Held {
    pub fn new(name: &'static str, holder: Uuid, term: Duration) -> Self {
        Self { name, holder, term }
    }

    /// The name of the lease.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Takes or renews the lease. Returns true if it is held for at least its term from now.
    pub async fn renew(&self, pool: &Pool) -> Result<bool, sqlx::Error> {
        hold(pool, self.name, self.holder, self.term).await
    }

    /// Confirms the lease inside a transaction that only its holder may commit. Best called at the end of the
    /// transaction, because others wait for its row.
    ///
    /// It renews the lease, because only writes conflict in a cluster: if two transactions on two nodes change one row,
    /// the later commit fails.
    pub async fn confirm(&self, connection: &mut MySqlConnection) -> Result<bool, sqlx::Error> {
        let term = i64::try_from(self.term.as_micros()).unwrap_or(i64::MAX);
        let done = sqlx::query!(
            "UPDATE lease SET expires_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND WHERE name = ? AND holder = ?",
            term,
            self.name,
            self.holder,
        )
        .execute(connection)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Renews the lease if it was not lost. Does not take a free lease.
    pub async fn extend(&self, pool: &Pool) -> Result<bool, sqlx::Error> {
        let mut connection = pool.acquire().await?;
        self.confirm(&mut connection).await
    }

    /// Releases the lease.
    pub async fn release(&self, pool: &Pool) -> Result<(), sqlx::Error> {
        release(pool, self.name, self.holder).await
    }
}

/// Takes or renews the lease `name` for `holder`. Returns true if it is held for at least `term` from now.
///
/// Uses the clock of the database, so that the clocks of the replicas do not matter.
pub async fn hold(pool: &Pool, name: &str, holder: Uuid, term: Duration) -> Result<bool, sqlx::Error> {
    let term = i64::try_from(term.as_micros()).unwrap_or(i64::MAX);
    // `holder` is assigned first; the second assignment uses the new value.
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
    .fetch_optional(pool)
    .await?;
    // `None` if the node has not replicated the row yet, or the holder has just released it.
    Ok(row.is_some_and(|row| row.holder == holder))
}

/// Releases the lease, so that another replica need not wait until it expires.
pub async fn release(pool: &Pool, name: &str, holder: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM lease WHERE name = ? AND holder = ?", name, holder)
        .execute(pool)
        .await
        .map(drop)
}
