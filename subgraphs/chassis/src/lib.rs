//! Shared code of every service: configuration, the HTTP server, the viewer, errors, pagination, the database, and
//! events between services.
//!
//! The test for adding a module: two subgraphs contain it already, and its name is no noun of the domain.

#![forbid(unsafe_code)]

pub mod program;
pub mod config;
mod starting;
pub mod server;
mod document;
pub mod telemetry;

pub mod viewer;
pub mod tokens;
pub mod deleted_accounts;
pub mod ended_sessions;

pub mod error;
pub mod pagination;
pub mod id;
pub mod text;
pub mod clock;

pub mod database;
pub mod lease;
pub mod worker;
pub mod events;
pub mod internal;
pub mod objects;

pub use clock::Clock;
pub use contracts::Code;
pub use error::{Classify, Failure};
pub use id::InvalidId;
pub use viewer::{UserId, Viewer};

/// The result type of resolvers.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

// `id_newtype!` names these through `$crate`; the derives need `serde` and `sqlx` in the crate that calls it.
#[doc(hidden)]
pub mod reexport {
    pub use {chrono, sqlx, uuid};
}
