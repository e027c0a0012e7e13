//! The sample service: the type `Sample`.

#![forbid(unsafe_code)]

pub mod domain;
pub mod error;
pub mod store;
pub mod loaders;
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
use subgraph::program::Context;
use subgraph::{Base, Program, Service, server};
use url::Url;

use graphql::mutation::Mutation;
use graphql::query::Query;

/// The migrations of this service's tables.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

pub static PROGRAM: Program = Program {
    name: "sample",
    migrations: &MIGRATOR,
    sdl: || server::sdl(&schema(None)),
};

#[derive(Debug, clap::Args)]
pub struct Settings {
    /// URL of the authentication service. Without it (external issuer) accounts are not compared
    #[arg(long, env = "AUTHENTICATION_URL")]
    authentication_url: Option<Url>,
}

/// The resources of requests and jobs. Cheap to clone.
#[derive(Clone)]
pub struct State {
    pub pool: Pool,
    pub clock: Clock,
    /// The site's authentication service, if it is the issuer.
    pub accounts: Option<InternalClient>,
}

impl State {
    pub fn new(context: &Context, settings: Settings) -> Result<Self, ConfigError> {
        Ok(Self {
            pool: context.pool.clone(),
            clock: context.clock.clone(),
            accounts: context.optional_peer(settings.authentication_url)?,
        })
    }
}

pub type Schema = async_graphql::Schema<Query, Mutation, EmptySubscription>;

/// Builds the schema. Without a state it can only be printed.
pub fn schema(state: Option<&State>) -> Schema {
    let mut builder = Schema::build(Query, Mutation, EmptySubscription);
    if let Some(state) = state {
        builder = builder
            .data(loaders::samples(state.pool.clone()))
            .data(state.clone());
    }
    server::finish_schema(builder)
}

/// The routes and the background jobs of this service.
pub fn service(state: &State, base: &Base) -> Service {
    Service::new(base, schema(Some(state)))
        .events(events::EventHandler)
        .sweep(Duration::from_secs(10), state, async |state| {
            sweep::run(&state).await
        })
        .reconcile(state, async |state| reconcile::run(&state).await)
}
