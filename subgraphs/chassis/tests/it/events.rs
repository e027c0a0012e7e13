use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::IntoResponse as _;
use chassis::config::Secret;
use chassis::database::Pool;
use chassis::events::outbox::Subscriber;
use chassis::events::{Event, EventHandler, Outbox, inbox};
use chassis::{deleted_accounts, transaction};
use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::MySqlConnection;
use testkit::{Client, INTERNAL_SECRET, TestClock, TestDatabase};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Counts in a table how often each event was applied.
struct CountsEvents;

impl EventHandler for CountsEvents {
    type Error = sqlx::Error;

    async fn apply(
        &self,
        connection: &mut MySqlConnection,
        event: &Event,
        _: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        if event.kind == "fails" {
            return Err(sqlx::Error::RowNotFound);
        }
        sqlx::query("INSERT INTO applied VALUES (?, 1) ON DUPLICATE KEY UPDATE times = times + 1")
            .bind(event.id)
            .execute(connection)
            .await
            .map(drop)
    }
}

async fn subscriber_database() -> TestDatabase {
    let database = super::database().await;
    sqlx::raw_sql("CREATE TABLE applied (event_id BINARY(16) PRIMARY KEY, times INT NOT NULL)")
        .execute(&database.pool)
        .await
        .unwrap();
    database
}

fn inbox_of(database: &TestDatabase) -> axum::Router {
    inbox::routes(
        database.pool.clone(),
        TestClock::default().clock(),
        Secret::new(INTERNAL_SECRET),
        CountsEvents,
    )
}

async fn applied(pool: &Pool) -> Vec<(Uuid, i32)> {
    sqlx::query_as("SELECT event_id, times FROM applied ORDER BY event_id")
        .fetch_all(pool)
        .await
        .unwrap()
}

fn event(kind: &str) -> Event {
    testkit::event(kind, json!({ "n": 1 }), TestClock::default().now())
}

#[tokio::test]
async fn a_repeated_event_has_no_effect() {
    let database = subscriber_database().await;
    let client = Client::new(inbox_of(&database));
    let event = event("happened");
    for _ in 0..3 {
        assert_eq!(client.deliver(&event).await, StatusCode::NO_CONTENT);
    }
    assert_eq!(applied(&database.pool).await, [(event.id, 1)]);
}

#[tokio::test]
async fn concurrent_deliveries_are_applied_once() {
    let database = subscriber_database().await;
    let client = Client::new(inbox_of(&database));
    let event = event("happened");
    let (first, second) = tokio::join!(client.deliver(&event), client.deliver(&event));
    // One delivery may have to be retried, but none is lost or applied twice.
    assert!(first.is_success() || second.is_success());
    assert_eq!(client.deliver(&event).await, StatusCode::NO_CONTENT);
    assert_eq!(applied(&database.pool).await, [(event.id, 1)]);
}

#[tokio::test]
async fn a_failed_effect_is_not_acknowledged() {
    let database = subscriber_database().await;
    let client = Client::new(inbox_of(&database));
    assert_eq!(
        client.deliver(&event("fails")).await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    let noted: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM inbox")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(noted, 0);
}

#[tokio::test]
async fn the_inbox_requires_the_secret() {
    let database = subscriber_database().await;
    let client = Client::new(inbox_of(&database));
    let body = serde_json::to_string(&event("happened")).unwrap();
    let without = client.post("/events", "application/json", body.clone()).await;
    assert_eq!(without.status(), StatusCode::FORBIDDEN);
    let wrong = client
        .with_header(contracts::headers::SECRET, "wrong")
        .post("/events", "application/json", body)
        .await;
    assert_eq!(wrong.status(), StatusCode::FORBIDDEN);
    assert_eq!(applied(&database.pool).await, []);
}

/// A subscriber on a loopback port that can be switched off and on.
struct TestSubscriber {
    url: url::Url,
    up: Arc<AtomicBool>,
}

async fn subscriber(database: &TestDatabase) -> TestSubscriber {
    let up = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&up);
    let routes = inbox_of(database).layer(middleware::from_fn(move |request: Request, next: Next| {
        let up = switch.load(Ordering::SeqCst);
        async move {
            if up {
                next.run(request).await
            } else {
                StatusCode::BAD_GATEWAY.into_response()
            }
        }
    }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    TestSubscriber { url, up }
}

async fn publish(pool: &Pool, outbox: &Outbox, event: &Event) {
    transaction!(pool, sqlx::Error, |tx, _| outbox.publish(tx, event).await).unwrap();
    outbox.wake();
}

/// Waits for a condition.
async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    for _ in 0..600 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} did not happen");
}

