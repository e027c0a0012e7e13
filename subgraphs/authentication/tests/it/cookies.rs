use serde_json::Value;

use crate::{TestService, register, signed_in, text, viewer, with_cookies};

const REGISTER: &str = r#"mutation { register(input: { email: "ada@example.org", password: "plinth-otter-42" }) { accessToken refreshToken viewer { id } } }"#;
const LOGIN: &str = r#"mutation { login(input: { email: "ada@example.org", password: "plinth-otter-42" }) { accessToken refreshToken viewer { id } } }"#;
const REFRESH: &str = "mutation { refreshSession { accessToken refreshToken viewer { email } } }";

/// Returns a cookie's name, value and attributes.
fn parts(cookie: &str) -> (String, String, String) {
    let (name, rest) = cookie.split_once('=').unwrap();
    let (value, attributes) = rest.split_once("; ").unwrap();
    (name.to_owned(), value.to_owned(), attributes.to_owned())
}

/// Returns the `Cookie` header of a browser with these cookies.
fn cookie_header(cookies: &[String]) -> String {
    let pairs: Vec<_> = cookies
        .iter()
        .map(|cookie| cookie.split(';').next().unwrap())
        .collect();
    pairs.join("; ")
}

#[tokio::test]
async fn signing_in_sets_both_cookies() {
    let service = TestService::new().await;
    let (cookies, answer) = with_cookies(&service.client, REGISTER).await;
    let session = &answer.data()["register"];
    assert_eq!(cookies.len(), 2);
    let (name, value, attributes) = parts(&cookies[0]);
    assert_eq!(
        (name.as_str(), value),
        ("proofsheet_access", text(&session["accessToken"]))
    );
    assert_eq!(attributes, "HttpOnly; SameSite=Lax; Path=/; Max-Age=600");
    let (name, value, attributes) = parts(&cookies[1]);
    assert_eq!(
        (name.as_str(), value),
        ("proofsheet_refresh", text(&session["refreshToken"]))
    );
    assert_eq!(attributes, "HttpOnly; SameSite=Lax; Path=/; Max-Age=2592000");
}

#[tokio::test]
async fn cookies_over_https_have_the_host_prefix() {
    let service = TestService::with(&["--public-url", "https://photos.example"]).await;
    let (cookies, _) = with_cookies(&service.client, REGISTER).await;
    let (name, _, attributes) = parts(&cookies[0]);
    assert_eq!(name, "__Host-proofsheet_access");
    assert_eq!(attributes, "HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=600");
    assert_eq!(parts(&cookies[1]).0, "__Host-proofsheet_refresh");
    let browser = service.client.with_header("cookie", &cookie_header(&cookies));
    let (renewed, answer) = with_cookies(&browser, REFRESH).await;
    answer.data();
    assert_eq!(renewed.len(), 2);
    // A cookie without the prefix may have been set by another host.
    let plain = service
        .client
        .with_header("cookie", &cookie_header(&renewed).replace("__Host-", ""));
    assert_eq!(with_cookies(&plain, REFRESH).await.1.error(), "UNAUTHENTICATED");
}

