//! The program of the vote service.

use chassis::Clock;
use clap::Parser;
use serde_json::json;
use subgraph::program::{DatabaseArgs, ServiceCommand};
use vote::{PROGRAM, Settings, State, reconcile, recount, service};

/// Votes, tallies, the ranked timelines and the archive of days.
#[derive(Parser)]
#[command(version)]
enum Arguments {
    #[command(flatten)]
    Common(ServiceCommand<Settings>),
    /// Recount all votes, correct wrong tallies, and print their number
    Recount(DatabaseArgs),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let command = match Arguments::parse() {
        Arguments::Common(command) => command,
        Arguments::Recount(settings) => {
            let recount = recount::run(&settings.pool(&PROGRAM)?, &Clock::system()).await?;
            println!("{}", serde_json::to_string(&recount)?);
            return Ok(());
        }
    };
    PROGRAM
        .run_with_state(command, State::new, service, async |state| {
            Ok(json!({ "repaired": reconcile::run(state).await? }))
        })
        .await
}
