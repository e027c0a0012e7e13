//! The program of the authentication service.

use anyhow::Context as _;
use authentication::config::{Config, KeyConfig};
use authentication::domain::Email;
use authentication::keys::{self, Sealer, TakeOver};
use authentication::state::State;
use authentication::{MIGRATOR, jobs, routes, schema, store};
use chassis::Clock;
use clap::{Args, Parser};
use sqlx::MySqlPool;
use sqlx::migrate::Migrator;
use subgraph::program::{self, Ground, Nothing, Offline, Program, Served, Task};
use subgraph::server::{self, Readiness};

/// Accounts, login sessions and the keys that sign access tokens.
#[derive(Parser)]
#[command(version)]
enum Arguments {
    #[command(flatten)]
    Common(Task<Service>),
    /// Make the next signing key now instead of when it is due.
    RotateKeys {
        #[command(flatten)]
        offline: Offline,
        #[command(flatten)]
        key: KeyConfig,
        /// For a leaked key: withdraw all others. Every access token stops working within five minutes; signed-in
        /// clients get a new one.
        #[arg(long)]
        at_once: bool,
    },
    /// Let an account delete what others wrote, from its next token on.
    GrantModerator(Person),
    /// Take that away again; tokens that say otherwise expire within ten minutes.
    RevokeModerator(Person),
}

#[derive(Args)]
struct Person {
    /// The e-mail of the account.
    email: String,
    #[command(flatten)]
    offline: Offline,
}

struct Service;

impl Program for Service {
    const LISTEN: &'static str = "127.0.0.1:5001";
    const NAME: &'static str = "authentication";
    type Serve = Config;
    type Reconcile = Nothing;

    fn migrations() -> &'static Migrator {
        &MIGRATOR
    }

    fn sdl() -> String {
        server::sdl(&server::finish_schema(schema()))
    }

    async fn serve(ground: Ground, config: Config) -> anyhow::Result<Served> {
        config.warn_of_plain_http();
        let state = State::open_when_there(&config, &ground).await?;
        let (peers, stop) = (ground.peers, ground.stop);
        let mut jobs = jobs::spawn(&state, &stop);
        let relay = state
            .outbox
            .spawn_relay(state.pool.clone(), &peers.http, &peers.secret, stop.clone());
        jobs.push(relay);
        let routes = routes(&state, peers.secret, Readiness::new(ground.pool, stop));
        Ok(Served { routes, jobs })
    }

    async fn reconcile(
        pool: MySqlPool,
        clock: Clock,
        Nothing {}: Nothing,
    ) -> anyhow::Result<serde_json::Value> {
        let repaired = jobs::reconcile(&pool, &clock).await?;
        Ok(serde_json::json!({ "repaired": repaired }))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse() {
        Arguments::Common(task) => program::run(task).await,
        Arguments::RotateKeys {
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
            Ok(keys::rotate(
                &offline.pool("authentication")?,
                &sealer,
                take_over,
                Clock::system().now(),
            )
            .await?)
        }
        Arguments::GrantModerator(person) => person.set_moderator(true).await,
        Arguments::RevokeModerator(person) => person.set_moderator(false).await,
    }
}

impl Person {
    async fn set_moderator(&self, moderator: bool) -> anyhow::Result<()> {
        let email = Email::parse_known(&self.email).context("the e-mail")?;
        let known =
            store::accounts::set_moderator(&self.offline.pool("authentication")?, &email, moderator).await?;
        anyhow::ensure!(known, "there is no account with the e-mail {}", email.as_str());
        Ok(())
    }
}
