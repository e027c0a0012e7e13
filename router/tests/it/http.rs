//! HTTP: methods, hosts, entity tags, content negotiation. Requests that clients would normalize are sent as bytes.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::fakes::Fakes;
use crate::gateway::{Gateway, code, header};
use crate::pages::bundle;

pub(crate) const QUERY: &str = r#"{"query":"{ viewer { email } }"}"#;

/// Sends bytes, and returns the status and the text of the response.
pub(crate) async fn raw(address: std::net::SocketAddr, request: &str) -> (u16, String) {
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = connection.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(5), read).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("{request} → {answer:?}")), answer)
}

pub(crate) async fn get(gateway: &Gateway, target: &str) -> (u16, String) {
    raw(
        gateway.address,
        &format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
    )
    .await
}

pub(crate) async fn post(gateway: &Gateway, target: &str, headers: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let head =
        format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}");
    raw(gateway.address, &format!("{head}\r\n{headers}\r\n{body}")).await
}

#[tokio::test]
async fn unsupported_methods_get_the_allowed_ones() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let app = app.path().to_str().unwrap();
    let gateway = Gateway::start_with(&fakes, &[("--app-dir", app), ("--playground-dir", app)]).await;
    for (path, allowed) in [
        ("/", "GET, HEAD"),
        ("/@ada", "GET, HEAD"),
        ("/nowhere", "GET, HEAD"),
        ("/assets/app.js", "GET, HEAD"),
        ("/feeds/latest.atom", "GET, HEAD"),
        ("/robots.txt", "GET, HEAD"),
        ("/sitemap.xml", "GET, HEAD"),
        ("/sitemaps/pages.xml", "GET, HEAD"),
        ("/playground", "GET, HEAD"),
        ("/media/a/640.avif", "GET, HEAD"),
        ("/health", "GET, HEAD"),
        ("/readiness", "GET, HEAD"),
        ("/media/uploads", "POST"),
        ("/graphql", "GET, POST"),
    ] {
        for method in [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW",
        ] {
            if allowed.split(", ").any(|allowed| allowed == method) {
                continue;
            }
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let request = gateway.http.request(method.clone(), gateway.url(path));
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 405, "{method} {path}");
            assert_eq!(header(&answer, "allow"), Some(allowed), "{method} {path}");
        }
    }
    for path in ["/health", "/readiness", "/metrics"] {
        let url = format!("http://{}{path}", gateway.internal);
        let answer = gateway.http.post(&url).send().await.unwrap();
        assert_eq!(answer.status(), 405, "{path}");
        assert_eq!(header(&answer, "allow"), Some("GET, HEAD"), "{path}");
        let answer = gateway.http.head(&url).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
    let answer = gateway.http.put(gateway.url("/graphql")).send().await.unwrap();
    assert_eq!(code(&answer.json::<Value>().await.unwrap()), "INVALID_INPUT");
}

#[tokio::test]
async fn head_is_get_without_the_content() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let gateway = Gateway::start_with(&fakes, &[("--app-dir", app.path().to_str().unwrap())]).await;
    for path in [
        "/",
        "/@ada",
        "/feeds/latest.atom",
        "/robots.txt",
        "/sitemap.xml",
        "/health",
        "/readiness",
    ] {
        let get = gateway.get(path).send().await.unwrap();
        let head = gateway.http.head(gateway.url(path)).send().await.unwrap();
        assert_eq!(head.status(), get.status(), "{path}");
        for name in ["content-type", "content-length", "etag", "cache-control", "vary"] {
            assert_eq!(header(&head, name), header(&get, name), "{name} of {path}");
        }
        assert_eq!(head.text().await.unwrap(), "", "{path}");
    }
}

