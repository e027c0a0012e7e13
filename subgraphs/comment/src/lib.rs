//! The comment service: comments and replies, `Photo.comments`, `Photo.commentCount` and `User.comments`.

#![forbid(unsafe_code)]

pub mod domain;
pub mod error;
pub mod store;
pub mod loaders;
pub mod photos;
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
use subgraph::pagination::CursorKey;
use subgraph::server::{self, Readiness};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use error::Error;
use graphql::mutation::Mutation;
use graphql::query::Query;
use photos::Photos;

/// The tables of this service's own.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// The service's state. Cheap to clone.
#[derive(Clone)]
pub struct Comments {
    /// Its schema.
    pub pool: MySqlPool,
    /// Tells the time.
    pub clock: Clock,
    /// Guards what other services may ask.
    pub secret: Secret,
    /// The photo service.
    pub photos: InternalClient,
    /// Wakes the sweep after an event.
    pub wake: Arc<Notify>,
}

/// The executable schema over `service`.
pub fn schema(service: &Comments) -> Schema<Query, Mutation, EmptySubscription> {
    let Comments {
        pool, clock, photos, ..
    } = service.clone();
    server::finish_schema(
        Schema::build(Query, Mutation, EmptySubscription)
            .data(pool.clone())
            .data(clock.clone())
            .data(Photos {
                pool: pool.clone(),
                service: photos,
                clock,
            })
            .data(CursorKey::new(&service.secret))
            .data(loaders::comments(pool)),
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
pub fn routes(service: &Comments, verifier: TokenVerifier, stop: CancellationToken) -> Router {
    let readiness = Readiness::new(service.pool.clone(), stop);
    let effects = events::Effects {
        clock: service.clock.clone(),
        wake: Arc::clone(&service.wake),
    };
    server::routes(schema(service), verifier, readiness).merge(inbox::routes(
        service.pool.clone(),
        service.clock.clone(),
        service.secret.clone(),
        effects,
    ))
}

/// Starts the sweep, the reconciler, and the forgetting of what is old.
pub fn spawn_jobs(
    service: &Comments,
    accounts: Option<InternalClient>,
    stop: &CancellationToken,
) -> Vec<JoinHandle<()>> {
    let Comments {
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

    let Comments {
        pool, clock, photos, ..
    } = service.clone();
    let compare = Job::new("reconcile", Duration::from_secs(600));
    let compare = compare.spawn(service.pool.clone(), stop.clone(), move |_| {
        let (pool, photos, accounts, now) = (pool.clone(), photos.clone(), accounts.clone(), clock.now());
        async move {
            let repaired = reconcile::run(&pool, &photos, accounts.as_ref(), now).await?;
            if repaired != reconcile::Repaired::default() {
                tracing::warn!(?repaired, "the reconciler repaired the effects of missed events");
            }
            Ok::<_, Error>(())
        }
    });

    let Comments { pool, clock, .. } = service.clone();
    let forget = Job::new("forget", Duration::from_secs(3600));
    let forget = forget.spawn(service.pool.clone(), stop.clone(), move |_| {
        let (pool, now) = (pool.clone(), clock.now());
        async move { events::forget(&pool, now).await }
    });
    vec![sweep, compare, forget]
}
