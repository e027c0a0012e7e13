//! The program of the photo service.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use photo::imaging_worker;
use photo::{PROGRAM, Settings, State, reconcile, service};
use subgraph::program::ServiceCommand;

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
    Common(ServiceCommand<Settings>),
    /// Decode the picture on standard input, in a sandbox. Started by `serve`
    #[command(hide = true)]
    ImagingWorker { request: imaging_worker::Request },
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        // Before a second thread exists, because the sandbox only applies to later threads.
        Command::ImagingWorker { request } => Ok(imaging_worker::child::run(&request)),
        Command::Common(command) => run(command),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(command: ServiceCommand<Settings>) -> anyhow::Result<ExitCode> {
    PROGRAM
        .run_with_state(command, State::new, service, async |state| {
            Ok(reconcile::run(state).await?.to_json())
        })
        .await?;
    Ok(ExitCode::SUCCESS)
}
