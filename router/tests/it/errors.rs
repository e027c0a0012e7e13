//! Every failure has one of the error codes, and reveals no internals.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fakes::{Fakes, PHOTO};
use crate::gateway::{Gateway, code};

const TIMELINE: &str = "{ latestPhotos { nodes { id title votes { score } commentCount } } }";

/// Asserts that the response contains no name of a service, address, file or library.
#[track_caller]
fn assert_no_internals(answer: &Value) {
    let text = answer["errors"].to_string().to_lowercase();
    for word in [
        "subgraph",
        "127.0.0.1",
        "http://",
        ".rs",
        "hyper",
        "tcp",
        "\"service\"",
        "affectedpath",
        "sql",
    ] {
        assert!(!text.contains(word), "{word} in {text}");
    }
}

#[tokio::test]
async fn client_errors_are_invalid_input() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    for (what, body) in [
        ("no JSON", "nonsense".to_owned()),
        ("no query", json!({}).to_string()),
        ("no GraphQL", json!({ "query": "{ viewer" }).to_string()),
        ("unknown field", json!({ "query": "{ nothing }" }).to_string()),
        ("unknown operation", json!({ "query": "query A { viewer { id } }", "operationName": "B" }).to_string()),
        ("which operation", json!({ "query": "query A { viewer { id } } query B { viewer { id } }" }).to_string()),
        ("variable missing", json!({ "query": "query ($id: ID!) { photo(id: $id) { id } }" }).to_string()),
        (
            "variable of another type",
            json!({ "query": "query ($n: Int!) { latestPhotos(first: $n) { nodes { id } } }", "variables": { "n": "x" } })
                .to_string(),
        ),
        ("argument of another type", json!({ "query": "{ latestPhotos(first: \"x\") { nodes { id } } }" }).to_string()),
        ("subscription", json!({ "query": "subscription { viewer { id } }" }).to_string()),
    ] {
        let request = gateway.http.post(gateway.url("/graphql")).header("content-type", "application/json");
        let answer = request.body(body).send().await.unwrap();
        assert!(!answer.status().is_server_error(), "{what}: {}", answer.status());
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(code(&answer), "INVALID_INPUT", "{what}: {answer:#}");
        assert_no_internals(&answer);
    }
}

#[tokio::test]
async fn a_service_that_is_down_gives_partial_data() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start_with(&fakes, &[("--comment-url", "http://127.0.0.1:9")]).await;
    let answer = gateway.query(TIMELINE).await;
    let photo = &answer["data"]["latestPhotos"]["nodes"][0];
    assert_eq!(photo["title"], "A heron");
    assert_eq!(photo["votes"]["score"], 1);
    assert_eq!(photo["commentCount"], Value::Null);
    assert_eq!(code(&answer), "UNAVAILABLE");
    assert_no_internals(&answer);
}

#[tokio::test]
async fn a_hanging_service_gives_partial_data_after_five_seconds() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    fakes["vote"].delay(Duration::from_secs(20));
    let started = Instant::now();
    let answer = gateway.query(TIMELINE).await;
    assert!(
        (4..8).contains(&started.elapsed().as_secs()),
        "{:?}",
        started.elapsed()
    );
    let photo = &answer["data"]["latestPhotos"]["nodes"][0];
    assert_eq!(
        (&photo["votes"], &photo["commentCount"]),
        (&Value::Null, &json!(3))
    );
    assert_eq!(code(&answer), "UNAVAILABLE");
    assert_no_internals(&answer);
}

