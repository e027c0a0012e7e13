//! The vote service: votes, tallies, the ranked timelines and the archive of days.
//!
//! A vote updates a row of `vote` and appends a delta. The fold adds deltas to the scores. Timelines are read from
//! snapshots of the order of the scores.

#![forbid(unsafe_code)]

pub mod domain;
pub mod error;
pub mod store;
pub mod photos;
pub mod casting;
pub mod fold;
pub mod timelines;
pub mod archive;
pub mod loaders;
pub mod graphql;
pub mod events;
pub mod sweep;
pub mod recount;
pub mod reconcile;

use std::time::Duration;

use async_graphql::EmptySubscription;
use chassis::Clock;
use chassis::config::ConfigError;
use chassis::database::Pool;
use chassis::internal::InternalClient;
use chassis::telemetry::measure::{self, Metric, describe};
use chassis::worker::Job;
use chrono_tz::Tz;
use subgraph::pagination::CursorKey;
use subgraph::program::Context;
use subgraph::{Base, Program, Service, server};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use graphql::mutation::Mutation;
use graphql::query::Query;
use store::{deltas, snapshots};
use timelines::Timelines;

/// The migrations of this service's tables.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

pub static PROGRAM: Program = Program {
    name: "vote",
    migrations: &MIGRATOR,
    sdl: || server::sdl(&schema(None)),
};

#[derive(Debug, clap::Args)]
pub struct Settings {
    /// URL of the photo service, for photos whose events have not arrived
    #[arg(long, env = "PHOTO_URL", default_value = "http://127.0.0.1:5002")]
    photo_url: Url,
    /// URL of the authentication service. Without it (external issuer) accounts are not compared
    #[arg(long, env = "AUTHENTICATION_URL")]
    authentication_url: Option<Url>,
    /// Time zone of the site (IANA name), which determines when a day ends. The same as of the photo service
    #[arg(long, env = "TIME_ZONE", default_value = "UTC")]
    time_zone: Tz,
}

/// The resources of requests and jobs. Cheap to clone.
#[derive(Clone)]
pub struct State {
    pub pool: Pool,
    pub clock: Clock,
    /// The time zone in which a day begins at midnight.
    pub time_zone: Tz,
    /// The photo service.
    pub photos: InternalClient,
    /// The site's authentication service, if it is the issuer.
    pub accounts: Option<InternalClient>,
}

impl State {
    pub fn new(context: &Context, settings: Settings) -> Result<Self, ConfigError> {
        Ok(Self {
            pool: context.pool.clone(),
            clock: context.clock.clone(),
            time_zone: settings.time_zone,
            photos: context.peer(settings.photo_url)?,
            accounts: context.optional_peer(settings.authentication_url)?,
        })
    }
}

pub type Schema = async_graphql::Schema<Query, Mutation, EmptySubscription>;

/// Builds the schema. Without a state it can only be printed.
pub fn schema(state: Option<(&State, CursorKey)>) -> Schema {
    let mut builder = Schema::build(Query, Mutation, EmptySubscription);
    if let Some((state, cursors)) = state {
        builder = builder
            .data(Timelines::new(state.pool.clone(), state.clock.clone()))
            .data(loaders::tallies(state.pool.clone()))
            .data(loaders::votes(state.pool.clone()))
            .data(cursors)
            .data(state.clone());
    }
    server::finish_schema(builder)
}

/// The routes and the background jobs of this service.
pub fn service(state: &State, base: &Base) -> Service {
    // Timelines may be a second behind. Half of it is for the fold, half for requests.
    let fold = Job::new("fold", Duration::from_millis(500));
    let close_days = Job::new("close-days", Duration::from_secs(2));
    let prune = Job::new("prune-snapshots", Duration::from_secs(30));
    let pool = state.pool.clone();
    Service::new(base, schema(Some((state, CursorKey::new(&base.secret)))))
        .events(events::EventHandler)
        .sweep(Duration::from_secs(10), state, async |state| {
            sweep::run(&state).await
        })
        .reconcile(state, async |state| reconcile::run(&state).await)
        .task(|stop| watch_fold(pool, stop))
        .job(fold, state, async |state, lease| {
            fold::run_under(&state.pool, Some(lease)).await.map(drop)
        })
        .job(close_days, state, async |state, lease| {
            archive::close_days(&state, Some(lease)).await
        })
        .job(prune, state, async |state, _| {
            let mut connection = state.pool.acquire().await?;
            while snapshots::delete_expired(&mut connection, state.clock.now()).await? > 0 {}
            Ok::<_, error::Error>(())
        })
}

/// Records the age of the oldest delta that is not folded.
fn watch_fold(pool: Pool, stop: CancellationToken) -> JoinHandle<()> {
    describe(&[Metric::Gauge(
        "proofsheet_vote_fold_lag_seconds",
        "Age of the oldest vote that is not in the score of its photo yet; 0 without one.",
    )]);
    measure::watch(stop, move || {
        let pool = pool.clone();
        async move {
            if let Ok(oldest) = deltas::oldest(&pool, 1).await {
                let age = oldest.first().and_then(deltas::age).unwrap_or_default();
                metrics::gauge!("proofsheet_vote_fold_lag_seconds").set(age.as_secs_f64());
            }
        }
    })
}
