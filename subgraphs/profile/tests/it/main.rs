//! Tests of the profile service through its HTTP routes with a real MariaDB.

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

/// A service with a separate schema.
struct TestService {
    client: Client,
    clock: TestClock,
    state: State,
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
    let database = TestDatabase::new(&profile::MIGRATOR).await;
    let pool = chassis::database::Pool::new(&database.url(), connections).unwrap();
    service_on(database, pool)
}

/// A service with these connections to a database.
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
        own_statements: AtomicI64::default(),
        _database: database,
    }
}

impl TestService {
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

    fn new_user(&self) -> UserId {
        UserId::new(self.clock.now())
    }

    fn event(&self, kind: &str, data: Value) -> Event {
        testkit::event(kind, data, self.clock.now())
    }
}
