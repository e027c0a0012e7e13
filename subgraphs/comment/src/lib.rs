//! The comment service: comments and replies, `Photo.comments`, `Photo.commentCount` and `User.comments`.

#![forbid(unsafe_code)]

pub mod domain;
pub mod error;
pub mod store;
pub mod loaders;
pub mod photos;
pub mod graphql;
pub mod events;
pub mod sweep;
pub mod reconcile;

use std::time::Duration;

use async_graphql::EmptySubscription;
use chassis::Clock;
use chassis::config::ConfigError;
use chassis::database::Pool;
use chassis::internal::InternalClient;
use chassis::worker::Job;
use subgraph::pagination::CursorKey;
use subgraph::program::Context;
use subgraph::{Base, Program, Service, server};
use url::Url;

use graphql::mutation::Mutation;
use graphql::query::Query;

/// The migrations of this service's tables.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

pub static PROGRAM: Program = Program {
    name: "comment",
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
}

/// The resources of requests and jobs. Cheap to clone.
#[derive(Clone)]
pub struct State {
    pub pool: Pool,
    pub clock: Clock,
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
            .data(loaders::comments(state.pool.clone()))
            .data(cursors)
            .data(state.clone());
    }
    server::finish_schema(builder)
}

/// The routes and the background jobs of this service.
pub fn service(state: &State, base: &Base) -> Service {
    Service::new(base, schema(Some((state, CursorKey::new(&base.secret)))))
        .events(events::EventHandler)
        .sweep(Duration::from_secs(10), state, async |state| {
            sweep::run(&state).await
        })
        .reconcile(state, async |state| reconcile::run(&state).await)
        .job(
            Job::new("forget-keys", Duration::from_secs(3600)),
            state,
            async |state, _| sweep::delete_old_keys(&state).await,
        )
}
