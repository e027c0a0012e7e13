use std::time::Duration;

use chassis::database::Pool;
use chassis::transaction;

/// Takes two rows in opposite orders again and again: `InnoDB` answers some of these transactions with error 1213.
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
async fn a_deadlock_is_tried_again_and_loses_nothing() {
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
async fn a_failure_that_would_fail_again_is_not_repeated() {
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
async fn what_fails_leaves_nothing_behind() {
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
async fn counting() -> testkit::TestDatabase {
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
async fn what_has_changed_since_it_was_read_is_tried_again() {
    let database = counting().await;
    let mut tries = 0;
    transaction!(database.pool, sqlx::Error, |tx, _| {
        tries += 1;
        if tries == 1 {
            // Error 1020: another connection changes what this one has read.
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
async fn take_back(tx: &mut sqlx::MySqlConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("ROLLBACK").execute(tx).await.map(drop)
}

#[tokio::test]
async fn no_half_of_a_transaction_is_left_that_the_server_has_taken_back() {
    for lost_at in [1, 2] {
        let database = counting().await;
        let mut tries = 0;
        transaction!(database.pool, sqlx::Error, |tx, _| {
            tries += 1;
            for step in 1..=2 {
                add_one(tx).await?;
                if (tries, step) == (1, lost_at) {
                    take_back(tx).await?;
                }
            }
            Ok(())
        })
        .unwrap();
        assert_eq!((tries, value(&database).await), (2, 2), "lost at step {lost_at}");
    }
}

#[tokio::test]
async fn a_connection_that_was_in_a_transaction_may_write_again() {
    let database = counting().await;
    // One connection, and time to open it on a busy machine.
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
    // One that was given up half-way.
    let half_way = tokio::sync::Notify::new();
    let working = async {
        transaction!(pool, sqlx::Error, |tx, _| {
            add_one(tx).await?;
            half_way.notify_one();
            std::future::pending::<Result<(), sqlx::Error>>().await
        })
    };
    tokio::select! {
        done = working => panic!("it cannot have ended: {done:?}"),
        () = half_way.notified() => {}
    }
    add_one(&mut pool.acquire().await.unwrap()).await.unwrap();
    assert_eq!(value(&database).await, 4);
}

#[tokio::test]
async fn who_waits_too_long_for_a_lock_tries_again() {
    let database = counting().await;
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
async fn a_lock_that_stays_is_waited_for_twice_at_most() {
    let database = counting().await;
    let mut other = database.pool.begin().await.unwrap();
    add_one(&mut other).await.unwrap();
    // A service's pool, whose sessions wait a second for a lock: a second try begins within the time for retries and
    // a third does not. Counted and not timed, for a busy machine adds seconds of its own.
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
async fn a_commit_whose_answer_is_lost_is_repeated_as_ambiguous() {
    let database = counting().await;
    let proxy = testkit::Proxy::new("127.0.0.1").await;
    let pool = database.pool_through(&proxy);
    for (loss, expected) in [(testkit::Loss::Statement, 1), (testkit::Loss::Answer, 2)] {
        proxy.lose(loss, "COMMIT", 0);
        let mut seen = Vec::new();
        transaction!(pool, sqlx::Error, |tx, attempt| {
            seen.push(attempt.ambiguous);
            // Safe to repeat: it sets an absolute value.
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
    // A loss before the commit is retried too, and is not ambiguous.
    proxy.lose(testkit::Loss::Answer, "SELECT 42", 0);
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
async fn the_latest_view_works_without_a_cluster() {
    let database = counting().await;
    let read = transaction!(
        database.pool,
        sqlx::Error,
        chassis::database::View::Latest,
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
