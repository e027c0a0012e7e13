//! Requests at each limit pass; one more fails with a message that contains the limit.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::fakes::{Fakes, Token};
use crate::gateway::{Gateway, code, header};

#[track_caller]
fn passes(answer: &Value) {
    assert!(answer.get("errors").is_none(), "{answer:#}");
}

#[track_caller]
fn assert_refused_with_limit(answer: &Value, limit: &str) {
    assert_eq!(code(answer), "INVALID_INPUT");
    let message = answer["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains(limit), "{message} should name {limit}");
    assert!(answer.get("data").is_none_or(Value::is_null));
}

/// `photo { author { photos { nodes { author { … id` nested to this number of levels, with a part in a fragment.
fn nested(levels: usize) -> String {
    let names = ["author", "photos(first: 1)", "nodes"];
    let wrap = |count: usize, offset: usize, core: &str| {
        (0..count).rev().fold(core.to_owned(), |inner, level| {
            format!("{} {{ {inner} }}", names[(level + offset) % 3])
        })
    };
    // Root and leaf count as levels. Six levels are in the fragment, which must be counted.
    let fragment = wrap(levels - 5, 0, "__typename");
    format!(
        "{{ photo(id: \"01936f5e-7c00-7000-8000-000000000001\") {{ {} }} }} fragment Deep on Photo {{ {fragment} }}",
        wrap(3, 0, "...Deep")
    )
}

#[tokio::test]
async fn depth_is_limited_with_fragments_expanded() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    passes(&gateway.query(&nested(10)).await);
    assert_refused_with_limit(&gateway.query(&nested(11)).await, "10");
}

#[tokio::test]
async fn the_number_of_aliases_is_limited() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    let names: Vec<_> = (0..15).map(|number| format!("a{number}")).collect();
    // In the operation, in fragments that are spread once or twice, and in nested selections: the service receives the
    // selected fields, and the response has all aliases.
    let fields = |names: &[String]| {
        names.iter().fold(String::new(), |mut fields, name| {
            write!(fields, "{name}: usernameAvailable(username: \"ada\") ").unwrap();
            fields
        })
    };
    let answered = |names: &[String]| {
        let data: serde_json::Map<_, _> = names.iter().map(|name| (name.clone(), json!(true))).collect();
        json!({ "data": data })
    };
    let spread = |names: &[String]| format!("{{ ...F }} fragment F on Query {{ {} }}", fields(names));
    for fake in fakes.all() {
        fake.answer_with(answered(&names));
    }
    for query in [format!("{{ {} }}", fields(&names)), spread(&names)] {
        let answer = gateway.query(&query).await;
        assert_eq!(answer, answered(&names), "{query}");
    }
    let one_more = [&names[..], &["b".to_owned()]].concat();
    fakes["profile"].take_seen();
    for query in [
        format!("{{ {} }}", fields(&one_more)),
        spread(&one_more),
        format!(
            "{{ {} ...F }} fragment F on Query {{ {} }}",
            fields(&names[..10]),
            fields(&one_more[10..])
        ),
        format!("{{ {} viewer {{ b: email }} }}", fields(&names)),
        format!("{{ {} }}", "a: usernameAvailable(username: \"ada\") ".repeat(16)),
        format!("{{ {} }} {{ viewer {{ b: email }} }}", fields(&names)),
    ] {
        assert_refused_with_limit(&gateway.query(&query).await, "15");
    }
    assert!(
        fakes["profile"].take_seen().is_empty(),
        "refused before anything is asked"
    );
}

#[tokio::test]
async fn the_number_of_directives_is_limited() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    let directed = |count: usize| {
        let fields: String = (0..count)
            .map(|_| "... @include(if: true) { __typename } ")
            .collect();
        format!("{{ viewer {{ email {fields} }} }}")
    };
    passes(&gateway.query(&directed(10)).await);
    assert_refused_with_limit(&gateway.query(&directed(11)).await, "10");
}

