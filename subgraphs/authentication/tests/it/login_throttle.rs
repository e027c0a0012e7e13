use chrono::TimeDelta;
use serde_json::json;

use crate::{PASSWORD, TestService, delete_account, login, register, signed_in};

const WRONG: &str = "plinth-otter-43";

#[tokio::test]
async fn a_hundred_aliased_logins_count_as_a_hundred() {
    let service = TestService::new().await;
    service.register("ada@example.org").await;
    let hashed = service.state.hasher.hashed();
    let fields: Vec<String> = (0..100)
        .map(|n| format!("a{n}: login(input: {{ email: \"ada@example.org\", password: \"guess-number-{n}\" }}) {{ refreshToken }}"))
        .collect();
    let mutation = format!("mutation {{ {} }}", fields.join(" "));
    // An error of a non-null field ends the operation, so several requests are needed.
    for _ in 0..20 {
        service.client.graphql(&mutation, json!({})).await.error();
    }
    assert_eq!(service.state.hasher.hashed() - hashed, 10);
    let answer = login(&service.client, "ada@example.org", PASSWORD).await;
    assert_eq!(answer.error(), "RATE_LIMITED");
    let wait = answer.0["errors"][0]["extensions"]["retryAfterSeconds"]
        .as_i64()
        .unwrap();
    assert!((1..=900).contains(&wait), "{wait}");
}

#[tokio::test]
async fn concurrent_attempts_are_all_counted() {
    let service = TestService::new().await;
    let other = service.replica(&[]).await;
    service.register("ada@example.org").await;
    let before = service.state.hasher.hashed() + other.state.hasher.hashed();
    let guesses = (0..40).map(|n| {
        login(
            if n % 2 == 0 {
                &service.client
            } else {
                &other.client
            },
            "ada@example.org",
            WRONG,
        )
    });
    futures::future::join_all(guesses).await;
    // On a busy machine some attempts may have timed out; continue until the limit refuses them.
    let mut last = String::new();
    for _ in 0..40 {
        last = login(&other.client, "ada@example.org", WRONG).await.error();
        if last == "RATE_LIMITED" {
            break;
        }
    }
    assert_eq!(last, "RATE_LIMITED");
    let compared = service.state.hasher.hashed() + other.state.hasher.hashed() - before;
    assert!(compared <= 10, "{compared} guesses were compared");
}

#[tokio::test]
async fn a_window_ends_despite_further_attempts() {
    let service = TestService::with(&["--login-failures-per-account", "2"]).await;
    service.register("ada@example.org").await;
    for _ in 0..2 {
        assert_eq!(
            login(&service.client, "ada@example.org", WRONG).await.error(),
            "UNAUTHENTICATED"
        );
    }
    for _ in 0..14 {
        service.clock.advance(TimeDelta::minutes(1));
        assert_eq!(
            login(&service.client, "ada@example.org", PASSWORD).await.error(),
            "RATE_LIMITED"
        );
    }
    service.clock.advance(TimeDelta::minutes(1));
    login(&service.client, "ada@example.org", PASSWORD).await.data();
}

#[tokio::test]
async fn successful_logins_are_not_counted() {
    let service = TestService::with(&[
        "--login-failures-per-account",
        "2",
        "--login-failures-per-address",
        "2",
    ])
    .await;
    service.register("ada@example.org").await;
    assert_eq!(
        login(&service.client, "ada@example.org", WRONG).await.error(),
        "UNAUTHENTICATED"
    );
    for _ in 0..3 {
        login(&service.client, "ada@example.org", PASSWORD).await.data();
    }
}

#[tokio::test]
async fn attempts_from_other_addresses_do_not_lock_the_owner_out() {
    let service = TestService::with(&["--login-failures-by-strangers", "3"]).await;
    service.register("ada@example.org").await;
    let stranger = |n: u8| service.at(&format!("198.51.100.{n}"));
    for n in 0..3 {
        assert_eq!(
            login(&stranger(n), "ada@example.org", WRONG).await.error(),
            "UNAUTHENTICATED"
        );
    }
    assert_eq!(
        login(&stranger(9), "ada@example.org", PASSWORD).await.error(),
        "RATE_LIMITED"
    );
    assert_eq!(
        login(&stranger(9), "eve@example.org", WRONG).await.error(),
        "UNAUTHENTICATED"
    );
    login(&service.client, "ada@example.org", PASSWORD).await.data();
}

#[tokio::test]
async fn attempts_from_an_address_are_limited_for_all_accounts() {
    let service = TestService::with(&["--login-failures-per-address", "3"]).await;
    service.register("ada@example.org").await;
    for n in 0..3 {
        assert_eq!(
            login(&service.client, &format!("somebody{n}@example.org"), WRONG)
                .await
                .error(),
            "UNAUTHENTICATED"
        );
    }
    assert_eq!(
        login(&service.client, "ada@example.org", PASSWORD).await.error(),
        "RATE_LIMITED"
    );
    login(&service.at("198.51.100.1"), "ada@example.org", PASSWORD)
        .await
        .data();
    service.clock.advance(TimeDelta::minutes(1));
    login(&service.client, "ada@example.org", PASSWORD).await.data();
}

#[tokio::test]
async fn registrations_are_limited_by_address() {
    let service = TestService::with(&["--registrations-per-address", "2"]).await;
    for n in 0..2 {
        service.register(&format!("somebody{n}@example.org")).await;
    }
    assert_eq!(
        register(&service.client, "one@example.org", PASSWORD)
            .await
            .error(),
        "RATE_LIMITED"
    );
    register(&service.at("198.51.100.1"), "one@example.org", PASSWORD)
        .await
        .data();
}

#[tokio::test]
async fn confirmations_are_limited_too() {
    let service = TestService::with(&["--login-failures-per-account", "2"]).await;
    let session = service.register("ada@example.org").await;
    let client = signed_in(&service.client, &session);
    for _ in 0..2 {
        assert_eq!(
            delete_account(&client, WRONG).await.error(),
            "UNAUTHENTICATED password"
        );
    }
    assert_eq!(delete_account(&client, PASSWORD).await.error(), "RATE_LIMITED");
    // The attack does not lock the owner out.
    login(&service.client, "ada@example.org", PASSWORD).await.data();
}
