//! The profile service through its HTTP routes, on a real MariaDB.

mod accounts;
mod lost;
mod people;
mod reconcile;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chassis::UserId;
use chassis::config::Secret;
use chassis::events::Event;
use profile::Profile;
use serde_json::Value;
use testkit::{Client, INTERNAL_SECRET, Issuer, TestClock, TestDatabase};
use tokio_util::sync::CancellationToken;

/// A service with its own schema.
struct Service {
    client: Client,
    clock: TestClock,
    profile: Profile,
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
    let database = TestDatabase::new(&profile::MIGRATOR).await;
    let pool = chassis::database::pool(&database.url(), connections).unwrap();
    service_on(database, pool)
}

/// A service on a database by way of these connections.
fn service_on(database: TestDatabase, pool: sqlx::MySqlPool) -> Service {
    let clock = TestClock::default();
    let profile = Profile {
        pool,
        clock: clock.clock(),
        secret: Secret::new(INTERNAL_SECRET),
        wake: Arc::default(),
    };
    let routes = profile::routes(&profile, Issuer::verifier(), CancellationToken::new());
    Service {
        client: Client::new(routes),
        clock,
        profile,
        asked: AtomicI64::default(),
        _database: database,
    }
}

impl Service {
    /// How many statements the connection has run, without the questions how many: of a service that has only one.
    async fn statements(&self) -> i64 {
        let question = sqlx::query_as("SHOW SESSION STATUS LIKE 'Com_stmt_execute'");
        let (_, executed): (String, String) = question.fetch_one(&self.profile.pool).await.unwrap();
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        executed.parse::<i64>().unwrap() - asked
    }

    /// How many rows there are `FROM` this.
    async fn rows(&self, from: &str) -> i64 {
        let query = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {from}"));
        sqlx::query_scalar(query)
            .fetch_one(&self.profile.pool)
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
