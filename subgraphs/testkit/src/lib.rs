//! Shared tools for the subgraphs' integration tests: a database per test, signed viewers, a settable clock, a client
//! for a service's HTTP routes, and fake services.

use std::sync::Arc;

use chassis::config::Secret;
use chassis::database::Pool;
use contracts::events::Event;
use subgraph::Base;
use tokio_util::sync::CancellationToken;

mod clock;
mod client;
mod database;
mod issuer;
mod neighbours;
mod peer;
mod proxy;
mod server;

pub use client::{Answer, Client};
pub use clock::TestClock;
pub use database::TestDatabase;
pub use issuer::Issuer;
pub use neighbours::{FakeData, Neighbours};
pub use peer::{absent_peer, peer};
pub use proxy::{Loss, Proxy};

/// The secret between services in tests.
pub const INTERNAL_SECRET: &str = "internal secret of the tests";

/// Returns the resources for a service under test.
pub fn base(pool: &Pool, clock: &TestClock) -> Base {
    Base {
        pool: pool.clone(),
        clock: clock.clock(),
        http: reqwest::Client::new(),
        secret: Secret::new(INTERNAL_SECRET),
        verifier: Issuer::verifier(),
        wake: Arc::default(),
        stop: CancellationToken::new(),
    }
}

/// Creates an event.
pub fn event(kind: &str, data: serde_json::Value, occurred_at: chrono::DateTime<chrono::Utc>) -> Event {
    Event {
        id: chassis::id::new_uuid(occurred_at),
        kind: kind.to_owned(),
        occurred_at,
        data,
    }
}
