//! Accounts, passwords and login sessions, and the keys that sign access tokens.
//!
//! Other services only need the public keys, the `sub` of a token, and created and deleted accounts, so any other
//! issuer of such tokens can replace this service.

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
pub mod reconcile;

use std::time::Duration;

use async_graphql::EmptySubscription;
use chassis::telemetry::measure::{Metric, describe};
use chassis::worker::Job;
use subgraph::{Base, Program, Service, server};

use graphql::{Mutation, Query};
use state::State;

/// The migrations of this service's tables.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

pub static PROGRAM: Program = Program {
    name: "authentication",
    migrations: &MIGRATOR,
    sdl: || server::sdl(&schema(None)),
};

const ROTATE_INTERVAL: Duration = Duration::from_secs(600);
const RECONCILE_INTERVAL: Duration = Duration::from_secs(600);

const METRICS: [Metric; 2] = [
    Metric::Counter(
        "proofsheet_password_hashes_total",
        "Hashed passwords, to be stored or compared.",
    ),
    Metric::Counter(
        "proofsheet_refresh_token_replays_total",
        "Sessions that were ended because an old refresh token was used again.",
    ),
];

pub type Schema = async_graphql::Schema<Query, Mutation, EmptySubscription>;

/// Builds the schema. Without a state it can only be printed.
pub fn schema(state: Option<&State>) -> Schema {
    let mut builder = Schema::build(Query, Mutation, EmptySubscription);
    if let Some(state) = state {
        builder = builder.data(state.clone());
    }
    server::finish_schema(builder)
}

/// The routes and the background jobs of this service.
pub fn service(state: &State, base: &Base) -> Service {
    describe(&METRICS);
    let base = Base {
        verifier: state.keys.verifier(),
        ..base.clone()
    };
    let reconcile = Job::new("reconcile", RECONCILE_INTERVAL);
    // A new release may have rows to convert.
    reconcile.wake.notify_one();
    let keys = state.keys.clone();
    Service::new(&base, schema(Some(state)))
        .routes(internal::public_routes(state.clone()))
        .internal(internal::routes(state.clone()))
        .outbox(&state.outbox)
        .task(|stop| keys.spawn_reload(stop))
        .job(
            Job::new("rotate-keys", ROTATE_INTERVAL),
            state,
            async |state, _| state.keys.rotate_when_due(state.clock.now()).await,
        )
        .job(reconcile, state, async |state, _| {
            reconcile::run(&state.pool, &state.clock).await.map(drop)
        })
}
