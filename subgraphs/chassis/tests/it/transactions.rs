use std::time::Duration;

use chassis::database::Pool;
use chassis::transaction;

/// Updates two rows in opposite orders: `InnoDB` rolls back some of these transactions with error 1213.
async fn add_in_order(pool: Pool, names: [&'static str; 2]) -> Result<(), sqlx::Error> {
    for _ in 0..5 {
        transaction!(pool, sqlx::Error, |tx, _| {
            for name in names {
                sqlx::query("UPDATE counter SET value = value + 1 WHERE name = ?")
                    .bind(name)
                    .execute(&mut *tx)
                    .await?;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok(())
        })?;
    }
    Ok(())
}

#[tokio::test]
async fn a_deadlock_is_retried() {
    let database = super::database().await;
    sqlx::raw_sql("CREATE TABLE counter (name VARCHAR(8) PRIMARY KEY, value INT NOT NULL); INSERT INTO counter VALUES ('a', 0), ('b', 0)")
        .execute(&database.pool)
        .await
        .unwrap();
    let forth = tokio::spawn(add_in_order(database.pool.clone(), ["a", "b"]));
    let back = tokio::spawn(add_in_order(database.pool.clone(), ["b", "a"]));
    forth.await.unwrap().unwrap();
    back.await.unwrap().unwrap();
    let values: Vec<i32> = sqlx::query_scalar("SELECT value FROM counter")
        .fetch_all(&database.pool)
        .await
        .unwrap();
    assert_eq!(values, [10, 10]);
}

#[tokio::test]
async fn permanent_errors_are_not_retried() {
    let database = super::database().await;
    let mut tries = 0;
    let result = transaction!(database.pool, sqlx::Error, |tx, _| {
        tries += 1;
        sqlx::query("INSERT INTO no_such_table VALUES (1)")
            .execute(&mut *tx)
            .await
    });
    assert!(result.is_err());
    assert_eq!(tries, 1);
}

#[tokio::test]
async fn a_failed_transaction_is_rolled_back() {
    let database = super::database().await;
    let result = transaction!(database.pool, sqlx::Error, |tx, _| {
        sqlx::query("INSERT INTO inbox VALUES (REPEAT('x', 16), NOW(6))")
            .execute(&mut *tx)
            .await?;
        Err::<(), _>(sqlx::Error::RowNotFound)
    });
    assert!(result.is_err());
    let rows: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM inbox")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(rows, 0);
}

/// A database with one counter at 0.
async fn counter_database() -> testkit::TestDatabase {
    let database = super::database().await;
    sqlx::raw_sql("CREATE TABLE counter (name VARCHAR(8) PRIMARY KEY, value INT NOT NULL); INSERT INTO counter VALUES ('a', 0)")
        .execute(&database.pool)
        .await
        .unwrap();
    database
}

async fn value(database: &testkit::TestDatabase) -> i32 {
    sqlx::query_scalar("SELECT value FROM counter WHERE name = 'a'")
        .fetch_one(&database.pool)
        .await
        .unwrap()
}

async fn add_one(tx: &mut sqlx::MySqlConnection) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE counter SET value = value + 1 WHERE name = 'a'")
        .execute(tx)
        .await
        .map(drop)
}

#[tokio::test]
async fn a_changed_row_is_retried() {
    let database = counter_database().await;
    let mut tries = 0;
    transaction!(database.pool, sqlx::Error, |tx, _| {
        tries += 1;
        if tries == 1 {
            // Error 1020: another connection changes a row that this one has read.
            sqlx::query("SET SESSION innodb_snapshot_isolation = ON")
                .execute(&mut *tx)
                .await?;
            sqlx::query("SELECT value FROM counter")
                .fetch_one(&mut *tx)
                .await?;
            add_one(&mut *database.pool.acquire().await?).await?;
        }
        let done = add_one(&mut *tx).await;
        if tries == 1 {
            let error = done.as_ref().unwrap_err().to_string();
            assert!(error.contains("1020"), "{error}");
        }
        done
    })
    .unwrap();
    assert_eq!((tries, value(&database).await), (2, 2));
}

/// Simulates a cluster node that rolls back a conflicting transaction while a statement is prepared.
async fn rollback_by_server(tx: &mut sqlx::MySqlConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("ROLLBACK").execute(tx).await.map(drop)
}

#[tokio::test]
async fn an_unreported_rollback_leaves_no_partial_transaction() {
    for lost_at in [1, 2] {
        let database = counter_database().await;
        let mut tries = 0;
        transaction!(database.pool, sqlx::Error, |tx, _| {
            tries += 1;
            for step in 1..=2 {
                add_one(tx).await?;
                if (tries, step) == (1, lost_at) {
                    rollback_by_server(tx).await?;
                }
            }
            Ok(())
        })
        .unwrap();
        assert_eq!((tries, value(&database).await), (2, 2), "lost at step {lost_at}");
    }
}

#[tokio::test]
async fn a_connection_is_writable_after_a_transaction() {
    let database = counter_database().await;
    // One connection, with a timeout for a busy machine.
    let pool =
        chassis::database::Pool::with_acquire_timeout(&database.url(), 1, Duration::from_secs(30)).unwrap();
    for outcome in [Ok(()), Err(sqlx::Error::RowNotFound)] {
        let _ = transaction!(pool, sqlx::Error, |tx, _| {
            add_one(tx).await?;
            match &outcome {
                Ok(()) => Ok(()),
                Err(_) => Err(sqlx::Error::RowNotFound),
            }
        });
        add_one(&mut pool.acquire().await.unwrap()).await.unwrap();
    }
    // A cancelled transaction.
    let half_way = tokio::sync::Notify::new();
    let working = async {
        transaction!(pool, sqlx::Error, |tx, _| {
            add_one(tx).await?;
            half_way.notify_one();
            std::future::pending::<Result<(), sqlx::Error>>().await
        })
    };
    tokio::select! {
        done = working => panic!("the transaction has ended: {done:?}"),
        () = half_way.notified() => {}
    }
    add_one(&mut pool.acquire().await.unwrap()).await.unwrap();
    assert_eq!(value(&database).await, 4);
}

#[tokio::test]
async fn a_lock_timeout_is_retried() {
    let database = counter_database().await;
    let mut other = database.pool.begin().await.unwrap();
    add_one(&mut other).await.unwrap();
    let second_try = tokio::sync::Notify::new();
    let mut tries = 0;
    let waiting = async {
        transaction!(database.pool, sqlx::Error, |tx, _| {
            tries += 1;
            if tries == 2 {
                second_try.notify_one();
            }
            add_one(tx).await
        })
    };
    let (waited, ()) = tokio::join!(waiting, async {
        second_try.notified().await;
        other.commit().await.unwrap();
    });
    waited.unwrap();
    assert_eq!((tries, value(&database).await), (2, 2));
}

#[tokio::test]
async fn a_permanent_lock_is_waited_for_at_most_twice() {
    let database = counter_database().await;
    let mut other = database.pool.begin().await.unwrap();
    add_one(&mut other).await.unwrap();
    // A service's pool, with a lock timeout of one second: a second attempt starts within the retry window, a third
    // does not. Attempts are counted, because durations vary on a busy machine.
    let pool = chassis::database::Pool::new(&database.url(), 1).unwrap();
    let mut tries = 0;
    let waited = transaction!(pool, sqlx::Error, |tx, _| {
        tries += 1;
        add_one(tx).await
    });
    assert!(waited.is_err());
    assert!(tries <= 2, "{tries} tries");
}

#[tokio::test]
async fn a_commit_without_a_response_is_retried_as_ambiguous() {
    let database = counter_database().await;
    let proxy = testkit::Proxy::new("127.0.0.1").await;
    let pool = database.pool_through(&proxy);
    for (loss, expected) in [(testkit::Loss::Statement, 1), (testkit::Loss::Response, 2)] {
        proxy.lose(loss, "COMMIT", 0);
        let mut seen = Vec::new();
        transaction!(pool, sqlx::Error, |tx, attempt| {
            seen.push(attempt.ambiguous);
            // Idempotent: it sets an absolute value.
            sqlx::query("UPDATE counter SET value = ? WHERE name = 'a'")
                .bind(expected)
                .execute(tx)
                .await
                .map(drop)
        })
        .unwrap();
        assert_eq!(seen, [false, true], "{loss:?}");
        assert_eq!(value(&database).await, expected);
    }
    // A failure before the commit is retried too, and is not ambiguous.
    proxy.lose(testkit::Loss::Response, "SELECT 42", 0);
    let mut seen = Vec::new();
    transaction!(pool, sqlx::Error, |tx, attempt| {
        seen.push(attempt.ambiguous);
        sqlx::raw_sql("SELECT 42").execute(&mut *tx).await?;
        add_one(tx).await
    })
    .unwrap();
    assert_eq!((seen, value(&database).await), (vec![false, false], 3));
}

#[tokio::test]
async fn the_latest_consistency_works_without_a_cluster() {
    let database = counter_database().await;
    let read = transaction!(
        database.pool,
        sqlx::Error,
        chassis::database::Consistency::Latest,
        |tx, _| {
            add_one(&mut *tx).await?;
            let waits: (String, String) = sqlx::query_as("SHOW SESSION VARIABLES LIKE 'wsrep_sync%'")
                .fetch_one(tx)
                .await?;
            Ok(waits.1)
        }
    );
    assert_eq!((read.unwrap().as_str(), value(&database).await), ("0", 1));
}
