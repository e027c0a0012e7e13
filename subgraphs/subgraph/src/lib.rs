//! Shared code of the subgraphs, on top of `chassis`: the program of a service, its GraphQL routes, errors, the viewer
//! and pagination.

#![forbid(unsafe_code)]

pub mod program;
pub mod service;
mod startup;
pub mod server;
mod document;

pub mod error;
pub mod viewer;
pub mod pagination;

pub use error::Failure;
pub use program::Program;
pub use service::{Base, Service};

/// The result type of resolvers.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

// Used by `common_errors!`.
#[doc(hidden)]
pub mod reexport {
    pub use {chassis, sqlx};
}
