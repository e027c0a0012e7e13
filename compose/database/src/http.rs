//! The agent's HTTP routes: `/health`, `/status` and `/metrics` are open, `/peer/…` needs the secret.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backup;
use crate::metrics;
use crate::peers::ANY_PROCESS;
use crate::signature::{self, NONCE_HEADER, RECIPIENT_HEADER, SIGNATURE_HEADER};
use crate::state::Shared;

/// Maximum request body. A cluster record takes tens of kilobytes.
const MAX_PEER_MESSAGE_BYTES: usize = 1024 * 1024;

/// All routes.
pub fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        // Reports that the agent is running, regardless of MariaDB: Swarm resolves only healthy tasks, and agents must
        // find each other.
        .route("/health", get(|| async { "alive" }))
        .route("/status", get(status))
        .route("/metrics", get(metrics))
        .route("/peer/{request}", post(peer))
        .with_state(shared)
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let kind = "text/plain; version=0.0.4";
    ([(header::CONTENT_TYPE, kind)], metrics::text(&shared).await).into_response()
}

async fn status(State(shared): State<Arc<Shared>>) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], axum::Json(shared.report())).into_response()
}

async fn peer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let headers = request.headers().clone();
    let Ok(body) = to_bytes(request.into_body(), MAX_PEER_MESSAGE_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let text = |name| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let (nonce, recipient) = (text(NONCE_HEADER), text(RECIPIENT_HEADER));
    let parts: [&[u8]; 5] = [
        b"question",
        path.as_bytes(),
        nonce.as_bytes(),
        recipient.as_bytes(),
        &body,
    ];
    if !signature::verify(&shared.secret, &parts, text(SIGNATURE_HEADER)) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let (status, body) = if path == "/peer/ask" && recipient == ANY_PROCESS {
        answered(&shared.answer())
    } else if recipient != shared.boot.to_string() || !shared.is_new_nonce(nonce) {
        refused(StatusCode::CONFLICT, "this request was for another process")
    } else if path == "/peer/copy" {
        return backup::copy(Arc::clone(&shared), nonce.to_owned());
    } else if let Some(answer) = backup::answer(&shared, &path, &body).await {
        match answer {
            Ok(body) => (StatusCode::OK, body),
            Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        }
    } else {
        change(&shared, &path, &body).await
    };
    signed(&shared, &path, &headers, status, body)
}

/// Requests that change state.
async fn change(shared: &Shared, path: &str, body: &[u8]) -> (StatusCode, Vec<u8>) {
    match path {
        "/peer/promise" => match read(body) {
            Ok(proposal) => answered(&shared.consider(&proposal)),
            Err(refusal) => refusal,
        },
        "/peer/register" => match read(body) {
            Ok(registration) => match shared.register(registration).await {
                Ok(memory) => answered(&memory),
                Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
            },
            Err(refusal) => refusal,
        },
        "/peer/farewell" => match read(body) {
            Ok(notice) => match shared.accept_leave_notice(&notice).await {
                Ok(()) => answered(&()),
                Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
            },
            Err(refusal) => refusal,
        },
        _ => refused(StatusCode::NOT_FOUND, "there is no such request"),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, (StatusCode, Vec<u8>)> {
    serde_json::from_slice(body).map_err(|error| refused(StatusCode::BAD_REQUEST, &error.to_string()))
}

fn answered(answer: &impl Serialize) -> (StatusCode, Vec<u8>) {
    match serde_json::to_vec(answer) {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn refused(status: StatusCode, reason: &str) -> (StatusCode, Vec<u8>) {
    (status, reason.as_bytes().to_vec())
}

fn signed(shared: &Shared, path: &str, headers: &HeaderMap, status: StatusCode, body: Vec<u8>) -> Response {
    let nonce = headers
        .get(NONCE_HEADER)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    let parts: [&[u8]; 5] = [
        b"answer",
        path.as_bytes(),
        nonce,
        status.as_str().as_bytes(),
        &body,
    ];
    let signature = signature::sign(&shared.secret, &parts);
    (
        status,
        [(SIGNATURE_HEADER, signature)],
        Body::from(Bytes::from(body)),
    )
        .into_response()
}
