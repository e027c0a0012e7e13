//! HTTP: targets, hosts, methods, entity tags. Requests that clients would normalize are sent as bytes.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::fakes::{Fakes, PHOTO, Token};
use crate::gateway::{Gateway, code, header};
use crate::pages::bundle;

const QUERY: &str = r#"{"query":"{ viewer { email } }"}"#;

/// Sends bytes, and returns the status and the text of the response.
async fn raw(address: std::net::SocketAddr, request: &str) -> (u16, String) {
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = connection.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(5), read).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("{request} → {answer:?}")), answer)
}

async fn get(gateway: &Gateway, target: &str) -> (u16, String) {
    raw(
        gateway.address,
        &format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
    )
    .await
}

async fn post(gateway: &Gateway, target: &str, headers: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let head =
        format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}");
    raw(gateway.address, &format!("{head}\r\n{headers}\r\n{body}")).await
}

#[tokio::test]
async fn escapes_do_not_bypass_the_rules_of_a_path() {
    let fakes = Fakes::start().await;
    let flags = [("--rate-limit-graphql", "12"), ("--rate-limit-uploads", "3")];
    let gateway = Gateway::start_with(&fakes, &flags).await;
    let json = "Content-Type: application/json\r\n";
    let foreign = format!("{json}Origin: https://evil.example\r\n");
    let token = Token::good().signed();
    let upload = format!("Authorization: Bearer {token}\r\nContent-Type: image/jpeg\r\n");

    for target in ["/graphql", "/%67raphql", "/graph%71l", "/%67%72%61%70%68%71%6c"] {
        let (status, answer) = post(&gateway, target, json, QUERY).await;
        assert_eq!(status, 200, "{target}: {answer}");
        assert!(answer.contains("ada@example.org"), "{target}: {answer}");
        assert!(
            answer.to_lowercase().contains("cache-control: no-store"),
            "{target}: {answer}"
        );
        assert_eq!(post(&gateway, target, &foreign, QUERY).await.0, 403, "{target}");
        let (status, _) = post(&gateway, target, "Content-Type: text/plain\r\n", QUERY).await;
        assert_eq!(status, 403, "{target}");
    }
    for target in ["/media/uploads", "/media/%75ploads", "/%6dedia/uploads"] {
        assert_eq!(post(&gateway, target, "", "a photo").await.0, 401, "{target}");
        let foreign = format!("{upload}Origin: https://evil.example\r\n");
        assert_eq!(
            post(&gateway, target, &foreign, "a photo").await.0,
            403,
            "{target}"
        );
    }
    assert!(fakes["photo"].take_seen().is_empty());
    // These were three uploads, and four operations are left.
    let (status, _) = post(&gateway, "/media/%75ploads", &upload, "a photo").await;
    assert_eq!(status, 429);
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(post(&gateway, "/graph%71l", json, QUERY).await.0);
    }
    assert!(statuses.contains(&429), "{statuses:?}");

    for target in [
        "//graphql",
        "/graphql/",
        "/graphql/x",
        "/GraphQL",
        "/graphql;x",
        "/%2567raphql",
        "/media%2fuploads",
        "/x/../graphql",
        "/./graphql",
        "/media/../graphql",
        "/graphql%2f",
        "/%2e%2e/graphql",
        "/graphql%3f",
    ] {
        let (status, answer) = post(&gateway, target, json, QUERY).await;
        assert!(matches!(status, 404 | 405), "{target}: {answer}");
        assert_eq!(get(&gateway, target).await.0, 404, "{target}");
    }
    for target in [
        "/%",
        "/%zz",
        "/graphql%f",
        "/%ff",
        "/%c0%af",
        "/%00",
        "/a%0d%0ab",
        "*",
        "graphql",
    ] {
        let (status, answer) = post(&gateway, target, json, QUERY).await;
        assert_eq!(status, 400, "{target}: {answer}");
    }
}

#[tokio::test]
async fn escapes_do_not_change_a_photo() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    for target in [
        "/media/a/640.avif",
        "/media/%61/640%2eavif",
        "/m%65dia/a/640.avif",
    ] {
        let (status, answer) = get(&gateway, target).await;
        assert_eq!(status, 200, "{target}");
        assert!(answer.ends_with("0123456789"), "{target}: {answer}");
    }
    for target in [
        "/media/",
        "/media//a",
        "/media/a%20b",
        "/media/a?b",
        "/media/%2561",
    ] {
        let (status, answer) = get(&gateway, target).await;
        let is_query = target.contains('?');
        assert_eq!(status, if is_query { 200 } else { 404 }, "{target}: {answer}");
    }
}

#[tokio::test]
async fn escapes_do_not_change_a_page() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let gateway = Gateway::start_with(&fakes, &[("--app-dir", app.path().to_str().unwrap())]).await;
    for target in ["/@ada", "/%40ada", "/@%61da", "/%40%61%64%61", "/@ada/"] {
        let (status, answer) = get(&gateway, target).await;
        assert_eq!(status, 200, "{target}");
        assert!(
            answer.contains("<title>Ada ") && answer.contains("/@ada\">"),
            "{target}: {answer}"
        );
    }
    for target in [
        "/feeds/%40ada.atom",
        "/feeds/@%61da.atom",
        "/f%65eds/@ada.atom",
        "/%73itemap.xml",
        "/robots%2etxt",
    ] {
        assert_eq!(get(&gateway, target).await.0, 200, "{target}");
    }
    assert_eq!(get(&gateway, &format!("/%70/{PHOTO}")).await.0, 200);
    assert_eq!(get(&gateway, "/h%6ft/2026%2d11-22").await.0, 200);
    let (status, answer) = get(&gateway, "/nothing%2fhere").await;
    assert_eq!(status, 404);
    assert!(answer.contains("text/html"), "a page for people: {answer}");
}

#[tokio::test]
async fn unknown_paths_are_not_found() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let gateway = Gateway::start_with(&fakes, &[("--app-dir", app.path().to_str().unwrap())]).await;
    let nothing = json!({ "data": { "photo": null, "user": null, "hotPhotos": { "nodes": [], "pageInfo": { "hasNextPage": false, "endCursor": null } } } });
    for fake in [&fakes["photo"], &fakes["profile"], &fakes["vote"]] {
        fake.answer_with(nothing.clone());
    }
    for path in [
        "/@nobody",
        "/@guest-00000000000000000000000007",
        "/@",
        "/@a.b",
        "/@a/b",
        "/p/heron",
        "/p/",
        &format!("/p/{PHOTO}"),
        &format!("/p/{PHOTO}/x"),
        &format!("/p/{}", PHOTO.replace('-', "")),
        &format!("/p/{{{PHOTO}}}"),
        &format!("/p/urn:uuid:{PHOTO}"),
        "/hot/2026-02-31",
        "/hot/2026-13-01",
        "/hot/0000-00-00",
        "/hot/yesterday",
        "/hot/2026-11-22/x",
        "/trending/x",
        "/about",
        "/nowhere",
        "/index.html",
        "/feeds/nothing.atom",
        "/feeds/@nobody.atom",
        "/feeds/@guest-00000000000000000000000007.atom",
        "/feeds/",
        "/feeds/latest",
        "/sitemaps/2026-02-31.xml",
        "/sitemaps/2026-11-22.xml",
        "/sitemaps/nothing.xml",
        "/media/missing",
        "/assets/nothing.js",
        "/playground/nothing",
        "/metrics",
    ] {
        let answer = gateway.get(path).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
        let head = gateway.http.head(gateway.url(path)).send().await.unwrap();
        assert_eq!(head.status(), 404, "HEAD {path}");
    }
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