#[tokio::test]
async fn the_number_of_tokens_is_limited() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    // `{ viewer { … } }` has five tokens, and each field one.
    let long = |tokens: usize| {
        let fields: String = (5..tokens)
            .map(|number| ["email ", "__typename "][number % 2])
            .collect();
        format!("{{ viewer {{ {fields} }} }}")
    };
    passes(&gateway.query(&long(1000)).await);
    assert_refused_with_limit(&gateway.query(&long(1001)).await, "1000");
    let repeated = |times: usize| format!("{{ viewer {{ {} }} }}", "email ".repeat(times));
    passes(&gateway.query(&repeated(500)).await);
    assert_refused_with_limit(&gateway.query(&repeated(501)).await, "500");
}

#[tokio::test]
async fn the_size_of_a_request_is_limited() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    let sized = |size: usize| {
        let body = json!({ "query": "{ viewer { email } }", "padding": "" }).to_string();
        body.replace("\"\"", &format!("\"{}\"", "x".repeat(size - body.len())))
    };
    let send = async |body: reqwest::Body| -> (u16, Value) {
        let request = gateway
            .http
            .post(gateway.url("/graphql"))
            .header("content-type", "application/json");
        let answer = request.body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    };
    let under = sized(64 * 1024);
    assert_eq!(under.len(), 64 * 1024);
    passes(&send(under.into()).await.1);
    let (status, answer) = send(sized(64 * 1024 + 1).into()).await;
    assert_eq!(status, 413);
    assert_refused_with_limit(&answer, "64 KiB");
    // Without Content-Length the size is only known while reading.
    let chunks = futures::stream::iter(vec![Ok::<_, std::io::Error>(sized(64 * 1024 + 1))]);
    let (status, answer) = send(reqwest::Body::wrap_stream(chunks)).await;
    assert_eq!(status, 413);
    assert_refused_with_limit(&answer, "64 KiB");
}

#[tokio::test]
async fn the_estimated_cost_is_limited() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    let tile = "id title author { username } votes { score } commentCount";
    passes(
        &gateway
            .query(&format!(
                "{{ latestPhotos(first: 100) {{ nodes {{ {tile} }} }} }}"
            ))
            .await,
    );
    let nested = "{ latestPhotos { nodes { comments { nodes { body author { username } } } } } }";
    fakes["photo"].take_seen();
    assert_refused_with_limit(&gateway.query(nested).await, "2000");
    assert!(
        fakes["photo"].take_seen().is_empty(),
        "refused before anything is asked"
    );

    let operation = json!({
        "query": "query ($first: Int!) { latestPhotos(first: $first) { nodes { comments(first: $first) { nodes { id } } } } }",
        "variables": { "first": 100 },
    });
    let answer = gateway
        .http
        .post(gateway.url("/graphql"))
        .json(&operation)
        .send()
        .await
        .unwrap();
    assert_refused_with_limit(&answer.json().await.unwrap(), "2000");
}

#[tokio::test]
async fn nested_introspection_is_limited() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    passes(
        &gateway
            .query("{ __schema { types { fields { args { type { ofType { name } } } } } } }")
            .await,
    );
    let circles = "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }";
    assert_refused_with_limit(&gateway.query(circles).await, "3");
}

