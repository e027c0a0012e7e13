//! Accounts, passwords and login sessions, and the keys that sign access tokens.
//!
//! The other services know only the public keys, the `sub` of a token, and which accounts were created and deleted, so
//! any other issuer of such tokens can replace this one.

mod common_passwords;
pub mod config;
pub mod domain;
pub mod error;

pub mod cookies;
pub mod graphql;
pub mod login_throttle;
pub mod hashing;
pub mod internal;
pub mod keys;
pub mod sessions;
pub mod state;
pub mod store;
pub mod jobs;

use async_graphql::{EmptySubscription, Schema, SchemaBuilder};
use axum::Router;
use chassis::config::Secret;
use subgraph::server::{self, Readiness};

use graphql::{Mutation, Query};
use state::State;

/// The migrations of this service's own tables.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// The schema, without what its resolvers need: enough to print it.
pub fn schema() -> SchemaBuilder<Query, Mutation, EmptySubscription> {
    Schema::build(Query, Mutation, EmptySubscription)
}

/// Everything that this service answers.
pub fn routes(state: &State, internal_secret: Secret, readiness: Readiness) -> Router {
    let schema = server::finish_schema(schema().data(state.clone()));
    server::routes(schema, state.keys.verifier(), readiness)
        .merge(internal::routes(state.clone(), internal_secret))
}
