//! What every subgraph process needs: configuration, the HTTP server, who is asking, errors, pages, the
//! database, and events between services.
//!
//! The entry test for a module: two subgraphs already contain it, and its name is no noun of the domain.

#![forbid(unsafe_code)]

pub mod program;
pub mod config;
mod starting;
pub mod server;
mod document;
pub mod telemetry;

pub mod viewer;
pub mod tokens;
pub mod departed;
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
pub use error::{Classify, Code, Failure};
pub use id::InvalidId;
pub use viewer::{UserId, Viewer};

/// What resolvers return.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

// `id_newtype!` names these through `$crate`; the derives need `serde` and `sqlx` in the crate that calls it.
#[doc(hidden)]
pub mod reexport {
    pub use {chrono, sqlx, uuid};
}