async fn waiting(pool: &Pool) -> (i64, i64) {
    sqlx::query_as("SELECT (SELECT COUNT(*) FROM outbox), (SELECT COUNT(*) FROM outbox_delivery)")
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn events_reach_all_subscribers_even_after_downtime() {
    let sender = super::database().await;
    let (one, two) = (subscriber_database().await, subscriber_database().await);
    let (up, down) = (subscriber(&one).await, subscriber(&two).await);
    down.up.store(false, Ordering::SeqCst);
    let outbox = Outbox::new(vec![
        Subscriber {
            name: "one".to_owned(),
            url: up.url,
        },
        Subscriber {
            name: "two".to_owned(),
            url: down.url,
        },
    ]);
    let stop = CancellationToken::new();
    let relay = outbox.spawn_relay(
        sender.pool.clone(),
        &reqwest::Client::new(),
        &Secret::new(INTERNAL_SECRET),
        stop.clone(),
    );

    let events = [event("happened"), event("happened"), event("happened")];
    for event in &events {
        publish(&sender.pool, &outbox, event).await;
    }
    eventually("delivery to the running subscriber", async || {
        applied(&one.pool).await.len() == 3
    })
    .await;
    assert_eq!(applied(&two.pool).await, []);
    assert_eq!(
        waiting(&sender.pool).await.0,
        3,
        "an event is kept until all subscribers have acknowledged it"
    );

    down.up.store(true, Ordering::SeqCst);
    eventually("delivery to the restarted subscriber", async || {
        applied(&two.pool).await.len() == 3
    })
    .await;
    eventually("an empty outbox", async || waiting(&sender.pool).await == (0, 0)).await;
    assert!(applied(&two.pool).await.iter().all(|(_, times)| *times == 1));
    stop.cancel();
    relay.await.unwrap();
}

#[tokio::test]
async fn an_invalid_event_is_not_delivered_and_does_not_delay_others() {
    let sender = super::database().await;
    let receiver = subscriber_database().await;
    let subscriber = subscriber(&receiver).await;
    let outbox = Outbox::new(vec![Subscriber {
        name: "one".to_owned(),
        url: subscriber.url,
    }]);
    // More events than one run delivers, and older than the valid one. The first kind passes the column's check.
    let mut broken = Vec::new();
    for n in 0..130 {
        let event = event("happened");
        let data = if n % 2 == 0 { "{\"n\": 1e999}" } else { "{\"n\": " };
        transaction!(sender.pool, sqlx::Error, |tx, _| outbox.publish(tx, &event).await).unwrap();
        let mut connection = sender.pool.acquire().await.unwrap();
        sqlx::raw_sql("SET SESSION check_constraint_checks = 0")
            .execute(&mut *connection)
            .await
            .unwrap();
        sqlx::query("UPDATE outbox SET data = ? WHERE id = ?")
            .bind(data)
            .bind(event.id)
            .execute(&mut *connection)
            .await
            .unwrap();
        broken.push(event.id);
    }
    let good = event("happened");
    publish(&sender.pool, &outbox, &good).await;
    let stop = CancellationToken::new();
    let relay = outbox.spawn_relay(
        sender.pool.clone(),
        &reqwest::Client::new(),
        &Secret::new(INTERNAL_SECRET),
        stop.clone(),
    );
    eventually("delivery of the good event", async || {
        applied(&receiver.pool).await == [(good.id, 1)]
    })
    .await;
    // They are kept for an operator, with the number of attempts.
    eventually("a later try of each", async || {
        let untried: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM outbox_delivery WHERE attempts = 0")
            .fetch_one(&sender.pool)
            .await
            .unwrap();
        untried == 0
    })
    .await;
    assert_eq!(waiting(&sender.pool).await, (130, 130));
    // A repaired row is delivered at its next attempt, which may be up to 15 s later.
    for repair in [
        "UPDATE outbox SET data = '{}' WHERE id = ?",
        "UPDATE outbox_delivery SET due_at = UTC_TIMESTAMP(6) WHERE event_id = ?",
    ] {
        sqlx::query(repair)
            .bind(broken[0])
            .execute(&sender.pool)
            .await
            .unwrap();
    }
    eventually("delivery of the repaired event", async || {
        applied(&receiver.pool).await.len() == 2
    })
    .await;
    // It is acknowledged after it was applied.
    eventually("the end of the repaired event", async || {
        waiting(&sender.pool).await == (129, 129)
    })
    .await;
    stop.cancel();
    relay.await.unwrap();
}

#[tokio::test]
async fn all_old_event_ids_are_deleted() {
    let database = super::database().await;
    let now = TestClock::default().now();
    sqlx::query(
        "INSERT INTO inbox (event_id, received_at)
         SELECT UNHEX(MD5(seq)), ? - INTERVAL IF(seq <= 2500, 31, 29) DAY FROM seq_1_to_2503",
    )
    .bind(now)
    .execute(&database.pool)
    .await
    .unwrap();
    inbox::delete_old(&database.pool, now).await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM inbox")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(left, 3);
}

#[tokio::test]
async fn a_hanging_subscriber_does_not_delay_others() {
    let (sender, receiver) = (super::database().await, subscriber_database().await);
    let up = subscriber(&receiver).await;
    // Accepts connections, and never responds.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    let outbox = Outbox::new(vec![
        format!("hangs={silent_url}").parse().unwrap(),
        format!("up={}", up.url).parse().unwrap(),
    ]);
    let stop = CancellationToken::new();
    let relay = outbox.spawn_relay(
        sender.pool.clone(),
        &reqwest::Client::new(),
        &Secret::new(INTERNAL_SECRET),
        stop.clone(),
    );
    let started = Instant::now();
    for number in 1..=20 {
        publish(&sender.pool, &outbox, &event("happened")).await;
        eventually("delivery", async || applied(&receiver.pool).await.len() == number).await;
    }
    // Each event is sent to the hanging subscriber too. If every run waited 1.5 s for it, this would take 28 s.
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
    stop.cancel();
    relay.await.unwrap();
}

