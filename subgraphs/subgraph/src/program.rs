//! The commands of a service's program.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use chassis::config::{ConfigError, InternalConfig, LogConfig, Secret, TokenConfig};
use chassis::database::{DatabaseConfig, Pool};
use chassis::ended_sessions::EndedSessions;
use chassis::internal::InternalClient;
use chassis::telemetry::traces::TraceConfig;
use chassis::tokens::TokenVerifier;
use chassis::{Clock, database, server, telemetry};
use clap::{Args, Subcommand};
use contracts::services;
use serde_json::Value;
use sqlx::migrate::Migrator;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::service::{Base, Service};
use crate::startup;

/// The program of a service.
pub struct Program {
    /// The name in the list of services, in logs and in traces.
    pub name: &'static str,
    /// The migrations of the service's tables.
    pub migrations: &'static Migrator,
    /// Returns the schema definition for composition.
    pub sdl: fn() -> String,
}

/// The commands of every service. `S` are the additional settings of `serve`, `R` those of `reconcile`.
#[derive(Debug, Subcommand)]
pub enum ServiceCommand<S: Args, R: Args = S> {
    /// Serve requests until SIGTERM
    Serve(Box<ServeArgs<S>>),
    /// Migrate the database schema. Run it once, before the replicas of a new release start
    Migrate(DatabaseArgs),
    /// Print the GraphQL schema definition
    Schema,
    /// Check the health of a running service
    Healthcheck {
        /// Address of the service
        #[arg(long, env = "LISTEN")]
        listen: Option<SocketAddr>,
    },
    /// Compare with other services once, repair differences, and print their numbers
    Reconcile(Box<ReconcileArgs<R>>),
}

#[derive(Debug, Args)]
pub struct ServeArgs<S: Args> {
    /// Address to listen on, in an internal network. Only the router is public
    #[arg(long, env = "LISTEN")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    database: DatabaseConfig,
    #[command(flatten)]
    tokens: TokenConfig,
    #[command(flatten)]
    internal: InternalConfig,
    #[command(flatten)]
    log: LogConfig,
    #[command(flatten)]
    traces: TraceConfig,
    #[command(flatten)]
    own: S,
}

#[derive(Debug, Args)]
pub struct ReconcileArgs<R: Args> {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    internal: InternalConfig,
    #[command(flatten)]
    own: R,
}

/// The settings of a command that needs only the database.
#[derive(Debug, Args)]
pub struct DatabaseArgs {
    #[command(flatten)]
    database: DatabaseConfig,
    #[command(flatten)]
    log: LogConfig,
}

impl DatabaseArgs {
    /// Starts logging of `program`, and returns a pool that opens no connection yet.
    pub fn pool(&self, program: &Program) -> anyhow::Result<Pool> {
        telemetry::init(self.log.log_format, program.name);
        Ok(self.database.pool()?)
    }
}

#[derive(Debug, Args)]
pub struct NoArgs {}

/// The resources for the state of a service.
pub struct Context {
    pub pool: Pool,
    pub clock: Clock,
    http: reqwest::Client,
    internal: InternalConfig,
}

impl Context {
    fn new(pool: Pool, internal: InternalConfig) -> Self {
        Self {
            pool,
            clock: Clock::system(),
            http: reqwest::Client::new(),
            internal,
        }
    }

    /// Returns a client of the service at this URL.
    pub fn peer(&self, url: Url) -> Result<InternalClient, ConfigError> {
        Ok(InternalClient::new(self.http.clone(), url, self.secret()?))
    }

    /// Returns a client of the service at this URL, if there is one.
    pub fn optional_peer(&self, url: Option<Url>) -> Result<Option<InternalClient>, ConfigError> {
        url.map(|url| self.peer(url)).transpose()
    }

    fn secret(&self) -> Result<Secret, ConfigError> {
        self.internal.secret()
    }
}

impl Program {
    /// Runs a command of a service whose `serve` and `reconcile` have the same settings. `state` builds the state,
    /// `service` the routes and jobs, and `reconcile` repairs once and returns its report.
    pub async fn run_with_state<S: Args, T, E: Into<anyhow::Error>>(
        &self,
        command: ServiceCommand<S>,
        state: impl Fn(&Context, S) -> Result<T, E>,
        service: impl FnOnce(&T, &Base) -> Service,
        reconcile: impl AsyncFnOnce(&T) -> anyhow::Result<Value>,
    ) -> anyhow::Result<()> {
        let state = |context: &Context, settings| state(context, settings).map_err(Into::into);
        self.run(
            command,
            async |context, base, settings| Ok(service(&state(&context, settings)?, &base)),
            async |context, settings| reconcile(&state(&context, settings)?).await,
        )
        .await
    }

    /// Runs a command. `serve` builds the service, `reconcile` repairs once and returns its report.
    pub async fn run<S: Args, R: Args>(
        &self,
        command: ServiceCommand<S, R>,
        serve: impl AsyncFnOnce(Context, Base, S) -> anyhow::Result<Service>,
        reconcile: impl AsyncFnOnce(Context, R) -> anyhow::Result<Value>,
    ) -> anyhow::Result<()> {
        match command {
            ServiceCommand::Serve(settings) => self.serve(*settings, serve).await,
            ServiceCommand::Migrate(settings) => {
                telemetry::init(settings.log.log_format, self.name);
                Ok(database::migrate(&settings.database.url()?, self.migrations).await?)
            }
            ServiceCommand::Schema => {
                print!("{}", (self.sdl)());
                Ok(())
            }
            ServiceCommand::Healthcheck { listen } => Ok(server::healthcheck(self.listen(listen)?).await?),
            ServiceCommand::Reconcile(settings) => {
                let ReconcileArgs {
                    database,
                    internal,
                    own,
                } = *settings;
                let context = Context::new(database.pool(self)?, internal);
                println!("{}", reconcile(context, own).await?);
                Ok(())
            }
        }
    }

    fn listen(&self, given: Option<SocketAddr>) -> anyhow::Result<SocketAddr> {
        let port = || Some(services::find(self.name)?.port);
        given
            .or_else(|| Some((Ipv4Addr::LOCALHOST, port()?).into()))
            .with_context(|| format!("subgraphs/contracts/services.txt does not list {}", self.name))
    }

    async fn serve<S: Args>(
        &self,
        settings: ServeArgs<S>,
        make: impl AsyncFnOnce(Context, Base, S) -> anyhow::Result<Service>,
    ) -> anyhow::Result<()> {
        telemetry::init_traced(settings.log.log_format, self.name, &settings.traces)?;
        let context = Context::new(settings.database.pool()?, settings.internal);
        let (secret, stop) = (context.secret()?, CancellationToken::new());
        let listener = server::bind(self.listen(settings.listen)?)?;
        server::stop_at_signal(stop.clone());
        startup::wait_for_schema(&context.pool, self.migrations, &listener, &stop).await?;
        if stop.is_cancelled() {
            return Ok(());
        }
        let ended_sessions = EndedSessions::default();
        let mut jobs = Vec::from(ended_sessions.watch(&context.pool, &context.clock, &stop).await);
        jobs.push(telemetry::measure::watch_database(
            (*context.pool).clone(),
            stop.clone(),
        ));
        let base = Base {
            pool: context.pool.clone(),
            clock: context.clock.clone(),
            verifier: TokenVerifier::new(&settings.tokens, context.http.clone())
                .refusing_sessions(ended_sessions),
            http: context.http.clone(),
            secret,
            wake: std::sync::Arc::default(),
            stop,
        };
        make(context, base, settings.own).await?.run(listener, jobs).await
    }
}
