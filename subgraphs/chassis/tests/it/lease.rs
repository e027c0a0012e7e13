use std::time::Duration;

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
        "its holder renews it"
    );
    assert!(
        lease::hold(&database.pool, "other job", second, TERM)
            .await
            .unwrap()
    );

    lease::release(&database.pool, "job", second).await.unwrap();
    assert!(
        !lease::hold(&database.pool, "job", second, TERM).await.unwrap(),
        "only its holder gives it up"
    );
    lease::release(&database.pool, "job", first).await.unwrap();
    assert!(lease::hold(&database.pool, "job", second, TERM).await.unwrap());
}

#[tokio::test]
async fn a_lease_that_ended_is_free() {
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
async fn of_many_who_want_it_one_gets_it() {
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
