//! Requests that crashed or blocked the library: the router refuses them and keeps serving.

use std::time::{Duration, Instant};

use reqwest::Response;
use serde_json::Value;

use crate::fakes::{Fakes, PHOTO};
use crate::gateway::{Gateway, code};

/// Maximum time of a response. Development builds on a busy machine are several times slower than release builds.
const SLOWEST: Duration = Duration::from_secs(2);

async fn post(gateway: &Gateway, body: String) -> Response {
    let request = gateway.http.post(gateway.url("/graphql"));
    let request = request.header("content-type", "application/json");
    request.body(body).send().await.unwrap()
}

#[track_caller]
fn assert_refused(answer: &Value, words: &str) {
    assert_eq!(code(answer), "INVALID_INPUT", "{answer}");
    let message = answer["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains(words), "{message} should say {words}");
    assert!(answer.get("data").is_none_or(Value::is_null), "{answer}");
}

/// Asserts that a query is refused, and quickly.
async fn refused(gateway: &Gateway, query: &str, words: &str) {
    let started = Instant::now();
    let answer = gateway.query(query).await;
    assert!(
        started.elapsed() < SLOWEST,
        "{query} took {:?}",
        started.elapsed()
    );
    assert_refused(&answer, words);
}

async fn assert_alive(gateway: &mut Gateway) {
    assert_eq!(gateway.process.try_wait().unwrap(), None, "the router has ended");
    let answer = gateway.query("{ viewer { email } }").await;
    assert!(answer.get("errors").is_none(), "{answer}");
}

#[tokio::test]
async fn deep_json_is_refused() {
    let fakes = Fakes::start().await;
    let mut gateway = Gateway::start(&fakes).await;
    let query = "{ viewer { email } }";
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for levels in [33, 200, 5_000, 10_000] {
            let deep = format!("{}1{}", open.repeat(levels), close.repeat(levels));
            for body in [
                format!(r#"{{"query":"{query}","variables":{{"a":{deep}}}}}"#),
                format!(r#"{{"query":"{query}","variables":{deep}}}"#),
                format!(r#"{{"query":"{query}","extensions":{{"a":{deep}}}}}"#),
                format!(r#"{{"query":"{query}","unknown":{deep}}}"#),
                format!(r#"{{"query":{deep}}}"#),
                deep.clone(),
                format!("[{{\"query\":\"{query}\",\"variables\":{deep}}}]"),
                open.repeat(levels),
            ] {
                let answer = post(&gateway, body).await;
                assert_eq!(answer.status(), 400);
                assert_refused(&answer.json().await.unwrap(), "32 levels");
            }
            if levels < 5_000 {
                for name in ["variables", "extensions"] {
                    let request = gateway.get("/graphql").header("x-proofsheet", "1");
                    let request = request.query(&[("query", query), (name, &deep)]);
                    let answer = request.send().await.unwrap();
                    assert_eq!(answer.status(), 400);
                    assert_refused(&answer.json().await.unwrap(), "32 levels");
                }
            }
        }
    }
    assert_alive(&mut gateway).await;
}

#[tokio::test]
async fn fragment_cycles_are_refused() {
    let fakes = Fakes::start().await;
    let mut gateway = Gateway::start(&fakes).await;
    for cycle in [
        "fragment A on Query{...A} {...A}",
        "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
        "mutation { ...A } fragment A on Mutation { logout ...A }",
        "{ ...A } fragment A on Query { ...A @include(if: true) }",
        "{ __schema { types { ...A } } } fragment A on __Type { ofType { ...A } }",
        "{ viewer { email } } fragment A on Query { ... on Query { ...A } }",
    ] {
        refused(&gateway, cycle, "cannot spread itself").await;
    }
    assert_alive(&mut gateway).await;
}

#[tokio::test]
async fn fragment_expansion_is_limited() {
    let fakes = Fakes::start().await;
    let mut gateway = Gateway::start(&fakes).await;
    let mut eights = "{ ...F0 }".to_owned();
    for level in 0..7 {
        eights.extend([format!(
            " fragment F{level} on Query {{ {} }}",
            format!("...F{} ", level + 1).repeat(8)
        )]);
    }
    eights += " fragment F7 on Query { viewer { email } }";
    refused(&gateway, &eights, "2000 selections").await;
    refused(
        &gateway,
        &format!("{}a{}", "{a".repeat(45), "}".repeat(45)),
        "40 levels of brackets",
    )
    .await;
    let list = format!(
        "query ($a: {}Int{}) {{ viewer {{ email }} }}",
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    refused(&gateway, &list, "40 levels of brackets").await;
    assert_alive(&mut gateway).await;
}

#[tokio::test]
async fn reserved_names_are_refused() {
    let fakes = Fakes::start().await;
    let mut gateway = Gateway::start(&fakes).await;
    let photo = |fields: &str| format!("{{ photo(id: \"{PHOTO}\") {{ {fields} }} }}");
    for (query, words) in [
        (photo("__typename: title votes { up }"), "__typename"),
        ("{ __foo }".to_owned(), "__foo"),
        (
            "{ latestPhotos(first: 1) { __x nodes { id } } }".to_owned(),
            "__x",
        ),
        (
            photo("_internal_qp_alias_0: title votes { up }"),
            "_internal_qp_alias_0",
        ),
        (photo("author { id: username displayName }"), "id"),
    ] {
        refused(&gateway, &query, words).await;
    }
    assert_alive(&mut gateway).await;
}

#[tokio::test]
async fn numbers_out_of_range_are_refused() {
    let fakes = Fakes::start().await;
    let mut gateway = Gateway::start(&fakes).await;
    for number in [
        "1e888888",
        "1e999999",
        &"9".repeat(60_000),
        "-1e400",
        "9223372036854775808",
    ] {
        let literal = format!("{{ latestPhotos(first: {number}) {{ nodes {{ id }} }} }}");
        let answer = gateway.query(&literal).await;
        assert_eq!(code(&answer), "INVALID_INPUT", "{answer}");
        let query = "query ($n: Int!) { latestPhotos(first: $n) { nodes { id } } }";
        let body = format!(r#"{{"query":"{query}","variables":{{"n":{number}}}}}"#);
        let answer: Value = post(&gateway, body).await.json().await.unwrap();
        assert_eq!(code(&answer), "INVALID_INPUT", "{answer}");
    }
    assert_alive(&mut gateway).await;
}

#[tokio::test]
async fn a_whole_float_is_an_integer() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    let query = "query ($n: Int!) { latestPhotos(first: $n) { nodes { id } } }";
    let ask = async |number: &str| -> Value {
        let body = format!(r#"{{"query":"{query}","variables":{{"n":{number}}}}}"#);
        post(&gateway, body).await.json().await.unwrap()
    };
    assert!(ask("5.0").await.get("errors").is_none());
    assert!(ask("5e0").await.get("errors").is_none());
    assert_refused(
        &ask("5.5").await,
        "\"$n\" has invalid value: Int cannot represent non-integer",
    );
}

#[tokio::test]
async fn conflicting_fields_are_refused_before_validation() {
    let fakes = Fakes::start().await;
    let mut gateway = Gateway::start(&fakes).await;
    let title_or_date = "a: title a: createdAt ".repeat(160);
    let query = format!("{{ photo(id: \"{PHOTO}\") {{ {title_or_date} }} }}");
    refused(&gateway, &query, "15").await;
    let users: Vec<String> = (0..100)
        .map(|i| format!("user(username: \"{i}\") {{ id }} "))
        .collect();
    refused(
        &gateway,
        &format!("{{ {} }}", users.concat()),
        "32 selections of one name",
    )
    .await;
    assert_alive(&mut gateway).await;
}

/// The library's error message would read freed memory, and crash a development build.
#[tokio::test]
async fn syntax_errors_have_a_message() {
    let fakes = Fakes::start().await;
    let mut gateway = Gateway::start(&fakes).await;
    for (document, words) in [
        (
            "mutation { ...F0 } fragment F0 on Mutatruetion { __typename  ...F1   } fragme}",
            "fragme",
        ),
        (
            "{ photo(id: [[P[[[[[[[[[1]]]variables]]null]]]]]]_mutation _typename]) { id } }",
            "_typename",
        ),
        (
            "{ photo(id: [[[[[[[[[[[[1]]]]]nj9999emaqmel]]]],]]__typename]) { id } }__schema",
            "__schema",
        ),
    ] {
        for _ in 0..20 {
            refused(&gateway, document, words).await;
        }
    }
    for document in [
        "",
        " ",
        "{",
        "}",
        "{ a ",
        "query",
        "\u{0}",
        "{ a(b: \"c) }",
        "{ é }",
        "fragment",
    ] {
        refused(&gateway, document, "cannot be parsed").await;
    }
    assert_alive(&mut gateway).await;
}

#[tokio::test]
async fn the_schema_is_described_on_the_query_type_only() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    for query in [
        "{ __schema { queryType { name } } }",
        "{ ... on Query { __type(name: \"Photo\") { name } } }",
        "{ ...F } fragment F on Query { __schema { queryType { name } } viewer { __typename id } }",
    ] {
        let answer = gateway.query(query).await;
        assert!(answer.get("errors").is_none(), "{query}: {answer}");
    }
    for query in [
        "mutation { __schema { types { name } } }",
        "mutation { ... on Query { __schema { types { name } } } }",
        "{ viewer { id __schema { types { name } } } }",
        "{ viewer { id ... on Query { __schema { types { name } } } } }",
        "{ viewer { id __type(name: \"Photo\") { name } } }",
        "{ __schema { types { __schema { types { name } } } } }",
    ] {
        let answer = gateway.query(query).await;
        assert_eq!(code(&answer), "INVALID_INPUT", "{query}: {answer}");
    }
}
