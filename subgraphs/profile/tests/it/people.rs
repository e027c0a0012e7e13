//! Usernames, profiles, and who may change them.

use chassis::UserId;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{service, service_with};

const CLAIM: &str =
    "mutation ($name: String!) { claimUsername(username: $name) { id username displayName } }";
const UPDATE: &str =
    "mutation ($input: UpdateProfileInput!) { updateProfile(input: $input) { username displayName bio } }";
const USER: &str = "query ($name: String!) { user(username: $name) { id username } }";
const AVAILABLE: &str = "query ($name: String!) { usernameAvailable(username: $name) }";

#[tokio::test]
async fn names_are_claimed_folded_found_and_changed() {
    let service = service().await;
    let ada = service.new_user();
    let client = service.client.of(ada);

    let claimed = client.graphql(CLAIM, json!({ "name": "Ada_L" })).await;
    assert_eq!(
        claimed.data()["claimUsername"],
        json!({ "id": ada, "username": "ada_l", "displayName": "ada_l" })
    );
    let found = service.client.graphql(USER, json!({ "name": "ADA_l" })).await;
    assert_eq!(found.data()["user"]["id"], json!(ada));

    // Claiming it again changes nothing; claiming another name releases it.
    client.graphql(CLAIM, json!({ "name": "ada_l" })).await.data();
    client.graphql(CLAIM, json!({ "name": "ada" })).await.data();
    assert_eq!(
        service
            .client
            .graphql(USER, json!({ "name": "ada_l" }))
            .await
            .data()["user"],
        Value::Null
    );
    // The owner claims it again.
    client.graphql(CLAIM, json!({ "name": "ada_l" })).await.data();
}

#[tokio::test]
async fn a_released_name_is_reserved_for_ninety_days() {
    let service = service().await;
    let (ada, bob) = (service.new_user(), service.client.of(service.new_user()));
    let client = service.client.of(ada);
    let available = async |name: &str| {
        let answer = bob.graphql(AVAILABLE, json!({ "name": name })).await;
        answer.data()["usernameAvailable"] == json!(true)
    };
    client.graphql(CLAIM, json!({ "name": "ada" })).await.data();
    client.graphql(CLAIM, json!({ "name": "countess" })).await.data();
    let deleted = service.event("account.deleted", json!({ "accountId": ada }));
    let own = client.graphql(AVAILABLE, json!({ "name": "ada" })).await;
    assert_eq!(own.data()["usernameAvailable"], json!(true));
    service.client.deliver(&deleted).await;
    for name in ["ada", "countess"] {
        let refused = bob.graphql(CLAIM, json!({ "name": name })).await;
        assert_eq!(refused.error(), "CONFLICT username");
        assert!(
            refused.0.to_string().contains("until a short time ago"),
            "{refused:?}"
        );
        assert!(!available(name).await);
        let page = service.client.graphql(USER, json!({ "name": name })).await;
        assert_eq!(page.data()["user"], Value::Null);
    }
    service.clock.advance(TimeDelta::days(89));
    profile::sweep::run(&service.state).await.unwrap();
    assert!(!available("ada").await);
    service.clock.advance(TimeDelta::days(2));
    assert!(available("ada").await);
    bob.graphql(CLAIM, json!({ "name": "ada" })).await.data();
    profile::sweep::run(&service.state).await.unwrap();
    assert_eq!(service.rows("released_username").await, 0);
    bob.graphql(CLAIM, json!({ "name": "countess" })).await.data();
}

#[tokio::test]
async fn a_name_that_is_being_released_cannot_be_claimed() {
    let service = service().await;
    let ada = service.client.of(service.new_user());
    for round in 0..6 {
        let (old, new) = (format!("before{round}"), format!("after{round}"));
        ada.graphql(CLAIM, json!({ "name": old })).await.data();
        let catchers = (0..6).map(|_| {
            let (client, old) = (service.client.of(service.new_user()), old.clone());
            tokio::spawn(async move { client.graphql(CLAIM, json!({ "name": old })).await })
        });
        let catchers: Vec<_> = catchers.collect();
        ada.graphql(CLAIM, json!({ "name": new })).await.data();
        for catcher in catchers {
            let answer = catcher.await.unwrap();
            assert!(answer.0.get("errors").is_some(), "{answer:?}");
        }
        assert_eq!(
            service.client.graphql(USER, json!({ "name": old })).await.data()["user"],
            Value::Null
        );
        ada.graphql(CLAIM, json!({ "name": "ada" })).await.data();
        service.clock.advance(TimeDelta::days(91));
    }
}

#[tokio::test]
async fn the_number_of_released_names_is_limited() {
    let service = service().await;
    let ada = service.client.of(service.new_user());
    for number in 0..11 {
        ada.graphql(CLAIM, json!({ "name": format!("name{number}") }))
            .await
            .data();
    }
    let one_more = ada.graphql(CLAIM, json!({ "name": "name11" })).await;
    assert_eq!(one_more.error(), "RATE_LIMITED username");
    // A released name can be claimed again by its owner, and the current one stays.
    ada.graphql(CLAIM, json!({ "name": "name3" })).await.data();
    service.clock.advance(TimeDelta::days(91));
    ada.graphql(CLAIM, json!({ "name": "name11" })).await.data();
}

