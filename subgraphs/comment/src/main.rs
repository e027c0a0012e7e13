//! The program of the comment service.

use std::sync::Arc;

use chassis::Clock;
use clap::{Args, Parser};
use comment::{Comments, MIGRATOR, reconcile, routes, spawn_jobs};
use sqlx::MySqlPool;
use sqlx::migrate::Migrator;
use subgraph::program::{self, AccountsAddress, Asking, Ground, PhotosAddress, Program, Served, Task};

/// Comments and replies.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    task: Task<Service>,
}

/// The other services.
#[derive(Args)]
struct Others {
    #[command(flatten)]
    photos: PhotosAddress,
    #[command(flatten)]
    accounts: AccountsAddress,
}

struct Service;

impl Program for Service {
    const LISTEN: &'static str = "127.0.0.1:5004";
    const NAME: &'static str = "comment";
    type Serve = Others;
    type Reconcile = Asking<Others>;

    fn migrations() -> &'static Migrator {
        &MIGRATOR
    }

    fn sdl() -> String {
        comment::sdl()
    }

    #[expect(
        clippy::unused_async_trait_impl,
        reason = "only authentication has to wait here"
    )]
    async fn serve(ground: Ground, others: Others) -> anyhow::Result<Served> {
        let verifier = ground.verifier();
        let service = Comments {
            pool: ground.pool,
            clock: ground.clock,
            secret: ground.peers.secret.clone(),
            photos: others.photos.client(&ground.peers),
            wake: Arc::default(),
        };
        let jobs = spawn_jobs(&service, others.accounts.client(&ground.peers), &ground.stop);
        let routes = routes(&service, verifier, ground.stop);
        Ok(Served { routes, jobs })
    }

    async fn reconcile(
        pool: MySqlPool,
        clock: Clock,
        settings: Asking<Others>,
    ) -> anyhow::Result<serde_json::Value> {
        let (peers, others) = (settings.peers()?, settings.own);
        let (photos, accounts) = (others.photos.client(&peers), others.accounts.client(&peers));
        let repaired = reconcile::run(&pool, &photos, accounts.as_ref(), clock.now()).await?;
        Ok(serde_json::json!({ "repaired": repaired }))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    program::run(Arguments::parse().task).await
}