#[tokio::test]
async fn scripts_cannot_read_tokens() {
    let service = TestService::new().await;
    let (cookies, answer) = with_cookies(&service.client, REGISTER).await;
    assert!(answer.data()["register"]["accessToken"].is_string());
    let browser = service.client.with_header("cookie", &cookie_header(&cookies));
    let (renewed, answer) = with_cookies(&browser, REFRESH).await;
    let session = &answer.data()["refreshSession"];
    assert_eq!(
        (&session["accessToken"], &session["refreshToken"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(session["viewer"]["email"], "ada@example.org");
    assert_ne!(renewed[1], cookies[1]);
    // Neither by sending the refresh token as an argument, nor by signing in, if the router authorises by the cookie.
    let browser = browser.with_header("x-authorised-by", "cookie");
    let named = REFRESH.replace(
        "refreshSession",
        &format!("refreshSession(refreshToken: \"{}\")", parts(&renewed[1]).1),
    );
    let (_, answer) = with_cookies(&browser, &named).await;
    assert_eq!(answer.data()["refreshSession"]["refreshToken"], Value::Null);
    let (_, answer) = with_cookies(&browser, LOGIN).await;
    assert_eq!(answer.data()["login"]["refreshToken"], Value::Null);
}

#[tokio::test]
async fn signing_in_again_ends_the_previous_session() {
    let service = TestService::new().await;
    let (cookies, answer) = with_cookies(&service.client, REGISTER).await;
    let first = answer.data()["register"].clone();
    let browser = service
        .client
        .with_header("cookie", &cookie_header(&cookies))
        .with_header("x-authorised-by", "cookie");
    let (replaced, answer) = with_cookies(&browser, LOGIN).await;
    answer.data();
    assert_ne!(cookies, replaced);
    // The old cookies are overwritten, so their session must end.
    assert_eq!(service.count("SELECT COUNT(*) FROM session").await, 1);
    assert_eq!(viewer(&signed_in(&service.client, &first)).await, Value::Null);
}

#[tokio::test]
async fn signing_out_clears_both_cookies() {
    let service = TestService::new().await;
    let (cookies, answer) = with_cookies(&service.client, REGISTER).await;
    let browser = signed_in(&service.client, &answer.data()["register"])
        .with_header("cookie", &cookie_header(&cookies));
    let (cleared, answer) = with_cookies(&browser, "mutation { logout }").await;
    assert_eq!(answer.data()["logout"], true);
    assert_eq!(
        cleared,
        [
            "proofsheet_access=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0",
            "proofsheet_refresh=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0",
        ]
    );
    assert_eq!(with_cookies(&browser, REFRESH).await.1.error(), "UNAUTHENTICATED");
    // Signing out again fails, and deletes the cookies too.
    let (cleared, answer) = with_cookies(&browser, "mutation { logout }").await;
    assert_eq!((cleared.len(), answer.error().as_str()), (2, "UNAUTHENTICATED"));
}

#[tokio::test]
async fn signing_out_needs_only_the_refresh_cookie() {
    let service = TestService::new().await;
    let (cookies, _) = with_cookies(&service.client, REGISTER).await;
    let (others, _) = with_cookies(&service.client, LOGIN).await;
    let browser = service
        .client
        .with_header("cookie", cookies[1].split(';').next().unwrap());
    let (cleared, answer) = with_cookies(&browser, "mutation { logout }").await;
    assert_eq!(
        (answer.data()["logout"].clone(), cleared.len()),
        (Value::Bool(true), 2)
    );
    assert_eq!(service.count("SELECT COUNT(*) FROM session").await, 1);
    let browser = service
        .client
        .with_header("cookie", others[1].split(';').next().unwrap());
    with_cookies(&browser, "mutation { logout(everywhere: true) }")
        .await
        .1
        .data();
    assert_eq!(service.count("SELECT COUNT(*) FROM session").await, 0);
}

#[tokio::test]
async fn deleting_the_account_clears_both_cookies() {
    let service = TestService::new().await;
    let (_, answer) = with_cookies(&service.client, REGISTER).await;
    let client = signed_in(&service.client, &answer.data()["register"]);
    let (cookies, answer) = with_cookies(
        &client,
        r#"mutation { deleteAccount(password: "wrong-password") }"#,
    )
    .await;
    assert_eq!(
        (cookies.len(), answer.error().as_str()),
        (0, "UNAUTHENTICATED password")
    );
    let (cookies, answer) = with_cookies(
        &client,
        r#"mutation { deleteAccount(password: "plinth-otter-42") }"#,
    )
    .await;
    assert_eq!(answer.data()["deleteAccount"], true);
    assert!(
        cookies.len() == 2
            && cookies
                .iter()
                .all(|cookie| cookie.contains("=; ") && cookie.ends_with("; Max-Age=0")),
        "{cookies:?}"
    );
}

#[tokio::test]
async fn failures_set_no_cookies() {
    let service = TestService::new().await;
    register(&service.client, "ada@example.org", crate::PASSWORD)
        .await
        .data();
    for query in [REGISTER, &LOGIN.replace("42", "43"), REFRESH, "{ viewer { id } }"] {
        let (cookies, _) = with_cookies(&service.client, query).await;
        assert_eq!(cookies, [""; 0], "{query}");
    }
}
