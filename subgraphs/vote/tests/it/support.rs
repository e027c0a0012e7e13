use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chassis::UserId;
use chassis::config::Secret;
use chassis::internal::InternalClient;
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use contracts::internal::{Ids, Listing};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::{Connection as _, MySqlConnection};
use subgraph::pagination::{CursorKey, ListKey};
use testkit::{Answer, Client, INTERNAL_SECRET, Issuer, TestClock, TestDatabase};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use vote::Vote;
use vote::domain::{PhotoId, PublishedPhoto};
use vote::reconcile::Others;

/// The service with its own database, and what it asks of other services answered by a small server.
pub(crate) struct App {
    pub(crate) clock: TestClock,
    pub(crate) service: Vote,
    pub(crate) client: Client,
    pub(crate) neighbours: Neighbours,
    pub(crate) database: TestDatabase,
}

impl App {
    pub(crate) async fn new() -> Self {
        Self::in_zone(chrono_tz::UTC).await
    }

    pub(crate) async fn in_zone(time_zone: Tz) -> Self {
        let database = TestDatabase::new(&vote::MIGRATOR).await;
        let neighbours = Neighbours::start().await;
        let clock = TestClock::default();
        let service = Vote {
            pool: database.pool.clone(),
            clock: clock.clock(),
            time_zone,
            secret: Secret::new(INTERNAL_SECRET),
            others: neighbours.clients(),
            wake: Arc::default(),
        };
        Self {
            client: client(&service),
            clock,
            service,
            neighbours,
            database,
        }
    }

    /// Another replica: its own connections and memory, the same schema.
    pub(crate) fn replica(&self, connections: u32) -> (Vote, Client) {
        let pool = chassis::database::pool(&self.database.url(), connections).unwrap();
        let service = Vote {
            pool,
            ..self.service.clone()
        };
        let client = client(&service);
        (service, client)
    }

    /// Publishes a photo now, a microsecond after the one before.
    pub(crate) async fn publish(&self, author: UserId) -> PhotoId {
        self.clock.advance(chrono::TimeDelta::microseconds(1));
        let now = self.clock.now();
        let photo = photo(author, now, vote::domain::day_at(now, self.service.time_zone));
        self.deliver_published(&photo).await;
        photo.photo_id
    }

    pub(crate) async fn publish_many(&self, author: UserId, how_many: usize) -> Vec<PhotoId> {
        let mut photos = Vec::new();
        for _ in 0..how_many {
            photos.push(self.publish(author).await);
        }
        photos
    }

    pub(crate) async fn deliver_published(&self, photo: &PublishedPhoto) {
        self.deliver("photo.published", serde_json::to_value(announced(photo)).unwrap())
            .await;
    }

    pub(crate) async fn delete(&self, photo: PhotoId) {
        self.deliver(
            "photo.deleted",
            json!({ "photoId": photo, "authorId": someone() }),
        )
        .await;
    }

    pub(crate) async fn depart(&self, user: UserId) {
        self.deliver("account.deleted", json!({ "accountId": user }))
            .await;
    }

    pub(crate) async fn deliver(&self, kind: &str, data: Value) {
        let event = testkit::event(kind, data, self.clock.now());
        assert_eq!(self.client.deliver(&event).await, StatusCode::NO_CONTENT);
    }

    pub(crate) async fn vote(&self, user: UserId, photo: PhotoId, choice: &str) -> Answer {
        cast(&self.client.of(user), photo, choice).await
    }

    /// The photo's tally and the viewer's vote: `2/1/1 UP`.
    pub(crate) async fn tally(&self, viewer: UserId, photo: PhotoId) -> String {
        let answer = self
            .client
            .of(viewer)
            .entities("Photo", &[photo], "votes { up down score } viewerVote")
            .await;
        shown(&answer.data()["_entities"][0])
    }

    pub(crate) async fn fold(&self) {
        vote::fold::run(&self.service.pool).await.unwrap();
    }

    pub(crate) async fn sweep(&self) {
        vote::events::sweep(&self.service.pool, self.clock.now())
            .await
            .unwrap();
    }

    /// A connection for SQL of a test's own, without the time limits of requests.
    pub(crate) async fn admin(&self) -> MySqlConnection {
        MySqlConnection::connect(self.database.url().expose())
            .await
            .unwrap()
    }

    pub(crate) async fn sql(&self, sql: &'static str) {
        sqlx::query(sql).execute(&mut self.admin().await).await.unwrap();
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(&mut self.admin().await)
            .await
            .unwrap()
    }
}

pub(crate) fn client(service: &Vote) -> Client {
    Client::new(vote::routes(
        service,
        Issuer::verifier(),
        CancellationToken::new(),
    ))
}

pub(crate) fn someone() -> UserId {
    UserId(Uuid::new_v4())
}

pub(crate) fn photo(author_id: UserId, published_at: DateTime<Utc>, hot_day: NaiveDate) -> PublishedPhoto {
    PublishedPhoto {
        photo_id: PhotoId::new(published_at),
        author_id,
        published_at,
        hot_day,
    }
}

/// The photo as the photo service tells of it.
pub(crate) fn announced(photo: &PublishedPhoto) -> contracts::photos::PublishedPhoto {
    contracts::photos::PublishedPhoto {
        photo_id: photo.photo_id.0,
        author_id: photo.author_id.0,
        published_at: photo.published_at,
        hot_day: photo.hot_day,
    }
}

pub(crate) async fn cast(client: &Client, photo: PhotoId, choice: &str) -> Answer {
    let mutation = "mutation ($id: ID!, $vote: VoteChoice!) { castVote(photoId: $id, vote: $vote) { id votes { up down score } viewerVote } }";
    client
        .graphql(mutation, json!({ "id": photo, "vote": choice }))
        .await
}

