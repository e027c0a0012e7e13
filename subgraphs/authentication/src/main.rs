//! The authentication service.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use authentication::config::{Config, KeyConfig};
use authentication::cookies::travel_in_clear;
use authentication::domain::Email;
use authentication::keys::{self, Sealer, TakeOver};
use authentication::state::State;
use authentication::{MIGRATOR, routes, schema, store, upkeep};
use chassis::config::{DatabaseConfig, LogConfig};
use chassis::server::{self, Readiness};
use chassis::{Classify as _, Clock, Code, database, telemetry};
use clap::{Args, Parser, Subcommand};
use sqlx::MySqlPool;
use tokio_util::sync::CancellationToken;

/// Accounts, login sessions and the keys that sign access tokens.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answers requests until SIGTERM.
    Serve(Box<Config>),
    /// Brings the schema of the database up to date. Run it in one place, before the new release serves.
    Migrate(Offline),
    /// Prints the GraphQL schema, for composition.
    Schema,
    /// Asks whether the service that listens there is alive.
    Healthcheck {
        /// Where it listens.
        #[arg(long, env = "LISTEN", default_value = LISTEN)]
        listen: SocketAddr,
    },
    /// Removes what has run out, repairs what is broken, and prints how much it repaired.
    Reconcile(Offline),
    /// Makes the next signing key now instead of when it is due.
    RotateKeys {
        #[command(flatten)]
        offline: Offline,
        #[command(flatten)]
        key: KeyConfig,
        /// For a key that leaked: withdraw all others. Every access token stops working within five minutes, and
        /// whoever is signed in gets a new one without noticing much.
        #[arg(long)]
        at_once: bool,
    },
    /// Lets an account delete what others wrote, from its next token on.
    GrantModerator(Person),
    /// Takes that away again; tokens that say otherwise expire within ten minutes.
    RevokeModerator(Person),
}

/// What a command needs that only talks to the database.
#[derive(Args)]
struct Offline {
    #[command(flatten)]
    database: DatabaseConfig,
    #[command(flatten)]
    log: LogConfig,
}

#[derive(Args)]
struct Person {
    /// The e-mail of the account.
    email: String,
    #[command(flatten)]
    offline: Offline,
}

const LISTEN: &str = "127.0.0.1:5001";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Serve(config) => serve(*config).await,
        Command::Migrate(offline) => {
            telemetry::init(offline.log.log_format);
            Ok(database::migrate(&offline.database.url()?, &MIGRATOR).await?)
        }
        Command::Schema => {
            let sdl = server::sdl(&server::finish_schema(schema()));
            Ok(std::io::stdout().write_all(sdl.as_bytes())?)
        }
        Command::Healthcheck { listen } => Ok(server::healthcheck(listen).await?),
        Command::Reconcile(offline) => {
            let repaired = upkeep::reconcile(&offline.pool()?, &Clock::system()).await?;
            Ok(writeln!(
                std::io::stdout(),
                "{}",
                serde_json::json!({ "repaired": repaired })
            )?)
        }
        Command::RotateKeys {
            offline,
            key,
            at_once,
        } => {
            let take_over = if at_once {
                TakeOver::AtOnce
            } else {
                TakeOver::WithOverlap
            };
            let sealer = Sealer::new(&key.secret()?);
            Ok(keys::rotate(&offline.pool()?, &sealer, take_over, Clock::system().now()).await?)
        }
        Command::GrantModerator(person) => person.set_moderator(true).await,
        Command::RevokeModerator(person) => person.set_moderator(false).await,
    }
}

async fn serve(config: Config) -> Result<()> {
    telemetry::init(config.serve.log.log_format);
    let (internal_secret, key_secret) = (config.serve.internal.secret()?, config.key.secret()?);
    let pool = database::pool(
        &config.serve.database.url()?,
        config.serve.database.database_connections,
    )?;
    if travel_in_clear(&config.public_url) {
        tracing::warn!(
            public_url = %config.public_url,
            "the site is served over http: whoever is on the way can read passwords and cookies; use https, or only a network that you trust"
        );
    }
    let state = open(&config, &key_secret, &pool).await?;
    let stop = CancellationToken::new();
    upkeep::spawn(&state, &stop);
    state.outbox.spawn_relay(
        pool.clone(),
        &reqwest::Client::new(),
        &internal_secret,
        stop.clone(),
    );
    let routes = routes(&state, internal_secret, Readiness::new(pool, stop.clone()));
    let listen = config.serve.listen.unwrap_or(LISTEN.parse()?);
    Ok(server::serve(listen, routes, stop).await?)
}

/// The database may start at the same moment and take longer.
async fn open(config: &Config, key_secret: &chassis::config::Secret, pool: &MySqlPool) -> Result<State> {
    for _ in 0..60 {
        match State::open(config, key_secret, pool.clone(), Clock::system()).await {
            Err(error) if error.code() == Code::Unavailable => {
                tracing::warn!(error = chassis::error::chain(&error), "waiting for the database");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            opened => return Ok(opened?),
        }
    }
    bail!("the database did not answer for a minute")
}

impl Offline {
    fn pool(&self) -> Result<MySqlPool> {
        telemetry::init(self.log.log_format);
        Ok(database::pool(&self.database.url()?, 1)?)
    }
}

impl Person {
    async fn set_moderator(&self, moderator: bool) -> Result<()> {
        let email = Email::parse(&self.email).context("the e-mail")?;
        if store::accounts::set_moderator(&self.offline.pool()?, &email, moderator).await? {
            Ok(())
        } else {
            bail!("there is no account with the e-mail {}", email.as_str())
        }
    }
}
