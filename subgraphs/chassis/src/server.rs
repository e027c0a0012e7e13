//! The HTTP server: request ids, traces, metrics, and graceful shutdown.

use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use contracts::headers;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;
use tracing::field::Empty;
use uuid::Uuid;

use crate::Code;
use crate::telemetry::{self, traces};

const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum time for running requests after SIGTERM.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(25);

/// Binds the address. Connections wait until the server accepts them.
pub fn bind(listen: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(listen)
        .map_err(|error| std::io::Error::new(error.kind(), format!("cannot listen on {listen}: {error}")))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Cancels `stop` at SIGTERM or Ctrl-C.
pub fn stop_at_signal(stop: CancellationToken) {
    tokio::spawn(async move {
        wait_for_signal().await;
        stop.cancel();
    });
}

/// Serves `routes` until `stop` is cancelled, then waits for running requests.
pub async fn serve(
    listener: std::net::TcpListener,
    routes: Router,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    tracing::info!(listen = %listener.local_addr()?, "ready for requests");
    let routes = routes
        .layer(CatchPanicLayer::custom(internal_error))
        .layer(middleware::from_fn(with_request_id));
    let listener = listener.tap_io(|stream| {
        // Small responses must not wait for the acknowledgement of earlier ones.
        let _ = stream.set_nodelay(true);
    });
    let draining = stop.clone();
    let server = axum::serve(listener, routes)
        .with_graceful_shutdown(stop.cancelled_owned())
        .into_future();
    tokio::select! {
        result = server => result,
        () = async { draining.cancelled().await; tokio::time::sleep(DRAIN_TIMEOUT).await } => {
            tracing::warn!("aborted the requests that were still running {DRAIN_TIMEOUT:?} after the stop");
            Ok(())
        }
    }
}

/// Requests `/health` from the service at `listen`, for the `healthcheck` subcommand.
pub async fn healthcheck(listen: SocketAddr) -> Result<(), reqwest::Error> {
    let host = if listen.ip().is_unspecified() {
        "127.0.0.1".to_owned()
    } else {
        listen.ip().to_string()
    };
    reqwest::Client::new()
        .get(format!("http://{host}:{}/health", listen.port()))
        .timeout(HEALTHCHECK_TIMEOUT)
        .send()
        .await?
        .error_for_status()
        .map(drop)
}

async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        },
        Err(error) => tracing::error!(%error, "cannot listen for SIGTERM"),
    }
}

/// Uses the router's request id or a new one, for logs and for the response.
async fn with_request_id(request: Request, next: Next) -> Response {
    let id = request
        .headers()
        .get(headers::REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| {
            !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
        .map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    let line = tracing::info_span!("request", request = %id);
    telemetry::with_request_id(id, with_telemetry(request, next).instrument(line)).await
}

/// Records metrics and a span for requests that are not probes.
async fn with_telemetry(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    if PROBES.contains(&route) {
        return next.run(request).await;
    }
    let span = tracing::info_span!(
        target: traces::TARGET, "request",
        "otel.name" = %format_args!("{method} {route}"),
        "otel.kind" = "server",
        "http.request.method" = %method,
        "http.route" = route,
        "http.response.status_code" = Empty,
        "otel.status_code" = Empty,
    );
    let parent = request.headers().get(headers::TRACE_CONTEXT);
    traces::follow(&span, parent.and_then(|value| value.to_str().ok()));
    let response = next.run(request).instrument(span.clone()).await;
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    metrics::counter!(
        "proofsheet_http_requests_total",
        "route" => route.to_owned(), "method" => method_label(&method), "status" => status.as_str().to_owned()
    )
    .increment(1);
    metrics::histogram!("proofsheet_http_request_duration_seconds", "route" => route.to_owned())
        .record(started.elapsed());
    response
}

/// Paths of monitoring. Their frequent requests would hide the others in the metrics.
const PROBES: [&str; 3] = ["/health", "/readiness", "/metrics"];

/// Clients may send any method, so unknown ones share a label.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        _ => "other",
    }
}

fn internal_error(_cause: Box<dyn std::any::Any + Send>) -> Response {
    // The panic hook has logged the cause. The client does not get it.
    let error = json!({
        "message": "Something went wrong on our side.",
        "extensions": { "code": Code::Internal.as_str() },
    });
    Json(json!({ "data": null, "errors": [error] })).into_response()
}
