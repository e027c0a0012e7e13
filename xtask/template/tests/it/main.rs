//! The sample service through its HTTP routes, on a real MariaDB.

use axum::http::StatusCode;
use chassis::UserId;
use chrono::TimeDelta;
use sample::domain::SampleId;
use sample::{State, reconcile, sweep};
use serde_json::{Value, json};
use testkit::{Client, Neighbours, TestClock, TestDatabase};

/// A service with its own schema.
struct TestService {
    client: Client,
    clock: TestClock,
    state: State,
    neighbours: Neighbours,
    // Drops the schema at the end.
    _database: TestDatabase,
}

async fn service() -> TestService {
    let database = TestDatabase::new(&sample::MIGRATOR).await;
    let clock = TestClock::default();
    let neighbours = Neighbours::start().await;
    let state = State {
        pool: chassis::database::Pool::new(&database.url(), 4).unwrap(),
        clock: clock.clock(),
        accounts: Some(neighbours.client()),
    };
    let routes = sample::service(&state, &testkit::base(&state.pool, &clock)).into_routes();
    TestService {
        client: Client::new(routes),
        clock,
        state,
        neighbours,
        _database: database,
    }
}

impl TestService {
    fn person(&self) -> UserId {
        UserId::new(self.clock.now())
    }

    /// Creates a sample, and returns its id.
    async fn create(&self, owner: UserId) -> Value {
        let client = self.client.of(owner);
        let created = client.graphql(CREATE, json!({ "title": " Herons " })).await;
        created.data()["createSample"]["id"].clone()
    }

    /// The sample with this id, or null.
    async fn find(&self, id: &Value) -> Value {
        let query = "query ($id: ID!) { sample(id: $id) { id title createdAt owner { id } } }";
        let found = self.client.graphql(query, json!({ "id": id })).await;
        found.data()["sample"].clone()
    }
}

const CREATE: &str = "mutation ($title: String!) { createSample(title: $title) { id } }";

#[tokio::test]
async fn a_sample_is_created_and_found() {
    let service = service().await;
    let ada = service.person();
    let id = service.create(ada).await;
    let expected = json!({
        "id": id, "title": "Herons", "createdAt": service.clock.now(), "owner": { "id": ada },
    });
    let mut found = service.find(&id).await;
    let created_at: chrono::DateTime<chrono::Utc> = found["createdAt"].as_str().unwrap().parse().unwrap();
    found["createdAt"] = json!(created_at);
    assert_eq!(found, expected);

    let unknown = SampleId::new(service.clock.now());
    assert_eq!(service.find(&json!(unknown.to_string())).await, Value::Null);
    let id = id.as_str().unwrap().to_owned();
    let entities = service
        .client
        .entities("Sample", &[id, unknown.to_string()], "title")
        .await;
    assert_eq!(entities.data()["_entities"], json!([{ "title": "Herons" }, null]));
}

#[tokio::test]
async fn a_sample_needs_an_account_and_a_title() {
    let service = service().await;
    let title = json!({ "title": "Herons" });
    let anonymous = service.client.graphql(CREATE, title).await;
    assert_eq!(anonymous.error(), "UNAUTHENTICATED");
    let client = service.client.of(service.person());
    for bad in ["", " ", &"x".repeat(121)] {
        let refused = client.graphql(CREATE, json!({ "title": bad })).await;
        assert_eq!(refused.error(), "INVALID_INPUT title", "{bad:?}");
    }
    let query = "{ sample(id: \"7\") { id } }";
    let malformed = service.client.graphql(query, Value::Null).await;
    assert_eq!(malformed.error(), "INVALID_INPUT id");
}

#[tokio::test]
async fn samples_of_a_deleted_account_are_removed() {
    let service = service().await;
    let (ada, bob) = (service.person(), service.person());
    let (removed, kept) = (service.create(ada).await, service.create(bob).await);
    let data = json!({ "accountId": ada });
    let deleted = testkit::event("account.deleted", data, service.clock.now());
    for _ in 0..2 {
        assert_eq!(service.client.deliver(&deleted).await, StatusCode::NO_CONTENT);
    }
    sweep::run(&service.state).await.unwrap();
    assert_eq!(service.find(&removed).await, Value::Null);
    assert_eq!(service.find(&kept).await["title"], "Herons");

    let late = service
        .client
        .of(ada)
        .graphql(CREATE, json!({ "title": "Late" }))
        .await;
    assert_eq!(late.error(), "UNAUTHENTICATED");
}

#[tokio::test]
async fn a_lost_deletion_is_repaired() {
    let service = service().await;
    let ada = service.person();
    let id = service.create(ada).await;
    service.neighbours.truth().gone_accounts.insert(ada.0);
    service.clock.advance(TimeDelta::minutes(16));
    for expected in [1, 0] {
        let repaired = reconcile::run(&service.state).await.unwrap();
        assert_eq!(repaired.deleted_accounts, expected);
    }
    assert_eq!(service.find(&id).await, Value::Null);
}
