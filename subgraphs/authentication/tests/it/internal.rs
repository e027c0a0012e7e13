use authentication::reconcile::{self, Repaired};
use axum::http::StatusCode;
use chrono::TimeDelta;
use contracts::headers;
use serde_json::{Value, json};
use testkit::{Client, INTERNAL_SECRET};
use uuid::Uuid;

use crate::{PASSWORD, TestService, body, delete_account, signed_in, text};

fn trusted(service: &TestService) -> Client {
    service.client.with_header(headers::SECRET, INTERNAL_SECRET)
}

async fn gone(service: &TestService, ids: &[&str]) -> Value {
    let asked = json!({ "ids": ids }).to_string();
    body(
        trusted(service)
            .post("/internal/accounts/gone", "application/json", asked)
            .await,
    )
    .await["ids"]
        .clone()
}

#[tokio::test]
async fn requests_without_the_secret_are_refused() {
    let service = TestService::new().await;
    for client in [
        service.client.clone(),
        service
            .client
            .with_header(headers::SECRET, "a guess of the secret"),
    ] {
        for path in [
            "/internal/accounts",
            "/internal/accounts/0199a3c8-7a10-7cc3-98c4-dc0c0c07398f",
        ] {
            assert_eq!(client.get(path).await.status(), StatusCode::FORBIDDEN);
        }
        let status = client
            .post("/internal/accounts/gone", "application/json", r#"{"ids":[]}"#)
            .await
            .status();
        assert_eq!(status, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn accounts_are_listed_page_by_page() {
    let service = TestService::new().await;
    let mut ids = Vec::new();
    for n in 0..3 {
        service.clock.advance(TimeDelta::milliseconds(5));
        ids.push(text(
            &service.register(&format!("somebody{n}@example.org")).await["viewer"]["id"],
        ));
    }
    let first = body(trusted(&service).get("/internal/accounts?limit=2").await).await;
    assert_eq!(first["items"][0]["accountId"], ids[0].as_str());
    assert_eq!(first["next"], ids[1].as_str());
    assert!(first["items"][0]["createdAt"].is_string());
    assert!(!first.to_string().contains("example.org"));
    let second = body(
        trusted(&service)
            .get(&format!("/internal/accounts?limit=2&after={}", ids[1]))
            .await,
    )
    .await;
    assert_eq!(second["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&second["items"][0]["accountId"], &second["next"]),
        (&json!(ids[2]), &Value::Null)
    );
    for bad in ["limit=0", "limit=1001", "limit=x", "after=x"] {
        let status = trusted(&service)
            .get(&format!("/internal/accounts?{bad}"))
            .await
            .status();
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

#[tokio::test]
async fn accounts_are_present_unknown_or_deleted() {
    let service = TestService::new().await;
    let ada = service.register("ada@example.org").await;
    let eve = service.register("eve@example.org").await;
    delete_account(&signed_in(&service.client, &eve), PASSWORD)
        .await
        .data();
    let status = async |id: &str| {
        trusted(&service)
            .get(&format!("/internal/accounts/{id}"))
            .await
            .status()
    };
    let (ada, eve) = (text(&ada["viewer"]["id"]), text(&eve["viewer"]["id"]));
    assert_eq!(status(&ada).await, StatusCode::OK);
    assert_eq!(status(&eve).await, StatusCode::GONE);
    assert_eq!(
        status("0199a3c8-7a10-7cc3-98c4-dc0c0c07398f").await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(status("x").await, StatusCode::BAD_REQUEST);

    // Deleted and unknown ids, but not young ones, which may not be replicated yet.
    let old = "0199a3c8-7a10-7cc3-98c4-dc0c0c07398f";
    let young = chassis::id::new_uuid(service.clock.now()).to_string();
    let foreign = Uuid::new_v4().to_string();
    assert_eq!(
        gone(&service, &[&ada, &eve, old, &young, &foreign]).await,
        json!([eve, old, foreign])
    );
    service.clock.advance(TimeDelta::minutes(16));
    assert_eq!(gone(&service, &[&ada, &young]).await, json!([young]));
    assert_eq!(gone(&service, &[]).await, json!([]));
}

#[tokio::test]
async fn the_reconciler_ends_sessions_without_an_account() {
    let service = TestService::new().await;
    service.register("ada@example.org").await;
    service.register("eve@example.org").await;
    let run = async || {
        reconcile::run(&service.database.pool, &service.clock.clock())
            .await
            .unwrap()
    };
    assert_eq!(run().await, Repaired { sessions: 0 });
    service
        .execute("DELETE FROM account WHERE email = 'eve@example.org'")
        .await;
    assert_eq!(run().await, Repaired { sessions: 1 });
    assert_eq!(run().await, Repaired { sessions: 0 });
    assert_eq!(service.count("SELECT COUNT(*) FROM session").await, 1);
}

#[tokio::test]
async fn the_service_is_healthy_and_ready_and_prints_its_schema() {
    let service = TestService::new().await;
    for path in ["/health", "/readiness", "/metrics"] {
        assert_eq!(service.client.get(path).await.status(), StatusCode::OK, "{path}");
    }
    let sdl = (authentication::PROGRAM.sdl)();
    for line in [
        "type Viewer @key(fields: \"id\")",
        "viewer: Viewer",
        "sessions: [LoginSession!]",
        "register(input: RegisterInput!): Session!",
        "login(input: LoginInput!): Session!",
        "refreshSession(refreshToken: String): Session!",
        "logout(everywhere: Boolean! = false): Boolean!",
        "changePassword(input: ChangePasswordInput!): Session!",
        "deleteAccount(password: String!): Boolean!",
        "accessTokenExpiresAt: DateTime!",
    ] {
        assert!(
            sdl.lines().any(|have| have.trim_start().starts_with(line)),
            "{line}\n{sdl}"
        );
    }
}
