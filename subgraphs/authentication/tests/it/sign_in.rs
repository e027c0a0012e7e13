use authentication::store::accounts;
use chrono::TimeDelta;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::{PASSWORD, TestService, login, register, signed_in, text, viewer};

#[tokio::test]
async fn registering_signs_in() {
    let service = TestService::new().await;
    let client = service.client.with_header("user-agent", "A Browser/1.0");
    let answer = register(&client, " Ada@Example.org ", PASSWORD).await;
    let session = &answer.data()["register"];
    assert_sorted_snapshot!(session, {
        ".accessToken" => "[jwt]", ".accessTokenExpiresAt" => "[time]", ".refreshToken" => "[token]",
        ".viewer.id" => "[id]", ".viewer.createdAt" => "[time]", ".viewer.sessions[].id" => "[id]",
    }, @r#"
    {
      "accessToken": "[jwt]",
      "accessTokenExpiresAt": "[time]",
      "refreshToken": "[token]",
      "viewer": {
        "createdAt": "[time]",
        "email": "Ada@Example.org",
        "id": "[id]",
        "sessions": [
          {
            "current": true,
            "id": "[id]",
            "userAgent": "A Browser/1.0"
          }
        ]
      }
    }
    "#);
    let me = viewer(&signed_in(&client, session)).await;
    assert_eq!(me["id"], session["viewer"]["id"]);
    assert_eq!(me["sessions"], session["viewer"]["sessions"]);
    let expires: chrono::DateTime<chrono::Utc> = text(&session["accessTokenExpiresAt"]).parse().unwrap();
    assert!((expires - service.clock.now() - TimeDelta::minutes(10)).abs() <= TimeDelta::seconds(1));
}

#[tokio::test]
async fn the_viewer_is_null_when_signed_out() {
    let service = TestService::new().await;
    assert_eq!(viewer(&service.client).await, Value::Null);
    assert_eq!(
        viewer(&service.client.with_token("x.y.z".to_owned())).await,
        Value::Null
    );
}

#[tokio::test]
async fn emails_are_compared_without_case() {
    let service = TestService::new().await;
    service.register("Ünal@Example.org").await;
    for email in ["Ünal@Example.org", "üNAL@example.ORG", " ünal@example.org"] {
        assert_eq!(
            register(&service.client, email, PASSWORD).await.error(),
            "CONFLICT email"
        );
    }
    assert_eq!(
        login(&service.client, "ÜNAL@EXAMPLE.ORG", PASSWORD).await.data()["login"]["viewer"]["email"],
        "Ünal@Example.org"
    );
}

#[tokio::test]
async fn one_of_two_concurrent_registrations_wins() {
    let service = TestService::new().await;
    let other = service.replica(&[]).await;
    let (first, second) = tokio::join!(
        register(&service.client, "ada@example.org", PASSWORD),
        register(&other.client, "ADA@example.org", "another-plinth-43"),
    );
    let refused = [&first, &second]
        .into_iter()
        .filter(|answer| answer.0.get("errors").is_some())
        .collect::<Vec<_>>();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].error(), "CONFLICT email");
    assert_eq!(service.count("SELECT COUNT(*) FROM account").await, 1);
    assert_eq!(service.count("SELECT COUNT(*) FROM session").await, 1);
    assert_eq!(service.count("SELECT COUNT(*) FROM outbox").await, 1);
}

#[tokio::test]
async fn errors_name_the_invalid_field() {
    let service = TestService::new().await;
    let long_email = format!("{}@example.org", "a".repeat(300));
    let long_password = "ab".repeat(129);
    let cases = [
        ("", PASSWORD, "INVALID_INPUT email"),
        ("ada", PASSWORD, "INVALID_INPUT email"),
        ("ada@example", PASSWORD, "INVALID_INPUT email"),
        ("a\0da@example.org", PASSWORD, "INVALID_INPUT email"),
        ("\u{202e}ada@example.org", PASSWORD, "INVALID_INPUT email"),
        (&long_email, PASSWORD, "INVALID_INPUT email"),
        ("ada@example.org", "", "INVALID_INPUT password"),
        ("ada@example.org", "elevenchars", "INVALID_INPUT password"),
        (
            "ada@example.org",
            "plinth-otter-42\u{7}",
            "INVALID_INPUT password",
        ),
        ("ada@example.org", "Password1234", "INVALID_INPUT password"),
        ("ada@example.org", "ADA@example.org", "INVALID_INPUT password"),
        ("ada@example.org", &long_password, "INVALID_INPUT password"),
    ];
    for (email, password, expected) in cases {
        assert_eq!(
            register(&service.client, email, password).await.error(),
            expected,
            "{email:?} {password:?}"
        );
    }
    assert_eq!(service.state.hasher.hashed(), 0);
    assert_eq!(service.count("SELECT COUNT(*) FROM account").await, 0);
    assert_eq!(
        login(&service.client, "ada", PASSWORD).await.error(),
        "INVALID_INPUT email"
    );
    let answer = service
        .client
        .graphql(
            "mutation { login(input: { email: 1 }) { refreshToken } }",
            json!({}),
        )
        .await;
    assert_eq!(answer.error(), "INVALID_INPUT");
}

