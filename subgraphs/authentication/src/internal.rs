//! The internal API about accounts, and the public keys.

use axum::extract::{Path, Query, State as Extract};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chassis::{UserId, database, deleted_accounts};
use chrono::{DateTime, TimeDelta, Utc};
use contracts::accounts::KnownAccount;
use contracts::internal::{Ids, ListQuery, Listing, MAX_LISTED_ITEMS, Resource as _};
use subgraph::Failure;
use uuid::Uuid;

use crate::error::Error;
use crate::state::State;
use crate::store::accounts;

/// Unknown ids are reported as deleted only if they are older than this: a younger account may not be replicated to
/// this database node yet.
const SETTLE_TIME: TimeDelta = TimeDelta::minutes(15);

pub fn routes(state: State) -> Router {
    Router::new()
        .route(KnownAccount::LIST, get(list))
        .route(KnownAccount::GONE, post(gone))
        .route(KnownAccount::ONE, get(look_up))
        .with_state(state)
}

/// The routes without the secret.
pub fn public_routes(state: State) -> Router {
    Router::new()
        .route("/.well-known/jwks.json", get(jwks))
        .with_state(state)
}

/// The public keys (RFC 7517). May be cached for five minutes: a new key is published earlier than it signs.
async fn jwks(Extract(state): Extract<State>) -> Response {
    (
        [(header::CACHE_CONTROL, "public, max-age=300")],
        Json(state.keys.published()),
    )
        .into_response()
}

async fn list(
    Extract(state): Extract<State>,
    Query(page): Query<ListQuery>,
) -> Result<Json<Listing<KnownAccount>>, StatusCode> {
    let limit = page.limit.unwrap_or(MAX_LISTED_ITEMS);
    if !(1..=MAX_LISTED_ITEMS).contains(&limit) {
        return Err(StatusCode::BAD_REQUEST);
    }
    let after = page.after.unwrap_or_default();
    let items = database::read(&state.pool, || accounts::list(&state.pool, after, limit))
        .await
        .map_err(failed)?;
    let full = u32::try_from(items.len()).is_ok_and(|length| length == limit);
    let next = items.last().filter(|_| full).map(|last| last.account_id);
    Ok(Json(Listing { items, next }))
}

async fn look_up(
    Extract(state): Extract<State>,
    Path(id): Path<Uuid>,
) -> Result<Json<KnownAccount>, StatusCode> {
    let id = UserId(id);
    if let Some(account) = database::read(&state.pool, || accounts::by_id(&state.pool, id))
        .await
        .map_err(failed)?
    {
        return Ok(Json(account.to_known_account()));
    }
    let deleted = database::read(&state.pool, || deleted_accounts::is_deleted(&state.pool, id))
        .await
        .map_err(failed)?;
    Err(if deleted {
        StatusCode::GONE
    } else {
        StatusCode::NOT_FOUND
    })
}

/// Returns those of the ids that are not accounts: deleted, or unknown and old enough.
async fn gone(
    Extract(state): Extract<State>,
    Json(asked): Json<Ids<UserId>>,
) -> Result<Json<Ids<UserId>>, StatusCode> {
    if asked.ids.len() > MAX_LISTED_ITEMS as usize {
        return Err(StatusCode::BAD_REQUEST);
    }
    let present = database::read(&state.pool, || accounts::existing(&state.pool, &asked.ids))
        .await
        .map_err(failed)?;
    let deleted = database::read(&state.pool, || {
        deleted_accounts::deleted_among(&state.pool, &asked.ids)
    })
    .await
    .map_err(failed)?;
    let settled = state.clock.now() - SETTLE_TIME;
    let ids = asked
        .ids
        .into_iter()
        .filter(|id| {
            deleted.contains(id) || (!present.contains(id) && created_at(*id).is_none_or(|at| at < settled))
        })
        .collect();
    Ok(Json(Ids { ids }))
}

/// Returns when an id was created; `None` for ids that this service cannot have created.
fn created_at(id: UserId) -> Option<DateTime<Utc>> {
    let (seconds, nanoseconds) =
        id.0.get_timestamp()
            .filter(|_| id.0.get_version_num() == 7)?
            .to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanoseconds)
}

fn failed(error: sqlx::Error) -> StatusCode {
    Failure::from(Error::from(error)).log();
    StatusCode::SERVICE_UNAVAILABLE
}
