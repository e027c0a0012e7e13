//! Events of the authentication service, in any order.

use axum::http::StatusCode;
use chrono::TimeDelta;
use serde_json::{Value, json};
use testkit::Issuer;
use uuid::Uuid;

use crate::service;

const CLAIM: &str = "mutation ($name: String!) { claimUsername(username: $name) { id } }";
const USER: &str = "query ($name: String!) { user(username: $name) { id } }";

#[tokio::test]
async fn an_account_gets_a_profile_once() {
    let service = service().await;
    let ada = service.new_user();
    let created = service.event(
        "account.created",
        json!({ "accountId": ada, "createdAt": "2026-11-22T11:00:00.5Z" }),
    );
    for _ in 0..3 {
        assert_eq!(service.client.deliver(&created).await, StatusCode::NO_CONTENT);
    }
    let answer = service.client.entities("User", &[ada], "joinedAt").await;
    assert_eq!(
        answer.data()["_entities"][0]["joinedAt"],
        json!("2026-11-22T11:00:00.500+00:00")
    );
    // Events of other services are acknowledged too.
    let other = service.event("photo.published", json!({ "anything": 1 }));
    assert_eq!(service.client.deliver(&other).await, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_deleted_account_has_no_user() {
    let service = service().await;
    let (ada, bob) = (service.new_user(), service.new_user());
    service
        .client
        .of(ada)
        .graphql(CLAIM, json!({ "name": "ada" }))
        .await
        .data();
    let deleted = service.event("account.deleted", json!({ "accountId": ada }));
    for _ in 0..2 {
        assert_eq!(service.client.deliver(&deleted).await, StatusCode::NO_CONTENT);
    }
    let answer = service.client.entities("User", &[ada, bob], "id").await;
    assert_eq!(answer.data()["_entities"], json!([null, { "id": bob }]));
    let viewer = service.client.entities("Viewer", &[ada], "user { id }").await;
    assert_eq!(viewer.data()["_entities"][0]["user"], Value::Null);
    assert_eq!(
        service
            .client
            .graphql(USER, json!({ "name": "ada" }))
            .await
            .data()["user"],
        Value::Null
    );

    // The token is still valid, but the account is deleted.
    assert_eq!(
        service
            .client
            .of(ada)
            .graphql(CLAIM, json!({ "name": "ada" }))
            .await
            .error(),
        "UNAUTHENTICATED"
    );
    let update = "mutation { updateProfile(input: { bio: \"x\" }) { id } }";
    assert_eq!(
        service.client.of(ada).graphql(update, Value::Null).await.error(),
        "UNAUTHENTICATED"
    );

    let late = service
        .client
        .of(bob)
        .graphql(CLAIM, json!({ "name": "ada" }))
        .await;
    assert_eq!(late.error(), "CONFLICT username", "the name is still reserved");
}

#[tokio::test]
async fn a_late_creation_does_not_undo_a_deletion() {
    let service = service().await;
    let ada = service.new_user();
    let created = service.event(
        "account.created",
        json!({ "accountId": ada, "createdAt": service.clock.now() }),
    );
    service.clock.advance(TimeDelta::seconds(1));
    let deleted = service.event("account.deleted", json!({ "accountId": ada }));
    assert_eq!(service.client.deliver(&deleted).await, StatusCode::NO_CONTENT);
    assert_eq!(service.client.deliver(&created).await, StatusCode::NO_CONTENT);
    let answer = service.client.entities("User", &[ada], "id").await;
    assert_eq!(answer.data()["_entities"], json!([null]));
    assert_eq!(service.rows("profile").await, 0);
}

#[tokio::test]
async fn the_sweep_deletes_rows_written_during_the_deletion() {
    let service = service().await;
    let ada = service.new_user();
    service
        .client
        .deliver(&service.event("account.deleted", json!({ "accountId": ada })))
        .await;
    sqlx::query("INSERT INTO profile (id, joined_at) VALUES (?, ?)")
        .bind(ada)
        .bind(service.clock.now())
        .execute(&service.state.pool)
        .await
        .unwrap();
    profile::sweep::run(&service.state).await.unwrap();
    assert_eq!(service.rows("profile").await, 0);
    assert_eq!(service.rows("departed_account WHERE swept_at IS NULL").await, 1);
    service.clock.advance(TimeDelta::seconds(61));
    profile::sweep::run(&service.state).await.unwrap();
    assert_eq!(service.rows("departed_account WHERE swept_at IS NULL").await, 0);
}

#[tokio::test]
async fn the_token_of_an_ended_session_is_refused() {
    let service = service().await;
    let (ada, session) = (service.new_user(), Uuid::new_v4());
    let client = service.client.with_token(Issuer::session_token(ada, session));
    let claim = r#"mutation { claimUsername(username: "ada") { id } }"#;
    client.graphql(claim, json!({})).await.data();
    let ended = service.event("session.ended", json!({ "sessionIds": [session] }));
    assert_eq!(service.client.deliver(&ended).await, StatusCode::NO_CONTENT);
    let update = r#"mutation { updateProfile(input: { displayName: "Eve" }) { id } }"#;
    for mutation in [claim, update] {
        assert_eq!(
            client.graphql(mutation, json!({})).await.error(),
            "UNAUTHENTICATED"
        );
    }
    // Other sessions of the user continue.
    service.client.of(ada).graphql(update, json!({})).await.data();
}

#[tokio::test]
async fn events_need_the_secret_and_valid_data() {
    let service = service().await;
    let event = service.event("account.deleted", json!({ "accountId": service.new_user() }));
    let body = serde_json::to_string(&event).unwrap();
    let answer = service.client.post("/events", "application/json", body).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let senseless = service.event("account.deleted", json!({ "accountId": 7 }));
    assert_eq!(
        service.client.deliver(&senseless).await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(service.rows("departed_account").await, 0);
    assert_eq!(service.rows("inbox").await, 0);
}