#[tokio::test]
async fn requests_per_minute_and_address_are_limited() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start_with(
        &fakes,
        &[("--rate-limit-graphql", "5"), ("--rate-limit-uploads", "1")],
    )
    .await;
    for _ in 0..5 {
        passes(&gateway.query("{ viewer { email } }").await);
    }
    let answer = gateway.operation("{ viewer { email } }").send().await.unwrap();
    assert_eq!(answer.status(), 429);
    assert!(header(&answer, "retry-after").is_some());
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(code(&answer), "RATE_LIMITED");
    assert!(
        (1..=13).contains(
            &answer["errors"][0]["extensions"]["retryAfterSeconds"]
                .as_u64()
                .unwrap()
        )
    );

    // Uploads have a separate limit, and a response in plain JSON.
    let upload = async || {
        gateway
            .http
            .post(gateway.url("/media/uploads"))
            .body("x")
            .send()
            .await
            .unwrap()
    };
    assert_eq!(upload().await.status(), 401);
    let answer = upload().await;
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.json::<Value>().await.unwrap()["code"], "RATE_LIMITED");
    // Reading the site is not limited.
    assert_eq!(gateway.get("/health").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn half_sent_requests_hold_no_permit() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start_with(&fakes, &[("--max-concurrent-operations", "2")]).await;
    let head = "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let mut stalled = Vec::new();
    for rest in [
        "Content-Length: 100\r\n\r\n",
        "Content-Length: 100\r\n\r\n{\"query\":",
        "Transfer-Encoding: chunked\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"que",
    ]
    .repeat(5)
    {
        let mut connection = TcpStream::connect(gateway.address).await.unwrap();
        connection
            .write_all(format!("{head}{rest}").as_bytes())
            .await
            .unwrap();
        stalled.push(connection);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    for _ in 0..5 {
        let answer = timeout(Duration::from_millis(400), gateway.query("{ viewer { email } }"));
        passes(&answer.await.expect("no wait for a permit"));
    }
    let answers = futures::future::join_all(stalled.iter_mut().map(async |connection| {
        let mut answer = String::new();
        let read = connection.read_to_string(&mut answer);
        timeout(Duration::from_secs(12), read).await.unwrap().unwrap();
        answer
    }));
    for answer in answers.await {
        assert!(
            answer.starts_with("HTTP/1.1 408 ") && answer.contains("did not arrive in time"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn an_oversize_is_refused_when_it_is_announced() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    let token = Token::good().signed();
    let json = "/graphql HTTP/1.1\r\nContent-Type: application/json";
    let bearer = format!("/media/uploads HTTP/1.1\r\nAuthorization: Bearer {token}");
    let cases = [
        (json, "Content-Length: 1000000", 413),
        (json, "Content-Length: 99999999999", 413),
        ("/media/uploads HTTP/1.1", "Content-Length: 99999999999", 401),
        ("/media/uploads HTTP/1.1", "Transfer-Encoding: chunked", 401),
        (
            "/media/uploads HTTP/1.1\r\nOrigin: https://evil.example",
            "Content-Length: 26000000",
            403,
        ),
        (&bearer, "Content-Length: 26214401", 413),
        (&bearer, "Content-Length: 99999999999", 413),
    ];
    let refused = cases.map(async |(head, length, status)| {
        let mut connection = TcpStream::connect(gateway.address).await.unwrap();
        let request = format!("POST {head}\r\nHost: localhost\r\n{length}\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 4096];
        let read = timeout(Duration::from_secs(1), connection.read(&mut answer)).await;
        let read = read
            .unwrap_or_else(|_| panic!("{request}: no answer at once"))
            .unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {answer}"
        );
        assert!(
            answer.to_lowercase().contains("\r\nconnection: close\r\n"),
            "{request}: {answer}"
        );
        assert!(answer.contains("\"message\":"), "{request}: {answer}");
        // What follows is the body, not another request.
        let rest = connection.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
        rest.await.unwrap();
        let mut rest = Vec::new();
        let read = timeout(Duration::from_secs(8), connection.read_to_end(&mut rest)).await;
        read.expect("the connection is closed").ok();
        assert_eq!(String::from_utf8_lossy(&rest), "", "{request}");
    });
    futures::future::join_all(refused).await;
    // A client that reads the response only after its request gets it, too.
    for size in [64 * 1024 + 1, 3_000_000] {
        let request = gateway.http.post(gateway.url("/graphql"));
        let request = request.header("content-type", "application/json");
        let answer = request.body("x".repeat(size)).send().await.unwrap();
        assert_eq!(answer.status(), 413);
        assert_refused_with_limit(&answer.json().await.unwrap(), "64 KiB");
    }
}

/// A refused request with a short body leaves the connection usable.
#[tokio::test]
async fn a_refusal_keeps_the_connection() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    let mut connection = TcpStream::connect(gateway.address).await.unwrap();
    let head =
        "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 50\r\n\r\n";
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 4096];
    let read = connection.read(&mut answer).await.unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 403 "));
    connection.write_all(&[b'\n'; 25]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    connection.write_all(&[b'\n'; 25]).await.unwrap();
    let next = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    connection.write_all(next).await.unwrap();
    let mut rest = String::new();
    connection.read_to_string(&mut rest).await.unwrap();
    assert!(
        rest.starts_with("HTTP/1.1 200 ") && rest.ends_with("ok\n"),
        "{rest}"
    );
}
