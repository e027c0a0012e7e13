//! A service: its routes and its background jobs.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::{EmptySubscription, ObjectType, Schema};
use axum::Router;
use chassis::config::Secret;
use chassis::database::Pool;
use chassis::events::{self, Event, EventHandler, Outbox, inbox};
use chassis::lease::Held;
use chassis::tokens::TokenVerifier;
use chassis::worker::Job;
use chassis::{Classify, Clock, internal, server, telemetry};
use chrono::{DateTime, Utc};
use sqlx::MySqlConnection;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::server::Readiness;

const RECONCILE_INTERVAL: Duration = Duration::from_secs(600);
const DELETE_EVENT_IDS_INTERVAL: Duration = Duration::from_secs(3600);
/// How long the process waits for its jobs at the end. The lease of a longer job expires.
const JOBS_TIMEOUT: Duration = Duration::from_secs(5);

/// The resources of the routes and jobs of every service. Cheap to clone.
#[derive(Clone)]
pub struct Base {
    pub pool: Pool,
    pub clock: Clock,
    /// Shared by all clients of this process.
    pub http: reqwest::Client,
    /// The secret between services.
    pub secret: Secret,
    pub verifier: TokenVerifier,
    /// Wakes the sweep.
    pub wake: Arc<Notify>,
    /// Cancelled at SIGTERM.
    pub stop: CancellationToken,
}

/// Routes, and jobs that have not started yet.
pub struct Service {
    base: Base,
    routes: Router,
    jobs: Vec<Box<dyn FnOnce() -> JoinHandle<()>>>,
}

impl Service {
    /// Creates a service with GraphQL and the probes.
    pub fn new<Q, M>(base: &Base, schema: Schema<Q, M, EmptySubscription>) -> Self
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
    {
        let readiness = Readiness::new(base.pool.clone(), base.stop.clone());
        Self {
            base: base.clone(),
            routes: crate::server::routes(schema, base.verifier.clone(), readiness),
            jobs: Vec::new(),
        }
    }

    #[must_use]
    pub fn routes(mut self, routes: Router) -> Self {
        self.routes = self.routes.merge(routes);
        self
    }

    /// Adds routes of the internal API, which require the secret.
    #[must_use]
    pub fn internal(self, routes: Router) -> Self {
        let secret = self.base.secret.clone();
        self.routes(internal::with_secret(routes, secret))
    }

    /// Receives events, wakes the sweep after each, and deletes old event ids.
    #[must_use]
    pub fn events<H: EventHandler>(self, handler: H) -> Self {
        let Base {
            pool,
            clock,
            secret,
            wake,
            ..
        } = self.base.clone();
        let routes = inbox::routes(
            pool.clone(),
            clock.clone(),
            secret,
            WakeAfterEvents { handler, wake },
        );
        self.routes(routes).job(
            Job::new("forget-events", DELETE_EVENT_IDS_INTERVAL),
            &(pool, clock),
            |(pool, clock), _| async move { inbox::delete_old(&pool, clock.now()).await },
        )
    }

    /// Delivers the events of the outbox.
    #[must_use]
    pub fn outbox(self, outbox: &Outbox) -> Self {
        let (outbox, base) = (outbox.clone(), self.base.clone());
        self.task(move |stop| outbox.spawn_relay(base.pool, &base.http, &base.secret, stop))
    }

    /// Runs a job under a lease of its name, with a clone of `state`.
    #[must_use]
    pub fn job<S, E, W>(self, job: Job, state: &S, work: impl Fn(S, Held) -> W + Send + 'static) -> Self
    where
        S: Clone + Send + 'static,
        E: Classify + From<sqlx::Error>,
        W: Future<Output = Result<(), E>> + Send + 'static,
    {
        let (pool, state) = (self.base.pool.clone(), state.clone());
        self.task(move |stop| job.spawn(pool, stop, move |lease| work(state.clone(), lease)))
    }

    /// Deletes what is left of deleted items, at this interval and after each event.
    #[must_use]
    pub fn sweep<S, E, W>(self, every: Duration, state: &S, work: impl Fn(S) -> W + Send + 'static) -> Self
    where
        S: Clone + Send + 'static,
        E: Classify + From<sqlx::Error>,
        W: Future<Output = Result<(), E>> + Send + 'static,
    {
        let job = Job {
            name: "sweep",
            every,
            wake: Arc::clone(&self.base.wake),
        };
        self.job(job, state, move |state, _| work(state))
    }

    /// Repairs the effects of lost events, and logs the repairs.
    #[must_use]
    pub fn reconcile<S, R, E, W>(self, state: &S, work: impl Fn(S) -> W + Send + 'static) -> Self
    where
        S: Clone + Send + 'static,
        R: Debug + Default + PartialEq + Send,
        E: Classify + From<sqlx::Error>,
        W: Future<Output = Result<R, E>> + Send + 'static,
    {
        self.job(
            Job::new("reconcile", RECONCILE_INTERVAL),
            state,
            move |state, _| {
                let repairing = work(state);
                async move {
                    let repaired = repairing.await?;
                    if repaired != R::default() {
                        tracing::warn!(?repaired, "repaired the effects of lost events");
                    }
                    Ok::<_, E>(())
                }
            },
        )
    }

    /// Runs a task in every replica until the token is cancelled.
    #[must_use]
    pub fn task(mut self, start: impl FnOnce(CancellationToken) -> JoinHandle<()> + 'static) -> Self {
        let stop = self.base.stop.clone();
        self.jobs.push(Box::new(move || start(stop)));
        self
    }

    /// Returns the routes without the jobs, for tests.
    pub fn into_routes(self) -> Router {
        self.routes
    }

    /// Starts the jobs, serves requests until the stop, and waits for all jobs, including `running`.
    pub(crate) async fn run(
        self,
        listener: std::net::TcpListener,
        mut running: Vec<JoinHandle<()>>,
    ) -> anyhow::Result<()> {
        running.extend(self.jobs.into_iter().map(|start| start()));
        server::serve(listener, self.routes, self.base.stop).await?;
        // A job that releases its lease lets another replica start immediately.
        let _ = tokio::time::timeout(JOBS_TIMEOUT, futures::future::join_all(running)).await;
        telemetry::traces::finish().await;
        Ok(())
    }
}

/// Wakes the sweep after each event.
struct WakeAfterEvents<H> {
    handler: H,
    wake: Arc<Notify>,
}

impl<H: EventHandler> events::EventHandler for WakeAfterEvents<H> {
    type Error = H::Error;

    async fn apply(
        &self,
        tx: &mut MySqlConnection,
        event: &Event,
        now: DateTime<Utc>,
    ) -> Result<(), H::Error> {
        self.handler.apply(tx, event, now).await
    }

    fn applied(&self) {
        self.wake.notify_one();
    }
}
