//! The comment service through its HTTP routes, on a real MariaDB, beside a photo service that the tests make up.

mod deleting;
mod events;
mod lost;
mod reading;
mod reconcile;
mod writing;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chassis::UserId;
use chassis::config::Secret;
use chassis::events::Event;
use chassis::internal::InternalClient;
use chrono::TimeDelta;
use comment::Comments;
use comment::domain::{CommentId, PhotoId};
use serde_json::{Value, json};
use testkit::{Answer, Client, INTERNAL_SECRET, Issuer, TestClock, TestDatabase};
use tokio_util::sync::CancellationToken;

/// The data of the fake photo and authentication services.
#[derive(Default)]
struct Elsewhere {
    photos: Vec<(PhotoId, UserId)>,
    deleted: Vec<PhotoId>,
    gone_accounts: Vec<UserId>,
    /// How often it was asked for one photo.
    asked: usize,
}

/// A service with its own schema.
struct Service {
    client: Client,
    clock: TestClock,
    comments: Comments,
    elsewhere: Arc<Mutex<Elsewhere>>,
    /// How often [`Service::statements`] was asked.
    asked: AtomicI64,
    // Drops the schema at the end.
    _database: TestDatabase,
}

async fn service() -> Service {
    service_with(16).await
}

/// A service that has so many connections.
async fn service_with(connections: u32) -> Service {
    let database = TestDatabase::new(&comment::MIGRATOR).await;
    let pool = chassis::database::pool(&database.url(), connections).unwrap();
    service_on(database, pool).await
}

/// A service on a database by way of these connections.
async fn service_on(database: TestDatabase, pool: sqlx::MySqlPool) -> Service {
    let clock = TestClock::default();
    let elsewhere = Arc::default();
    let comments = Comments {
        pool,
        clock: clock.clock(),
        secret: Secret::new(INTERNAL_SECRET),
        photos: start(Arc::clone(&elsewhere)).await,
        wake: Arc::default(),
    };
    let routes = comment::routes(&comments, Issuer::verifier(), CancellationToken::new());
    Service {
        client: Client::new(routes),
        clock,
        comments,
        elsewhere,
        asked: AtomicI64::default(),
        _database: database,
    }
}

async fn start(elsewhere: Arc<Mutex<Elsewhere>>) -> InternalClient {
    let routes = Router::new()
        .route("/internal/photos/{id}", get(one_photo))
        .route("/internal/photos", get(photos))
        .route("/internal/photos/gone", post(gone_photos))
        .route("/internal/accounts/gone", post(gone_accounts))
        .with_state(elsewhere);
    testkit::peer(routes).await
}

type Shared = State<Arc<Mutex<Elsewhere>>>;

fn item(photo: PhotoId, author: UserId) -> Value {
    json!({ "photoId": photo, "authorId": author, "publishedAt": "2026-11-22T11:59:00Z", "hotDay": "2026-11-22" })
}

