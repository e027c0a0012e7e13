//! The vote service: the ledger of votes, tallies, the ranked timelines and the archive of days.
//!
//! A vote writes a row of the ledger and what it has changed; the fold adds the changes to the scores; the timelines
//! are read from snapshots of the order that the scores make.

#![forbid(unsafe_code)]

pub mod domain;
pub mod error;
pub mod store;
pub mod casting;
pub mod fold;
pub mod timelines;
pub mod archive;
pub mod loaders;
pub mod graphql;
pub mod events;
pub mod recount;
pub mod reconcile;

use std::sync::Arc;
use std::time::Duration;

use async_graphql::{EmptySubscription, Schema};
use axum::Router;
use chassis::Clock;
use chassis::config::Secret;
use chassis::events::inbox;
use chassis::lease::Held;
use chassis::telemetry::measure::{self, Metric, describe};
use chassis::tokens::TokenVerifier;
use chassis::worker::Job;
use chrono_tz::Tz;
use sqlx::MySqlPool;
use subgraph::pagination::CursorKey;
use subgraph::server::{self, Readiness};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use casting::Casting;
use error::Error;
use graphql::mutation::Mutation;
use graphql::query::Query;
use reconcile::{Others, Repaired};
use store::{deltas, snapshots};
use timelines::Timelines;

/// The tables of this service's own.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// The service's state. Cheap to clone.
#[derive(Clone)]
pub struct Vote {
    /// Its schema.
    pub pool: MySqlPool,
    /// Tells the time.
    pub clock: Clock,
    /// Where the site is: a day begins at midnight there.
    pub time_zone: Tz,
    /// Guards what other services may ask.
    pub secret: Secret,
    /// The services that this one asks.
    pub others: Others,
    /// Wakes the sweep after an event.
    pub wake: Arc<Notify>,
}

/// The executable schema over `service`.
pub fn schema(service: &Vote) -> Schema<Query, Mutation, EmptySubscription> {
    let Vote {
        pool, clock, others, ..
    } = service.clone();
    let casting = Casting {
        pool: pool.clone(),
        clock: clock.clone(),
        photos: others.photos,
    };
    server::finish_schema(
        Schema::build(Query, Mutation, EmptySubscription)
            .data(casting)
            .data(Timelines::new(pool.clone(), clock.clone()))
            .data(loaders::tallies(pool.clone()))
            .data(loaders::votes(pool.clone()))
            .data(pool)
            .data(clock)
            .data(CursorKey::new(&service.secret))
            .data(service.time_zone),
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
pub fn routes(service: &Vote, verifier: TokenVerifier, stop: CancellationToken) -> Router {
    let readiness = Readiness::new(service.pool.clone(), stop);
    let handler = events::Inbox {
        clock: service.clock.clone(),
        wake: Arc::clone(&service.wake),
    };
    server::routes(schema(service), verifier, readiness).merge(inbox::routes(
        service.pool.clone(),
        service.clock.clone(),
        service.secret.clone(),
        handler,
    ))
}

/// Starts the fold, the sweep, the closing of days, the pruning of snapshots, the reconciler, and the forgetting of
/// old event ids. Wait for them after `stop`: then they have given up their leases, and another replica need not wait
/// for these to end.
pub fn spawn_jobs(service: &Vote, stop: &CancellationToken) -> Vec<JoinHandle<()>> {
    // A timeline may lag behind its votes by a second; half of it is left for the way there and back.
    let fold = Job::new("fold", Duration::from_millis(500));
    let sweep = Job {
        name: "sweep",
        every: Duration::from_secs(10),
        wake: Arc::clone(&service.wake),
    };
    let close_days = Job::new("close-days", Duration::from_secs(2));
    let prune = Job::new("prune-snapshots", Duration::from_secs(30));
    let compare = Job::new("reconcile", Duration::from_secs(600));
    let forget = Job::new("forget-events", Duration::from_secs(3600));
    vec![
        watch_fold(service.pool.clone(), stop.clone()),
        spawn(service, stop, fold, |vote, lease| async move {
            fold::run_under(&vote.pool, Some(lease)).await.map(drop)
        }),
        spawn(service, stop, sweep, |vote, _| async move {
            events::sweep(&vote.pool, vote.clock.now()).await
        }),
        spawn(service, stop, close_days, |vote, lease| async move {
            archive::close_days(&vote.pool, vote.clock.now(), vote.time_zone, Some(lease)).await
        }),
        spawn(service, stop, prune, |vote, _| async move {
            let mut connection = vote.pool.acquire().await?;
            while snapshots::prune(&mut connection, vote.clock.now()).await? > 0 {}
            Ok(())
        }),
        spawn(service, stop, compare, |vote, _| async move {
            let repaired = reconcile::run(&vote.pool, &vote.clock, &vote.others).await?;
            if repaired != Repaired::default() {
                tracing::warn!(?repaired, "the reconciler repaired the effects of missed events");
            }
            Ok(())
        }),
        spawn(service, stop, forget, |vote, _| async move {
            Ok(inbox::forget_old(&vote.pool, vote.clock.now()).await?)
        }),
    ]
}

/// Measures how far the fold is behind: the age of the oldest change that it has not added.
fn watch_fold(pool: MySqlPool, stop: CancellationToken) -> JoinHandle<()> {
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

fn spawn<W>(
    service: &Vote,
    stop: &CancellationToken,
    job: Job,
    mut work: impl FnMut(Vote, Held) -> W + Send + 'static,
) -> JoinHandle<()>
where
    W: Future<Output = Result<(), Error>> + Send + 'static,
{
    let service = service.clone();
    job.spawn(service.pool.clone(), stop.clone(), move |lease| {
        work(service.clone(), lease)
    })
}
