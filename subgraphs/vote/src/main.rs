//! The program: reads its configuration and starts one of its tasks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chassis::config::{DatabaseConfig, InternalConfig, LogConfig, Secret, ServeConfig};
use chassis::internal::InternalClient;
use chassis::tokens::TokenVerifier;
use chassis::{Clock, database, server, telemetry};
use chrono_tz::Tz;
use clap::Parser;
use tokio_util::sync::CancellationToken;
use url::Url;
use vote::reconcile::Others;

/// Votes, tallies, the ranked timelines and the archive of days.
#[derive(Parser)]
#[command(version)]
#[expect(clippy::large_enum_variant, reason = "there is one of it, at the start")]
enum Task {
    /// Answer requests until SIGTERM.
    Serve {
        #[command(flatten)]
        config: ServeConfig,
        #[command(flatten)]
        addresses: Addresses,
        /// Where the site is (IANA name): a day begins at midnight there. The same as photo's.
        #[arg(long, env = "TIME_ZONE", default_value = "UTC")]
        time_zone: Tz,
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
    /// Count every vote anew, repair the tallies that differ, and print how many did.
    Recount {
        #[command(flatten)]
        database: DatabaseConfig,
        #[command(flatten)]
        log: LogConfig,
    },
    /// Compare with the other services once, and print how much was repaired.
    Reconcile {
        #[command(flatten)]
        database: DatabaseConfig,
        #[command(flatten)]
        internal: InternalConfig,
        #[command(flatten)]
        log: LogConfig,
        #[command(flatten)]
        addresses: Addresses,
    },
}

/// The other services.
#[derive(clap::Args)]
struct Addresses {
    /// The photo service, asked about photos that have not been heard of yet.
    #[arg(long, env = "PHOTO_URL", default_value = "http://127.0.0.1:5002")]
    photo_url: Url,
    /// Our own authentication service. Without it (another issuer) accounts are not compared.
    #[arg(long, env = "AUTHENTICATION_URL")]
    authentication_url: Option<Url>,
}

impl Addresses {
    fn clients(self, http: &reqwest::Client, secret: &Secret) -> Others {
        let client = |url| InternalClient::new(http.clone(), url, secret.clone());
        Others {
            photos: client(self.photo_url),
            accounts: self.authentication_url.map(client),
        }
    }
}

const LISTEN: &str = "127.0.0.1:5003";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match Task::parse() {
        Task::Serve {
            config,
            addresses,
            time_zone,
        } => serve(config, addresses, time_zone).await?,
        Task::Migrate(database) => database::migrate(&database.url()?, &vote::MIGRATOR).await?,
        Task::Schema => print!("{}", vote::sdl()),
        Task::Healthcheck { listen } => server::healthcheck(listen).await?,
        Task::Recount { database, log } => {
            telemetry::init(log.log_format);
            let pool = database::pool(&database.url()?, 2)?;
            println!(
                "{}",
                serde_json::to_string(&vote::recount::run(&pool, &Clock::system()).await?)?
            );
        }
        Task::Reconcile {
            database,
            internal,
            log,
            addresses,
        } => {
            telemetry::init(log.log_format);
            let pool = database::pool(&database.url()?, 2)?;
            let others = addresses.clients(&reqwest::Client::new(), &internal.secret()?);
            let repaired = vote::reconcile::run(&pool, &Clock::system(), &others).await?;
            println!("{}", serde_json::json!({ "repaired": repaired }));
        }
    }
    Ok(())
}

async fn serve(config: ServeConfig, addresses: Addresses, time_zone: Tz) -> anyhow::Result<()> {
    telemetry::init(config.log.log_format);
    let http = reqwest::Client::new();
    let secret = config.internal.secret()?;
    let service = vote::Vote {
        pool: database::pool(&config.database.url()?, config.database.database_connections)?,
        clock: Clock::system(),
        time_zone,
        others: addresses.clients(&http, &secret),
        secret,
        wake: Arc::default(),
    };
    let stop = CancellationToken::new();
    let jobs = vote::spawn_jobs(&service, &stop);
    let routes = vote::routes(&service, TokenVerifier::new(&config.tokens, http), stop.clone());
    server::serve(config.listen.unwrap_or(LISTEN.parse()?), routes, stop).await?;
    // A job that does not end soon is like one whose process died: its lease ends by itself.
    let _ = tokio::time::timeout(Duration::from_secs(5), async {
        for job in jobs {
            let _ = job.await;
        }
    })
    .await;
    Ok(())
}
