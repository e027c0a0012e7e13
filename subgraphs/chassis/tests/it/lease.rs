use std::time::Duration;

use chassis::database::Pool;
use chassis::lease;
use uuid::Uuid;

const TERM: Duration = Duration::from_secs(30);

#[tokio::test]
async fn one_holder_at_a_time() {
    let database = super::database().await;
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    assert!(lease::hold(&database.pool, "job", first, TERM).await.unwrap());
    assert!(!lease::hold(&database.pool, "job", second, TERM).await.unwrap());
    assert!(
        lease::hold(&database.pool, "job", first, TERM).await.unwrap(),
        "the holder can renew it"
    );
    assert!(
        lease::hold(&database.pool, "other job", second, TERM)
            .await
            .unwrap()
    );

    lease::release(&database.pool, "job", second).await.unwrap();
    assert!(
        !lease::hold(&database.pool, "job", second, TERM).await.unwrap(),
        "only the holder can release it"
    );
    lease::release(&database.pool, "job", first).await.unwrap();
    assert!(lease::hold(&database.pool, "job", second, TERM).await.unwrap());
}

#[tokio::test]
async fn an_expired_lease_is_free() {
    let database = super::database().await;
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    assert!(
        lease::hold(&database.pool, "job", first, Duration::ZERO)
            .await
            .unwrap()
    );
    assert!(lease::hold(&database.pool, "job", second, TERM).await.unwrap());
    assert!(!lease::hold(&database.pool, "job", first, TERM).await.unwrap());
}

#[tokio::test]
async fn one_of_many_concurrent_holders_gets_the_lease() {
    let database = super::database().await;
    let tries = (0..8).map(|_| {
        let pool = database.pool.clone();
        tokio::spawn(async move {
            lease::hold(&pool, "job", Uuid::new_v4(), TERM)
                .await
                .unwrap_or(false)
        })
    });
    let got = futures::future::join_all(tries).await;
    assert_eq!(got.into_iter().filter(|got| *got.as_ref().unwrap()).count(), 1);
}

/// Adds one to the value, if the lease is still held.
async fn add(pool: &Pool, lease: lease::Held, pause: Duration) -> bool {
    chassis::transaction!(pool, sqlx::Error, |tx, _| {
        tokio::time::sleep(pause).await;
        sqlx::query("UPDATE counter SET value = value + 1")
            .execute(&mut *tx)
            .await?;
        if lease.confirm(tx).await? {
            Ok(())
        } else {
            Err(sqlx::Error::RowNotFound)
        }
    })
    .is_ok()
}

#[tokio::test]
async fn a_holder_whose_lease_expired_cannot_commit() {
    let database = super::database().await;
    let pool = &database.pool;
    sqlx::raw_sql("CREATE TABLE counter (value INT PRIMARY KEY); INSERT INTO counter VALUES (0)")
        .execute(pool)
        .await
        .unwrap();
    let term = Duration::from_millis(300);
    let holders = [Uuid::new_v4(), Uuid::new_v4()].map(|holder| lease::Held::new("job", holder, term));
    assert!(holders[0].renew(pool).await.unwrap());
    let (slept, wrote) = tokio::join!(add(pool, holders[0], Duration::from_millis(900)), async {
        while !holders[1].renew(pool).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        add(pool, holders[1], Duration::ZERO).await
    });
    assert!(!slept && wrote);
    let value: i32 = sqlx::query_scalar("SELECT value FROM counter")
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(value, 1);
    // A late holder whose lease was not taken can continue.
    tokio::time::sleep(term * 2).await;
    assert!(add(pool, holders[1], Duration::ZERO).await);
}

#[tokio::test]
async fn a_running_job_renews_its_lease_and_is_aborted_when_it_is_lost() {
    let database = super::database().await;
    let (started, mut starts) = tokio::sync::mpsc::unbounded_channel();
    let stop = tokio_util::sync::CancellationToken::new();
    let job = chassis::worker::Job::new("job", Duration::from_millis(10));
    job.spawn(database.pool.clone(), stop.clone(), move |_| {
        let started = started.clone();
        async move {
            started.send(()).unwrap();
            std::future::pending::<Result<(), sqlx::Error>>().await
        }
    });
    starts.recv().await.unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    let other = lease::Held::new("job", Uuid::new_v4(), TERM);
    assert!(
        !other.renew(&database.pool).await.unwrap(),
        "longer than its term, and still held"
    );
    // Another holder has had the lease in the meantime.
    sqlx::query("DELETE FROM lease")
        .execute(&database.pool)
        .await
        .unwrap();
    tokio::time::timeout(Duration::from_secs(20), starts.recv())
        .await
        .expect("the run was aborted although the lease is free again, and another run followed")
        .unwrap();
    stop.cancel();
}
