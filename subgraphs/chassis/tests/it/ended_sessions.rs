use std::time::{Duration, Instant};

use axum::http::StatusCode;
use chassis::config::Secret;
use chassis::ended_sessions::{self, EndedSessions};
use chassis::events::{Event, EventHandler, inbox};
use chassis::tokens::TokenVerifier;
use chassis::viewer::{Caller, NoViewer};
use chassis::{UserId, Viewer, deleted_accounts};
use chrono::{DateTime, TimeDelta, Utc};
use contracts::accounts::SessionsEnded;
use contracts::events::Payload as _;
use serde_json::{Value, json};
use sqlx::MySqlConnection;
use testkit::{Client, INTERNAL_SECRET, Issuer, TestClock, TestDatabase};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A service that ignores all other events.
struct IgnoresEvents;

impl EventHandler for IgnoresEvents {
    type Error = sqlx::Error;

    async fn apply(
        &self,
        _: &mut MySqlConnection,
        event: &Event,
        _: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        assert_ne!(event.kind, SessionsEnded::KIND);
        std::future::ready(Ok(())).await
    }
}

async fn deliver(database: &TestDatabase, clock: &TestClock, data: Value) -> StatusCode {
    let secret = Secret::new(INTERNAL_SECRET);
    let inbox = inbox::routes(database.pool.clone(), clock.clock(), secret, IgnoresEvents);
    let event = testkit::event(SessionsEnded::KIND, data, clock.now());
    Client::new(inbox).deliver(&event).await
}

fn ended(sessions: &[Uuid]) -> Value {
    let session_ids = sessions.to_vec();
    json!(SessionsEnded { session_ids })
}

/// A replica with its own copy of the ended sessions.
async fn replica(database: &TestDatabase, clock: &TestClock, stop: &CancellationToken) -> TokenVerifier {
    let ended = EndedSessions::default();
    ended.watch(&database.pool, &clock.clock(), stop).await;
    Issuer::verifier().refusing_sessions(ended)
}

async fn is_refused(verifier: &TokenVerifier, session: Uuid) -> bool {
    let caller = verifier
        .verify(&Issuer::session_token(UserId(Uuid::nil()), session))
        .await;
    assert!(
        matches!(caller, Caller::SessionEnded | Caller::Viewer(_)),
        "{caller:?}"
    );
    caller == Caller::SessionEnded
}

fn viewer(session: Option<Uuid>) -> Viewer {
    Viewer {
        id: UserId(Uuid::nil()),
        session,
        moderator: false,
    }
}

#[tokio::test]
async fn every_replica_refuses_an_ended_session_within_a_second() {
    let (database, clock) = (super::database().await, TestClock::default());
    let stop = CancellationToken::new();
    let replicas = [
        replica(&database, &clock, &stop).await,
        replica(&database, &clock, &stop).await,
    ];
    let (session, other) = (Uuid::new_v4(), Uuid::new_v4());
    for verifier in &replicas {
        assert!(!is_refused(verifier, session).await);
    }
    let delivered = deliver(&database, &clock, ended(&[session])).await;
    assert_eq!(delivered, StatusCode::NO_CONTENT);
    let started = Instant::now();
    for verifier in &replicas {
        while !is_refused(verifier, session).await {
            assert!(started.elapsed() < Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!is_refused(verifier, other).await);
    }
    // A replica that starts later refuses the session immediately.
    assert!(is_refused(&replica(&database, &clock, &stop).await, session).await);
    stop.cancel();
}

#[tokio::test]
async fn writes_check_the_table_itself() {
    let (database, clock) = (super::database().await, TestClock::default());
    let session = Uuid::new_v4();
    for viewer in [viewer(Some(session)), viewer(None)] {
        deleted_accounts::require_active_account(&database.pool, &viewer)
            .await
            .unwrap();
    }
    deliver(&database, &clock, ended(&[Uuid::new_v4(), session])).await;
    let refused = deleted_accounts::require_active_account(&database.pool, &viewer(Some(session))).await;
    assert!(matches!(
        refused,
        Err(deleted_accounts::AccountError::Refused(NoViewer::SessionEnded))
    ));
    // Tokens of other issuers may have no session.
    deleted_accounts::require_active_account(&database.pool, &viewer(None))
        .await
        .unwrap();
}

#[tokio::test]
async fn tokens_with_a_session_are_unverified_before_the_first_load() {
    let verifier = Issuer::verifier().refusing_sessions(EndedSessions::default());
    let token = Issuer::session_token(UserId(Uuid::nil()), Uuid::new_v4());
    assert_eq!(verifier.verify(&token).await, Caller::Unverified);
    assert_eq!(verifier.verify("forged").await, Caller::Anonymous);
}

#[tokio::test]
async fn rows_are_deleted_after_their_tokens_have_expired() {
    let (database, clock) = (super::database().await, TestClock::default());
    let old: Vec<Uuid> = (0..2500).map(|_| Uuid::new_v4()).collect();
    ended_sessions::record(&database.pool, &old, clock.now())
        .await
        .unwrap();
    clock.advance(TimeDelta::minutes(11));
    let recent = [Uuid::new_v4()];
    ended_sessions::record(&database.pool, &recent, clock.now())
        .await
        .unwrap();
    ended_sessions::delete_old(&database.pool, clock.now())
        .await
        .unwrap();
    let rows = async || {
        let count = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM ended_session");
        count.fetch_one(&database.pool).await.unwrap()
    };
    assert_eq!(rows().await, 2501, "a token of any of them may still be valid");
    clock.advance(TimeDelta::minutes(5));
    ended_sessions::delete_old(&database.pool, clock.now())
        .await
        .unwrap();
    assert_eq!(rows().await, 1);
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_not_acknowledged() {
    let (database, clock) = (super::database().await, TestClock::default());
    for data in [json!({}), json!({ "sessionIds": ["7"] }), Value::Null] {
        let answer = deliver(&database, &clock, data).await;
        assert_eq!(answer, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(
        deliver(&database, &clock, ended(&[])).await,
        StatusCode::NO_CONTENT
    );
    let session = Uuid::new_v4();
    for _ in 0..2 {
        let repeated = deliver(&database, &clock, ended(&[session])).await;
        assert_eq!(repeated, StatusCode::NO_CONTENT);
    }
}
