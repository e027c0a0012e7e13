use authentication::keys::{Sealer, TakeOver, rotate};
use authentication::state::State;
use chassis::config::Secret;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use testkit::{TestClock, TestDatabase};

use crate::{
    KEY_SECRET, PASSWORD, Replica, TestService, body, config, login, refresh, signed_in, text, viewer,
};

async fn kids(replica: &Replica) -> Vec<String> {
    let keys = body(replica.client.get("/.well-known/jwks.json").await).await;
    keys["keys"]
        .as_array()
        .expect("keys")
        .iter()
        .map(|key| text(&key["kid"]))
        .collect()
}

fn kid_of(session: &Value) -> String {
    let header = jsonwebtoken::decode_header(text(&session["accessToken"])).expect("a header");
    header.kid.expect("a kid")
}

#[tokio::test]
async fn concurrently_started_replicas_create_one_key() {
    let database = TestDatabase::new(&authentication::MIGRATOR).await;
    let clock = TestClock::default();
    let (one, two, three) = tokio::join!(
        Replica::new(&database.pool, &clock, &[]),
        Replica::new(&database.pool, &clock, &[]),
        Replica::new(&database.pool, &clock, &[]),
    );
    assert_eq!(kids(&one).await.len(), 1);
    assert_eq!(kids(&one).await, kids(&two).await);
    assert_eq!(kids(&one).await, kids(&three).await);
}

#[tokio::test]
async fn keys_cannot_be_decrypted_with_another_secret() {
    let service = TestService::new().await;
    let secret = Secret::new("another secret, which is long enough");
    let flags = config(&[]);
    let opened = State::open(
        &flags.config,
        &flags.tokens,
        &secret,
        service.database.pool.clone(),
        service.clock.clock(),
    )
    .await;
    let error = opened.err().expect("it must not start").to_string();
    assert!(error.contains("KEY_SECRET"), "{error}");
    assert_eq!(service.count("SELECT COUNT(*) FROM signing_key").await, 1);
}

#[tokio::test]
async fn keys_rotate_with_overlap_on_every_replica() {
    let service = TestService::new().await;
    let start = service.clock.now();
    let (one, two) = (service.replica(&[]).await, service.replica(&[]).await);
    let session = service.register("ada@example.org").await;
    let first = kid_of(&session);

    // Too early.
    service.clock.set(start + TimeDelta::days(28));
    one.state.keys.rotate_when_due(service.clock.now()).await.unwrap();
    assert_eq!(kids(&one).await, std::slice::from_ref(&first));

    // A day earlier the next key is published, but does not sign. A concurrent attempt of another replica creates no
    // third key.
    service
        .clock
        .set(start + TimeDelta::days(29) + TimeDelta::minutes(1));
    one.state.keys.rotate_when_due(service.clock.now()).await.unwrap();
    two.state.keys.rotate_when_due(service.clock.now()).await.unwrap();
    let both = kids(&one).await;
    assert_eq!(both.len(), 2);
    assert_eq!(kids(&two).await, both);
    let session = login(&one.client, "ada@example.org", PASSWORD).await.data()["login"].clone();
    assert_eq!(kid_of(&session), first);

    // It signs on all replicas at the same time, and tokens of the old key stay valid.
    service
        .clock
        .set(start + TimeDelta::days(30) + TimeDelta::minutes(1));
    let renewed =
        refresh(&two.client, &text(&session["refreshToken"])).await.data()["refreshSession"].clone();
    assert_eq!(kid_of(&renewed), both[1]);
    assert_eq!(
        viewer(&signed_in(&one.client, &renewed)).await["email"],
        "ada@example.org"
    );
    assert_eq!(
        viewer(&signed_in(&two.client, &session)).await["email"],
        "ada@example.org"
    );
    one.state.keys.rotate_when_due(service.clock.now()).await.unwrap();
    assert_eq!(kids(&one).await, both);

    // Long after its last token the old key is deleted, and its signatures are refused.
    service
        .clock
        .set(start + TimeDelta::days(30) + TimeDelta::hours(2));
    one.state.keys.rotate_when_due(service.clock.now()).await.unwrap();
    two.state.keys.reload().await.unwrap();
    assert_eq!(kids(&two).await, both[1..]);
    assert_eq!(viewer(&signed_in(&two.client, &session)).await, Value::Null);
    assert_eq!(
        viewer(&signed_in(&two.client, &renewed)).await["email"],
        "ada@example.org"
    );
}

#[tokio::test]
async fn a_key_is_published_before_it_signs_even_after_long_downtime() {
    let service = TestService::new().await;
    service.clock.advance(TimeDelta::days(300));
    let replica = service.replica(&[]).await;
    assert_eq!(kids(&replica).await.len(), 2);
    let signs_from: DateTime<Utc> = sqlx::query_scalar("SELECT MAX(signs_from) FROM signing_key")
        .fetch_one(&service.database.pool)
        .await
        .unwrap();
    assert_eq!(signs_from, service.clock.now() + TimeDelta::minutes(10));
}

#[tokio::test]
async fn operators_rotate_keys_with_overlap_or_immediately() {
    let service = TestService::new().await;
    let (pool, sealer) = (&service.database.pool, Sealer::new(&Secret::new(KEY_SECRET)));
    let session = service.register("ada@example.org").await;
    let replica = service.replica(&[]).await;

    rotate(pool, &sealer, TakeOver::WithOverlap, service.clock.now())
        .await
        .unwrap();
    replica.state.keys.reload().await.unwrap();
    assert_eq!(kids(&replica).await.len(), 2);
    assert_eq!(
        viewer(&signed_in(&replica.client, &session)).await["email"],
        "ada@example.org"
    );

    rotate(pool, &sealer, TakeOver::Immediately, service.clock.now())
        .await
        .unwrap();
    replica.state.keys.reload().await.unwrap();
    assert_eq!(kids(&replica).await.len(), 1);
    assert_eq!(viewer(&signed_in(&replica.client, &session)).await, Value::Null);
    // The session continues.
    let renewed = refresh(&replica.client, &text(&session["refreshToken"]))
        .await
        .data()["refreshSession"]
        .clone();
    assert_eq!(
        viewer(&signed_in(&replica.client, &renewed)).await["email"],
        "ada@example.org"
    );
}

#[tokio::test]
async fn private_keys_are_encrypted_in_the_database() {
    let service = TestService::new().await;
    let keys = service.state.keys.published();
    let public = serde_json::to_value(&keys).unwrap();
    assert!(public["keys"][0].get("d").is_none());
    let sealed: Vec<u8> = sqlx::query_scalar("SELECT sealed FROM signing_key")
        .fetch_one(&service.database.pool)
        .await
        .unwrap();
    // 32 bytes and the authentication tag.
    assert_eq!(sealed.len(), 48);
}
