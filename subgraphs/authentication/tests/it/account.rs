use serde_json::{Value, json};

use crate::{
    PASSWORD, TestService, change_password, delete_account, login, refresh, register, signed_in, text, viewer,
};

const NEW: &str = "gravel-heron-77";

async fn logout(client: &testkit::Client, everywhere: bool) -> testkit::Answer {
    client
        .graphql(
            "mutation ($e: Boolean!) { logout(everywhere: $e) }",
            json!({ "e": everywhere }),
        )
        .await
}

#[tokio::test]
async fn signing_out_ends_this_session_or_all() {
    let service = TestService::new().await;
    let first = service.register("ada@example.org").await;
    let second = login(&service.client, "ada@example.org", PASSWORD).await.data()["login"].clone();
    let third = login(&service.client, "ada@example.org", PASSWORD).await.data()["login"].clone();

    let answer = signed_in(&service.client, &first)
        .graphql("mutation { logout }", json!({}))
        .await;
    assert_eq!(answer.data()["logout"], true);
    assert_eq!(viewer(&signed_in(&service.client, &first)).await, Value::Null);
    assert_eq!(
        refresh(&service.client, &text(&first["refreshToken"]))
            .await
            .error(),
        "UNAUTHENTICATED"
    );
    assert_eq!(
        logout(&signed_in(&service.client, &first), false).await.error(),
        "UNAUTHENTICATED"
    );
    assert_eq!(
        viewer(&signed_in(&service.client, &second)).await["sessions"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    assert_eq!(
        logout(&signed_in(&service.client, &second), true).await.data()["logout"],
        true
    );
    assert_eq!(viewer(&signed_in(&service.client, &third)).await, Value::Null);
    assert_eq!(
        refresh(&service.client, &text(&third["refreshToken"]))
            .await
            .error(),
        "UNAUTHENTICATED"
    );
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    let service = TestService::new().await;
    let mine = service.register("ada@example.org").await;
    let other = login(&service.client, "ada@example.org", PASSWORD).await.data()["login"].clone();
    let client = signed_in(&service.client, &mine);

    let changed = change_password(&client, PASSWORD, NEW).await.data()["changePassword"].clone();
    let sessions = &viewer(&signed_in(&service.client, &changed)).await["sessions"];
    assert_eq!(sessions, &mine["viewer"]["sessions"]);
    assert_eq!(viewer(&signed_in(&service.client, &other)).await, Value::Null);
    assert_eq!(
        refresh(&service.client, &text(&other["refreshToken"]))
            .await
            .error(),
        "UNAUTHENTICATED"
    );
    // The previous refresh token may have been copied: it is invalid, and ends nothing.
    assert_eq!(
        refresh(&service.client, &text(&mine["refreshToken"]))
            .await
            .error(),
        "UNAUTHENTICATED"
    );
    let renewed = refresh(&service.client, &text(&changed["refreshToken"]))
        .await
        .data()["refreshSession"]
        .clone();
    refresh(&service.client, &text(&renewed["refreshToken"]))
        .await
        .data();

    assert_eq!(
        login(&service.client, "ada@example.org", PASSWORD).await.error(),
        "UNAUTHENTICATED"
    );
    login(&service.client, "ada@example.org", NEW).await.data();
}

#[tokio::test]
async fn changing_the_password_needs_the_current_one() {
    let service = TestService::new().await;
    let session = service.register("ada@example.org").await;
    let client = signed_in(&service.client, &session);
    assert_eq!(
        change_password(&client, NEW, "some-other-phrase").await.error(),
        "UNAUTHENTICATED currentPassword"
    );
    for bad in ["short", "Password1234", "ada@example.org", "line\nbreak in it"] {
        assert_eq!(
            change_password(&client, PASSWORD, bad).await.error(),
            "INVALID_INPUT newPassword",
            "{bad}"
        );
    }
    login(&service.client, "ada@example.org", PASSWORD).await.data();
    refresh(&service.client, &text(&session["refreshToken"]))
        .await
        .data();
}

#[tokio::test]
async fn one_of_two_concurrent_password_changes_wins() {
    let service = TestService::new().await;
    let session = service.register("ada@example.org").await;
    let client = signed_in(&service.client, &session);
    let other = "gravel-heron-78";
    let (left, right) = tokio::join!(
        change_password(&client, PASSWORD, NEW),
        change_password(&client, PASSWORD, other)
    );
    let won = [left, right].map(|answer| answer.0.get("errors").is_none());
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
    let (kept, lost) = if won[0] { (NEW, other) } else { (other, NEW) };
    login(&service.client, "ada@example.org", kept).await.data();
    assert_eq!(
        login(&service.client, "ada@example.org", lost).await.error(),
        "UNAUTHENTICATED"
    );
}

#[tokio::test]
async fn a_deleted_account_cannot_do_anything() {
    let service = TestService::new().await;
    let session = service.register("ada@example.org").await;
    let other = login(&service.client, "ada@example.org", PASSWORD).await.data()["login"].clone();
    let client = signed_in(&service.client, &session);

    assert_eq!(
        delete_account(&client, "plinth-otter-43").await.error(),
        "UNAUTHENTICATED password"
    );
    assert_eq!(viewer(&client).await["email"], "ada@example.org");

    assert_eq!(
        delete_account(&client, PASSWORD).await.data()["deleteAccount"],
        true
    );
    for session in [&session, &other] {
        let client = signed_in(&service.client, session);
        assert_eq!(viewer(&client).await, Value::Null);
        assert_eq!(
            change_password(&client, PASSWORD, NEW).await.error(),
            "UNAUTHENTICATED"
        );
        assert_eq!(delete_account(&client, PASSWORD).await.error(), "UNAUTHENTICATED");
        assert_eq!(logout(&client, true).await.error(), "UNAUTHENTICATED");
        assert_eq!(
            refresh(&service.client, &text(&session["refreshToken"]))
                .await
                .error(),
            "UNAUTHENTICATED"
        );
    }
    assert_eq!(
        login(&service.client, "ada@example.org", PASSWORD).await.error(),
        "UNAUTHENTICATED"
    );
    for select in [
        "SELECT COUNT(*) FROM account",
        "SELECT COUNT(*) FROM session",
        "SELECT COUNT(*) FROM known_address",
    ] {
        assert_eq!(service.count(select).await, 0, "{select}");
    }
    assert_eq!(
        service
            .count("SELECT COUNT(*) FROM departed_account WHERE swept_at IS NOT NULL")
            .await,
        1
    );

    // The address can be registered again.
    let again = register(&service.client, "ADA@example.org", PASSWORD)
        .await
        .data()["register"]
        .clone();
    assert_ne!(again["viewer"]["id"], session["viewer"]["id"]);
}

#[tokio::test]
async fn events_are_stored_for_every_subscriber() {
    let service = TestService::new().await;
    let session = service.register("ada@example.org").await;
    delete_account(&signed_in(&service.client, &session), PASSWORD)
        .await
        .data();
    let events: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT d.subscriber, o.kind, CAST(o.data AS CHAR) FROM outbox o JOIN outbox_delivery d ON d.event_id = o.id
         ORDER BY o.id, d.subscriber",
    )
    .fetch_all(&service.database.pool)
    .await
    .unwrap();
    let id = &session["viewer"]["id"];
    let seen: Vec<(&str, &str)> = events
        .iter()
        .map(|(subscriber, kind, _)| (subscriber.as_str(), kind.as_str()))
        .collect();
    let mut sorted = seen.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [
            ("profile", "account.created"),
            ("profile", "account.deleted"),
            ("profile", "session.ended"),
            ("vote", "account.created"),
            ("vote", "account.deleted"),
            ("vote", "session.ended"),
        ]
    );
    for (_, kind, data) in events.iter().filter(|(_, kind, _)| kind.starts_with("account.")) {
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(&data["accountId"], id, "{kind}");
        assert_eq!(data.get("createdAt").is_some(), kind == "account.created");
    }
}

#[tokio::test]
async fn a_failed_registration_publishes_no_event() {
    let service = TestService::new().await;
    service.register("ada@example.org").await;
    register(&service.client, "ada@example.org", PASSWORD)
        .await
        .error();
    assert_eq!(service.count("SELECT COUNT(*) FROM outbox").await, 1);
}
