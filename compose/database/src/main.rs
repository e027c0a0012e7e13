//! The command line of the database agent.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use chassis::telemetry::LogFormat;
use clap::Parser;
use database_agent::agent::{self, Secrets};
use database_agent::config::{AGENT_PORT, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Runs and supervises one node of the database.
#[derive(Debug, Parser)]
#[command(name = "database-agent", version)]
enum Task {
    /// Run the node until SIGTERM.
    Run(Box<Config>),
    /// Check that an agent is running.
    Healthcheck {
        /// Address at which the agent listens.
        #[arg(long, env = "DATABASE_AGENT_LISTEN", default_value_t = SocketAddr::from(([0, 0, 0, 0], AGENT_PORT)))]
        listen: SocketAddr,
    },
    /// Print the status of a running agent as JSON.
    Status {
        /// Address at which the agent listens.
        #[arg(long, env = "DATABASE_AGENT_LISTEN", default_value_t = SocketAddr::from(([0, 0, 0, 0], AGENT_PORT)))]
        listen: SocketAddr,
    },
    /// Let this node start the cluster although nodes with newer data may be missing. Valid once, for 15 minutes.
    ///
    /// Writes that only the missing nodes have are discarded. Those nodes refuse to start when they return.
    ForceBootstrap {
        /// The persistent folder.
        #[arg(long, env = "DATABASE_VOLUME", default_value = "/var/lib/proofsheet")]
        volume: PathBuf,
    },
}

fn main() -> ExitCode {
    let task = Task::parse();
    // Single-threaded, because MariaDB is stopped when the thread that started it ends.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.context("cannot make a runtime").and_then(|runtime| {
        let result = runtime.block_on(perform(task));
        // Does not wait for pending DNS lookups.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("database-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn perform(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Run(config) => run(*config).await,
        Task::Healthcheck { listen } => chassis::server::healthcheck(listen)
            .await
            .map_err(anyhow::Error::from),
        Task::Status { listen } => status(listen).await,
        Task::ForceBootstrap { volume } => {
            let flag = volume.join("force-bootstrap");
            std::fs::write(&flag, "Set by an operator. The agent removes it after use.\n")
                .with_context(|| format!("cannot write {}", flag.display()))
        }
    }
}

async fn status(listen: SocketAddr) -> anyhow::Result<()> {
    let url = format!("http://127.0.0.1:{}/status", listen.port());
    let report: serde_json::Value = reqwest::get(url).await?.error_for_status()?.json().await?;
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}

async fn run(config: Config) -> anyhow::Result<()> {
    log(config.log.log_format);
    let secrets = Secrets {
        cluster: config.cluster_secret.read()?,
        copy_password: config.copy_password.read()?,
        accounts: config.accounts()?,
    };
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let signalled = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        signalled.cancel();
    });
    agent::run(config, secrets, stop).await?;
    Ok(())
}

fn log(format: LogFormat) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,database_agent=info"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Human => subscriber.with_ansi(false).with_target(false).compact().init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
}
