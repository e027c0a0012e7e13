use async_graphql::{Context, EmptyMutation, EmptySubscription, Object, Schema};
use axum::http::StatusCode;
use chassis::viewer::UserId;
use serde_json::json;
use subgraph::server::{self, Readiness};
use subgraph::viewer;
use testkit::{Client, Issuer, TestDatabase};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

struct Query;

#[expect(
    clippy::unused_async,
    clippy::unused_async_trait_impl,
    reason = "async-graphql wants resolvers to be async"
)]
#[Object]
impl Query {
    async fn me(&self, ctx: &Context<'_>) -> subgraph::Result<String> {
        Ok(viewer::require_viewer(ctx)?.id.to_string())
    }

    async fn broken(&self) -> subgraph::Result<String> {
        Err(sqlx::Error::Decode("table photo_secret at /var/lib".into()))?
    }

    async fn busy(&self) -> subgraph::Result<String> {
        Err(sqlx::Error::PoolTimedOut)?
    }
}

fn client(database: &TestDatabase, stop: CancellationToken) -> Client {
    let schema = server::finish_schema(Schema::build(Query, EmptyMutation, EmptySubscription));
    Client::new(server::routes(
        schema,
        Issuer::verifier(),
        Readiness::new(database.pool.clone(), stop),
    ))
}

#[tokio::test]
async fn the_viewer_is_the_subject_of_the_token() {
    let database = super::database().await;
    let client = client(&database, CancellationToken::new());
    let user = UserId(Uuid::nil());
    let answer = client.of(user).graphql("{ me }", json!({})).await;
    assert_eq!(answer.data()["me"], json!(user));
    assert_eq!(
        client.graphql("{ me }", json!({})).await.error(),
        "UNAUTHENTICATED"
    );
    assert_eq!(
        client
            .with_token("forged".to_owned())
            .graphql("{ me }", json!({}))
            .await
            .error(),
        "UNAUTHENTICATED"
    );
}

#[tokio::test]
async fn causes_are_not_sent_to_clients() {
    let database = super::database().await;
    let client = client(&database, CancellationToken::new());
    let answer = client.graphql("{ broken }", json!({})).await;
    assert_eq!(answer.error(), "INTERNAL");
    assert!(!answer.0.to_string().contains("photo_secret"));
    assert_eq!(client.graphql("{ busy }", json!({})).await.error(), "UNAVAILABLE");
}

#[tokio::test]
async fn errors_of_the_library_are_invalid_input() {
    let database = super::database().await;
    let client = client(&database, CancellationToken::new());
    for query in ["{", "{ nothing }", "mutation { nothing }", ""] {
        assert_eq!(
            client.graphql(query, json!({})).await.error(),
            "INVALID_INPUT",
            "{query}"
        );
    }
    for body in ["not json", "[{\"query\": \"{ me }\"}]", "[]", "7", ""] {
        let response = client.post("/graphql", "application/json", body).await;
        assert_eq!(response.status(), StatusCode::OK, "{body}");
        let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
        assert!(
            String::from_utf8_lossy(&body).contains("INVALID_INPUT"),
            "{body:?}"
        );
    }
}

#[tokio::test]
async fn long_bodies_are_refused() {
    let database = super::database().await;
    let client = client(&database, CancellationToken::new());
    let long = json!({ "query": "{ me }", "operationName": "x".repeat(256 * 1024) }).to_string();
    let response = client.post("/graphql", "application/json", long.clone()).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let chunks = [Ok::<_, std::io::Error>(long)];
    let streamed = axum::body::Body::from_stream(futures::stream::iter(chunks));
    let response = client.post("/graphql", "application/json", streamed).await;
    assert_eq!(
        response.status(),
        StatusCode::PAYLOAD_TOO_LARGE,
        "of unknown length"
    );
}

#[tokio::test]
async fn readiness_checks_the_database_and_health_does_not() {
    let database = super::database().await;
    let stop = CancellationToken::new();
    let client = client(&database, stop.clone());
    assert_eq!(client.get("/readiness").await.status(), StatusCode::OK);
    let post = client.post("/readiness", "text/plain", String::new()).await;
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(post.headers()["allow"], "GET, HEAD");
    stop.cancel();
    assert_eq!(
        client.get("/readiness").await.status(),
        StatusCode::SERVICE_UNAVAILABLE,
        "stopping"
    );
    let post = client.post("/readiness", "text/plain", String::new()).await;
    assert_eq!(post.status(), StatusCode::SERVICE_UNAVAILABLE, "by any method");
    database.pool.close().await;
    assert_eq!(
        client.get("/readiness").await.status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(client.get("/health").await.status(), StatusCode::OK);
}
