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

/// Items on a page of a list; small, so that tests have several pages.
const ITEMS_PER_PAGE: usize = 3;

/// Fakes the photo and the authentication service: their internal API with the data of a test.
#[derive(Debug, Clone)]
pub struct Neighbours {
    client: InternalClient,
    state: Arc<Mutex<FakeData>>,
}

/// The data of the fakes.
#[derive(Debug, Default)]
pub struct FakeData {
    /// `None` is a deleted photo.
    pub photos: BTreeMap<Uuid, Option<PublishedPhoto>>,
    /// Accounts with their creation times. If there are any, all others count as deleted.
    pub accounts: BTreeMap<Uuid, DateTime<Utc>>,
    pub gone_accounts: HashSet<Uuid>,
    /// Whether looking up photos fails.
    pub down: bool,
    /// The number of look-ups of photos.
    pub look_ups: u32,
}

impl Neighbours {
    /// Starts the fakes on a loopback port.
    pub async fn start() -> Self {
        let state = Arc::<Mutex<FakeData>>::default();
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

    /// Returns a client of both.
    pub fn client(&self) -> InternalClient {
        self.client.clone()
    }

    /// Returns the data, to read or change it.
    pub fn truth(&self) -> MutexGuard<'_, FakeData> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn publish(&self, photo: PublishedPhoto) {
        self.truth().photos.insert(photo.photo_id, Some(photo));
    }
}

type Shared = State<Arc<Mutex<FakeData>>>;

fn truth(state: &Mutex<FakeData>) -> MutexGuard<'_, FakeData> {
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
