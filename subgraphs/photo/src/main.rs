//! The program of the photo service.

use std::process::ExitCode;
use std::sync::Arc;

use chassis::Clock;
use chassis::events::Outbox;
use chassis::events::outbox::Subscriber;
use chassis::objects::StoreConfig;
use clap::{Args, Parser, Subcommand};
use photo::files::Files;
use photo::imaging_worker::{self, ImagingWorkers, Limits};
use photo::{MIGRATOR, State, Trust, reconcile, routes, schema, spawn_jobs};
use sqlx::MySqlPool;
use sqlx::migrate::Migrator;
use subgraph::program::{self, AccountsAddress, Asking, Ground, Program, Served, Task};
use subgraph::server;

/// Photos: uploads, files and renditions.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Task(Task<Service>),
    /// Decode the picture on standard input, in a sandbox. `serve` starts this.
    #[command(hide = true)]
    ImagingWorker { request: imaging_worker::Request },
}

#[derive(Args)]
struct Settings {
    #[command(flatten)]
    store: StoreConfig,
    /// The site's time zone, by its name in the IANA database: when a day ends.
    #[arg(long, env = "TIME_ZONE", default_value = "UTC")]
    time_zone: chrono_tz::Tz,
    /// Subscribers to this service's events: `name=http://host:port`, separated by commas.
    #[arg(long, env = "EVENT_SUBSCRIBERS", value_delimiter = ',')]
    subscribers: Vec<Subscriber>,
    #[command(flatten)]
    accounts: AccountsAddress,
}

impl Settings {
    fn state(&self, pool: MySqlPool, clock: Clock) -> anyhow::Result<State> {
        Ok(State {
            pool,
            clock,
            zone: self.time_zone,
            files: Files::open(&self.store)?,
            imaging: ImagingWorkers::new(ImagingWorkers::THIS_PROGRAM, Limits::DEFAULT),
            outbox: Outbox::new(self.subscribers.clone()),
            sweep: Arc::default(),
        })
    }
}

struct Service;

impl Program for Service {
    const LISTEN: &'static str = "127.0.0.1:5002";
    const NAME: &'static str = "photo";
    type Serve = Settings;
    type Reconcile = Asking<Settings>;

    fn migrations() -> &'static Migrator {
        &MIGRATOR
    }

    fn sdl() -> String {
        server::sdl(&schema(None))
    }

    #[expect(
        clippy::unused_async_trait_impl,
        reason = "only authentication has to wait here"
    )]
    async fn serve(ground: Ground, settings: Settings) -> anyhow::Result<Served> {
        let trust = Trust {
            verifier: ground.verifier(),
            secret: ground.peers.secret.clone(),
        };
        let (peers, stop) = (ground.peers, ground.stop);
        let state = settings.state(ground.pool, ground.clock)?;
        let mut jobs = spawn_jobs(&state, settings.accounts.client(&peers), &stop);
        let relay = state
            .outbox
            .spawn_relay(state.pool.clone(), &peers.http, &peers.secret, stop.clone());
        jobs.push(relay);
        let routes = routes(&state, trust, stop);
        Ok(Served { routes, jobs })
    }

    async fn reconcile(
        pool: MySqlPool,
        clock: Clock,
        settings: Asking<Settings>,
    ) -> anyhow::Result<serde_json::Value> {
        let state = settings.own.state(pool, clock)?;
        let accounts = settings.own.accounts.client(&settings.peers()?);
        let report = reconcile::reconcile(&state, accounts.as_ref()).await?;
        Ok(report.to_json())
    }
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        // Before there is a second thread: the sandbox holds for those that come after it.
        Command::ImagingWorker { request } => Ok(imaging_worker::child::run(&request)),
        Command::Task(task) => run(task),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(task: Task<Service>) -> anyhow::Result<ExitCode> {
    program::run(task).await?;
    Ok(ExitCode::SUCCESS)
}
