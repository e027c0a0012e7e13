//! The program of a service: the tasks that all of them have, and what these begin with.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use chassis::config::{ConfigError, InternalConfig, LogConfig, Secret, TokenConfig};
use chassis::database::DatabaseConfig;
use chassis::ended_sessions::EndedSessions;
use chassis::internal::InternalClient;
use chassis::telemetry::traces::TraceConfig;
use chassis::tokens::TokenVerifier;
use chassis::{Clock, database, server, telemetry};
use clap::{Args, Subcommand};
use sqlx::MySqlPool;
use sqlx::migrate::Migrator;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::startup;

/// How long the process waits for its jobs at the end. One that takes longer is like one whose process died: its lease
/// ends by itself.
const JOBS_END: Duration = Duration::from_secs(5);

/// The parts of a program that differ between services.
pub trait Program: 'static {
    /// Where it listens unless it is told otherwise.
    const LISTEN: &'static str;
    /// Under which name its traces are kept.
    const NAME: &'static str;
    /// The settings of `serve` beside those that every service has.
    type Serve: Args;
    /// Those of `reconcile`.
    type Reconcile: Args;

    /// The migrations of its own tables.
    fn migrations() -> &'static Migrator;

    /// The schema definition that composition reads.
    fn sdl() -> String;

    /// Starts its jobs and gives its routes.
    fn serve(ground: Ground, settings: Self::Serve) -> impl Future<Output = anyhow::Result<Served>>;

    /// Repairs once, and says how much that was.
    fn reconcile(
        pool: MySqlPool,
        clock: Clock,
        settings: Self::Reconcile,
    ) -> impl Future<Output = anyhow::Result<serde_json::Value>>;
}

/// The commands of every service.
#[derive(Debug, Subcommand)]
pub enum Task<P: Program> {
    /// Answer requests until SIGTERM.
    Serve(Box<Serve<P::Serve>>),
    /// Bring the schema up to date. Run it once, before the replicas of a new release start.
    Migrate(Offline),
    /// Print the GraphQL schema definition.
    Schema,
    /// Ask a running service whether it is alive.
    Healthcheck {
        /// Where it listens.
        #[arg(long, env = "LISTEN", default_value = P::LISTEN)]
        listen: SocketAddr,
    },
    /// Look once for what is broken or left over, repair it, and print how much that was.
    Reconcile(Box<Reconcile<P::Reconcile>>),
}

/// The settings of `serve`.
#[derive(Debug, Args)]
pub struct Serve<S: Args> {
    #[command(flatten)]
    common: ServeConfig,
    #[command(flatten)]
    own: S,
}

/// The settings of `reconcile`.
#[derive(Debug, Args)]
pub struct Reconcile<S: Args> {
    #[command(flatten)]
    offline: Offline,
    #[command(flatten)]
    own: S,
}

/// Everything that every `serve` has.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeConfig {
    /// The address to listen on. Of an internal network: the router is the only public door.
    #[arg(long, env = "LISTEN")]
    pub listen: Option<SocketAddr>,
    #[command(flatten)]
    pub database: DatabaseConfig,
    #[command(flatten)]
    pub tokens: TokenConfig,
    #[command(flatten)]
    pub internal: InternalConfig,
    #[command(flatten)]
    pub log: LogConfig,
    #[command(flatten)]
    pub traces: TraceConfig,
}

/// The options of a command that uses only the database.
#[derive(Debug, Args)]
pub struct Offline {
    #[command(flatten)]
    database: DatabaseConfig,
    #[command(flatten)]
    log: LogConfig,
}

impl Offline {
    /// Starts the log, and gives a pool that opens no connection yet.
    pub fn pool(&self, program: &str) -> anyhow::Result<MySqlPool> {
        telemetry::init(self.log.log_format, program);
        Ok(self.database.pool()?)
    }
}

/// No settings.
#[derive(Debug, Args)]
pub struct Nothing {}

/// The resources of a running service.
pub struct Ground {
    /// The service's schema.
    pub pool: MySqlPool,
    /// Tells the time.
    pub clock: Clock,
    /// How the others are asked.
    pub peers: Peers,
    /// Whose tokens are believed.
    pub tokens: TokenConfig,
    /// Whose tokens are not believed any more.
    pub ended_sessions: EndedSessions,
    /// Cancelled at SIGTERM.
    pub stop: CancellationToken,
}

