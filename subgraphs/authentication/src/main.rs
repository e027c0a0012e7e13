//! The program of the authentication service.

use anyhow::Context as _;
use authentication::config::{Config, KeyConfig};
use authentication::domain::Email;
use authentication::keys::{self, Sealer, TakeOver};
use authentication::state::State;
use authentication::{PROGRAM, reconcile, service, store};
use chassis::Clock;
use clap::{Args, Parser};
use serde_json::json;
use subgraph::program::{self, DatabaseArgs, NoArgs, ServiceCommand};
use subgraph::{Base, Service};

/// Accounts, login sessions and the keys that sign access tokens.
#[derive(Parser)]
#[command(version)]
enum Arguments {
    #[command(flatten)]
    Common(ServiceCommand<Config, NoArgs>),
    /// Create the next signing key now instead of when it is due
    RotateKeys {
        #[command(flatten)]
        database: DatabaseArgs,
        #[command(flatten)]
        key: KeyConfig,
        /// For a leaked key: delete all other keys. Access tokens become invalid within five minutes; clients get new
        /// ones
        #[arg(long)]
        at_once: bool,
    },
    /// Let an account delete photos and comments of other users, from its next token on
    GrantModerator(AccountArgs),
    /// Revoke this permission. Existing tokens expire within ten minutes
    RevokeModerator(AccountArgs),
}

#[derive(Args)]
struct AccountArgs {
    /// E-mail address of the account
    email: String,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse() {
        Arguments::Common(command) => {
            PROGRAM
                .run(command, serve, async |context, NoArgs {}| {
                    let repaired = reconcile::run(&context.pool, &context.clock).await?;
                    Ok(json!({ "repaired": repaired }))
                })
                .await
        }
        Arguments::RotateKeys {
            database,
            key,
            at_once,
        } => {
            let take_over = if at_once {
                TakeOver::Immediately
            } else {
                TakeOver::WithOverlap
            };
            let sealer = Sealer::new(&key.secret()?);
            Ok(keys::rotate(
                &database.pool(&PROGRAM)?,
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

async fn serve(context: program::Context, base: Base, config: Config) -> anyhow::Result<Service> {
    config.warn_of_plain_http();
    let state = State::open_with_retries(&config, &context, base.verifier.config()).await?;
    Ok(service(&state, &base))
}

impl AccountArgs {
    async fn set_moderator(&self, moderator: bool) -> anyhow::Result<()> {
        let email = Email::parse_known(&self.email).context("the e-mail")?;
        let known = store::accounts::set_moderator(&self.database.pool(&PROGRAM)?, &email, moderator).await?;
        anyhow::ensure!(known, "there is no account with the e-mail {}", email.as_str());
        Ok(())
    }
}