#[tokio::test]
async fn requests_need_one_valid_host() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    for address in [gateway.address, gateway.internal] {
        for (head, status) in [
            ("GET /health HTTP/1.1\r\nHost: localhost", 200),
            ("GET /health HTTP/1.1\r\nHost: photos.example:4999", 200),
            ("GET /health HTTP/1.1\r\nHost: [::1]:4999", 200),
            ("GET /health HTTP/1.0", 200),
            ("GET /health HTTP/1.0\r\nHost: localhost", 200),
            ("GET http://localhost/health HTTP/1.1\r\nHost: localhost", 200),
            ("GET http://localhost/health HTTP/1.1\r\nHost: elsewhere", 200),
            ("GET /health HTTP/1.1", 400),
            ("GET http://localhost/health HTTP/1.1", 400),
            ("GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost", 400),
            (
                "GET /health HTTP/1.1\r\nHost: localhost\r\nhost: evil.example",
                400,
            ),
            ("GET /health HTTP/1.0\r\nHost: a\r\nHost: b", 400),
            ("GET /health HTTP/1.1\r\nHost:", 400),
            ("GET /health HTTP/1.1\r\nHost: a b", 400),
            ("GET /health HTTP/1.1\r\nHost: a, b", 400),
            ("GET /health HTTP/1.1\r\nHost: a/b", 400),
            ("GET /health HTTP/1.1\r\nHost: ada@localhost", 400),
            ("GET /health HTTP/1.1\r\nHost: localhost:port", 400),
            ("GET /health HTTP/1.1\r\nHost: localhost:99999", 400),
            ("GET /health HTTP/1.1\r\nHost: http://localhost", 400),
            ("GET /health HTTP/1.1\r\nHost: [::1", 400),
            ("GET /health HTTP/1.1\r\nHost: ::1", 400),
            ("GET /health HTTP/1.1\r\nHost: héron", 400),
            ("GET http://ada@localhost/health HTTP/1.1\r\nHost: localhost", 400),
            ("GET ftp://localhost/health HTTP/1.1\r\nHost: localhost", 400),
            ("GET http://localhost/health HTTP/1.1\r\nHost: a b", 400),
        ] {
            let (answered, answer) = raw(address, &format!("{head}\r\nConnection: close\r\n\r\n")).await;
            assert_eq!(answered, status, "{head:?}: {answer}");
        }
    }
    let (status, answer) = raw(gateway.address, "GET * HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status, 400);
    assert!(!answer.contains("Host"), "the path is wrong too: {answer}");
    // The origin is compared with the host of the target.
    let request = |target: &str| {
        format!(
            "POST {target} HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{QUERY}",
            QUERY.len()
        )
    };
    let (status, _) = raw(gateway.address, &request("http://photos.example/graphql")).await;
    assert_eq!(status, 403);
}

#[tokio::test]
async fn each_coding_has_its_own_tag() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let gateway = Gateway::start_with(&fakes, &[("--app-dir", app.path().to_str().unwrap())]).await;
    for path in ["/about/ranking", "/feeds/latest.atom"] {
        let mut tags = Vec::new();
        for coding in ["br", "gzip", "identity"] {
            let request = || gateway.get(path).header("accept-encoding", coding);
            let answer = request().send().await.unwrap();
            assert_eq!(
                header(&answer, "content-encoding"),
                Some(coding).filter(|coding| *coding != "identity")
            );
            assert!(header(&answer, "vary").unwrap().contains("accept-encoding"));
            let tag = header(&answer, "etag").unwrap().to_owned();
            assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
            for (tags, status) in [
                (tag.clone(), 304),
                (format!("W/{tag}"), 304),
                (format!("\"x\", {tag}"), 304),
                (format!("\"a,b\",W/\"c\" ,W/{tag}"), 304),
                ("*".to_owned(), 304),
                ("\"x\"".to_owned(), 200),
                (tag.trim_matches('"').to_owned(), 200),
                ("\"*\"".to_owned(), 200),
            ] {
                let again = request().header("if-none-match", &tags).send().await.unwrap();
                assert_eq!(again.status(), status, "{tags} of {path} as {coding}");
                assert_eq!(header(&again, "etag"), Some(tag.as_str()));
                assert!(header(&again, "vary").unwrap().contains("accept-encoding"));
            }
            let again = request()
                .header("if-none-match", "\"x\"")
                .header("if-none-match", &tag);
            assert_eq!(again.send().await.unwrap().status(), 304, "two lines of one list");
            tags.push(tag);
        }
        tags.dedup();
        assert_eq!(tags.len(), 3, "{tags:?}");
    }
    let missing = gateway
        .get("/nowhere")
        .header("if-none-match", "*")
        .send()
        .await
        .unwrap();
    assert_eq!(missing.status(), 404);
}

