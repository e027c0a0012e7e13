//! The program: reads its configuration and starts one of its tasks.

use std::net::SocketAddr;
use std::sync::Arc;

use chassis::config::{DatabaseConfig, InternalConfig, LogConfig, Secret, ServeConfig};
use chassis::internal::InternalClient;
use chassis::tokens::TokenVerifier;
use chassis::{Clock, database, server, telemetry};
use clap::Parser;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Comments and replies.
#[derive(Parser)]
#[command(version)]
enum Task {
    /// Answer requests until SIGTERM.
    Serve {
        #[command(flatten)]
        config: ServeConfig,
        #[command(flatten)]
        others: Others,
    },
    /// Bring the schema up to date. Run it once, before the replicas of a new release start.
    Migrate(DatabaseConfig),
    /// Print the GraphQL schema definition.
    Schema,
    /// Ask a running service whether it is alive.
    Healthcheck {
        /// Where it listens.
        #[arg(long, env = "LISTEN", default_value = LISTEN)]
        listen: SocketAddr,
    },
    /// Compare with photo and authentication once, and print how much was repaired.
    Reconcile {
        #[command(flatten)]
        database: DatabaseConfig,
        #[command(flatten)]
        internal: InternalConfig,
        #[command(flatten)]
        log: LogConfig,
        #[command(flatten)]
        others: Others,
    },
}

/// The other services.
#[derive(clap::Args)]
struct Others {
    /// The photo service: asked about a photo that no event has told of yet.
    #[arg(long, env = "PHOTO_URL", default_value = "http://127.0.0.1:5002")]
    photo_url: Url,
    /// Our own authentication service. Without it (another issuer) accounts are not compared.
    #[arg(long, env = "AUTHENTICATION_URL")]
    authentication_url: Option<Url>,
}

impl Others {
    fn photos(&self, http: &reqwest::Client, secret: &Secret) -> InternalClient {
        InternalClient::new(http.clone(), self.photo_url.clone(), secret.clone())
    }

    fn accounts(&self, http: &reqwest::Client, secret: &Secret) -> Option<InternalClient> {
        let url = self.authentication_url.clone()?;
        Some(InternalClient::new(http.clone(), url, secret.clone()))
    }
}

const LISTEN: &str = "127.0.0.1:5004";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match Task::parse() {
        Task::Serve { config, others } => serve(config, &others).await?,
        Task::Migrate(database) => database::migrate(&database.url()?, &comment::MIGRATOR).await?,
        Task::Schema => print!("{}", comment::sdl()),
        Task::Healthcheck { listen } => server::healthcheck(listen).await?,
        Task::Reconcile {
            database,
            internal,
            log,
            others,
        } => {
            telemetry::init(log.log_format);
            let pool = database::pool(&database.url()?, 2)?;
            let (http, secret) = (reqwest::Client::new(), internal.secret()?);
            let (photos, accounts) = (others.photos(&http, &secret), others.accounts(&http, &secret));
            let now = Clock::system().now();
            let repaired = comment::reconcile::run(&pool, &photos, accounts.as_ref(), now).await?;
            println!("{}", serde_json::json!({ "repaired": repaired }));
        }
    }
    Ok(())
}

async fn serve(config: ServeConfig, others: &Others) -> anyhow::Result<()> {
    telemetry::init(config.log.log_format);
    let http = reqwest::Client::new();
    let secret = config.internal.secret()?;
    let service = comment::Comments {
        pool: database::pool(&config.database.url()?, config.database.database_connections)?,
        clock: Clock::system(),
        secret: secret.clone(),
        photos: others.photos(&http, &secret),
        wake: Arc::default(),
    };
    let stop = CancellationToken::new();
    comment::spawn_jobs(&service, others.accounts(&http, &secret), &stop);
    let routes = comment::routes(&service, TokenVerifier::new(&config.tokens, http), stop.clone());
    server::serve(config.listen.unwrap_or(LISTEN.parse()?), routes, stop).await?;
    Ok(())
}
