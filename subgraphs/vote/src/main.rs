//! The program of the vote service.

use std::sync::Arc;

use chassis::Clock;
use chrono_tz::Tz;
use clap::{Args, Parser};
use sqlx::MySqlPool;
use sqlx::migrate::Migrator;
use subgraph::program::{
    self, AccountsAddress, Asking, Ground, Offline, Peers, PhotosAddress, Program, Served, Task,
};
use vote::reconcile::Others;
use vote::{MIGRATOR, Vote, reconcile, recount, routes, spawn_jobs};

/// Votes, tallies, the ranked timelines and the archive of days.
#[derive(Parser)]
#[command(version)]
enum Arguments {
    #[command(flatten)]
    Common(Task<Service>),
    /// Recount all votes, correct the tallies that differ, and print how many did.
    Recount(Offline),
}

#[derive(Args)]
struct Settings {
    #[command(flatten)]
    addresses: Addresses,
    /// Where the site is (IANA name): a day begins at midnight there. The same as photo's.
    #[arg(long, env = "TIME_ZONE", default_value = "UTC")]
    time_zone: Tz,
}

/// The other services.
#[derive(Args)]
struct Addresses {
    #[command(flatten)]
    photos: PhotosAddress,
    #[command(flatten)]
    accounts: AccountsAddress,
}

impl Addresses {
    fn others(&self, peers: &Peers) -> Others {
        Others {
            photos: self.photos.client(peers),
            accounts: self.accounts.client(peers),
        }
    }
}

struct Service;

impl Program for Service {
    const LISTEN: &'static str = "127.0.0.1:5003";
    const NAME: &'static str = "vote";
    type Serve = Settings;
    type Reconcile = Asking<Addresses>;

    fn migrations() -> &'static Migrator {
        &MIGRATOR
    }

    fn sdl() -> String {
        vote::sdl()
    }

    #[expect(
        clippy::unused_async_trait_impl,
        reason = "only authentication has to wait here"
    )]
    async fn serve(ground: Ground, settings: Settings) -> anyhow::Result<Served> {
        let verifier = ground.verifier();
        let service = Vote {
            pool: ground.pool,
            clock: ground.clock,
            time_zone: settings.time_zone,
            others: settings.addresses.others(&ground.peers),
            secret: ground.peers.secret,
            wake: Arc::default(),
        };
        let jobs = spawn_jobs(&service, &ground.stop);
        let routes = routes(&service, verifier, ground.stop);
        Ok(Served { routes, jobs })
    }

    async fn reconcile(
        pool: MySqlPool,
        clock: Clock,
        settings: Asking<Addresses>,
    ) -> anyhow::Result<serde_json::Value> {
        let others = settings.own.others(&settings.peers()?);
        let repaired = reconcile::run(&pool, &clock, &others).await?;
        Ok(serde_json::json!({ "repaired": repaired }))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse() {
        Arguments::Common(task) => program::run(task).await,
        Arguments::Recount(offline) => {
            let recount = recount::run(&offline.pool("vote")?, &Clock::system()).await?;
            println!("{}", serde_json::to_string(&recount)?);
            Ok(())
        }
    }
}
