//! The program of the profile service.

use std::sync::Arc;

use chassis::Clock;
use clap::Parser;
use profile::{MIGRATOR, Profile, reconcile, routes, spawn_jobs};
use sqlx::MySqlPool;
use sqlx::migrate::Migrator;
use subgraph::program::{self, AccountsAddress, Asking, Ground, Program, Served, Task};

/// Usernames, display names and bios.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    task: Task<Service>,
}

struct Service;

impl Program for Service {
    const LISTEN: &'static str = "127.0.0.1:5000";
    const NAME: &'static str = "profile";
    type Serve = AccountsAddress;
    type Reconcile = Asking<AccountsAddress>;

    fn migrations() -> &'static Migrator {
        &MIGRATOR
    }

    fn sdl() -> String {
        profile::sdl()
    }

    #[expect(
        clippy::unused_async_trait_impl,
        reason = "only authentication has to wait here"
    )]
    async fn serve(ground: Ground, accounts: AccountsAddress) -> anyhow::Result<Served> {
        let verifier = ground.verifier();
        let service = Profile {
            pool: ground.pool,
            clock: ground.clock,
            secret: ground.peers.secret.clone(),
            wake: Arc::default(),
        };
        let jobs = spawn_jobs(&service, accounts.client(&ground.peers), &ground.stop);
        let routes = routes(&service, verifier, ground.stop);
        Ok(Served { routes, jobs })
    }

    async fn reconcile(
        pool: MySqlPool,
        clock: Clock,
        settings: Asking<AccountsAddress>,
    ) -> anyhow::Result<serde_json::Value> {
        let accounts = settings.own.client(&settings.peers()?);
        let repaired = reconcile::run(&pool, accounts.as_ref(), clock.now()).await?;
        Ok(serde_json::json!({ "repaired": repaired }))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    program::run(Arguments::parse().task).await
}
