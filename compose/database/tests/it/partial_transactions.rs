//! Conflicting transactions on three nodes are never applied partially.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chassis::database::Pool;
use chassis::transaction;
use rand::RngExt as _;
use sqlx::QueryBuilder;
use uuid::Uuid;

use crate::cluster::{blocking, three_nodes};
use crate::lab::Lab;

const TEST_TIMEOUT: Duration = Duration::from_secs(60);
const ROWS: i64 = 100;

/// Pools of a service, one for each node.
fn pools(lab: &Lab) -> Vec<Pool> {
    let secrets = lab.folder.path().join("secrets");
    let password = std::fs::read_to_string(secrets.join("vote_password")).unwrap();
    (1..=3)
        .map(|slot| {
            let socket = lab.volume(slot).join("mariadb.sock");
            let url = format!(
                "mysql://vote:{}@localhost/vote?socket={}",
                password.trim(),
                socket.display()
            );
            chassis::database::Pool::new(&chassis::config::Secret::new(&url), 12).unwrap()
        })
        .collect()
}

fn any(pools: &[Pool]) -> &Pool {
    &pools[rand::rng().random_range(0..pools.len())]
}

/// Inserts a change, as a vote does.
async fn insert_change(pool: &Pool) -> Result<(), sqlx::Error> {
    let (id, row) = (Uuid::now_v7(), rand::rng().random_range(0..ROWS));
    transaction!(pool, sqlx::Error, |tx, _| {
        sqlx::query(
            "INSERT INTO given (row_id, times) VALUES (?, 1) ON DUPLICATE KEY UPDATE times = times + 1",
        )
        .bind(row)
        .execute(&mut *tx)
        .await?;
        sqlx::query("INSERT INTO waiting (id, row_id) VALUES (?, ?)")
            .bind(id)
            .bind(row)
            .execute(&mut *tx)
            .await
            .map(drop)
    })
}

/// Folds the changes as the vote service does, with a statement that is prepared each time.
async fn fold_changes(pool: &Pool) -> Result<(), sqlx::Error> {
    transaction!(pool, sqlx::Error, |tx, _| {
        let waiting: Vec<(Uuid, i64)> =
            sqlx::query_as("SELECT id, row_id FROM waiting ORDER BY id LIMIT 100")
                .fetch_all(&mut *tx)
                .await?;
        if waiting.is_empty() {
            return Ok(());
        }
        let mut remove = QueryBuilder::new("DELETE FROM waiting WHERE id IN ");
        chassis::database::push_ids(&mut remove, waiting.iter().map(|(id, _)| *id));
        if remove.build().execute(&mut *tx).await?.rows_affected() != waiting.len() as u64 {
            return Err(sqlx::Error::RowNotFound);
        }
        let mut add = QueryBuilder::new("INSERT INTO taken (row_id, times) ");
        add.push_values(&waiting, |mut values, (_, row)| {
            values.push_bind(*row).push("1");
        });
        add.push(" ON DUPLICATE KEY UPDATE times = times + 1");
        add.build().persistent(false).execute(&mut *tx).await.map(drop)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: ./dev test --long"]
async fn aborted_transactions_are_not_applied_partially() {
    let mut lab = three_nodes().await;
    sqlx::raw_sql(
        "CREATE TABLE vote.given (row_id BIGINT PRIMARY KEY, times BIGINT NOT NULL);
         CREATE TABLE vote.waiting (id BINARY(16) PRIMARY KEY, row_id BIGINT NOT NULL);
         CREATE TABLE vote.taken (row_id BIGINT PRIMARY KEY, times BIGINT NOT NULL)",
    )
    .execute(&lab.pool(1))
    .await
    .unwrap();
    let pools = pools(&lab);
    let (given, end) = (Arc::new(AtomicU64::new(0)), Instant::now() + TEST_TIMEOUT);
    let mut tasks = Vec::new();
    for task in 0..9 {
        let (pools, given) = (pools.clone(), Arc::clone(&given));
        tasks.push(tokio::spawn(async move {
            while Instant::now() < end {
                if task < 6 {
                    if insert_change(any(&pools)).await.is_ok() {
                        given.fetch_add(1, Ordering::Relaxed);
                    }
                } else {
                    // An attempt that failed repeatedly has had no effect.
                    let _ = fold_changes(any(&pools)).await;
                }
                let pause = rand::rng().random_range(0..20);
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let sums: (i64, i64, i64) = sqlx::query_as(
        "SELECT CAST((SELECT SUM(times) FROM given) AS INT), CAST((SELECT SUM(times) FROM taken) AS INT),
                (SELECT COUNT(*) FROM waiting)",
    )
    .fetch_one(&pools[0])
    .await
    .unwrap();
    let acknowledged = i64::try_from(given.load(Ordering::Relaxed)).unwrap();
    println!("{acknowledged} acknowledged; given, taken and waiting: {sums:?}");
    assert!(acknowledged > 1_000, "hardly anything was done");
    assert_eq!(sums.0, sums.1 + sums.2, "a half is there");
    assert_eq!(sums.0, acknowledged, "what was acknowledged is there once");
    blocking(|| lab.stop(&[1, 2, 3]));
}