#[tokio::test]
async fn messages_of_services_pass_without_internals() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    let answer_with = |error: Value| {
        fakes["photo"].answer_with(json!({ "data": { "photo": null }, "errors": [error] }));
    };
    let query = format!("{{ photo(id: \"{PHOTO}\") {{ title }} }}");

    answer_with(json!({
        "message": "This is not the id of a photo.",
        "path": ["photo"],
        "extensions": { "code": "INVALID_INPUT", "field": "id", "trace": "at store.rs:7", "retryAfterSeconds": 3 },
    }));
    let answer = gateway.query(&query).await;
    assert_eq!(answer["errors"][0]["message"], "This is not the id of a photo.");
    assert_eq!(
        answer["errors"][0]["extensions"],
        json!({ "code": "INVALID_INPUT", "field": "id", "retryAfterSeconds": 3 })
    );

    answer_with(json!({
        "message": "SELECT * FROM photo: table is gone",
        "path": ["photo"],
        "extensions": { "code": "INTERNAL", "requestId": "theirs" },
    }));
    let answer: Value = gateway
        .operation(&query)
        .header("x-request-id", "ours")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        answer["errors"][0]["extensions"],
        json!({ "code": "INTERNAL", "requestId": "ours" })
    );
    assert_no_internals(&answer);

    answer_with(json!({ "message": "panicked at src/lib.rs:3, table photo, SQL" }));
    let answer = gateway.query(&query).await;
    assert_eq!(code(&answer), "INTERNAL");
    assert_no_internals(&answer);
}

#[tokio::test]
async fn a_malformed_response_of_a_service_is_an_outage() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    fakes["photo"].answer_with(json!("not a GraphQL answer"));
    let answer = gateway.query(TIMELINE).await;
    assert!(["UNAVAILABLE", "INTERNAL"].contains(&code(&answer)), "{answer:#}");
    assert_no_internals(&answer);
}

/// Passwords and tokens are variables.
#[tokio::test]
async fn values_of_variables_are_neither_logged_nor_echoed() {
    const SECRET: &str = "XYZZY-correct-horse";
    let fakes = Fakes::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (log, program) = (folder.path().join("log"), folder.path().join("router"));
    let script = format!(
        "#!/bin/sh\nexec {} \"$@\" >{} 2>&1\n",
        env!("CARGO_BIN_EXE_router"),
        log.display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let gateway = Gateway::start_program(&program, &fakes, &[("--log-filter", "debug")]).await;
    let login = "mutation ($input: LoginInput!) { login(input: $input) { accessToken } }";
    let refresh = "mutation ($token: String) { refreshSession(refreshToken: $token) { accessToken } }";
    let vote = "mutation ($photo: ID!, $vote: VoteChoice!) { castVote(photoId: $photo, vote: $vote) { id } }";
    for (query, variables) in [
        (login, json!({ "input": { "password": SECRET } })),
        (
            login,
            json!({ "input": { "email": "a@example.org", "password": SECRET, "x": SECRET } }),
        ),
        (
            login,
            json!({ "input": { "email": { "a": SECRET }, "password": SECRET } }),
        ),
        (
            login,
            json!({ "input": { "email": [SECRET], "password": [SECRET] } }),
        ),
        (login, json!({ "input": SECRET })),
        (login, json!({ "input": [SECRET, SECRET] })),
        (login, json!({ "input": { "email": SECRET, "password": SECRET } })),
        (refresh, json!({ "token": { "a": SECRET } })),
        (refresh, json!({ "token": SECRET, "unknown": SECRET })),
        (vote, json!({ "photo": PHOTO, "vote": SECRET })),
        (vote, json!({ "photo": PHOTO, "vote": [SECRET] })),
        (
            "query ($first: Int) { latestPhotos(first: $first) { nodes { id } } }",
            json!({ "first": SECRET }),
        ),
        (
            "query ($id: ID!) { photo(id: $id) { id } }",
            json!({ "id": { "a": SECRET } }),
        ),
        (
            "query ($yes: Boolean!) { viewer { email @include(if: $yes) } }",
            json!({ "yes": SECRET }),
        ),
        (
            "query ($unused: Int) { viewer { email } }",
            json!({ "unused": SECRET }),
        ),
    ] {
        let body = json!({ "query": query, "variables": variables });
        let answer = gateway
            .http
            .post(gateway.url("/graphql"))
            .json(&body)
            .send()
            .await
            .unwrap();
        let answer = answer.text().await.unwrap();
        assert!(!answer.contains(SECRET), "{query} {variables}: {answer}");
        assert!(answer.len() < 600, "{answer}");
    }
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("the router is serving"), "{log}");
    let line = log.lines().find(|line| line.contains(SECRET));
    assert_eq!(line, None);
}
