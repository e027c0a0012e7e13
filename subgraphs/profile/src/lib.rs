//! The profile service: usernames, display names and bios; the entity `User`, and `Viewer.user`.
//!
//! It knows nothing of passwords and works with any issuer of tokens. A user without a row gets a default profile
//! derived from their id.

#![forbid(unsafe_code)]

mod reserved;
pub mod domain;
pub mod error;
pub mod store;
pub mod loaders;
pub mod graphql;
pub mod events;
pub mod reconcile;

use std::sync::Arc;
use std::time::Duration;

use async_graphql::{EmptySubscription, Schema};
use axum::Router;
use chassis::Clock;
use chassis::config::Secret;
use chassis::events::inbox;
use chassis::internal::InternalClient;
use chassis::tokens::TokenVerifier;
use chassis::worker::Job;
use sqlx::MySqlPool;
use subgraph::server::{self, Readiness};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use error::Error;
use graphql::mutation::Mutation;
use graphql::query::Query;

/// The tables of this service's own.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// The service's state. Cheap to clone.
#[derive(Clone)]
pub struct Profile {
    /// Its schema.
    pub pool: MySqlPool,
    /// Tells the time.
    pub clock: Clock,
    /// Guards what other services may ask.
    pub secret: Secret,
    /// Wakes the sweep after an event.
    pub wake: Arc<Notify>,
}

/// The executable schema over `service`.
pub fn schema(service: &Profile) -> Schema<Query, Mutation, EmptySubscription> {
    server::finish_schema(
        Schema::build(Query, Mutation, EmptySubscription)
            .data(service.pool.clone())
            .data(service.clock.clone())
            .data(loaders::profiles(service.pool.clone())),
    )
}

/// The schema definition that composition reads.
pub fn sdl() -> String {
    server::sdl(&server::finish_schema(Schema::build(
        Query,
        Mutation,
        EmptySubscription,
    )))
}

/// Everything that this service answers over HTTP.
pub fn routes(service: &Profile, verifier: TokenVerifier, stop: CancellationToken) -> Router {
    let readiness = Readiness::new(service.pool.clone(), stop);
    let accounts = events::Accounts {
        clock: service.clock.clone(),
        wake: Arc::clone(&service.wake),
    };
    server::routes(schema(service), verifier, readiness).merge(inbox::routes(
        service.pool.clone(),
        service.clock.clone(),
        service.secret.clone(),
        accounts,
    ))
}

/// Starts the sweep, the reconciler, and the forgetting of old event ids.
pub fn spawn_jobs(
    service: &Profile,
    accounts: Option<InternalClient>,
    stop: &CancellationToken,
) -> Vec<JoinHandle<()>> {
    let Profile {
        pool, clock, wake, ..
    } = service.clone();
    let sweep = Job {
        name: "sweep",
        every: Duration::from_secs(10),
        wake,
    };
    let sweep = sweep.spawn(service.pool.clone(), stop.clone(), move |_| {
        let (pool, now) = (pool.clone(), clock.now());
        async move { events::sweep(&pool, now).await }
    });

    let Profile { pool, clock, .. } = service.clone();
    let compare = Job::new("reconcile", Duration::from_secs(600));
    let compare = compare.spawn(service.pool.clone(), stop.clone(), move |_| {
        let (pool, accounts, now) = (pool.clone(), accounts.clone(), clock.now());
        async move {
            let repaired = reconcile::run(&pool, accounts.as_ref(), now).await?;
            if repaired != reconcile::Repaired::default() {
                tracing::warn!(?repaired, "the reconciler repaired the effects of missed events");
            }
            Ok::<_, Error>(())
        }
    });

    let Profile { pool, clock, .. } = service.clone();
    let forget = Job::new("forget-events", Duration::from_secs(3600));
    let forget = forget.spawn(service.pool.clone(), stop.clone(), move |_| {
        let (pool, now) = (pool.clone(), clock.now());
        async move {
            inbox::forget_old(&pool, now).await?;
            Ok::<_, Error>(())
        }
    });
    vec![sweep, compare, forget]
}
