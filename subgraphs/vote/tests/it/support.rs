use axum::http::StatusCode;
use chassis::UserId;
use chassis::config::Secret;
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use serde_json::{Value, json};
use sqlx::{Connection as _, MySqlConnection};
use subgraph::Base;
use subgraph::pagination::{CursorKey, ListKey};
use testkit::{Answer, Client, INTERNAL_SECRET, Neighbours, TestClock, TestDatabase};
use uuid::Uuid;
use vote::State;
use vote::domain::{KnownPhoto, PhotoId};

/// The service with a separate database, and fakes of other services.
pub(crate) struct TestService {
    pub(crate) clock: TestClock,
    pub(crate) state: State,
    pub(crate) client: Client,
    pub(crate) neighbours: Neighbours,
    pub(crate) database: TestDatabase,
}

impl TestService {
    pub(crate) async fn new() -> Self {
        Self::in_zone(chrono_tz::UTC).await
    }

    pub(crate) async fn in_zone(time_zone: Tz) -> Self {
        let database = TestDatabase::new(&vote::MIGRATOR).await;
        let neighbours = Neighbours::start().await;
        let clock = TestClock::default();
        let state = State {
            pool: database.pool.clone(),
            clock: clock.clock(),
            time_zone,
            photos: neighbours.client(),
            accounts: Some(neighbours.client()),
        };
        Self {
            client: client(&state),
            clock,
            state,
            neighbours,
            database,
        }
    }

    /// Another replica with separate connections and memory, and the same schema.
    pub(crate) fn replica(&self, connections: u32) -> (State, Client) {
        let pool = chassis::database::Pool::new(&self.database.url(), connections).unwrap();
        let state = State {
            pool,
            ..self.state.clone()
        };
        let client = client(&state);
        (state, client)
    }

    /// Publishes a photo, one microsecond after the previous one.
    pub(crate) async fn publish(&self, author: UserId) -> PhotoId {
        self.clock.advance(chrono::TimeDelta::microseconds(1));
        let now = self.clock.now();
        let photo = photo(author, now, vote::domain::day_at(now, self.state.time_zone));
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

    pub(crate) async fn deliver_published(&self, photo: &KnownPhoto) {
        self.deliver("photo.published", json!(announced(photo))).await;
    }

    pub(crate) async fn delete(&self, photo: PhotoId) {
        self.deliver(
            "photo.deleted",
            json!({ "photoId": photo, "authorId": new_user() }),
        )
        .await;
    }

    pub(crate) async fn delete_account(&self, user: UserId) {
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

    /// Returns the photo's tally and the viewer's vote: `2/1/1 UP`.
    pub(crate) async fn tally(&self, viewer: UserId, photo: PhotoId) -> String {
        let answer = self
            .client
            .of(viewer)
            .entities("Photo", &[photo], "votes { up down score } viewerVote")
            .await;
        format_votes(&answer.data()["_entities"][0])
    }

    pub(crate) async fn fold(&self) {
        vote::fold::run(&self.state.pool).await.unwrap();
    }

    pub(crate) async fn sweep(&self) {
        vote::sweep::run(&self.state).await.unwrap();
    }

    /// A connection for other SQL, without the time limits of requests.
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

pub(crate) fn client(state: &State) -> Client {
    let base = testkit::base(&state.pool, &TestClock::default());
    let base = Base {
        clock: state.clock.clone(),
        ..base
    };
    Client::new(vote::service(state, &base).into_routes())
}

pub(crate) fn new_user() -> UserId {
    UserId(Uuid::new_v4())
}

pub(crate) fn photo(author_id: UserId, published_at: DateTime<Utc>, hot_day: NaiveDate) -> KnownPhoto {
    KnownPhoto {
        photo_id: PhotoId::new(published_at),
        author_id,
        published_at,
        hot_day,
    }
}

/// Returns the photo as sent by the photo service.
pub(crate) fn announced(photo: &KnownPhoto) -> contracts::photos::PublishedPhoto {
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

/// Formats a photo with its votes: `2/1/1 UP`.
pub(crate) fn format_votes(photo: &Value) -> String {
    let votes = &photo["votes"];
    let vote = photo["viewerVote"].as_str().unwrap_or("-");
    format!("{}/{}/{} {vote}", votes["up"], votes["down"], votes["score"])
}

/// A page of a timeline: ids, and the cursor of the next page.
pub(crate) struct TimelinePage {
    pub(crate) ids: Vec<String>,
    pub(crate) next: Option<String>,
}

/// Returns the key that signs the service's cursors.
pub(crate) fn cursor_key() -> ListKey {
    CursorKey::new(&Secret::new(INTERNAL_SECRET)).list("")
}

#[derive(Clone, Copy)]
pub(crate) enum List {
    Hot,
    Trending,
}

pub(crate) async fn timeline_page(
    client: &Client,
    list: List,
    first: usize,
    after: Option<&str>,
) -> TimelinePage {
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
    TimelinePage { ids, next }
}

/// Returns all ids of a timeline, read page by page.
pub(crate) async fn walk(client: &Client, list: List, first: usize) -> Vec<String> {
    let mut page = timeline_page(client, list, first, None).await;
    let mut ids = page.ids;
    while let Some(after) = page.next {
        page = timeline_page(client, list, first, Some(&after)).await;
        ids.extend(page.ids);
    }
    ids
}

pub(crate) fn strings(ids: impl IntoIterator<Item = PhotoId>) -> Vec<String> {
    ids.into_iter().map(|id| id.to_string()).collect()
}
