//! Shared code of programs: telemetry, configuration, the HTTP server, the database, storage, and events between
//! services. Modules depend on each other in one direction; `./dev check` tests that.
//!
//! The test for adding a module: two programs contain it already, it needs no GraphQL, and its name is no noun of the
//! domain.

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

// `id_newtype!` names these through `$crate`; the derives need `serde` and `sqlx` in the crate that calls it.
#[doc(hidden)]
pub mod reexport {
    pub use {chrono, sqlx, uuid};
}