/// RFC 9110, 8.6: a length would be that of the document.
#[tokio::test]
async fn unchanged_documents_have_no_length() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let gateway = Gateway::start_with(&fakes, &[("--app-dir", app.path().to_str().unwrap())]).await;
    for (path, tag) in [
        ("/", "*"),
        ("/about/ranking", "*"),
        ("/feeds/latest.atom", "*"),
        ("/sitemap.xml", "*"),
        ("/robots.txt", "*"),
        ("/media/a", "\"v1\""),
    ] {
        for method in ["GET", "HEAD"] {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: {tag}\r\nConnection: close\r\n\r\n"
            );
            let (status, answer) = raw(gateway.address, &request).await;
            assert_eq!(status, 304, "{path}: {answer}");
            assert!(
                !answer.to_lowercase().contains("content-length"),
                "{path}: {answer}"
            );
            assert!(answer.ends_with("\r\n\r\n"), "{path}: {answer}");
        }
    }
}

#[tokio::test]
async fn the_response_type_is_negotiated() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    for (accept, status, content_type) in [
        ("*/*", 200, "application/json"),
        ("application/json", 200, "application/json"),
        (
            "application/graphql-response+json",
            200,
            "application/graphql-response+json",
        ),
        (
            "application/graphql-response+json;q=0.1, application/json",
            200,
            "application/json",
        ),
        (
            "application/graphql-response+json, application/json;q=0.9",
            200,
            "application/graphql-response+json",
        ),
        (
            "text/html, image/gif, *; q=.2, */*; q=.2",
            200,
            "application/json",
        ),
        ("image/png", 406, "application/json"),
        ("text/html", 406, "application/json"),
        ("application/json;q=0", 406, "application/json"),
        ("application/json; charset=utf-8", 200, "application/json"),
        (
            "application/graphql-response+json; charset=utf-8, application/json; charset=utf-8",
            200,
            "application/graphql-response+json",
        ),
        ("text/event-stream", 406, "application/json"),
        ("multipart/mixed", 406, "application/json"),
        ("text/*", 406, "application/json"),
        ("multipart/*", 406, "application/json"),
        ("text/event-stream, */*;q=0.1", 200, "application/json"),
    ] {
        let request = gateway.operation("{ viewer { email } }").header("accept", accept);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{accept}");
        assert!(
            header(&answer, "content-type").unwrap().starts_with(content_type),
            "{accept}: {answer:?}"
        );
        let answer: Value = answer.json().await.unwrap();
        if status == 406 {
            assert_eq!(code(&answer), "INVALID_INPUT");
            assert!(
                answer["errors"][0]["message"]
                    .as_str()
                    .unwrap()
                    .contains("application/json")
            );
        } else {
            assert_eq!(answer["data"]["viewer"]["email"], "ada@example.org");
        }
    }
}

#[tokio::test]
async fn a_draining_router_is_not_ready() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start_with(&fakes, &[("--shutdown-delay", "3")]).await;
    let id = gateway.process.id().unwrap().to_string();
    let killed = tokio::process::Command::new("kill")
        .arg(id)
        .status()
        .await
        .unwrap();
    assert!(killed.success());
    tokio::time::sleep(Duration::from_millis(300)).await;
    for base in [gateway.url(""), format!("http://{}", gateway.internal)] {
        for method in ["GET", "HEAD", "POST", "OPTIONS", "PUT"] {
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            for path in ["/readiness", "/readines%73"] {
                let request = gateway.http.request(method.clone(), format!("{base}{path}"));
                assert_eq!(
                    request.send().await.unwrap().status(),
                    503,
                    "{method} {base}{path}"
                );
            }
            let alive = gateway.http.head(format!("{base}/health")).send().await.unwrap();
            assert_eq!(alive.status(), 200);
        }
    }
}

