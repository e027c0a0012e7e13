use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{PASSWORD, TestService, login, refresh, signed_in, text, viewer};

async fn renew(service: &TestService, session: &Value) -> Value {
    refresh(&service.client, &text(&session["refreshToken"]))
        .await
        .data()["refreshSession"]
        .clone()
}

async fn refused(service: &TestService, session: &Value) -> String {
    refresh(&service.client, &text(&session["refreshToken"]))
        .await
        .error()
}

#[tokio::test]
async fn a_refresh_token_is_exchanged() {
    let service = TestService::new().await;
    let first = service.register("ada@example.org").await;
    service.clock.advance(TimeDelta::minutes(1));
    let second = renew(&service, &first).await;
    assert_ne!(first["refreshToken"], second["refreshToken"]);
    assert_ne!(first["accessToken"], second["accessToken"]);
    assert_eq!(first["viewer"]["sessions"], second["viewer"]["sessions"]);
    assert_eq!(
        viewer(&signed_in(&service.client, &second)).await["email"],
        "ada@example.org"
    );
    // Only hashes are stored.
    let stored: Vec<Vec<u8>> = sqlx::query_scalar("SELECT token_hash FROM refresh_token")
        .fetch_all(&service.database.pool)
        .await
        .unwrap();
    assert_eq!(stored.len(), 2);
    assert!(stored.iter().all(|hash| hash.len() == 32));
}

#[tokio::test]
async fn a_refresh_can_be_repeated_after_a_lost_response() {
    let service = TestService::new().await;
    let first = service.register("ada@example.org").await;
    let lost = renew(&service, &first).await;
    let again = renew(&service, &first).await;
    assert_ne!(lost["refreshToken"], again["refreshToken"]);
    let third = renew(&service, &again).await;
    // The lost response arrives late: its token is of the current generation.
    renew(&service, &lost).await;
    renew(&service, &third).await;
}

#[tokio::test]
async fn a_replay_ends_the_session() {
    let service = TestService::new().await;
    let other_login = service.register("ada@example.org").await;
    let first = login(&service.client, "ada@example.org", PASSWORD).await.data()["login"].clone();
    let second = renew(&service, &first).await;
    let third = renew(&service, &second).await;
    assert_eq!(refused(&service, &first).await, "UNAUTHENTICATED");
    // All tokens of this session are refused; other sessions continue.
    for session in [&first, &second, &third] {
        assert_eq!(refused(&service, session).await, "UNAUTHENTICATED");
        assert_eq!(viewer(&signed_in(&service.client, session)).await, Value::Null);
    }
    renew(&service, &other_login).await;
}

#[tokio::test]
async fn two_tabs_can_refresh_concurrently() {
    let service = TestService::new().await;
    let other = service.replica(&[]).await;
    let first = service.register("ada@example.org").await;
    for _ in 0..5 {
        let token = text(&first["refreshToken"]);
        let (left, right) = tokio::join!(refresh(&service.client, &token), refresh(&other.client, &token));
        left.data();
        right.data();
    }
    let token = text(&first["refreshToken"]);
    let last = refresh(&service.client, &token).await.data()["refreshSession"].clone();
    // After a successor was used, a use of the old token is a replay.
    renew(&service, &last).await;
    let (left, right) = tokio::join!(refresh(&service.client, &token), refresh(&other.client, &token));
    assert_eq!(
        [left.error(), right.error()],
        ["UNAUTHENTICATED", "UNAUTHENTICATED"]
    );
    assert_eq!(service.count("SELECT COUNT(*) FROM session").await, 0);
}

#[tokio::test]
async fn a_session_expires_thirty_days_after_its_last_use() {
    let service = TestService::new().await;
    let first = service.register("ada@example.org").await;
    service.clock.advance(TimeDelta::days(29));
    let second = renew(&service, &first).await;
    service.clock.advance(TimeDelta::days(29));
    let third = renew(&service, &second).await;
    service.clock.advance(TimeDelta::days(30));
    assert_eq!(refused(&service, &third).await, "UNAUTHENTICATED");
    assert_eq!(viewer(&signed_in(&service.client, &third)).await, Value::Null);
    authentication::reconcile::run(&service.database.pool, &service.clock.clock())
        .await
        .unwrap();
    assert_eq!(service.count("SELECT COUNT(*) FROM session").await, 0);
    assert_eq!(service.count("SELECT COUNT(*) FROM refresh_token").await, 0);
    assert_eq!(service.count("SELECT COUNT(*) FROM attempt").await, 0);
}

#[tokio::test]
async fn unknown_refresh_tokens_are_refused() {
    let service = TestService::new().await;
    let session = service.register("ada@example.org").await;
    let access = text(&session["accessToken"]);
    let long = "A".repeat(100_000);
    for token in ["", "x", "🦊", "'; DROP TABLE session; --", &access, &long] {
        assert_eq!(refresh(&service.client, token).await.error(), "UNAUTHENTICATED");
    }
    let answer = service
        .client
        .graphql("mutation { refreshSession { refreshToken } }", json!({}))
        .await;
    assert_eq!(answer.error(), "UNAUTHENTICATED");
    renew(&service, &session).await;
}
