//! Traces of requests through the router, the services and their SQL statements.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use harness::system::{Options, SERVICES, System};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message as _;
use serde_json::json;

#[derive(Debug, Clone)]
struct Span {
    service: String,
    name: String,
    trace: String,
    id: String,
    parent: String,
    statement: Option<String>,
}

type Spans = Arc<Mutex<Vec<Span>>>;

/// Starts a collector that stores the spans it receives.
async fn collector() -> (String, Spans) {
    let spans = Spans::default();
    let routes = Router::new()
        .route("/v1/traces", post(receive))
        .with_state(spans.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (url, spans)
}

async fn receive(State(spans): State<Spans>, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    for resource_spans in request.resource_spans {
        let resource = resource_spans.resource.unwrap();
        let service = attribute(&resource.attributes, "service.name").unwrap();
        for span in resource_spans
            .scope_spans
            .into_iter()
            .flat_map(|scope| scope.spans)
        {
            spans.lock().unwrap().push(Span {
                service: service.clone(),
                name: span.name,
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                statement: attribute(&span.attributes, "db.query.text"),
            });
        }
    }
}

fn attribute(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

async fn start(collector: &str, ratio: &str) -> System {
    let mut environment: Vec<(String, String, String)> = Vec::new();
    for program in SERVICES.iter().copied().chain(["router"]) {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector),
            ("TRACE_RATIO", ratio),
            ("LOG_FORMAT", "json"),
        ] {
            environment.push((program.to_owned(), name.to_owned(), value.to_owned()));
        }
    }
    environment.push((
        "photo".to_owned(),
        "RUST_LOG".to_owned(),
        "chassis=debug".to_owned(),
    ));
    let options = Options {
        environment,
        ..Options::default()
    };
    System::start(options).await.unwrap()
}

async fn send_query(system: &System, query: &str, traceparent: &str) -> String {
    let answer = reqwest::Client::new()
        .post(format!("{}/graphql", system.base_url()))
        .header("x-proofsheet", "1")
        .header("traceparent", traceparent)
        .json(&json!({ "query": query }))
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
    answer.headers()["x-request-id"].to_str().unwrap().to_owned()
}

/// Waits for a log line of a program that contains `words`, and returns its fields.
async fn log_line(system: &System, program: &str, words: &str) -> HashMap<String, serde_json::Value> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let log = system.log(program);
        let lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        if let Some(found) = lines.into_iter().find(|line| line.contains(words)) {
            return serde_json::from_str(found).unwrap();
        }
        assert!(Instant::now() < deadline, "no log line with {words}: {log}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_trace_contains_the_router_the_services_and_their_statements() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const BROWSER: &str = "b7ad6b7169203331";
    let (url, spans) = collector().await;
    let system = start(&url, "1").await;
    // The router ignores the sampling flag of the browser.
    let traceparent = format!("00-{TRACE}-{BROWSER}-00");
    let query = "{ latestPhotos(first: 3) { nodes { id } } hotPhotos(first: 3) { nodes { id } } }";
    send_query(&system, query, &traceparent).await;

    let spans_of_trace = || -> Vec<Span> {
        let spans = spans.lock().unwrap();
        spans.iter().filter(|span| span.trace == TRACE).cloned().collect()
    };
    let has_statements = |spans: &[Span], service: &str| {
        spans
            .iter()
            .any(|span| span.service == service && span.statement.is_some())
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    let seen = loop {
        let seen = spans_of_trace();
        let all = ["photo", "vote"]
            .iter()
            .all(|service| has_statements(&seen, service));
        if all && seen.iter().any(|span| span.parent == BROWSER) {
            break seen;
        }
        assert!(Instant::now() < deadline, "{seen:#?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };

    let ids: HashSet<&str> = seen.iter().map(|span| span.id.as_str()).collect();
    for span in &seen {
        assert!(
            span.parent == BROWSER || ids.contains(span.parent.as_str()),
            "the parent of {span:?} is missing: {seen:#?}"
        );
    }
    let from_the_browser: Vec<&Span> = seen.iter().filter(|span| span.parent == BROWSER).collect();
    assert_eq!(from_the_browser.len(), 1, "{from_the_browser:?}");
    assert_eq!(
        (
            from_the_browser[0].service.as_str(),
            from_the_browser[0].name.as_str()
        ),
        ("router", "POST graphql")
    );
    for name in ["POST /graphql", "graphql"] {
        assert!(
            seen.iter()
                .any(|span| span.service == "photo" && span.name == name),
            "{name}"
        );
    }

    // Log lines have the same ids.
    let refused = send_query(&system, r#"{ photo(id: "nonsense") { id } }"#, &traceparent).await;
    let refusal = log_line(&system, "photo", "\"refused\"").await;
    assert_eq!(refusal["request_id"], refused.as_str());
    assert_eq!(refusal["trace_id"], TRACE);
    system.stop_service("vote").await.unwrap();
    let failed = send_query(&system, "{ hotPhotos(first: 3) { nodes { id } } }", &traceparent).await;
    let outage = log_line(&system, "router", "a subgraph is unavailable").await;
    assert_eq!(outage["request_id"], failed.as_str());
    assert_eq!(outage["trace_id"], TRACE);
    system.stop().await;
}

#[tokio::test]
async fn clients_cannot_force_sampling() {
    let (url, spans) = collector().await;
    let system = start(&url, "0").await;
    for _ in 0..20 {
        let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        send_query(
            &system,
            "{ latestPhotos(first: 3) { nodes { id } } }",
            traceparent,
        )
        .await;
    }
    // Processes export their spans before they exit.
    system.stop().await;
    let spans = spans.lock().unwrap();
    assert!(spans.is_empty(), "{spans:#?}");
}
