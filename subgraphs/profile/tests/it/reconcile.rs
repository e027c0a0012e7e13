//! The comparison with a fake authentication service.

use chassis::UserId;
use chrono::{DateTime, TimeDelta, Utc};
use profile::State;
use serde_json::{Value, json};
use testkit::Neighbours;

use crate::service;

#[tokio::test]
async fn lost_events_are_repaired_and_young_rows_are_skipped() {
    let service = service().await;
    let mut known: Vec<_> = (0..5).map(|_| service.new_user()).collect();
    known.sort();
    let (lost, young) = (service.new_user(), service.new_user());
    let neighbours = Neighbours::start().await;
    let joined: DateTime<Utc> = "2026-11-22T10:00:00Z".parse().unwrap();
    neighbours.truth().accounts = known.iter().map(|id| (id.0, joined)).collect();
    let with_accounts = State {
        accounts: Some(neighbours.client()),
        ..service.state.clone()
    };
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

    // Accounts without a profile get one; no account is treated as deleted.
    let repaired = profile::reconcile::run(&with_accounts).await.unwrap();
    assert_eq!((repaired.profiles, repaired.deleted_accounts), (4, 0));

    service.clock.advance(TimeDelta::minutes(16));
    let young = UserId::new(service.clock.now()).max(young);
    service
        .client
        .of(young)
        .graphql(&claim("young"), Value::Null)
        .await
        .data();
    let repaired = profile::reconcile::run(&with_accounts).await.unwrap();
    assert_eq!((repaired.profiles, repaired.deleted_accounts), (0, 1));
    let answer = service.client.entities("User", &[lost, young], "username").await;
    assert_eq!(answer.data()["_entities"], json!([null, { "username": "young" }]));
    assert_eq!(service.rows("profile").await, 6);

    let repaired = profile::reconcile::run(&with_accounts).await.unwrap();
    assert_eq!(repaired, profile::reconcile::Repaired::default());
    // An external issuer has no such lists.
    profile::reconcile::run(&service.state).await.unwrap();
}
