//! The comparison with the authentication service, which a small server stands in for.

use std::sync::Arc;

use axum::routing::{get, post};
use axum::{Json, Router};
use chassis::UserId;
use chassis::internal::InternalClient;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::service;

/// Answers listings of `accounts`, two to a page, and takes every other account for gone.
async fn authentication(accounts: Vec<UserId>) -> InternalClient {
    let accounts = Arc::new(accounts);
    let listed = Arc::clone(&accounts);
    let list = move |axum::extract::RawQuery(query): axum::extract::RawQuery| async move {
        let query = query.unwrap_or_default();
        let after = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("after="))
            .unwrap_or_default()
            .to_owned();
        let page: Vec<_> = listed
            .iter()
            .filter(|id| id.to_string() > after)
            .take(2)
            .collect();
        let items: Vec<_> = page
            .iter()
            .map(|id| json!({ "accountId": id, "createdAt": "2026-11-22T10:00:00Z" }))
            .collect();
        let next = page.last().filter(|_| page.len() == 2);
        Json(json!({ "items": items, "next": next }))
    };
    let gone = move |Json(asked): Json<Value>| async move {
        let ids = asked["ids"].as_array().unwrap().clone();
        let gone: Vec<_> = ids
            .into_iter()
            .filter(|id| !accounts.iter().any(|known| json!(known) == *id))
            .collect();
        Json(json!({ "ids": gone }))
    };
    let routes = Router::new()
        .route("/internal/accounts", get(list))
        .route("/internal/accounts/gone", post(gone));
    testkit::peer(routes).await
}

#[tokio::test]
async fn lost_events_are_made_up_for_and_nothing_young_is_judged() {
    let service = service().await;
    let pool = &service.profile.pool;
    let mut known: Vec<_> = (0..5).map(|_| service.person()).collect();
    known.sort();
    let (lost, young) = (service.person(), service.person());
    let accounts = authentication(known.clone()).await;
    let claim = |name: &str| format!("mutation {{ claimUsername(username: \"{name}\") {{ id }} }}");
    service
        .client
        .of(known[0])
        .graphql(&claim("known"), Value::Null)
        .await
        .data();
    service
        .client
        .of(lost)
        .graphql(&claim("lost"), Value::Null)
        .await
        .data();

    // Accounts without a profile get one at once; no account is treated as deleted.
    let repaired = profile::reconcile::run(pool, Some(&accounts), service.clock.now())
        .await
        .unwrap();
    assert_eq!((repaired.profiles, repaired.departed), (4, 0));

    service.clock.advance(TimeDelta::minutes(16));
    let young = UserId::new(service.clock.now()).max(young);
    service
        .client
        .of(young)
        .graphql(&claim("young"), Value::Null)
        .await
        .data();
    let repaired = profile::reconcile::run(pool, Some(&accounts), service.clock.now())
        .await
        .unwrap();
    assert_eq!((repaired.profiles, repaired.departed), (0, 1));
    let answer = service.client.entities("User", &[lost, young], "username").await;
    assert_eq!(answer.data()["_entities"], json!([null, { "username": "young" }]));
    assert_eq!(service.rows("profile").await, 6);

    let repaired = profile::reconcile::run(pool, Some(&accounts), service.clock.now())
        .await
        .unwrap();
    assert_eq!(repaired, profile::reconcile::Repaired::default());
    // Another issuer has no such listings.
    profile::reconcile::run(pool, None, service.clock.now())
        .await
        .unwrap();
}