#[tokio::test]
async fn a_rolled_back_change_publishes_no_event() {
    let sender = super::database().await;
    let outbox = Outbox::new(vec![Subscriber {
        name: "one".to_owned(),
        url: "http://127.0.0.1:9".parse().unwrap(),
    }]);
    let happened = event("happened");
    let result: Result<(), sqlx::Error> = transaction!(sender.pool, sqlx::Error, |tx, _| {
        outbox.publish(tx, &happened).await?;
        Err(sqlx::Error::RowNotFound)
    });
    assert!(result.is_err());
    assert_eq!(waiting(&sender.pool).await, (0, 0));
}

#[tokio::test]
async fn a_deleted_account_stays_deleted() {
    let database = super::database().await;
    let now = TestClock::default().now();
    let user = chassis::UserId::new(now);
    let unswept = async || {
        deleted_accounts::unswept(&database.pool, chassis::UserId(Uuid::nil()))
            .await
            .unwrap()
    };
    assert!(!deleted_accounts::is_deleted(&database.pool, user).await.unwrap());
    assert!(deleted_accounts::record(&database.pool, user, now).await.unwrap());
    assert!(
        !deleted_accounts::record(&database.pool, user, now).await.unwrap(),
        "not new the second time"
    );
    assert!(deleted_accounts::is_deleted(&database.pool, user).await.unwrap());
    assert_eq!(unswept().await, [user]);
    deleted_accounts::mark_swept(&database.pool, user, now)
        .await
        .unwrap();
    assert_eq!(unswept().await, []);
    assert!(deleted_accounts::is_deleted(&database.pool, user).await.unwrap());
}
