//! Leases: at most one process runs a job.
//!
//! A holder that was stopped for a while, or cut off, may believe that it still holds a lease that another one has
//! taken. So a job either does no harm when two run it (delivering events that receivers recognise by id, deleting rows
//! that are gone already), or its transaction confirms the lease ([`Held::confirm`]) and commits only while no other
//! holder has taken it.

use std::time::Duration;

use crate::database::Pool;
use sqlx::MySqlConnection;
use uuid::Uuid;

/// A lease that a process holds, or believes to hold. Each holder has an id that is never reused: it distinguishes the
/// terms of two holders.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    name: &'static str,
    holder: Uuid,
    term: Duration,
}

impl Held {
    /// The lease that `holder` would hold.
    pub fn new(name: &'static str, holder: Uuid, term: Duration) -> Self {
        Self { name, holder, term }
    }

    /// Of the lease.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Takes the lease, or renews it, before the holder begins with something. True while it is held for at least its term from now.
    pub async fn renew(&self, pool: &Pool) -> Result<bool, sqlx::Error> {
        hold(pool, self.name, self.holder, self.term).await
    }

    /// Whether the lease is still held, inside the transaction of what only its holder may write. Best at its end:
    /// others who ask for the lease wait until the transaction ends.
    ///
    /// It renews the lease, because only a change counts everywhere: of two transactions on two nodes of the database
    /// that changed one row, the later one is refused at its commit. A look would not be noticed there.
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

    /// Renews the lease without taking it anew. False where it was lost, even if it is free again.
    pub async fn extend(&self, pool: &Pool) -> Result<bool, sqlx::Error> {
        let mut connection = pool.acquire().await?;
        self.confirm(&mut connection).await
    }

    /// Gives the lease up.
    pub async fn release(&self, pool: &Pool) -> Result<(), sqlx::Error> {
        release(pool, self.name, self.holder).await
    }
}

/// Takes or renews the lease `name` for `holder`. True while `holder` has it for at least `term` from now.
///
/// The times are the database's, so that the clocks of the replicas do not matter.
pub async fn hold(pool: &Pool, name: &str, holder: Uuid, term: Duration) -> Result<bool, sqlx::Error> {
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
    .fetch_optional(pool)
    .await?;
    // None where another node answers that has not got it yet, or where its holder has just given it up.
    Ok(row.is_some_and(|row| row.holder == holder))
}

/// Gives the lease up, so that another replica need not wait for its end.
pub async fn release(pool: &Pool, name: &str, holder: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM lease WHERE name = ? AND holder = ?", name, holder)
        .execute(pool)
        .await
        .map(drop)
}
