//! Writers of the harness, one per node, which increment counters. `UPDATE … + 1` must lose nothing; read-then-write
//! loses updates on a healthy cluster, which the audit must detect.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rand::RngExt as _;
use sqlx::{MySqlPool, Row as _};
use tokio::task::JoinHandle;

use crate::history::{Operation, Outcome};
use crate::users::Workload;

/// Number of counters; few, so that writers conflict.
const COUNTERS: u32 = 3;
const COUNT_PAUSE: Duration = Duration::from_millis(15);
const COUNT_TIMEOUT: Duration = Duration::from_secs(5);

/// How a writer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterMode {
    InOneStatement,
    ReadThenWrite,
    /// In one statement, each writer with its own counter, so that no conflicts occur. A conflict would flush the logs
    /// of all nodes.
    Apart,
}

/// Creates the table.
pub async fn prepare(pool: &MySqlPool) -> Result<()> {
    for statement in [
        "CREATE DATABASE IF NOT EXISTS fault_audit",
        "CREATE TABLE IF NOT EXISTS fault_audit.counter (id INT UNSIGNED PRIMARY KEY, value BIGINT NOT NULL)",
    ] {
        sqlx::raw_sql(statement)
            .execute(pool)
            .await
            .context("the counters cannot be made")?;
    }
    for id in 1..=COUNTERS {
        sqlx::query("INSERT IGNORE INTO fault_audit.counter VALUES (?, 0)")
            .bind(id)
            .execute(pool)
            .await?;
    }
    Ok(())
}

/// Starts a writer at each node, which run until the load ends.
pub fn start_all(workload: &Arc<Workload>, pools: &[MySqlPool], mode: CounterMode) -> Vec<JoinHandle<()>> {
    (1..)
        .zip(pools)
        .map(|(node, pool)| start(Arc::clone(workload), pool.clone(), node, mode))
        .collect()
}

fn start(workload: Arc<Workload>, pool: MySqlPool, node: u32, mode: CounterMode) -> JoinHandle<()> {
    tokio::spawn(async move {
        while !workload.is_over() {
            let counter = match mode {
                CounterMode::Apart => node,
                _ => rand::rng().random_range(1..=COUNTERS),
            };
            let operation = Operation::Increment { counter, node };
            let number = workload
                .history
                .invoke(&format!("counter at db-{node}"), operation.clone());
            let answer = tokio::time::timeout(COUNT_TIMEOUT, count(&pool, counter, mode)).await;
            let outcome = match answer {
                Ok(Ok(())) => Outcome::Ok,
                Ok(Err(error)) => judge(&error),
                Err(_) => Outcome::Unknown("timeout".to_owned()),
            };
            workload.history.complete(number, operation, outcome);
            tokio::time::sleep(COUNT_PAUSE).await;
        }
    })
}

async fn count(pool: &MySqlPool, counter: u32, mode: CounterMode) -> Result<(), sqlx::Error> {
    match mode {
        CounterMode::InOneStatement | CounterMode::Apart => {
            sqlx::query("UPDATE fault_audit.counter SET value = value + 1 WHERE id = ?")
                .bind(counter)
                .execute(pool)
                .await?;
        }
        CounterMode::ReadThenWrite => {
            let row = sqlx::query("SELECT value FROM fault_audit.counter WHERE id = ?")
                .bind(counter)
                .fetch_one(pool)
                .await?;
            sqlx::query("UPDATE fault_audit.counter SET value = ? WHERE id = ?")
                .bind(row.try_get::<i64, _>(0)? + 1)
                .bind(counter)
                .execute(pool)
                .await?;
        }
    }
    Ok(())
}

/// A deadlock, a lock wait and a failed connection have changed nothing; the outcome of other errors is unknown.
fn judge(error: &sqlx::Error) -> Outcome {
    let number = error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>())
        .map(sqlx::mysql::MySqlDatabaseError::number);
    let nothing_happened = match error {
        sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Io(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused),
        _ => matches!(number, Some(1213 | 1205 | 1020)),
    };
    if nothing_happened {
        Outcome::Failed(error.to_string())
    } else {
        Outcome::Unknown(error.to_string())
    }
}
