//! Reads and connections while the database or the connection fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chassis::config::Secret;
use chassis::database::{self, Consistency, Pool};
use chassis::{Classify as _, Code, transaction};
use sqlx::Executor as _;
use testkit::{Loss, Proxy};

async fn number(pool: &Pool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT 6 * 7").fetch_one(pool).await
}

#[tokio::test]
async fn a_read_is_retried_on_another_connection() {
    let database = super::database().await;
    let proxy = Proxy::new("127.0.0.1").await;
    let pool = database.pool_through(&proxy);
    for loss in [Loss::Statement, Loss::Response] {
        proxy.lose(loss, "6 * 7", 0);
        assert_eq!(
            database::read(&pool, || number(&pool)).await.unwrap(),
            42,
            "{loss:?}"
        );
        assert!(proxy.has_lost());
    }
    // Without a retry the client would get an error.
    proxy.lose(Loss::Response, "6 * 7", 0);
    assert_eq!(number(&pool).await.unwrap_err().code(), Code::Unavailable);
}

/// The server goes on with the statement for a second; one connection is all that the pool has.
#[tokio::test]
async fn a_cancelled_statement_does_not_keep_its_connection() {
    let database = super::database().await;
    let pool = Pool::with_acquire_timeout(&database.url(), 1, Duration::from_millis(700)).unwrap();
    for statement in ["SELECT SLEEP(1.1)", "SELECT SLEEP(1.1) FROM (SELECT 1) AS one"] {
        assert_eq!(number(&pool).await.unwrap(), 42);
        let row = sqlx::query(statement).fetch_optional(&pool);
        assert!(
            tokio::time::timeout(Duration::from_millis(50), row)
                .await
                .is_err()
        );
        assert_eq!(number(&pool).await.unwrap(), 42);
        let rows = sqlx::query(statement).fetch_all(&pool);
        assert!(
            tokio::time::timeout(Duration::from_millis(50), rows)
                .await
                .is_err()
        );
        assert_eq!(number(&pool).await.unwrap(), 42);
    }
}

/// Errors of a server that is shutting down, without a quorum or out of resources, and errors that are defects of the
/// program.
#[tokio::test]
async fn errors_of_a_node_are_unavailable_and_defects_are_internal() {
    let database = super::database().await;
    let repeated = [
        1020, 1047, 1053, 1129, 1152, 1158, 1159, 1160, 1161, 1180, 1205, 1213, 1290, 1317, 1412, 1615, 1792,
        1836, 1927, 2006, 2013,
    ];
    let final_ones = [1021, 1030, 1037, 1040, 1041, 1114, 1135, 1203, 1226, 1969];
    let defects = [1054, 1062, 1064, 1146, 1264, 1406];
    for (numbers, code, tries) in [
        (&repeated[..], Code::Unavailable, 2),
        (&final_ones, Code::Unavailable, 1),
        (&defects, Code::Internal, 1),
    ] {
        for number in numbers {
            let signal = format!("SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {number}");
            let tried = std::cell::Cell::new(0);
            let outcome = database::read(&database.pool, || async {
                tried.set(tried.get() + 1);
                if tried.get() > 1 {
                    return Ok(());
                }
                let signal = sqlx::AssertSqlSafe(signal.clone());
                sqlx::raw_sql(signal).execute(&database.pool).await.map(drop)
            })
            .await;
            assert_eq!(tried.get(), tries, "{number}");
            if tries == 1 {
                assert_eq!(outcome.unwrap_err().code(), code, "{number}");
            }
            let signal = sqlx::AssertSqlSafe(signal);
            let error = sqlx::raw_sql(signal).execute(&database.pool).await.unwrap_err();
            assert_eq!(error.code(), code, "{number}");
        }
    }
    for error in [
        sqlx::Error::Io(std::io::ErrorKind::UnexpectedEof.into()),
        sqlx::Error::Protocol("Packet empty".to_owned()),
        sqlx::Error::Tls("cut".into()),
        sqlx::Error::BeginFailed,
        sqlx::Error::PoolTimedOut,
        sqlx::Error::PoolClosed,
        sqlx::Error::WorkerCrashed,
    ] {
        assert_eq!(error.code(), Code::Unavailable, "{error:?}");
    }
    for error in [
        sqlx::Error::RowNotFound,
        sqlx::Error::ColumnNotFound("x".to_owned()),
    ] {
        assert_eq!(error.code(), Code::Internal, "{error:?}");
    }
}

