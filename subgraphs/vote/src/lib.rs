//! The vote service: the ledger of votes, tallies, the ranked timelines and the archive of days.
//!
//! A vote writes a row of the ledger and what it has changed; the fold adds the changes to the scores; the timelines
//! are read from snapshots of the order that the scores make.

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

/// The tables of this service's own.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

pub static PROGRAM: Program = Program {
    name: "vote",
    migrations: &MIGRATOR,
    sdl: || server::sdl(&schema(None)),
};

#[derive(Debug, clap::Args)]
pub struct Settings {
    /// The photo service, asked about photos that no event has told of yet.
    #[arg(long, env = "PHOTO_URL", default_value = "http://127.0.0.1:5002")]
    photo_url: Url,
    /// Our own authentication service. Without it (another issuer) accounts are not compared.
    #[arg(long, env = "AUTHENTICATION_URL")]
    authentication_url: Option<Url>,
    /// Where the site is (IANA name): a day begins at midnight there. The same as photo's.
    #[arg(long, env = "TIME_ZONE", default_value = "UTC")]
    time_zone: Tz,
}

/// The resources of requests and jobs. Cheap to clone.
#[derive(Clone)]
pub struct State {
    pub pool: Pool,
    pub clock: Clock,
    /// A day begins at midnight there.
    pub time_zone: Tz,
    /// The photo service.
    pub photos: InternalClient,
    /// Our own authentication service.
    pub accounts: Option<InternalClient>,
}

impl State {
    pub fn new(context: &Context, settings: Settings) -> Result<Self, ConfigError> {
        let accounts = settings.authentication_url.map(|url| context.peer(url));
        Ok(Self {
            pool: context.pool.clone(),
            clock: context.clock.clone(),
            time_zone: settings.time_zone,
            photos: context.peer(settings.photo_url)?,
            accounts: accounts.transpose()?,
        })
    }
}

pub type Schema = async_graphql::Schema<Query, Mutation, EmptySubscription>;

/// The executable schema; without a state it only describes itself.
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

/// Everything that this service answers and does.
pub fn service(state: &State, base: &Base) -> Service {
    // A timeline may lag behind its votes by a second; half of it is left for the way there and back.
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
            while snapshots::prune(&mut connection, state.clock.now()).await? > 0 {}
            Ok::<_, error::Error>(())
        })
}

/// Measures how far the fold is behind: the age of the oldest change that it has not added.
fn watch_fold(pool: Pool, stop: CancellationToken) -> JoinHandle<()> {
    describe(&[Metric::Gauge(
        "proofsheet_vote_fold_lag_seconds",
        "The age of the oldest vote that is not in its photo's score yet; 0 without one.",
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
