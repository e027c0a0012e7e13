//! The start of a service before its schema is ready.
//!
//! A new release and its migrations are deployed at the same time. Until the migrations are done the new program is not
//! healthy, so that the orchestrator does not replace the old one yet. On a new site, or while the database is down,
//! there is nothing to take over from: the program is then alive, and not ready. With a password that the database
//! refuses it is not healthy either: the old program still has the right one.

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

/// How often the schema is looked at again.
const PAUSE: Duration = Duration::from_millis(250);

/// Returns when the schema has the migrations of chassis and of `subgraph`, or when `stop` has come. Meanwhile it answers
/// at `listener` that the service is not ready.
pub(crate) async fn wait_for_schema(
    pool: &Pool,
    subgraph: &Migrator,
    listener: &TcpListener,
    stop: &CancellationToken,
) -> std::io::Result<()> {
    // With a healthy database the service serves only its own routes at once.
    let looked = tokio::time::timeout(PAUSE, database::schema_state(pool, subgraph)).await;
    if matches!(looked, Ok(Ok(SchemaState::Current))) {
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

/// Looks until the schema is current, and logs what it waits for, once each.
async fn watch(pool: &Pool, subgraph: &Migrator, may_not_replace: &AtomicBool, stop: &CancellationToken) {
    let mut told = String::new();
    while !stop.is_cancelled() {
        let state = database::schema_state(pool, subgraph).await;
        // Without an answer it stays as it was: a wrong password is not right because a look took too long.
        if let Ok(state) = &state {
            let unfit = matches!(state, SchemaState::Older | SchemaState::Refused);
            may_not_replace.store(unfit, Ordering::Relaxed);
        }
        let waits = match state {
            Ok(SchemaState::Current) => return,
            Ok(SchemaState::Empty) => {
                "the schema has no tables yet; `migrate` makes them; waiting".to_owned()
            }
            Ok(SchemaState::Older) => {
                "the schema is older than this program; `migrate` of this release brings it up to date; waiting".to_owned()
            }
            Ok(SchemaState::Refused) => {
                "the database refuses this user with this password: DATABASE_URL, or the file that DATABASE_URL_FILE names, must have the one that the database has; trying again".to_owned()
            }
            Err(error) => format!("the database does not let this service in ({error}); trying again"),
        };
        if waits != told {
            tracing::warn!("{waits}");
            told = waits;
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => {}
        }
    }
}

fn routes(may_not_replace: Arc<AtomicBool>) -> Router {
    let health = move || async move {
        if may_not_replace.load(Ordering::Relaxed) {
            (StatusCode::SERVICE_UNAVAILABLE, "waiting: the log says for what")
        } else {
            (StatusCode::OK, "alive")
        }
    };
    Router::new()
        .route("/health", get(health))
        .fallback(async || not_ready())
}

/// The response that clients of the graph read as "try again".
fn not_ready() -> Response {
    let error = json!({
        "message": "This part of the site is starting. Please try again.",
        "extensions": { "code": Code::Unavailable.as_str() },
    });
    (
        StatusCode::SERVICE_UNAVAILABLE,
        [(header::CONTENT_TYPE, "application/json")],
        json!({ "errors": [error] }).to_string(),
    )
        .into_response()
}
