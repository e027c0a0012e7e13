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
        .run(
            Arguments::parse().command,
            async |context, base, settings| Ok(service(&State::new(&context, settings)?, &base)),
            async |context, settings| {
                let repaired = reconcile::run(&State::new(&context, settings)?).await?;
                Ok(json!({ "repaired": repaired }))
            },
        )
        .await
}
