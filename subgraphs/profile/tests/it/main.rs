//! The profile service through its HTTP routes, on a real MariaDB.

mod accounts;
mod lost;
mod people;
mod reconcile;

use std::sync::atomic::{AtomicI64, Ordering};

use chassis::UserId;
use chassis::database::Pool;
use chassis::events::Event;
use profile::State;
use serde_json::Value;
use testkit::{Client, TestClock, TestDatabase};

/// A service with its own schema.
struct TestService {
    client: Client,
    clock: TestClock,
    state: State,
    /// How often [`TestService::statements`] was asked.
    asked: AtomicI64,
    // Drops the schema at the end.
    _database: TestDatabase,
}

async fn service() -> TestService {
    service_with(16).await
}

/// A service that has so many connections.
async fn service_with(connections: u32) -> TestService {
    let database = TestDatabase::new(&profile::MIGRATOR).await;
    let pool = chassis::database::Pool::new(&database.url(), connections).unwrap();
    service_on(database, pool)
}

/// A service on a database by way of these connections.
fn service_on(database: TestDatabase, pool: Pool) -> TestService {
    let clock = TestClock::default();
    let state = State {
        pool,
        clock: clock.clock(),
        accounts: None,
    };
    let routes = profile::service(&state, &testkit::base(&state.pool, &clock)).into_routes();
    TestService {
        client: Client::new(routes),
        clock,
        state,
        asked: AtomicI64::default(),
        _database: database,
    }
}

impl TestService {
    /// How many statements the connection has run, without the questions how many: of a service that has only one.
    async fn statements(&self) -> i64 {
        let question = sqlx::query_as("SHOW SESSION STATUS LIKE 'Com_stmt_execute'");
        let (_, executed): (String, String) = question.fetch_one(&self.state.pool).await.unwrap();
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        executed.parse::<i64>().unwrap() - asked
    }

    /// How many rows there are `FROM` this.
    async fn rows(&self, from: &str) -> i64 {
        let query = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {from}"));
        sqlx::query_scalar(query)
            .fetch_one(&self.state.pool)
            .await
            .unwrap()
    }

    fn person(&self) -> UserId {
        UserId::new(self.clock.now())
    }

    fn event(&self, kind: &str, data: Value) -> Event {
        testkit::event(kind, data, self.clock.now())
    }
}
