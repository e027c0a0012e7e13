//! The program of the comment service.

use clap::Parser;
use comment::{PROGRAM, Settings, State, reconcile, service};
use serde_json::json;
use subgraph::program::ServiceCommand;

/// Comments and replies.
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
