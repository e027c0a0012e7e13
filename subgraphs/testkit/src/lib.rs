//! What the integration tests of the subgraphs share: databases of their own, signed viewers, a clock that
//! can be set, a client that speaks to a service through its HTTP routes, and other services for it to ask.

mod clock;
mod client;
mod database;
mod issuer;
mod peer;
mod proxy;

pub use client::{Answer, Client};
pub use clock::TestClock;
pub use database::TestDatabase;
pub use issuer::Issuer;
pub use peer::{absent_peer, peer};
pub use proxy::{Loss, Proxy};

/// The secret that services show each other in tests.
pub const INTERNAL_SECRET: &str = "internal secret of the tests";
