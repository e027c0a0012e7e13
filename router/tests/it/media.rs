//! Uploads and photos are streamed.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use futures::stream;
use serde_json::Value;

use crate::fakes::{Fakes, Token};
use crate::gateway::{Gateway, header};

const MIB: usize = 1024 * 1024;
const LIMIT: usize = 25 * MIB;

fn file(size: usize) -> reqwest::Body {
    let chunk = Bytes::from(vec![7; MIB]);
    let whole = std::iter::repeat_n(chunk.clone(), size / MIB);
    let rest = chunk.slice(..size % MIB);
    reqwest::Body::wrap_stream(stream::iter(whole.chain([rest]).map(Ok::<_, Infallible>)))
}

async fn refusal(answer: reqwest::Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let answer: Value = answer.json().await.unwrap();
    assert!(
        answer["message"]
            .as_str()
            .is_some_and(|message| !message.is_empty()),
        "{answer}"
    );
    (status, answer["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn uploads_are_limited_in_size() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    let upload = || {
        gateway
            .http
            .post(gateway.url("/media/uploads"))
            .bearer_auth(Token::good().signed())
    };

    // Chunked, so that the size is unknown.
    let answer = upload()
        .header("content-type", "image/jpeg")
        .body(file(LIMIT))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.json::<Value>().await.unwrap()["size"], LIMIT);
    let seen = fakes["photo"].take_seen().remove(0);
    assert_eq!(seen.size, LIMIT);
    assert_eq!(seen.header("content-type"), Some("image/jpeg"));

    let answer = upload().body(file(LIMIT + 1)).send().await.unwrap();
    assert_eq!(refusal(answer).await, (413, "INVALID_INPUT".to_owned()));
    let answer = upload().body(vec![7; LIMIT + 1]).send().await.unwrap();
    assert_eq!(refusal(answer).await, (413, "INVALID_INPUT".to_owned()));
    assert!(
        fakes["photo"].take_seen().is_empty(),
        "no whole file reached the service"
    );
}

#[tokio::test]
async fn uploads_need_a_token_and_with_a_cookie_the_header() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    let upload = || gateway.http.post(gateway.url("/media/uploads")).body("a photo");
    let cookie = format!("proofsheet_access={}", Token::good().signed());

    assert_eq!(
        refusal(upload().send().await.unwrap()).await,
        (401, "UNAUTHENTICATED".to_owned())
    );
    let answer = upload().bearer_auth("nonsense").send().await.unwrap();
    assert_eq!(refusal(answer).await, (401, "UNAUTHENTICATED".to_owned()));
    let answer = upload().header("cookie", &cookie).send().await.unwrap();
    assert_eq!(refusal(answer).await, (403, "FORBIDDEN".to_owned()));
    let answer = upload()
        .header("cookie", &cookie)
        .header("x-proofsheet", "1")
        .header("origin", "https://evil.example");
    assert_eq!(
        refusal(answer.send().await.unwrap()).await,
        (403, "FORBIDDEN".to_owned())
    );
    assert!(fakes["photo"].take_seen().is_empty());

    let answer = upload()
        .header("cookie", &cookie)
        .header("x-proofsheet", "1")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
    let seen = fakes["photo"].take_seen().remove(0);
    assert!(seen.header("authorization").is_some());
    assert_eq!(seen.header("cookie"), None);
}

#[tokio::test]
async fn photos_have_headers() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;

    let answer = gateway.get("/media/a/640.avif").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    for (name, value) in [
        ("content-type", "image/avif"),
        ("content-length", "10"),
        ("cache-control", "public, max-age=31536000, immutable"),
        ("etag", "\"v1\""),
        ("content-security-policy", "sandbox; default-src 'none'"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(header(&answer, name), Some(value));
    }
    assert_eq!(header(&answer, "content-encoding"), None);
    assert_eq!(answer.text().await.unwrap(), "0123456789");

    let answer = gateway
        .get("/media/a")
        .header("range", "bytes=0-3")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (answer.status().as_u16(), header(&answer, "content-range")),
        (206, Some("bytes 0-3/10"))
    );
    assert_eq!(answer.text().await.unwrap(), "0123");

    let answer = gateway
        .get("/media/a")
        .header("if-none-match", "\"v1\"")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (answer.status().as_u16(), header(&answer, "etag")),
        (304, Some("\"v1\""))
    );

    let answer = gateway.http.head(gateway.url("/media/a")).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), header(&answer, "content-length")),
        (200, Some("10"))
    );
    // The connection is still in sync after a response without a body.
    assert_eq!(
        gateway
            .get("/media/a")
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
        "0123456789"
    );

    for path in ["/media/missing", "/media/nothing"] {
        assert_eq!(
            refusal(gateway.get(path).send().await.unwrap()).await,
            (404, "NOT_FOUND".to_owned())
        );
    }
}

#[tokio::test]
async fn other_paths_of_the_photo_service_are_not_reachable() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    // Sent as bytes, because clients normalize paths.
    for path in [
        "/media/../internal/photos",
        "/media/%2e%2e/internal/photos",
        "/media/..%2finternal/photos",
    ] {
        let mut connection = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        assert!(!answer.contains("crown jewels"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn an_unavailable_photo_service_is_reported() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start_with(&fakes, &[("--photo-url", "http://127.0.0.1:9")]).await;
    assert_eq!(
        refusal(gateway.get("/media/a").send().await.unwrap()).await,
        (503, "UNAVAILABLE".to_owned())
    );
    let upload = gateway
        .http
        .post(gateway.url("/media/uploads"))
        .bearer_auth(Token::good().signed());
    let answer = upload.body(file(3 * MIB)).send().await.unwrap();
    assert_eq!(refusal(answer).await, (503, "UNAVAILABLE".to_owned()));
}

#[tokio::test]
async fn a_silent_photo_service_times_out() {
    let asked = Arc::new(AtomicU32::new(0));
    let photo = move || {
        let asked = Arc::clone(&asked);
        async move {
            if asked.fetch_add(1, Ordering::Relaxed) == 0 {
                std::future::pending::<()>().await;
            }
            "a photo"
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = axum::Router::new().route("/media/{*file}", axum::routing::get(photo));
    tokio::spawn(async move { axum::serve(listener, routes).await });

    let fakes = Fakes::start().await;
    let gateway = Gateway::start_with(&fakes, &[("--photo-url", &url)]).await;
    let answer = gateway.get("/media/a").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.unwrap(), "a photo");
}
