use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chassis::internal::InternalClient;
use chrono::{DateTime, Utc};
use contracts::accounts::KnownAccount;
use contracts::internal::{Ids, ListQuery, Listing, Resource as _};
use contracts::photos::PublishedPhoto;
use uuid::Uuid;

/// Items on one page of a listing, so that small tests turn pages.
const ITEMS_PER_PAGE: usize = 3;

/// Stands in for the photo and the authentication service: their internal API over what a test says.
#[derive(Debug, Clone)]
pub struct Neighbours {
    client: InternalClient,
    state: Arc<Mutex<Truth>>,
}

/// The data of the stand-ins.
#[derive(Debug, Default)]
pub struct Truth {
    /// `None` is a deleted photo.
    pub photos: BTreeMap<Uuid, Option<PublishedPhoto>>,
    /// Accounts and when they were created. Where there are some, all others are gone.
    pub accounts: BTreeMap<Uuid, DateTime<Utc>>,
    pub gone_accounts: HashSet<Uuid>,
    /// Photos cannot be looked up.
    pub down: bool,
    /// How often a photo was looked up.
    pub look_ups: u32,
}

impl Neighbours {
    /// Starts them on a loopback port.
    pub async fn start() -> Self {
        let state = Arc::<Mutex<Truth>>::default();
        let routes = Router::new()
            .route(PublishedPhoto::LIST, get(list_photos))
            .route(PublishedPhoto::ONE, get(look_up_photo))
            .route(PublishedPhoto::GONE, post(gone_photos))
            .route(KnownAccount::LIST, get(list_accounts))
            .route(KnownAccount::GONE, post(gone_accounts))
            .with_state(Arc::clone(&state));
        let client = crate::peer(routes).await;
        Self { client, state }
    }

    /// A client of both.
    pub fn client(&self) -> InternalClient {
        self.client.clone()
    }

    /// The data, to look at or to change.
    pub fn truth(&self) -> MutexGuard<'_, Truth> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a photo.
    pub fn publish(&self, photo: PublishedPhoto) {
        self.truth().photos.insert(photo.photo_id, Some(photo));
    }
}

type Shared = State<Arc<Mutex<Truth>>>;

fn truth(state: &Mutex<Truth>) -> MutexGuard<'_, Truth> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn page<T>(items: impl Iterator<Item = (Uuid, T)>, after: Option<Uuid>) -> Json<Listing<T>> {
    let mut rest = items.filter(|(id, _)| after.is_none_or(|after| *id > after));
    let page: Vec<_> = rest.by_ref().take(ITEMS_PER_PAGE).collect();
    let next = rest.next().and(page.last().map(|(id, _)| *id));
    let items = page.into_iter().map(|(_, item)| item).collect();
    Json(Listing { items, next })
}

async fn list_photos(State(state): Shared, Query(query): Query<ListQuery>) -> Json<Listing<PublishedPhoto>> {
    let truth = truth(&state);
    let photos = truth.photos.iter();
    page(
        photos.filter_map(|(id, photo)| Some((*id, photo.clone()?))),
        query.after,
    )
}

async fn look_up_photo(State(state): Shared, Path(id): Path<Uuid>) -> Response {
    let mut truth = truth(&state);
    truth.look_ups += 1;
    if truth.down {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match truth.photos.get(&id) {
        Some(Some(photo)) => Json(photo).into_response(),
        Some(None) => StatusCode::GONE.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn gone_photos(State(state): Shared, Json(mut asked): Json<Ids>) -> Json<Ids> {
    let truth = truth(&state);
    asked
        .ids
        .retain(|id| !matches!(truth.photos.get(id), Some(Some(_))));
    Json(asked)
}

async fn list_accounts(State(state): Shared, Query(query): Query<ListQuery>) -> Json<Listing<KnownAccount>> {
    let truth = truth(&state);
    let accounts = truth.accounts.iter().map(|(id, created_at)| {
        let account = KnownAccount {
            account_id: *id,
            created_at: *created_at,
        };
        (*id, account)
    });
    page(accounts, query.after)
}

async fn gone_accounts(State(state): Shared, Json(mut asked): Json<Ids>) -> Json<Ids> {
    let truth = truth(&state);
    let is_unknown = |id: &Uuid| !truth.accounts.is_empty() && !truth.accounts.contains_key(id);
    asked
        .ids
        .retain(|id| truth.gone_accounts.contains(id) || is_unknown(id));
    Json(asked)
}
