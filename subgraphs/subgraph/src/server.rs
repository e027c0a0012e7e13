//! The routes of a subgraph: GraphQL, health and metrics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_graphql::{
    ObjectType, ParseRequestError, Response as GraphqlResponse, Schema, SchemaBuilder, ServerError,
};
use async_graphql_axum::{GraphQLRequest, GraphQLResponse};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use chassis::Code;
use chassis::database::Pool;
use chassis::telemetry::{self, traces};
use chassis::tokens::TokenVerifier;
use contracts::headers;
use tokio_util::sync::CancellationToken;
use tower_http::limit::RequestBodyLimitLayer;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::document;

/// The timeout of a GraphQL request: less than the router's timeout.
const EXECUTION_TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum size of a request body in bytes. More than the router accepts from clients, because `_entities` contains
/// additional ids.
const MAX_REQUEST_BYTES: usize = 256 * 1024;

/// The address of the client, from the router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIp(pub String);

/// Headers that resolvers of this service may read.
#[derive(Debug, Clone)]
pub struct RequestHeaders(pub HeaderMap);

/// Finishes a schema with limits for requests that reach a subgraph directly, in addition to the router's.
pub fn finish_schema<Q, M>(
    builder: SchemaBuilder<Q, M, async_graphql::EmptySubscription>,
) -> Schema<Q, M, async_graphql::EmptySubscription>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
{
    builder
        .enable_federation()
        .disable_suggestions()
        .limit_depth(16)
        .limit_recursive_depth(32)
        .limit_directives(16)
        .finish()
}

/// Returns the schema definition for composition.
pub fn sdl<Q, M>(schema: &Schema<Q, M, async_graphql::EmptySubscription>) -> String
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
{
    schema.sdl_with_options(
        async_graphql::SDLExportOptions::new()
            .federation()
            .sorted_fields()
            .sorted_arguments(),
    )
}

/// Whether the service accepts new requests.
#[derive(Clone)]
pub struct Readiness {
    pool: Pool,
    stop: CancellationToken,
}

impl Readiness {
    /// Ready while the database responds and `stop` is not cancelled.
    pub fn new(pool: Pool, stop: CancellationToken) -> Self {
        Self { pool, stop }
    }
}

/// The routes of a subgraph: `/graphql`, `/health`, `/readiness`, `/metrics`.
pub fn routes<Q, M>(
    schema: Schema<Q, M, async_graphql::EmptySubscription>,
    verifier: TokenVerifier,
    readiness: Readiness,
) -> Router
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
{
    let state = Arc::new(Graphql { schema, verifier });
    Router::new()
        .route("/graphql", post(graphql::<Q, M>))
        .layer(RequestBodyLimitLayer::new(MAX_REQUEST_BYTES))
        .with_state(state)
        .route("/readiness", any(ready).with_state(readiness))
        .route("/health", get(|| async { "alive" }))
        .route("/metrics", get(|| async { telemetry::render_metrics() }))
}

/// A stopping service is not ready, for any method.
async fn ready(State(readiness): State<Readiness>, method: Method) -> Response {
    if readiness.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping").into_response();
    }
    if method != Method::GET && method != Method::HEAD {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    let asked = tokio::time::timeout(
        Duration::from_secs(1),
        sqlx::query("SELECT 1").execute(&readiness.pool),
    );
    match asked.await {
        Ok(Ok(_)) => (StatusCode::OK, "ready"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the database does not respond"),
    }
    .into_response()
}

struct Graphql<Q, M> {
    schema: Schema<Q, M, async_graphql::EmptySubscription>,
    verifier: TokenVerifier,
}

/// The deadline, the error codes, the span and the metrics are around the execution of the schema and not an `Extension`
/// of it: with any extension async-graphql resolves each field more slowly.
async fn graphql<Q, M>(
    State(service): State<Arc<Graphql<Q, M>>>,
    request_headers: HeaderMap,
    request: GraphQLRequest<UnreadableRequest>,
) -> GraphQLResponse
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
{
    let started = Instant::now();
    let mut request = request.into_inner();
    let caller = service.verifier.caller(&request_headers).await;
    let client_ip = request_headers
        .get(headers::CLIENT_IP)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let request_kind = request_kind(&request.query);
    let span = tracing::info_span!(
        target: traces::TARGET, "graphql",
        "graphql.operation.type" = request_kind,
        "graphql.operation.name" = request.operation_name,
        "otel.status_code" = Empty,
    );
    document::correct(&mut request);
    let request = request
        .data(caller)
        .data(ClientIp(client_ip.to_owned()))
        .data(RequestHeaders(request_headers));
    let executed = service.schema.execute(request).instrument(span.clone());
    let executed = tokio::time::timeout(EXECUTION_TIMEOUT, executed).await;
    let response = executed.unwrap_or_else(|_| {
        tracing::warn!("aborted a request after {EXECUTION_TIMEOUT:?}");
        let mut error = ServerError::new("This took too long. Please try again.", None);
        error
            .extensions
            .get_or_insert_default()
            .set("code", Code::Unavailable.as_str());
        GraphqlResponse::from_errors(vec![error])
    });
    let response = with_codes(response);
    count_errors(&response, &span);
    metrics::counter!("proofsheet_graphql_requests_total", "kind" => request_kind).increment(1);
    metrics::histogram!("proofsheet_graphql_request_duration_seconds", "kind" => request_kind)
        .record(started.elapsed());
    response.into()
}

/// A body that is not a GraphQL request.
struct UnreadableRequest(ParseRequestError);

impl From<ParseRequestError> for UnreadableRequest {
    fn from(error: ParseRequestError) -> Self {
        Self(error)
    }
}

impl IntoResponse for UnreadableRequest {
    fn into_response(self) -> Response {
        if let ParseRequestError::Io(_) = self.0 {
            // Longer than the limit, which was not known before it was read.
            return StatusCode::PAYLOAD_TOO_LARGE.into_response();
        }
        let error = ServerError::new(
            "The body must be a JSON object with `query` and optional `variables`.",
            None,
        );
        GraphQLResponse::from(with_codes(GraphqlResponse::from_errors(vec![error]))).into_response()
    }
}

/// Returns the kind of a GraphQL request from the router.
fn request_kind(query: &str) -> &'static str {
    if query.trim_start().starts_with("mutation") {
        "mutation"
    } else if query.contains("_entities") {
        "entities"
    } else {
        "query"
    }
}

fn count_errors(response: &GraphqlResponse, span: &Span) {
    for error in &response.errors {
        let code = error
            .extensions
            .as_ref()
            .and_then(|extensions| extensions.get("code"));
        let Some(async_graphql::Value::String(code)) = code else {
            continue;
        };
        // Codes are those of `Code`.
        metrics::counter!("proofsheet_graphql_errors_total", "code" => code.clone()).increment(1);
        if [Code::Internal, Code::Unavailable]
            .iter()
            .any(|ours| ours.as_str() == code)
        {
            span.record("otel.status_code", "ERROR");
        }
    }
}

/// Adds a code to errors of async-graphql (parsing, validation, limits), which are caused by the input.
fn with_codes(mut response: GraphqlResponse) -> GraphqlResponse {
    for error in &mut response.errors {
        let extensions = error.extensions.get_or_insert_default();
        if extensions.get("code").is_none() {
            extensions.set("code", Code::InvalidInput.as_str());
        }
    }
    response
}
