//! The internal API: other services look up photos.

use axum::extract::{Path, Query, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chassis::config::Secret;
use chassis::database;
use chassis::internal::{self, Ids, Known, Listing};
use chassis::{Code, Failure, UserId};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::State;
use crate::domain::{Photo, PhotoId};
use crate::error::Error;
use crate::store;

/// The most photos on one page of the listing, and in one question.
const MAX_PAGE_SIZE: u32 = 1000;

/// The routes, behind the secret.
pub fn routes(state: State, secret: Secret) -> Router {
    let routes = Router::new()
        .route("/internal/photos", get(list))
        .route("/internal/photos/gone", post(gone))
        .route("/internal/photos/{id}", get(look_up))
        .with_state(state);
    internal::guarded(routes, secret)
}

/// A photo, as other services see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    photo_id: PhotoId,
    author_id: UserId,
    published_at: DateTime<Utc>,
    hot_day: NaiveDate,
}

impl From<Photo> for Item {
    fn from(photo: Photo) -> Self {
        Self {
            photo_id: photo.id,
            author_id: photo.author_id,
            published_at: photo.published_at,
            hot_day: photo.hot_day,
        }
    }
}

#[derive(Debug, Deserialize)]
struct ListQuery {
    after: Option<PhotoId>,
    limit: Option<u32>,
}

async fn list(Shared(state): Shared<State>, Query(query): Query<ListQuery>) -> Result<Response, Refused> {
    let limit = query.limit.unwrap_or(MAX_PAGE_SIZE).clamp(1, MAX_PAGE_SIZE);
    let photos = database::read(|| store::listing(&state.pool, query.after, limit)).await?;
    let full = u32::try_from(photos.len()).is_ok_and(|found| found == limit);
    let next = photos.last().map(|photo| photo.id).filter(|_| full);
    let items: Vec<_> = photos.into_iter().map(Item::from).collect();
    Ok(Json(Listing { items, next }).into_response())
}

async fn look_up(Shared(state): Shared<State>, Path(id): Path<PhotoId>) -> Result<Response, Refused> {
    // The latest, because others ask about photos that are so new that no event has told of them.
    let known = database::read(|| async {
        let mut latest = database::read_latest(&state.pool).await?;
        if let Some(photo) = store::by_ids(&mut *latest, &[id]).await?.pop() {
            return Ok::<_, sqlx::Error>(Known::Present(photo));
        }
        // A row that is there and hidden belongs to a deleted account.
        let deleted = store::is_deleted(&mut *latest, id).await? || store::exists(&mut *latest, id).await?;
        Ok(if deleted { Known::Deleted } else { Known::Unknown })
    });
    Ok(match known.await? {
        Known::Present(photo) => Json(Item::from(photo)).into_response(),
        Known::Deleted => StatusCode::GONE.into_response(),
        Known::Unknown => StatusCode::NOT_FOUND.into_response(),
    })
}

async fn gone(Shared(state): Shared<State>, Json(asked): Json<Ids<PhotoId>>) -> Result<Response, Refused> {
    let mut gone = asked.ids;
    for batch in gone.clone().chunks(MAX_PAGE_SIZE as usize) {
        let there: std::collections::HashSet<_> = database::read(|| store::by_ids(&state.pool, batch))
            .await?
            .into_iter()
            .map(|photo| photo.id)
            .collect();
        gone.retain(|id| !there.contains(id));
    }
    Ok(Json(Ids { ids: gone }).into_response())
}

/// An answer that only tells services whether to come again.
struct Refused(Failure);

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        Self(Error::from(error).into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        self.0.log();
        match self.0.code() {
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
        .into_response()
    }
}
