//! The program of the profile service.

use clap::Parser;
use profile::{PROGRAM, Settings, State, reconcile, service};
use serde_json::json;
use subgraph::program::ServiceCommand;

/// Usernames, display names and bios.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: ServiceCommand<Settings>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    PROGRAM
        .run_with_state(Arguments::parse().command, State::new, service, async |state| {
            Ok(json!({ "repaired": reconcile::run(state).await? }))
        })
        .await
}
