//! `./dev seed`.

use std::process::ExitCode;

use clap::Parser;

/// Fills a running site through its public API. Running it twice adds nothing twice.
#[derive(Debug, Parser)]
#[command(name = "./dev seed", bin_name = "./dev seed", max_term_width = 100)]
struct Command {
    #[command(flatten)]
    arguments: seed::Arguments,
}

#[tokio::main]
async fn main() -> ExitCode {
    xtask::exit_code(seed::seed(Command::parse().arguments).await)
}
