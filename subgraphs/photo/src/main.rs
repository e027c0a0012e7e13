//! The photo service.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use chassis::config::{DatabaseConfig, InternalConfig, ServeConfig};
use chassis::events::Outbox;
use chassis::events::outbox::Subscriber;
use chassis::internal::InternalClient;
use chassis::tokens::TokenVerifier;
use chassis::{Clock, database, server, telemetry};
use clap::{Args, Parser, Subcommand};
use photo::files::{Files, StoreConfig};
use photo::{MIGRATOR, State, Trust, reconcile, routes, schema, spawn_jobs};
use tokio_util::sync::CancellationToken;
use url::Url;

const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5002);

/// Photos: uploads, files and renditions.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the subgraph until SIGTERM.
    Serve(Box<Serve>),
    /// Brings the schema of the database up to date.
    Migrate(DatabaseConfig),
    /// Prints the schema of the subgraph.
    Schema,
    /// Asks the service at the address whether it is alive.
    Healthcheck {
        /// The address that the service listens on.
        #[arg(long, env = "LISTEN", default_value_t = LISTEN)]
        listen: SocketAddr,
    },
    /// Compares rows, files and accounts once, repairs what does not agree, and prints how much that was.
    Reconcile(Box<Reconcile>),
}

#[derive(Args)]
struct Serve {
    #[command(flatten)]
    common: ServeConfig,
    #[command(flatten)]
    photo: PhotoConfig,
}

#[derive(Args)]
struct Reconcile {
    #[command(flatten)]
    database: DatabaseConfig,
    #[command(flatten)]
    internal: InternalConfig,
    #[command(flatten)]
    photo: PhotoConfig,
}

#[derive(Args)]
struct PhotoConfig {
    #[command(flatten)]
    store: StoreConfig,
    /// The site's time zone, by its name in the IANA database: when a day ends.
    #[arg(long, env = "TIME_ZONE", default_value = "UTC")]
    time_zone: chrono_tz::Tz,
    /// Who gets this service's events: `name=http://host:port`, separated by commas.
    #[arg(long, env = "EVENT_SUBSCRIBERS", value_delimiter = ',')]
    subscribers: Vec<Subscriber>,
    /// The authentication service; without it nobody is asked which accounts are gone.
    #[arg(long, env = "AUTHENTICATION_URL")]
    authentication_url: Option<Url>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Serve(config) => serve(*config).await,
        Command::Migrate(config) => Ok(database::migrate(&config.url()?, &MIGRATOR).await?),
        Command::Schema => {
            print!("{}", server::sdl(&schema(None)));
            Ok(())
        }
        Command::Healthcheck { listen } => Ok(server::healthcheck(listen).await?),
        Command::Reconcile(config) => reconcile_once(*config).await,
    }
}

async fn serve(config: Serve) -> Result<()> {
    telemetry::init(config.common.log.log_format);
    let secret = config.common.internal.secret()?;
    let stop = CancellationToken::new();
    let http = reqwest::Client::new();
    let state = state(&config.common.database, &config.photo)?;
    let verifier = TokenVerifier::new(&config.common.tokens, http.clone());
    let accounts = config
        .photo
        .authentication_url
        .map(|url| InternalClient::new(http.clone(), url, secret.clone()));
    spawn_jobs(&state, accounts, &stop);
    state
        .outbox
        .spawn_relay(state.pool.clone(), &http, &secret, stop.clone());
    let routes = routes(&state, Trust { verifier, secret }, stop.clone());
    Ok(server::serve(config.common.listen.unwrap_or(LISTEN), routes, stop).await?)
}

async fn reconcile_once(config: Reconcile) -> Result<()> {
    telemetry::init(telemetry::LogFormat::Human);
    let secret = config.internal.secret()?;
    let state = state(&config.database, &config.photo)?;
    let accounts = config
        .photo
        .authentication_url
        .map(|url| InternalClient::new(reqwest::Client::new(), url, secret));
    let report = reconcile::reconcile(&state, accounts.as_ref()).await?;
    println!("{}", report.to_json());
    Ok(())
}

fn state(database: &DatabaseConfig, photo: &PhotoConfig) -> Result<State> {
    Ok(State {
        pool: database::pool(&database.url()?, database.database_connections)?,
        clock: Clock::system(),
        zone: photo.time_zone,
        files: Files::open(&photo.store)?,
        outbox: Outbox::new(photo.subscribers.clone()),
        sweep: Arc::default(),
    })
}