/// Bodies that other servers accept as operations.
#[tokio::test]
async fn an_operation_is_one_json_object() {
    let fakes = Fakes::start().await;
    let mut gateway = Gateway::start(&fakes).await;
    let ours = "X-Proofsheet: 1\r\n";
    let json = "Content-Type: application/json\r\n";
    let deep = "[".repeat(20_000);
    let multipart = format!(
        "--b\r\nContent-Disposition: form-data; name=\"operations\"\r\n\r\n{{\"query\":\"{{a}}\",\"variables\":{deep}\r\n--b--"
    );
    for (headers, body, status) in [
        (json.to_owned(), format!("[{QUERY}]"), 400),
        (json.to_owned(), format!("[{QUERY},{QUERY}]"), 400),
        (json.to_owned(), "[]".to_owned(), 400),
        (json.to_owned(), "null".to_owned(), 400),
        (json.to_owned(), String::new(), 400),
        (json.to_owned(), format!("\u{feff}{QUERY}"), 400),
        (json.to_owned(), format!("{QUERY}{QUERY}"), 400),
        (
            json.to_owned(),
            QUERY.replace("\"query\"", "\"query\":\"{a}\",\"query\""),
            400,
        ),
        (json.to_owned(), QUERY.replace('}', ",\"variables\":[]}"), 400),
        (
            json.to_owned(),
            format!("[{{\"query\":\"{{a}}\",\"variables\":{deep}"),
            400,
        ),
        (
            json.to_owned(),
            format!("{{\"query\":\"{{a}}\",\"documentId\":{deep}"),
            400,
        ),
        (json.to_owned(), format!("{{\"operationName\":{deep}"), 400),
        (json.to_owned(), format!("{{\"query\":{deep}"), 400),
        (json.to_owned(), format!("{{\"{deep}\":{deep}"), 400),
        (
            json.to_owned(),
            format!("{{\"variables\":{{\"a\":\"\\\"\",\"b\":{deep}"),
            400,
        ),
        (
            format!("{json}Content-Encoding: gzip\r\n"),
            "\u{1f}not gzip".to_owned(),
            415,
        ),
        (
            format!("{ours}Content-Type: multipart/form-data; boundary=b\r\n"),
            multipart.clone(),
            415,
        ),
        (
            "Content-Type: multipart/form-data; boundary=b\r\n".to_owned(),
            multipart,
            403,
        ),
        (
            format!("{ours}Content-Type: application/graphql\r\n"),
            "{ viewer { email } }".to_owned(),
            415,
        ),
        (
            format!("{ours}Content-Type: application/x-www-form-urlencoded\r\n"),
            format!("variables={deep}"),
            415,
        ),
        (
            format!("{json}Content-Type: text/plain\r\n"),
            QUERY.to_owned(),
            403,
        ),
    ] {
        let (answered, answer) = post(&gateway, "/graphql", &headers, &body).await;
        let start: String = body.chars().take(60).collect();
        assert_eq!(answered, status, "{headers}{start}: {answer}");
        assert!(
            answer.contains("INVALID_INPUT") || status == 403,
            "{start}: {answer}"
        );
    }
    // The query parameters of a POST are used too.
    for name in ["variables", "extensions", "x"] {
        let target = format!("/graphql?{name}={}", "%5B".repeat(5_000));
        let (status, answer) = post(&gateway, &target, json, QUERY).await;
        assert_eq!(status, 400, "{answer}");
    }
    // The guard checks all of them.
    let upgrade = "GET /graphql HTTP/1.1\r\nHost: localhost\r\nX-Proofsheet: 1\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let (status, answer) = raw(gateway.address, upgrade).await;
    assert_eq!(status, 400, "{answer}");
    assert_eq!(gateway.process.try_wait().unwrap(), None, "the router has ended");
    let (status, answer) = post(&gateway, "/graphql", json, QUERY).await;
    assert!(status == 200 && answer.contains("ada@example.org"), "{answer}");
}
