//! Shared tools for the subgraphs' integration tests: a database per test, signed viewers, a settable clock, a client
//! for a service's HTTP routes, and fake services.

mod clock;
mod client;
mod database;
mod issuer;
mod peer;
mod proxy;
mod server;

use contracts::events::Event;

pub use client::{Answer, Client};
pub use clock::TestClock;
pub use database::TestDatabase;
pub use issuer::Issuer;
pub use peer::{absent_peer, peer};
pub use proxy::{Loss, Proxy};

/// The secret that services show each other in tests.
pub const INTERNAL_SECRET: &str = "internal secret of the tests";

/// An event as a test makes it up.
pub fn event(kind: &str, data: serde_json::Value, occurred_at: chrono::DateTime<chrono::Utc>) -> Event {
    Event {
        id: chassis::id::new_uuid(occurred_at),
        kind: kind.to_owned(),
        occurred_at,
        data,
    }
}