#[tokio::test]
async fn a_name_that_becomes_reserved_stays_with_its_owner() {
    let service = service().await;
    let (ada, bob) = (service.new_user(), service.client.of(service.new_user()));
    let client = service.client.of(ada);
    client.graphql(CLAIM, json!({ "name": "ada" })).await.data();
    sqlx::query("UPDATE profile SET username = 'webmaster'")
        .execute(&service.state.pool)
        .await
        .unwrap();
    let found = bob.graphql(USER, json!({ "name": "Webmaster" })).await;
    assert_eq!(found.data()["user"]["id"], json!(ada));
    client.graphql(CLAIM, json!({ "name": "webmaster" })).await.data();
    let own = client.graphql(AVAILABLE, json!({ "name": "webmaster" })).await;
    assert_eq!(own.data()["usernameAvailable"], json!(true));
    let refused = bob.graphql(CLAIM, json!({ "name": "webmaster" })).await;
    assert_eq!(refused.error(), "CONFLICT username");
}

#[tokio::test]
async fn a_name_that_is_taken_reserved_or_malformed_is_refused() {
    let service = service().await;
    let (ada, bob) = (
        service.client.of(service.new_user()),
        service.client.of(service.new_user()),
    );
    ada.graphql(CLAIM, json!({ "name": "ada" })).await.data();

    for taken in [
        "ada",
        "ADA",
        "admin",
        "api",
        "media",
        "guest-1",
        "feeds",
        "abuse",
        "webmaster",
        "www",
        "owner",
        "support",
        "security",
        "own-er",
        "sup-port",
    ] {
        assert_eq!(
            bob.graphql(CLAIM, json!({ "name": taken })).await.error(),
            "CONFLICT username",
            "{taken}"
        );
    }
    let long = "a".repeat(31);
    for bad in [
        "",
        "ab",
        &long,
        "1ab",
        "a b",
        "ada\u{0}",
        "ada\n",
        "äda",
        "📷📷📷",
        "עדה",
    ] {
        assert_eq!(
            bob.graphql(CLAIM, json!({ "name": bad })).await.error(),
            "INVALID_INPUT username",
            "{bad:?}"
        );
    }
    assert_eq!(
        service
            .client
            .graphql(CLAIM, json!({ "name": "!" }))
            .await
            .error(),
        "UNAUTHENTICATED"
    );

    for (name, free) in [
        ("ada", false),
        ("Ada", false),
        ("admin", false),
        ("x", false),
        ("bob", true),
        ("guest-1", false),
    ] {
        let answer = bob.graphql(AVAILABLE, json!({ "name": name })).await;
        assert_eq!(answer.data()["usernameAvailable"], json!(free), "{name}");
    }
    let own = ada.graphql(AVAILABLE, json!({ "name": "ada" })).await;
    assert_eq!(own.data()["usernameAvailable"], json!(true));
}

#[tokio::test]
async fn one_of_many_concurrent_claims_gets_the_name() {
    let service = service().await;
    for round in 0..5 {
        let name = format!("wanted{round}");
        let claims = (0..8).map(|_| {
            let (client, name) = (service.client.of(service.new_user()), name.clone());
            tokio::spawn(async move { client.graphql(CLAIM, json!({ "name": name })).await })
        });
        let mut winners = Vec::new();
        for claim in claims.collect::<Vec<_>>() {
            let answer = claim.await.unwrap();
            if answer.partial().is_null() {
                assert_eq!(answer.error(), "CONFLICT username");
            } else {
                winners.push(answer.data()["claimUsername"]["id"].clone());
            }
        }
        assert_eq!(winners.len(), 1);
        let found = service.client.graphql(USER, json!({ "name": name })).await;
        assert_eq!(found.data()["user"]["id"], winners[0]);
    }
}

