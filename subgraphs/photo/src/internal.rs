//! The internal API: other services look up photos.

use axum::extract::{Path, Query, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chassis::Code;
use chassis::database;
use chassis::internal::Lookup;
use contracts::internal::{Ids, ListQuery, Listing, MAX_LISTED_ITEMS, Resource as _};
use contracts::photos::PublishedPhoto;
use subgraph::Failure;

use crate::State;
use crate::domain::PhotoId;
use crate::error::Error;
use crate::store;

pub fn routes(state: State) -> Router {
    Router::new()
        .route(PublishedPhoto::LIST, get(list))
        .route(PublishedPhoto::GONE, post(gone))
        .route(PublishedPhoto::ONE, get(look_up))
        .with_state(state)
}

async fn list(
    Shared(state): Shared<State>,
    Query(query): Query<ListQuery>,
) -> Result<Response, ErrorResponse> {
    let limit = query.limit.unwrap_or(MAX_LISTED_ITEMS).clamp(1, MAX_LISTED_ITEMS);
    let photos = database::read(&state.pool, || {
        store::listing(&state.pool, query.after.map(PhotoId), limit)
    })
    .await?;
    let full = u32::try_from(photos.len()).is_ok_and(|found| found == limit);
    let next = photos.last().map(|photo| photo.id).filter(|_| full);
    let items: Vec<_> = photos.iter().map(PublishedPhoto::from).collect();
    Ok(Json(Listing { items, next }).into_response())
}

async fn look_up(Shared(state): Shared<State>, Path(id): Path<PhotoId>) -> Result<Response, ErrorResponse> {
    // The latest state, because other services ask for new photos before their events arrive.
    let known = database::read(&state.pool, || async {
        let mut latest = database::read_latest(&state.pool).await?;
        if let Some(photo) = store::by_ids(&mut *latest, &[id]).await?.pop() {
            return Ok::<_, sqlx::Error>(Lookup::Present(photo));
        }
        // An existing but hidden row belongs to a deleted account.
        let deleted = store::is_deleted(&mut *latest, id).await? || store::exists(&mut *latest, id).await?;
        Ok(if deleted { Lookup::Deleted } else { Lookup::Unknown })
    });
    Ok(match known.await? {
        Lookup::Present(photo) => Json(PublishedPhoto::from(&photo)).into_response(),
        Lookup::Deleted => StatusCode::GONE.into_response(),
        Lookup::Unknown => StatusCode::NOT_FOUND.into_response(),
    })
}

async fn gone(
    Shared(state): Shared<State>,
    Json(asked): Json<Ids<PhotoId>>,
) -> Result<Response, ErrorResponse> {
    let mut gone = asked.ids;
    for batch in gone.clone().chunks(MAX_LISTED_ITEMS as usize) {
        let there: std::collections::HashSet<_> =
            database::read(&state.pool, || store::by_ids(&state.pool, batch))
                .await?
                .into_iter()
                .map(|photo| photo.id)
                .collect();
        gone.retain(|id| !there.contains(id));
    }
    Ok(Json(Ids { ids: gone }).into_response())
}

/// An error response that only tells services whether to retry.
struct ErrorResponse(Failure);

impl From<sqlx::Error> for ErrorResponse {
    fn from(error: sqlx::Error) -> Self {
        Self(Error::from(error).into())
    }
}

impl IntoResponse for ErrorResponse {
    fn into_response(self) -> Response {
        self.0.log();
        match self.0.code() {
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
        .into_response()
    }
}