/// Killed connections, killed queries and a stopped server, under load.
#[tokio::test]
async fn killed_connections_are_not_internal_errors() {
    let database = super::database().await;
    let pool = database::Pool::with_acquire_timeout(&database.url(), 8, Duration::from_secs(5)).unwrap();
    let until = Instant::now() + Duration::from_secs(3);
    let is_over = Arc::new(AtomicBool::new(false));
    let readers = (0..8).map(|_| {
        let (pool, is_over) = (pool.clone(), is_over.clone());
        tokio::spawn(async move {
            let (mut done, mut failed) = (0, Vec::new());
            while !is_over.load(Ordering::Relaxed) {
                let slow = || sqlx::query("SELECT SLEEP(0.002), seq FROM seq_1_to_3").fetch_all(&pool);
                match database::read(&pool, slow).await {
                    Ok(_) => done += 1,
                    Err(error) => failed.push((error.code(), error.to_string())),
                }
                let mut latest = match database::read_latest(&pool).await {
                    Ok(latest) => latest,
                    Err(error) => {
                        failed.push((error.code(), error.to_string()));
                        continue;
                    }
                };
                if let Err(error) = latest.execute("SELECT SLEEP(0.002)").await {
                    failed.push((error.code(), error.to_string()));
                }
            }
            (done, failed)
        })
    });
    let readers: Vec<_> = readers.collect();
    let mut round = 0;
    while round <= 20 || Instant::now() < until {
        // Idle connections of this pool are killed too.
        let ids: Vec<i64> = database::read(&database.pool, || {
            sqlx::query_scalar(
                "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()",
            )
            .fetch_all(&database.pool)
        })
        .await
        .unwrap();
        for id in ids {
            let kind = ["QUERY", "CONNECTION", "HARD CONNECTION"][round % 3];
            round += 1;
            // It may have ended meanwhile.
            let _ = database
                .pool
                .execute(sqlx::AssertSqlSafe(format!("KILL {kind} {id}")))
                .await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    is_over.store(true, Ordering::Relaxed);
    let mut done = 0;
    for reader in readers {
        let (read, failed) = reader.await.unwrap();
        done += read;
        for (code, error) in failed {
            assert_eq!(code, Code::Unavailable, "{error}");
        }
    }
    assert!(done > 0, "{round} kills");
}

async fn waits(connection: &mut sqlx::MySqlConnection) -> i64 {
    sqlx::query_scalar("SELECT CAST(@@SESSION.wsrep_sync_wait AS INT)")
        .fetch_one(connection)
        .await
        .unwrap()
}

/// A pool of one connection, so that the next user gets the same one if it was kept.
fn one_connection(url: &Secret) -> Pool {
    database::Pool::with_acquire_timeout(url, 1, Duration::from_secs(30)).unwrap()
}

#[tokio::test]
async fn later_reads_do_not_wait_for_the_cluster() {
    let database = super::database().await;
    if std::env::var_os("TEST_DATABASE_WITHOUT_GALERA").is_some() {
        return;
    }
    let pool = one_connection(&database.url());
    let mut latest = database::read_latest(&pool).await.unwrap();
    assert_eq!(waits(&mut latest).await, 0);
    drop(latest);
    assert_eq!(waits(&mut pool.acquire().await.unwrap()).await, 0);

    // Cancelled while it waits for the response.
    let proxy = Proxy::new("127.0.0.1").await;
    let pool = one_connection(&database.url_through(&proxy));
    drop(pool.acquire().await.unwrap());
    proxy.freeze(true);
    let given_up = tokio::time::timeout(Duration::from_millis(100), database::read_latest(&pool)).await;
    assert!(given_up.is_err());
    proxy.freeze(false);
    assert_eq!(waits(&mut pool.acquire().await.unwrap()).await, 0);
}

#[tokio::test]
async fn a_server_without_galera_works() {
    let database = super::database().await;
    let proxy = Proxy::without_galera().await;
    let pool = database.pool_through(&proxy);
    let unknown = pool.execute("SET SESSION wsrep_sync_wait = 1").await.unwrap_err();
    assert!(unknown.to_string().contains("1193"), "{unknown}");
    for _ in 0..2 {
        let mut latest = database::read_latest(&pool).await.unwrap();
        let read: i64 = sqlx::query_scalar("SELECT 7")
            .fetch_one(&mut *latest)
            .await
            .unwrap();
        assert_eq!(read, 7);
        drop(latest);
        transaction!(pool, sqlx::Error, Consistency::Latest, |tx, _| {
            sqlx::query("INSERT INTO inbox VALUES (UNHEX(MD5(RAND())), NOW(6))")
                .execute(tx)
                .await
        })
        .unwrap();
    }
    let rows: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM inbox")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(rows, 2);
}
