use std::time::Duration;

use chassis::transaction;
use sqlx::MySqlPool;

/// Takes two rows in opposite orders again and again: `InnoDB` answers some of these transactions with error 1213.
async fn add_in_order(pool: MySqlPool, names: [&'static str; 2]) -> Result<(), sqlx::Error> {
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
