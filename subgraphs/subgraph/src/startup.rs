//! Waits for the migrations of the schema at the start of a service.
//!
//! A new release and its migrations are deployed at the same time. Until the migrations are complete the new program is
//! unhealthy, so that the orchestrator does not replace the old one. On a new site, or while the database is down, no
//! old program serves requests: the new one is healthy but not ready. If the database rejects the password, it is
//! unhealthy: the old program still has the right one.

use std::future::IntoFuture as _;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use chassis::Code;
use chassis::database::{self, Pool, SchemaState};
use serde_json::json;
use sqlx::migrate::Migrator;
use tokio_util::sync::CancellationToken;

/// The interval of checks of the schema.
const SCHEMA_CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// Returns when all migrations are applied, or when `stop` is cancelled. Meanwhile `listener` serves the probes, and is
/// not ready.
pub(crate) async fn wait_for_schema(
    pool: &Pool,
    subgraph: &Migrator,
    listener: &TcpListener,
    stop: &CancellationToken,
) -> std::io::Result<()> {
    // With a migrated database, the service starts immediately.
    let checked = tokio::time::timeout(SCHEMA_CHECK_INTERVAL, database::schema_state(pool, subgraph)).await;
    if matches!(checked, Ok(Ok(SchemaState::Current))) {
        return Ok(());
    }
    let may_not_replace = Arc::new(AtomicBool::new(false));
    let over = CancellationToken::new();
    let watching = async {
        watch(pool, subgraph, &may_not_replace, stop).await;
        over.cancel();
    };
    let listener = tokio::net::TcpListener::from_std(listener.try_clone()?)?;
    let answering = axum::serve(listener, routes(may_not_replace.clone()))
        .with_graceful_shutdown(over.clone().cancelled_owned())
        .into_future();
    let (answered, ()) = tokio::join!(answering, watching);
    answered
}

/// Checks until the schema is current, and logs each reason for waiting once.
async fn watch(pool: &Pool, subgraph: &Migrator, may_not_replace: &AtomicBool, stop: &CancellationToken) {
    let mut told = String::new();
    while !stop.is_cancelled() {
        let state = database::schema_state(pool, subgraph).await;
        // Without a result the state is kept: a timeout does not make a wrong password right.
        if let Ok(state) = &state {
            let unfit = matches!(state, SchemaState::Older | SchemaState::Refused);
            may_not_replace.store(unfit, Ordering::Relaxed);
        }
        let waits = match state {
            Ok(SchemaState::Current) => return,
            Ok(SchemaState::Empty) => {
                "the schema has no tables; waiting for `migrate`".to_owned()
            }
            Ok(SchemaState::Older) => {
                "the schema is older than this program; waiting for `migrate` of this release".to_owned()
            }
            Ok(SchemaState::Refused) => {
                "the database rejects the user or the password; correct DATABASE_URL, or the file that DATABASE_URL_FILE names; trying again".to_owned()
            }
            Err(error) => format!("cannot connect to the database ({error}); trying again"),
        };
        if waits != told {
            tracing::warn!("{waits}");
            told = waits;
        }
        tokio::select! {
            () = tokio::time::sleep(SCHEMA_CHECK_INTERVAL) => {}
            () = stop.cancelled() => {}
        }
    }
}

fn routes(may_not_replace: Arc<AtomicBool>) -> Router {
    let health = move || async move {
        if may_not_replace.load(Ordering::Relaxed) {
            (StatusCode::SERVICE_UNAVAILABLE, "waiting; the log has the reason")
        } else {
            (StatusCode::OK, "alive")
        }
    };
    Router::new()
        .route("/health", get(health))
        .fallback(async || not_ready())
}

/// A response that clients of the graph treat as retryable.
fn not_ready() -> Response {
    let error = json!({
        "message": "This is unavailable right now. Try again in a minute.",
        "extensions": { "code": Code::Unavailable.as_str() },
    });
    (
        StatusCode::SERVICE_UNAVAILABLE,
        [(header::CONTENT_TYPE, "application/json")],
        json!({ "errors": [error] }).to_string(),
    )
        .into_response()
}
