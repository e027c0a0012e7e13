//! Shared code of programs: telemetry, configuration, the HTTP server, the database, storage, and events between
//! services. Modules depend on each other in one direction; `./dev check` tests that.
//!
//! A module belongs here if two programs need it, it needs no GraphQL, and it is independent of the domain.

#![forbid(unsafe_code)]

pub mod config;
pub mod server;
pub mod telemetry;

pub mod viewer;
pub mod tokens;
pub mod deleted_accounts;
pub mod ended_sessions;

pub mod error;
pub mod id;
pub mod text;
pub mod clock;

pub mod database;
pub mod lease;
pub mod worker;
pub mod events;
pub mod internal;
pub mod mirror;
pub mod objects;

pub use clock::Clock;
pub use contracts::Code;
pub use error::Classify;
pub use id::InvalidId;
pub use viewer::{UserId, Viewer};

// Used by `id_newtype!`. The derives need `serde` and `sqlx` in the calling crate.
#[doc(hidden)]
pub mod reexport {
    pub use {chrono, sqlx, uuid};
}