#[tokio::test]
async fn only_fields_of_the_input_are_changed() {
    let service = service().await;
    let client = service.client.of(service.new_user());
    client.graphql(CLAIM, json!({ "name": "ada" })).await.data();
    let update = async |input: Value| client.graphql(UPDATE, json!({ "input": input })).await;

    let both =
        update(json!({ "displayName": "  Ada 👩🏽‍🔬 Lovelace ", "bio": " שלום\r\n\r\nfilm & light " })).await;
    assert_eq!(
        both.data()["updateProfile"],
        json!({ "username": "ada", "displayName": "Ada 👩🏽‍🔬 Lovelace", "bio": "שלום\n\nfilm & light" })
    );
    let nothing = update(json!({})).await;
    assert_eq!(nothing.data(), both.data());
    let name_only = update(json!({ "displayName": "Ada" })).await;
    assert_eq!(
        name_only.data()["updateProfile"]["bio"],
        json!("שלום\n\nfilm & light")
    );
    let no_name = update(json!({ "displayName": null, "bio": null })).await;
    assert_eq!(
        no_name.data()["updateProfile"],
        json!({ "username": "ada", "displayName": "Ada", "bio": null })
    );
    assert_eq!(
        update(json!({ "bio": "  " })).await.data()["updateProfile"]["bio"],
        Value::Null
    );
    let longest = "🎞".repeat(60);
    assert_eq!(
        update(json!({ "displayName": longest })).await.data()["updateProfile"]["displayName"],
        json!(longest)
    );

    for bad in ["", "   ", "\u{200B}", "a\nb", "a\u{7}", &"x".repeat(61)] {
        assert_eq!(
            update(json!({ "displayName": bad })).await.error(),
            "INVALID_INPUT displayName",
            "{bad:?}"
        );
    }
    for bad in ["a\u{0}b", "\u{1b}[2J", &"x".repeat(501)] {
        assert_eq!(
            update(json!({ "displayName": "Kept out", "bio": bad }))
                .await
                .error(),
            "INVALID_INPUT bio",
            "{bad:?}"
        );
    }
    // Nothing of an invalid input is stored.
    assert_eq!(
        update(json!({})).await.data()["updateProfile"]["displayName"],
        json!(longest)
    );
    assert_eq!(
        service
            .client
            .graphql(UPDATE, json!({ "input": { "bio": "x" } }))
            .await
            .error(),
        "UNAUTHENTICATED"
    );
}

#[tokio::test]
async fn a_user_without_a_profile_has_a_default_one_that_can_be_found() {
    let service = service().await;
    let unknown: UserId = UserId("019aab2f-1400-7abc-8def-0123456789ab".parse().unwrap());
    let selection = "id username displayName bio joinedAt";
    let answer = service.client.entities("User", &[unknown], selection).await;
    insta::assert_json_snapshot!(answer.data(), @r#"
    {
      "_entities": [
        {
          "id": "019aab2f-1400-7abc-8def-0123456789ab",
          "username": "guest-01kanjy500fay8vvr14d2pf2db",
          "displayName": "Guest pf2db",
          "bio": null,
          "joinedAt": "2025-11-22T10:49:40.608+00:00"
        }
      ]
    }
    "#);
    // Other viewers cannot find a user who may not exist.
    let name = json!({ "name": "guest-01kanjy500fay8vvr14d2pf2db" });
    let found = service.client.graphql(USER, name.clone()).await;
    assert_eq!(found.data()["user"], json!(null));
    let found = service.client.of(unknown).graphql(USER, name).await;
    assert_eq!(found.data()["user"]["id"], json!(unknown));
    // The link with the default name still works after a name was claimed.
    service
        .client
        .of(unknown)
        .graphql(CLAIM, json!({ "name": "ada" }))
        .await
        .data();
    let found = service
        .client
        .graphql(USER, json!({ "name": "GUEST-01kanjy500fay8vvr14d2pf2db" }))
        .await;
    assert_eq!(found.data()["user"]["username"], json!("ada"));
    let other_issuer = UserId(uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, b"somebody"));
    let answer = service.client.entities("User", &[other_issuer], "joinedAt").await;
    assert_eq!(
        answer.data()["_entities"][0]["joinedAt"],
        json!("1970-01-01T00:00:00+00:00")
    );
}

#[tokio::test]
async fn the_viewer_has_a_user() {
    let service = service().await;
    let ada = service.new_user();
    let answer = service
        .client
        .entities("Viewer", &[ada], "id user { id displayName }")
        .await;
    assert_eq!(answer.data()["_entities"][0]["user"]["id"], json!(ada));
}

#[tokio::test]
async fn entities_are_loaded_together_and_keep_their_order() {
    // A single connection counts its statements.
    let service = service_with(1).await;
    let (ada, bob) = (service.new_user(), service.new_user());
    service
        .client
        .of(bob)
        .graphql(CLAIM, json!({ "name": "bob" }))
        .await
        .data();
    let ids = [
        ada.to_string(),
        "not an id".to_owned(),
        bob.to_string(),
        ada.to_string(),
    ];
    let before = service.statements().await;
    let answer = service.client.entities("User", &ids, "id username").await;
    assert_eq!(service.statements().await - before, 2);
    let entities = answer.data()["_entities"].as_array().unwrap();
    assert_eq!(entities[0]["id"], json!(ada));
    assert_eq!(entities[1], Value::Null);
    assert_eq!(entities[2]["username"], json!("bob"));
    assert_eq!(entities[3], entities[0]);
    let many: Vec<_> = (0..40).map(|_| service.new_user()).collect();
    let before = service.statements().await;
    service.client.entities("User", &many, "id").await.data();
    // One statement for the profiles, and one for deleted accounts.
    assert_eq!(service.statements().await - before, 2);
}