impl Ground {
    /// Reads the keys of the issuer when it first needs them.
    pub fn verifier(&self) -> TokenVerifier {
        TokenVerifier::new(&self.tokens, self.peers.http.clone())
            .without_sessions(self.ended_sessions.clone())
    }
}

/// A service that has started.
pub struct Served {
    pub routes: Router,
    /// Background jobs, which end after SIGTERM.
    pub jobs: Vec<JoinHandle<()>>,
}

/// How a service asks the others.
#[derive(Clone)]
pub struct Peers {
    /// Shared, because its connections are.
    pub http: reqwest::Client,
    /// The secret between services.
    pub secret: Secret,
}

impl Peers {
    fn new(internal: &InternalConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            http: reqwest::Client::new(),
            secret: internal.secret()?,
        })
    }

    fn at(&self, url: Url) -> InternalClient {
        InternalClient::new(self.http.clone(), url, self.secret.clone())
    }
}

/// Settings of a task that asks other services without being one that serves.
#[derive(Debug, Args)]
pub struct Asking<S: Args> {
    #[command(flatten)]
    internal: InternalConfig,
    /// The services that it calls, and the other options.
    #[command(flatten)]
    pub own: S,
}

impl<S: Args> Asking<S> {
    /// How the others are asked.
    pub fn peers(&self) -> Result<Peers, ConfigError> {
        Peers::new(&self.internal)
    }
}

/// Where accounts are known.
#[derive(Debug, Clone, Args)]
pub struct AccountsAddress {
    /// Our own authentication service. Without it (another issuer) accounts are not compared.
    #[arg(long, env = "AUTHENTICATION_URL")]
    authentication_url: Option<Url>,
}

impl AccountsAddress {
    /// The service there, if there is one.
    pub fn client(&self, peers: &Peers) -> Option<InternalClient> {
        Some(peers.at(self.authentication_url.clone()?))
    }
}

/// Where photos are known.
#[derive(Debug, Clone, Args)]
pub struct PhotosAddress {
    /// The photo service, asked about photos that no event has told of yet.
    #[arg(long, env = "PHOTO_URL", default_value = "http://127.0.0.1:5002")]
    photo_url: Url,
}

impl PhotosAddress {
    /// The service there.
    pub fn client(&self, peers: &Peers) -> InternalClient {
        peers.at(self.photo_url.clone())
    }
}

/// Does what `task` says.
pub async fn run<P: Program>(task: Task<P>) -> anyhow::Result<()> {
    match task {
        Task::Serve(settings) => serve::<P>(*settings).await,
        Task::Migrate(offline) => {
            telemetry::init(offline.log.log_format, P::NAME);
            Ok(database::migrate(&offline.database.url()?, P::migrations()).await?)
        }
        Task::Schema => {
            print!("{}", P::sdl());
            Ok(())
        }
        Task::Healthcheck { listen } => Ok(server::healthcheck(listen).await?),
        Task::Reconcile(settings) => {
            let Reconcile { offline, own } = *settings;
            let report = P::reconcile(offline.pool(P::NAME)?, Clock::system(), own).await?;
            println!("{report}");
            Ok(())
        }
    }
}

async fn serve<P: Program>(settings: Serve<P::Serve>) -> anyhow::Result<()> {
    let Serve { common, own } = settings;
    telemetry::init_traced(common.log.log_format, P::NAME, &common.traces)?;
    let ground = Ground {
        pool: common.database.pool()?,
        clock: Clock::system(),
        peers: Peers::new(&common.internal)?,
        tokens: common.tokens,
        ended_sessions: EndedSessions::default(),
        stop: CancellationToken::new(),
    };
    let stop = ground.stop.clone();
    let listener = server::bind(common.listen.map_or_else(|| P::LISTEN.parse(), Ok)?)?;
    server::stop_at_signal(stop.clone());
    startup::wait_for_schema(&ground.pool, P::migrations(), &listener, &stop).await?;
    if stop.is_cancelled() {
        return Ok(());
    }
    let watching = telemetry::measure::watch_database(ground.pool.clone(), stop.clone());
    let ended = &ground.ended_sessions;
    let ended = ended.watch(&ground.pool, &ground.clock, &stop).await;
    let Served { routes, mut jobs } = P::serve(ground, own).await?;
    jobs.push(watching);
    jobs.extend(ended);
    server::serve(listener, routes, stop).await?;
    // A job that releases its lease saves another replica the wait for its expiry.
    let _ = tokio::time::timeout(JOBS_END, futures::future::join_all(jobs)).await;
    telemetry::traces::finish().await;
    Ok(())
}
