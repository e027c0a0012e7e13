//! Photos: uploads, files and renditions, and the entity `Photo`.
//!
//! `POST /media/uploads` ([`uploads`]) processes a picture ([`imaging_worker`]) and stores its files ([`files`]). The
//! mutation `publishPhoto` ([`graphql`]) turns the upload into a photo with the same id. [`media`] serves the files.
//! The sweep ([`sweep`]) deletes files of deleted photos, and reconciliation ([`reconcile`]) restores lost files.
//!
//! A photo has the id of its upload, so publishing is idempotent.

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

use async_graphql::EmptySubscription;
use chassis::Clock;
use chassis::database::Pool;
use chassis::events::Outbox;
use chassis::events::outbox::Subscriber;
use chassis::internal::InternalClient;
use chassis::objects::StoreConfig;
use chassis::worker::Job;
use subgraph::pagination::CursorKey;
use subgraph::program::Context;
use subgraph::{Base, Program, Service, server};
use tokio::sync::Notify;
use url::Url;

use crate::files::Files;
use crate::graphql::{Mutation, Query};
use crate::imaging_worker::{ImagingWorkers, Limits};

/// The migrations of this service's tables.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

pub static PROGRAM: Program = Program {
    name: "photo",
    migrations: &MIGRATOR,
    sdl: || server::sdl(&schema(None)),
};

/// The maximum delay of a deletion if another replica holds the lease of the sweep.
const SWEEP_INTERVAL: Duration = Duration::from_secs(2);
const RECONCILE_INTERVAL: Duration = Duration::from_secs(600);

#[derive(Debug, clap::Args)]
pub struct Settings {
    #[command(flatten)]
    store: StoreConfig,
    /// Time zone of the site (IANA name), which determines when a day ends
    #[arg(long, env = "TIME_ZONE", default_value = "UTC")]
    time_zone: chrono_tz::Tz,
    /// Subscribers to events of this service: `name=http://host:port`, separated by commas
    #[arg(long, env = "EVENT_SUBSCRIBERS", value_delimiter = ',')]
    subscribers: Vec<Subscriber>,
    /// URL of the authentication service. Without it (external issuer) accounts are not compared
    #[arg(long, env = "AUTHENTICATION_URL")]
    authentication_url: Option<Url>,
}

/// The resources of requests and jobs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct State {
    pub pool: Pool,
    pub clock: Clock,
    /// The time zone in which a day begins at midnight.
    pub time_zone: chrono_tz::Tz,
    pub files: Files,
    pub imaging: ImagingWorkers,
    pub outbox: Outbox,
    /// The site's authentication service, if it is the issuer.
    pub accounts: Option<InternalClient>,
    /// Wakes the sweep.
    pub wake: Arc<Notify>,
}

impl State {
    pub fn new(context: &Context, settings: Settings) -> anyhow::Result<Self> {
        Ok(Self {
            pool: context.pool.clone(),
            clock: context.clock.clone(),
            time_zone: settings.time_zone,
            files: Files::open(&settings.store)?,
            imaging: ImagingWorkers::new(ImagingWorkers::THIS_PROGRAM, Limits::DEFAULT),
            outbox: Outbox::new(settings.subscribers),
            accounts: context.optional_peer(settings.authentication_url)?,
            wake: Arc::default(),
        })
    }
}

pub type Schema = async_graphql::Schema<Query, Mutation, EmptySubscription>;

/// Builds the schema. Without a state it can only be printed.
pub fn schema(state: Option<(&State, CursorKey)>) -> Schema {
    let mut builder = Schema::build(Query, Mutation, EmptySubscription);
    if let Some((state, cursors)) = state {
        builder = builder
            .data(loaders::photos(state.pool.clone()))
            .data(cursors)
            .data(state.clone());
    }
    server::finish_schema(builder)
}

/// The routes and the background jobs of this service.
pub fn service(state: &State, base: &Base) -> Service {
    let base = Base {
        wake: Arc::clone(&state.wake),
        ..base.clone()
    };
    Service::new(&base, schema(Some((state, CursorKey::new(&base.secret)))))
        .routes(uploads::routes(state.clone(), base.verifier.clone()))
        .routes(media::routes(state.files.clone()))
        .internal(internal::routes(state.clone()))
        .events(events::EventHandler)
        .outbox(&state.outbox)
        .sweep(SWEEP_INTERVAL, state, async |state| {
            sweep::run(&state).await.map(drop)
        })
        // Logs its repairs itself, because it also deletes expired uploads, which is not a repair.
        .job(
            Job::new("reconcile", RECONCILE_INTERVAL),
            state,
            async |state, _| reconcile::run(&state).await.map(drop),
        )
}
