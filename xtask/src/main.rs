//! The commands behind `./dev`.

mod budget;
mod bundle;
mod compose;
mod fresh;
mod licences;
mod prepare;
mod seed;
mod stack_test;
mod test;
mod tools;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, runs and tests Proofsheet.
#[derive(Debug, Parser)]
#[command(name = "./dev", disable_help_subcommand = false, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Builds and starts everything, and prints the address once it is ready. Ctrl-C stops it.
    Up(up::Arguments),
    /// Fills a running site through its public API. Running it twice adds nothing twice.
    Seed(seed::Arguments),
    /// Everything that CI runs. With names (photo, e2e, format …) only those steps.
    Test(test::Arguments),
    /// The fast part of `test`: format, lints, unit tests, documentation.
    Check,
    /// Writes supergraph.graphql from the subgraphs' own schemas.
    Compose,
    /// Writes .sqlx/, what the database says about every query; needed after changing one.
    Prepare,
    /// Bundles the app and the playground, as `up` does.
    Bundle,
    /// What a first visit costs in bytes and in time, against the limits that it has to keep.
    Budget(budget::Arguments),
    /// The stack on a real Docker engine: deploys, breaks, scales and removes it, and says what came of it.
    StackTest(stack_test::Arguments),
    /// What becomes of acknowledged writes when parts of a running cluster break. Needs root.
    #[command(disable_help_flag = true)]
    Fault {
        /// As `./dev fault --help` says.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Loads a site, backs it up, destroys it, restores it, and says what was lost and how long it took. Needs root.
    #[command(disable_help_flag = true)]
    Drill {
        /// As `./dev drill --help` says.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measures the speed of the running system.
    Bench {
        /// What to measure, `timeline` or `overload`, and how; --help says what there is.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        arguments: Vec<String>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Up(arguments) => up::up(arguments).await,
        Command::Seed(arguments) => seed::seed(arguments).await,
        Command::Test(arguments) => test::test(&arguments).await,
        Command::Check => test::check().await,
        Command::Compose => compose::write(),
        Command::Prepare => prepare::write().await,
        Command::Bundle => bundle::bundle(),
        Command::Budget(arguments) => budget::budget(arguments).await,
        Command::StackTest(arguments) => stack_test::stack_test(arguments).await,
        Command::Fault { arguments } => fault(&arguments),
        Command::Drill { arguments } => drill(&arguments),
        Command::Bench { arguments } => bench(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dev: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The fault test is a crate of its own; it runs the programs that `./dev up` runs.
fn fault(arguments: &[String]) -> anyhow::Result<()> {
    tools::run("compiling", &mut tools::cargo(&["build", "--bins"]))?;
    let mut fault = tools::cargo(&["run", "--quiet", "--bin", "fault", "--"]);
    tools::run("the fault test", fault.args(arguments))
}

/// So is the drill, with the same people and the same audit.
fn drill(arguments: &[String]) -> anyhow::Result<()> {
    tools::run("compiling", &mut tools::cargo(&["build", "--bins"]))?;
    let mut drill = tools::cargo(&["run", "--quiet", "--bin", "fault", "--", "drill"]);
    tools::run("the drill", drill.args(arguments))
}

/// The benchmarks are a crate of their own, built for speed like what they measure.
fn bench(arguments: &[String]) -> anyhow::Result<()> {
    bundle::bundle()?;
    up::build(true)?;
    let mut bench = tools::cargo(&["run", "--release", "--bin", "bench", "--"]);
    tools::run("the benchmark", bench.args(arguments))
}