/// `2/1/1 UP` of a photo with its votes.
pub(crate) fn shown(photo: &Value) -> String {
    let votes = &photo["votes"];
    let vote = photo["viewerVote"].as_str().unwrap_or("-");
    format!("{}/{}/{} {vote}", votes["up"], votes["down"], votes["score"])
}

/// One page of a timeline: ids, and the cursor after which the next one begins.
pub(crate) struct Leaf {
    pub(crate) ids: Vec<String>,
    pub(crate) next: Option<String>,
}

/// Signs the cursors of the service.
pub(crate) fn cursor_list() -> ListKey {
    CursorKey::new(&Secret::new(INTERNAL_SECRET)).list("")
}

#[derive(Clone, Copy)]
pub(crate) enum List {
    Hot,
    Trending,
}

pub(crate) async fn leaf(client: &Client, list: List, first: usize, after: Option<&str>) -> Leaf {
    let field = match list {
        List::Hot => "hotPhotos",
        List::Trending => "trendingPhotos",
    };
    let query = format!(
        "query ($first: Int!, $after: String) {{ {field}(first: $first, after: $after) {{ nodes {{ id }} pageInfo {{ hasNextPage endCursor }} }} }}"
    );
    let answer = client
        .graphql(&query, json!({ "first": first, "after": after }))
        .await;
    let connection = &answer.data()[field];
    let ids = connection["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["id"].as_str().unwrap().to_owned())
        .collect();
    let info = &connection["pageInfo"];
    let next = info["hasNextPage"]
        .as_bool()
        .unwrap()
        .then(|| info["endCursor"].as_str().unwrap().to_owned());
    Leaf { ids, next }
}

/// All ids of a timeline, page by page.
pub(crate) async fn walk(client: &Client, list: List, first: usize) -> Vec<String> {
    let mut page = leaf(client, list, first, None).await;
    let mut ids = page.ids;
    while let Some(after) = page.next {
        page = leaf(client, list, first, Some(&after)).await;
        ids.extend(page.ids);
    }
    ids
}

pub(crate) fn strings(ids: impl IntoIterator<Item = PhotoId>) -> Vec<String> {
    ids.into_iter().map(|id| id.to_string()).collect()
}

/// The internal API of the photo service, and what the reconciler asks the authentication service.
#[derive(Clone)]
pub(crate) struct Neighbours {
    client: InternalClient,
    state: Arc<Mutex<Truth>>,
}

#[derive(Default)]
pub(crate) struct Truth {
    /// The responses of the fake photo service; `None` is a deleted photo.
    pub(crate) photos: BTreeMap<PhotoId, Option<PublishedPhoto>>,
    pub(crate) gone_accounts: HashSet<UserId>,
    pub(crate) down: bool,
    pub(crate) look_ups: u32,
}

impl Neighbours {
    async fn start() -> Self {
        let state = Arc::<Mutex<Truth>>::default();
        let routes = Router::new()
            .route("/internal/photos", get(list))
            .route("/internal/photos/{id}", get(look_up))
            .route("/internal/photos/gone", post(gone_photos))
            .route("/internal/accounts/gone", post(gone_accounts))
            .with_state(Arc::clone(&state));
        let client = testkit::peer(routes).await;
        Self { client, state }
    }

    fn clients(&self) -> Others {
        Others {
            photos: self.client.clone(),
            accounts: Some(self.client.clone()),
        }
    }

    pub(crate) fn truth(&self) -> MutexGuard<'_, Truth> {
        self.state.lock().unwrap()
    }

    pub(crate) fn has(&self, photo: &PublishedPhoto) {
        self.truth().photos.insert(photo.photo_id, Some(photo.clone()));
    }
}

type Shared = State<Arc<Mutex<Truth>>>;

#[derive(Deserialize)]
struct After {
    after: Option<PhotoId>,
}

async fn list(
    State(truth): Shared,
    Query(After { after }): Query<After>,
) -> Json<Listing<contracts::photos::PublishedPhoto>> {
    // Pages of three, so that small tests turn them.
    let truth = truth.lock().unwrap();
    let mut rest = truth
        .photos
        .iter()
        .filter(|(id, _)| after.is_none_or(|after| **id > after))
        .filter_map(|(_, photo)| photo.as_ref().map(announced));
    let items: Vec<_> = rest.by_ref().take(3).collect();
    let next = rest.next().and(items.last().map(|photo| photo.photo_id));
    Json(Listing { items, next })
}

async fn look_up(State(truth): Shared, Path(id): Path<PhotoId>) -> Response {
    let mut truth = truth.lock().unwrap();
    truth.look_ups += 1;
    if truth.down {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match truth.photos.get(&id) {
        Some(Some(photo)) => Json(announced(photo)).into_response(),
        Some(None) => StatusCode::GONE.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn gone_photos(State(truth): Shared, Json(Ids { ids }): Json<Ids<PhotoId>>) -> Json<Ids<PhotoId>> {
    let truth = truth.lock().unwrap();
    let ids = ids
        .into_iter()
        .filter(|id| !matches!(truth.photos.get(id), Some(Some(_))))
        .collect();
    Json(Ids { ids })
}

async fn gone_accounts(State(truth): Shared, Json(Ids { ids }): Json<Ids<UserId>>) -> Json<Ids<UserId>> {
    let truth = truth.lock().unwrap();
    let ids = ids
        .into_iter()
        .filter(|id| truth.gone_accounts.contains(id))
        .collect();
    Json(Ids { ids })
}
