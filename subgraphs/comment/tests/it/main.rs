//! Tests of the comment service through its HTTP routes, with a real MariaDB and fakes of other services.

mod deleting;
mod events;
mod lost;
mod reading;
mod reconcile;
mod writing;

use std::sync::atomic::{AtomicI64, Ordering};

use axum::http::StatusCode;
use chassis::UserId;
use chassis::database::Pool;
use chassis::events::Event;
use chrono::TimeDelta;
use comment::State;
use comment::domain::{CommentId, PhotoId};
use contracts::photos::PublishedPhoto;
use serde_json::{Value, json};
use testkit::{Answer, Client, Neighbours, TestClock, TestDatabase};

/// A service with a separate schema.
struct TestService {
    client: Client,
    clock: TestClock,
    state: State,
    neighbours: Neighbours,
    /// The number of calls of [`TestService::statements`].
    own_statements: AtomicI64,
    // Drops the schema at the end of the test.
    _database: TestDatabase,
}

async fn service() -> TestService {
    service_with(16).await
}

/// A service with this number of connections.
async fn service_with(connections: u32) -> TestService {
    let database = TestDatabase::new(&comment::MIGRATOR).await;
    let pool = chassis::database::Pool::new(&database.url(), connections).unwrap();
    service_on(database, pool).await
}

/// A service with these connections to a database.
async fn service_on(database: TestDatabase, pool: Pool) -> TestService {
    let clock = TestClock::default();
    let neighbours = Neighbours::start().await;
    let state = State {
        pool,
        clock: clock.clock(),
        photos: neighbours.client(),
        accounts: Some(neighbours.client()),
    };
    let routes = comment::service(&state, &testkit::base(&state.pool, &clock)).into_routes();
    TestService {
        client: Client::new(routes),
        clock,
        state,
        neighbours,
        own_statements: AtomicI64::default(),
        _database: database,
    }
}

fn published(photo: PhotoId, author: UserId) -> PublishedPhoto {
    PublishedPhoto {
        photo_id: photo.0,
        author_id: author.0,
        published_at: "2026-11-22T11:59:00Z".parse().unwrap(),
        hot_day: "2026-11-22".parse().unwrap(),
    }
}

fn item(photo: PhotoId, author: UserId) -> Value {
    json!(published(photo, author))
}

const ADD: &str = "mutation ($input: AddCommentInput!) { addComment(input: $input) { id body } }";
const DELETE: &str = "mutation ($id: ID!) { deleteComment(id: $id) }";

impl TestService {
    fn new_user(&self) -> UserId {
        UserId::new(self.clock.now())
    }

    /// Returns a photo of the photo service that this service does not know yet.
    fn unknown_photo(&self, author: UserId) -> PhotoId {
        let photo = PhotoId::new(self.clock.now());
        self.neighbours.publish(published(photo, author));
        photo
    }

    /// Returns a photo that this service knows from its event.
    async fn photo(&self, author: UserId) -> PhotoId {
        let photo = self.unknown_photo(author);
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
        // Ids have a precision of milliseconds.
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

    /// Returns a photo's comments like the app reads them.
    async fn read(&self, photo: PhotoId) -> Value {
        let selection = "commentCount comments(first: 100) { totalCount nodes { body deleted author { id } replies { totalCount nodes { body } } } }";
        let answer = self.client.entities("Photo", &[photo], selection).await;
        answer.data()["_entities"][0].clone()
    }

    /// Returns the texts of a photo's comments with those of their replies, and the two counts.
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

    /// Returns the number of executed statements of a service with a single connection, without those of this function.
    async fn statements(&self) -> i64 {
        let question = sqlx::query_as("SHOW SESSION STATUS LIKE 'Com_stmt_execute'");
        let (_, executed): (String, String) = question.fetch_one(&self.state.pool).await.unwrap();
        let own_statements = self.own_statements.fetch_add(1, Ordering::Relaxed) + 1;
        executed.parse::<i64>().unwrap() - own_statements
    }

    /// Returns the number of rows `FROM` an expression.
    async fn rows(&self, from: &str) -> i64 {
        let query = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {from}"));
        sqlx::query_scalar(query)
            .fetch_one(&self.state.pool)
            .await
            .unwrap()
    }
}
