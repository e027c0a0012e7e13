//! Photos: uploads, files and renditions, and the entity `Photo`.
//!
//! The way of a picture: `POST /media/uploads` ([`uploads`]) has it processed ([`imaging_worker`]) and keeps its files
//! ([`files`]); the mutation `publishPhoto` ([`graphql`]) makes the upload a photo of the same id; [`media`] serves the
//! files. The sweeper ([`sweep`]) removes deleted photos' files, and the reconciler ([`reconcile`]) repairs lost ones.
//!
//! A photo has the id of its upload, so publishing is idempotent: if the upload is gone, the photo is in its place.

#![forbid(unsafe_code)]

pub mod domain;
pub mod error;

pub mod graphql;
pub mod loaders;
pub mod store;

pub mod uploads;
pub mod formats;
pub mod imaging_worker;
pub mod files;
pub mod media;

pub mod events;
pub mod internal;
pub mod sweep;
pub mod reconcile;

use std::sync::Arc;
use std::time::Duration;

use async_graphql::{EmptySubscription, Schema};
use axum::Router;
use chassis::Clock;
use chassis::config::Secret;
use chassis::events::{Outbox, inbox};
use chassis::internal::InternalClient;
use chassis::tokens::TokenVerifier;
use chassis::worker::Job;
use sqlx::MySqlPool;
use subgraph::pagination::CursorKey;
use subgraph::server::{self, Readiness};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::files::Files;
use crate::graphql::{Mutation, Query};
use crate::imaging_worker::ImagingWorkers;

/// The migrations of this subgraph's own tables.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// How long a deletion waits for the sweeper where another replica holds its lease.
const SWEEP: Duration = Duration::from_secs(2);
const RECONCILE: Duration = Duration::from_secs(600);
const FORGET: Duration = Duration::from_secs(3600);

/// The service's state. Cheap to clone.
#[derive(Debug, Clone)]
pub struct State {
    pub pool: MySqlPool,
    pub clock: Clock,
    /// The site's time zone: when a day ends.
    pub zone: chrono_tz::Tz,
    pub files: Files,
    pub imaging: ImagingWorkers,
    pub outbox: Outbox,
    /// Wakes the sweeper.
    pub sweep: Arc<Notify>,
}

/// The subgraph's schema.
pub type PhotoSchema = Schema<Query, Mutation, EmptySubscription>;

/// The schema over a service's state; without one it only describes itself.
pub fn schema(service: Option<(State, CursorKey)>) -> PhotoSchema {
    let mut builder = Schema::build(Query, Mutation, EmptySubscription);
    if let Some((state, cursors)) = service {
        builder = builder
            .data(loaders::photos(state.pool.clone()))
            .data(cursors)
            .data(state);
    }
    server::finish_schema(builder)
}

/// The verifiers of requests.
#[derive(Clone)]
pub struct Trust {
    pub verifier: TokenVerifier,
    /// The secret between services.
    pub secret: Secret,
}

/// Everything that this service answers.
pub fn routes(state: &State, trust: Trust, stop: CancellationToken) -> Router {
    let handler = events::Handler {
        sweep: Arc::clone(&state.sweep),
    };
    let readiness = Readiness::new(state.pool.clone(), stop);
    let schema = schema(Some((state.clone(), CursorKey::new(&trust.secret))));
    server::routes(schema, trust.verifier.clone(), readiness)
        .merge(uploads::routes(state.clone(), trust.verifier))
        .merge(media::routes(state.files.clone()))
        .merge(inbox::routes(
            state.pool.clone(),
            state.clock.clone(),
            trust.secret.clone(),
            handler,
        ))
        .merge(internal::routes(state.clone(), trust.secret))
}

/// Starts what runs beside the requests, but for the relay of the outbox.
pub fn spawn_jobs(
    state: &State,
    accounts: Option<InternalClient>,
    stop: &CancellationToken,
) -> Vec<JoinHandle<()>> {
    let sweeping = state.clone();
    let sweep = Job {
        name: "sweep",
        every: SWEEP,
        wake: Arc::clone(&state.sweep),
    }
    .spawn(state.pool.clone(), stop.clone(), move |_| {
        let state = sweeping.clone();
        async move { sweep::sweep(&state).await.map(drop) }
    });
    let reconciling = state.clone();
    let reconcile = Job::new("reconcile", RECONCILE).spawn(state.pool.clone(), stop.clone(), move |_| {
        let (state, accounts) = (reconciling.clone(), accounts.clone());
        async move { reconcile::reconcile(&state, accounts.as_ref()).await.map(drop) }
    });
    let (pool, clock) = (state.pool.clone(), state.clock.clone());
    let forget = Job::new("forget", FORGET).spawn(state.pool.clone(), stop.clone(), move |_| {
        let (pool, clock) = (pool.clone(), clock.clone());
        async move { inbox::forget_old(&pool, clock.now()).await.map_err(Error::from) }
    });
    vec![sweep, reconcile, forget]
}