#[tokio::test]
async fn all_scripts_and_emoji_are_accepted() {
    let service = TestService::new().await;
    for (email, password) in [
        ("דוגמה@דוגמה.example", "סיסמה ארוכה מאוד"),
        ("用户@例子.example", "在清晨拍攝湖邊的霧氣嗎"),
        ("📷@photo.example", "🦊🌊🏔️🌲🌙⭐️🔥🍀🎈🎨🧭🪁"),
    ] {
        let password = format!("{password} 🦊!");
        assert_eq!(
            register(&service.client, email, &password).await.data()["register"]["viewer"]["email"],
            email
        );
        assert_eq!(
            login(&service.client, email, &password).await.data()["login"]["viewer"]["email"],
            email
        );
    }
}

#[tokio::test]
async fn unknown_emails_and_wrong_passwords_cannot_be_distinguished() {
    let service = TestService::new().await;
    service.register("ada@example.org").await;
    let before = service.state.hasher.hashed();
    let wrong = login(&service.client, "ada@example.org", "plinth-otter-43").await;
    assert_eq!(service.state.hasher.hashed(), before + 1);
    let unknown = login(&service.client, "eve@example.org", "plinth-otter-43").await;
    assert_eq!(service.state.hasher.hashed(), before + 2);
    assert_eq!(wrong.error(), "UNAUTHENTICATED");
    assert_eq!(wrong.0, unknown.0);
    // Both are counted in the same way: for the address, the account, and the account at the address.
    let tries = "SELECT CAST(SUM(tries) AS SIGNED) FROM attempt";
    assert_eq!(service.count(tries).await, 1 + 2 * 3);
    let over_long = "x".repeat(10_000);
    assert_eq!(
        login(&service.client, "ada@example.org", &over_long)
            .await
            .error(),
        "UNAUTHENTICATED"
    );
}

#[tokio::test]
async fn two_hundred_concurrent_logins_are_served_or_refused_quickly() {
    let service = TestService::new().await;
    service.register("ada@example.org").await;
    let answers = join_all((0..200).map(|_| login(&service.client, "ada@example.org", PASSWORD))).await;
    let mut served = 0;
    for answer in &answers {
        if answer.0.get("errors").is_none() {
            served += 1;
        } else {
            assert!(
                ["RATE_LIMITED", "UNAVAILABLE"].contains(&answer.error().as_str()),
                "{}",
                answer.error()
            );
        }
    }
    assert!(served >= 2, "{served} were served");
    // A refused request costs no hash and no attempt.
    login(&service.client, "ada@example.org", PASSWORD).await.data();
}

#[tokio::test]
async fn sessions_are_ordered_by_use_and_their_number_is_limited() {
    let service = TestService::new().await;
    let first = service.register("ada@example.org").await;
    service.clock.advance(TimeDelta::minutes(1));
    let other = service.client.with_header("user-agent", "Other");
    let second = login(&other, "ada@example.org", PASSWORD).await.data()["login"].clone();
    let listed = viewer(&signed_in(&service.client, &first)).await["sessions"].clone();
    let seen: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["current"] == true, s["userAgent"].clone()))
        .collect();
    assert_eq!(seen, [(false, json!("Other")), (true, Value::Null)]);

    // A hundred more sessions are inserted directly, because hashing a hundred passwords takes too long.
    service
        .execute(
            "INSERT INTO session (id, account_id, created_at, last_used_at, expires_at)
             SELECT UNHEX(LPAD(HEX(n.seq), 32, '0')), a.id, a.created_at, a.created_at + INTERVAL 1 HOUR, a.created_at + INTERVAL 30 DAY
             FROM seq_1_to_100 n, account a",
        )
        .await;
    service.clock.advance(TimeDelta::hours(2));
    login(&other, "ada@example.org", PASSWORD).await.data();
    assert_eq!(service.count("SELECT COUNT(*) FROM session").await, 100);
    assert_eq!(viewer(&signed_in(&service.client, &second)).await, Value::Null);
}

#[tokio::test]
async fn the_moderator_role_is_in_the_next_token() {
    let service = TestService::new().await;
    let session = service.register("ada@example.org").await;
    let email = authentication::domain::Email::parse("ADA@example.org").unwrap();
    assert!(
        accounts::set_moderator(&service.database.pool, &email, true)
            .await
            .unwrap()
    );
    assert!(
        accounts::set_moderator(&service.database.pool, &email, true)
            .await
            .unwrap()
    );
    let roles = async |session: &Value| match service
        .state
        .keys
        .verifier()
        .verify(&text(&session["accessToken"]))
        .await
    {
        chassis::viewer::Caller::Viewer(viewer) => viewer.moderator,
        other => panic!("{other:?}"),
    };
    assert!(!roles(&session).await);
    let renewed = crate::refresh(&service.client, &text(&session["refreshToken"]))
        .await
        .data()["refreshSession"]
        .clone();
    assert!(roles(&renewed).await);
    let nobody = authentication::domain::Email::parse("eve@example.org").unwrap();
    assert!(
        !accounts::set_moderator(&service.database.pool, &nobody, true)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn a_viewer_can_only_load_itself() {
    let service = TestService::new().await;
    let ada = service.register("ada@example.org").await;
    let eve = service.register("eve@example.org").await;
    let ids = [
        text(&ada["viewer"]["id"]),
        text(&eve["viewer"]["id"]),
        "no id".to_owned(),
    ];
    let answer = signed_in(&service.client, &ada)
        .entities("Viewer", &ids, "id email")
        .await;
    assert_eq!(
        answer.data()["_entities"],
        json!([{ "id": ids[0], "email": "ada@example.org" }, null, null])
    );
    let answer = service.client.entities("Viewer", &ids, "email").await;
    assert_eq!(answer.data()["_entities"], json!([null, null, null]));
}