async fn one_photo(State(elsewhere): Shared, Path(id): Path<PhotoId>) -> Response {
    let mut elsewhere = elsewhere.lock().unwrap();
    elsewhere.asked += 1;
    if elsewhere.deleted.contains(&id) {
        return StatusCode::GONE.into_response();
    }
    match elsewhere.photos.iter().find(|(photo, _)| *photo == id) {
        Some((photo, author)) => Json(item(*photo, *author)).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Two to a page, so that there are pages.
async fn photos(State(elsewhere): Shared, RawQuery(query): RawQuery) -> Json<Value> {
    let query = query.unwrap_or_default();
    let after = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("after="))
        .unwrap_or_default()
        .to_owned();
    let mut photos = elsewhere.lock().unwrap().photos.clone();
    photos.sort();
    let page: Vec<_> = photos
        .into_iter()
        .filter(|(id, _)| id.to_string() > after)
        .take(2)
        .collect();
    let next = page.last().filter(|_| page.len() == 2).map(|(id, _)| *id);
    Json(
        json!({ "items": page.iter().map(|(id, author)| item(*id, *author)).collect::<Vec<_>>(), "next": next }),
    )
}

async fn gone_photos(State(elsewhere): Shared, Json(asked): Json<Value>) -> Json<Value> {
    let elsewhere = elsewhere.lock().unwrap();
    let ids: Vec<PhotoId> = serde_json::from_value(asked["ids"].clone()).unwrap();
    let gone: Vec<_> = ids
        .into_iter()
        .filter(|id| !elsewhere.photos.iter().any(|(photo, _)| photo == id))
        .collect();
    Json(json!({ "ids": gone }))
}

async fn gone_accounts(State(elsewhere): Shared, Json(asked): Json<Value>) -> Json<Value> {
    let elsewhere = elsewhere.lock().unwrap();
    let ids: Vec<UserId> = serde_json::from_value(asked["ids"].clone()).unwrap();
    let gone: Vec<_> = ids
        .into_iter()
        .filter(|id| elsewhere.gone_accounts.contains(id))
        .collect();
    Json(json!({ "ids": gone }))
}

const ADD: &str = "mutation ($input: AddCommentInput!) { addComment(input: $input) { id body } }";
const DELETE: &str = "mutation ($id: ID!) { deleteComment(id: $id) }";

impl Service {
    fn person(&self) -> UserId {
        UserId::new(self.clock.now())
    }

    /// A photo that the photo service knows and this one has not heard of yet.
    fn unheard_photo(&self, author: UserId) -> PhotoId {
        let photo = PhotoId::new(self.clock.now());
        self.elsewhere.lock().unwrap().photos.push((photo, author));
        photo
    }

    /// A photo that this service has heard of by its event.
    async fn photo(&self, author: UserId) -> PhotoId {
        let photo = self.unheard_photo(author);
        let published = self.event("photo.published", item(photo, author));
        assert_eq!(self.client.deliver(&published).await, StatusCode::NO_CONTENT);
        photo
    }

    fn event(&self, kind: &str, data: Value) -> Event {
        testkit::event(kind, data, self.clock.now())
    }

    async fn deliver(&self, kind: &str, data: Value) {
        assert_eq!(
            self.client.deliver(&self.event(kind, data)).await,
            StatusCode::NO_CONTENT
        );
    }

    /// Tries to add a comment.
    async fn try_add(&self, author: UserId, input: Value) -> Answer {
        // Ids tell the order of milliseconds.
        self.clock.advance(TimeDelta::milliseconds(1));
        self.client
            .of(author)
            .graphql(ADD, json!({ "input": input }))
            .await
    }

    async fn add(&self, author: UserId, photo: PhotoId, body: &str) -> CommentId {
        let answer = self
            .try_add(author, json!({ "photoId": photo, "body": body }))
            .await;
        serde_json::from_value(answer.data()["addComment"]["id"].clone()).unwrap()
    }

    async fn reply(&self, author: UserId, photo: PhotoId, to: CommentId, body: &str) -> CommentId {
        let answer = self
            .try_add(author, json!({ "photoId": photo, "body": body, "replyToId": to }))
            .await;
        serde_json::from_value(answer.data()["addComment"]["id"].clone()).unwrap()
    }

    async fn delete(&self, who: UserId, id: CommentId) -> Answer {
        self.client.of(who).graphql(DELETE, json!({ "id": id })).await
    }

    /// A photo's comments as a reader sees them.
    async fn read(&self, photo: PhotoId) -> Value {
        let selection = "commentCount comments(first: 100) { totalCount nodes { body deleted author { id } replies { totalCount nodes { body } } } }";
        let answer = self.client.entities("Photo", &[photo], selection).await;
        answer.data()["_entities"][0].clone()
    }

    /// The texts of a photo's comments with those of their replies, and the two numbers.
    async fn texts(&self, photo: PhotoId) -> (Vec<(String, Vec<String>)>, i64, i64) {
        let text = |node: &Value| node["body"].as_str().unwrap().to_owned();
        let photo = self.read(photo).await;
        let comments = photo["comments"]["nodes"].as_array().unwrap().iter();
        let texts = comments.map(|node| {
            (
                text(node),
                node["replies"]["nodes"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(text)
                    .collect(),
            )
        });
        (
            texts.collect(),
            photo["comments"]["totalCount"].as_i64().unwrap(),
            photo["commentCount"].as_i64().unwrap(),
        )
    }

    /// How many statements the connection has run, without the questions how many: of a service that has only one.
    async fn statements(&self) -> i64 {
        let question = sqlx::query_as("SHOW SESSION STATUS LIKE 'Com_stmt_execute'");
        let (_, executed): (String, String) = question.fetch_one(&self.comments.pool).await.unwrap();
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        executed.parse::<i64>().unwrap() - asked
    }

    /// How many rows there are `FROM` this.
    async fn rows(&self, from: &str) -> i64 {
        let query = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {from}"));
        sqlx::query_scalar(query)
            .fetch_one(&self.comments.pool)
            .await
            .unwrap()
    }
}
