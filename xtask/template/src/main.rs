//! The program of the sample service.

use clap::Parser;
use sample::{PROGRAM, Settings, State, reconcile, service};
use serde_json::json;
use subgraph::program::ServiceCommand;

/// Samples.
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
