//! Every way to end a session sends an event in the same transaction.

use std::collections::BTreeSet;

use contracts::accounts::SessionsEnded;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{PASSWORD, TestService, change_password, delete_account, login, refresh, signed_in, text};

async fn sign_in(service: &TestService) -> Value {
    login(&service.client, "ada@example.org", PASSWORD).await.data()["login"].clone()
}

fn id_of(session: &Value) -> Uuid {
    let sessions = session["viewer"]["sessions"].as_array().unwrap();
    let current = sessions
        .iter()
        .find(|session| session["current"] == true)
        .unwrap();
    text(&current["id"]).parse().unwrap()
}

/// Returns the sessions in the published events.
async fn sessions_in_events(service: &TestService) -> BTreeSet<Uuid> {
    let data: Vec<String> =
        sqlx::query_scalar("SELECT CAST(data AS CHAR) FROM outbox WHERE kind = 'session.ended'")
            .fetch_all(&service.database.pool)
            .await
            .unwrap();
    data.iter()
        .flat_map(|data| serde_json::from_str::<SessionsEnded>(data).unwrap().session_ids)
        .collect()
}

async fn expect(service: &TestService, sessions: &[&Value]) {
    let expected: BTreeSet<Uuid> = sessions.iter().map(|session| id_of(session)).collect();
    assert_eq!(sessions_in_events(service).await, expected);
}

#[tokio::test]
async fn by_signing_out_here_or_everywhere() {
    let service = TestService::new().await;
    let first = service.register("ada@example.org").await;
    let (second, third) = (sign_in(&service).await, sign_in(&service).await);
    expect(&service, &[]).await;
    let logout = "mutation { logout }";
    signed_in(&service.client, &first)
        .graphql(logout, json!({}))
        .await
        .data();
    expect(&service, &[&first]).await;
    let everywhere = "mutation { logout(everywhere: true) }";
    signed_in(&service.client, &second)
        .graphql(everywhere, json!({}))
        .await
        .data();
    expect(&service, &[&first, &second, &third]).await;
}

#[tokio::test]
async fn by_signing_out_with_the_refresh_token_alone() {
    let service = TestService::new().await;
    let session = service.register("ada@example.org").await;
    let cookie = format!("proofsheet_refresh={}", text(&session["refreshToken"]));
    let browser = service.client.with_header("cookie", &cookie);
    browser.graphql("mutation { logout }", json!({})).await.data();
    expect(&service, &[&session]).await;
}

#[tokio::test]
async fn by_a_new_password() {
    let service = TestService::new().await;
    let mine = service.register("ada@example.org").await;
    let others = [sign_in(&service).await, sign_in(&service).await];
    change_password(&signed_in(&service.client, &mine), PASSWORD, "gravel-heron-77")
        .await
        .data();
    expect(&service, &others.each_ref()).await;
}

#[tokio::test]
async fn by_a_replayed_refresh_token() {
    let service = TestService::new().await;
    let first = service.register("ada@example.org").await;
    let renew = async |session: &Value| refresh(&service.client, &text(&session["refreshToken"])).await;
    let second = renew(&first).await.data()["refreshSession"].clone();
    renew(&second).await.data();
    expect(&service, &[]).await;
    assert_eq!(renew(&first).await.error(), "UNAUTHENTICATED");
    expect(&service, &[&first]).await;
    // A session ends once: another replay publishes no event.
    renew(&first).await.error();
    let events = "SELECT COUNT(*) FROM outbox WHERE kind = 'session.ended'";
    assert_eq!(service.count(events).await, 1);
}

#[tokio::test]
async fn by_another_login_of_the_same_browser() {
    let service = TestService::new().await;
    let first = service.register("ada@example.org").await;
    let cookie = format!("proofsheet_refresh={}", text(&first["refreshToken"]));
    let browser = service.client.with_header("cookie", &cookie);
    login(&browser, "ada@example.org", PASSWORD).await.data();
    expect(&service, &[&first]).await;
}

#[tokio::test]
async fn by_exceeding_the_number_of_sessions() {
    let service = TestService::new().await;
    let first = service.register("ada@example.org").await;
    service
        .execute(
            "INSERT INTO session (id, account_id, created_at, last_used_at, expires_at)
             SELECT UNHEX(REPLACE(UUID(), '-', '')), account_id, created_at, last_used_at + INTERVAL seq SECOND, expires_at
             FROM session, seq_1_to_99",
        )
        .await;
    expect(&service, &[]).await;
    sign_in(&service).await;
    expect(&service, &[&first]).await;
}

#[tokio::test]
async fn by_deleting_the_account() {
    let service = TestService::new().await;
    let first = service.register("ada@example.org").await;
    let second = sign_in(&service).await;
    delete_account(&signed_in(&service.client, &first), PASSWORD)
        .await
        .data();
    expect(&service, &[&first, &second]).await;
}
