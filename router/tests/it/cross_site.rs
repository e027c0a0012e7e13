//! Requests that pages of other sites can make browsers send are refused.

use serde_json::{Value, json};

use crate::fakes::{Fakes, Token};
use crate::gateway::{Gateway, code};

const QUERY: &str = "{ viewer { email } }";

#[tokio::test]
async fn requests_without_preflight_are_refused() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    let body = json!({ "query": QUERY }).to_string();
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/xml;application/json",
        "text/plain;application/json",
        "application/json, text/plain",
        "application/json; charset=utf-16",
        "application/jsonx",
        "x",
    ] {
        let request = gateway
            .http
            .post(gateway.url("/graphql"))
            .header("content-type", content_type);
        let answer = request.body(body.clone()).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{content_type}");
        assert_eq!(code(&answer.json().await.unwrap()), "FORBIDDEN");
    }
    let answer = gateway
        .http
        .post(gateway.url("/graphql"))
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 403, "no content type at all");

    let answer: Value = gateway
        .get("/graphql")
        .query(&[("query", QUERY)])
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(code(&answer), "FORBIDDEN", "a GET without the header");
    let cookie = format!("proofsheet_access={}", Token::good().signed());
    for content_type in [
        "application/json",
        "text/xml",
        "text/xml;application/json",
        "x",
        "",
    ] {
        let get = gateway
            .get("/graphql")
            .query(&[("query", QUERY)])
            .header("cookie", &cookie)
            .header("content-type", content_type);
        assert_eq!(
            get.send().await.unwrap().status(),
            403,
            "a GET with {content_type:?}"
        );
    }
    let twice = gateway
        .operation(QUERY)
        .header("cookie", &cookie)
        .header("content-type", "text/plain");
    assert_eq!(twice.send().await.unwrap().status(), 403, "two content types");
    assert!(
        fakes["authentication"].take_seen().is_empty(),
        "nothing was executed"
    );

    let get = gateway
        .get("/graphql")
        .query(&[("query", QUERY)])
        .header("x-proofsheet", "1");
    let answer: Value = get.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["data"]["viewer"]["email"], "ada@example.org");
}

#[tokio::test]
async fn mutations_need_post() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    let mutation = r#"mutation { deletePhoto(id: "01936f5e-7c00-7000-8000-000000000001") }"#;
    let get = gateway
        .get("/graphql")
        .query(&[("query", mutation)])
        .header("x-proofsheet", "1");
    let answer: Value = get.send().await.unwrap().json().await.unwrap();
    assert_eq!(code(&answer), "INVALID_INPUT");
    assert!(fakes["photo"].take_seen().is_empty(), "nothing was deleted");
}

#[tokio::test]
async fn foreign_origins_are_refused() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    for origin in ["https://evil.example", "null", "http://localhost:1"] {
        let request = gateway
            .operation(QUERY)
            .header("x-proofsheet", "1")
            .header("origin", origin);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 403, "{origin}");
        assert_eq!(code(&answer.json().await.unwrap()), "FORBIDDEN");
    }
    for origin in [
        format!("http://localhost:{}", gateway.address.port()),
        format!("http://{}", gateway.address),
    ] {
        let answer = gateway
            .operation(QUERY)
            .header("origin", &origin)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{origin}");
    }
}

#[tokio::test]
async fn no_cors_headers_are_sent() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    let preflight = gateway
        .http
        .request(reqwest::Method::OPTIONS, gateway.url("/graphql"))
        .header("origin", "https://evil.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type");
    let answer = preflight.send().await.unwrap();
    assert!(
        answer
            .headers()
            .keys()
            .all(|name| !name.as_str().starts_with("access-control-")),
        "{answer:?}"
    );
}
