//! The commands of `./dev`.

mod comments;
mod supergraph;
mod dependencies;
mod fresh;
mod modules;
mod names;
mod new_subgraph;
mod program;
mod service_list;
mod test;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Builds, runs and tests Proofsheet.
#[derive(Debug, Parser)]
#[command(name = "./dev", bin_name = "./dev", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Builds and starts everything, and prints the address once it is ready. Ctrl-C stops it
    Up(Forwarded),
    /// As `up`, and rebuilds on changes: reloads the browser or restarts the service
    Watch(Forwarded),
    /// Fills a running site through its public API. Running it twice adds nothing twice
    Seed(Forwarded),
    /// Runs everything that CI runs, or only the named steps (photo, e2e, format …)
    Test(test::Arguments),
    /// The fast part of `test`, without a database: format, lints, unit tests, documentation
    Check,
    /// Runs a database for `cargo test`
    Db(Forwarded),
    /// Writes supergraph.graphql from the subgraphs' own schemas
    Supergraph,
    /// Writes the sections of other files that are generated from subgraphs/contracts/services.txt
    ServiceList,
    /// Writes a new subgraph that works: crate, migration, port, stack entry and tests
    NewSubgraph(new_subgraph::Arguments),
    /// Writes .sqlx/, the metadata of all SQL queries; needed after changing one
    Prepare(Forwarded),
    /// Bundles the app and the playground, as `up` does
    Bundle(Forwarded),
    /// Checks the size and speed of a first visit against the budget
    Budget(Forwarded),
    /// Deploys, breaks, scales and removes the stack on a real Docker engine
    StackTest(Forwarded),
    /// Injects faults into a running cluster and audits every acknowledged write. Needs root
    Fault(Forwarded),
    /// Restore drill: backs up a site under load, destroys and restores it, reports RPO and RTO. Needs root
    Drill(Forwarded),
    /// Measures the speed of the running system, or compares its pictures with those of libvips
    Bench(Forwarded),
}

/// Arguments that the command's own program parses.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
struct Forwarded {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

impl Forwarded {
    fn has(&self, flag: &str) -> bool {
        self.arguments.iter().any(|argument| argument == flag)
    }
}

fn main() -> ExitCode {
    xtask::exit_code(run(Arguments::parse().command))
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Test(arguments) => test::test(&arguments),
        Command::Check => test::check(),
        Command::Supergraph => supergraph::write(),
        Command::NewSubgraph(arguments) => new_subgraph::write(&arguments),
        Command::ServiceList => service_list::write(),
        Command::Up(forwarded) => {
            if !forwarded.has("--no-build") {
                program::build_system(&["up"], forwarded.has("--release"))?;
            }
            program::exec("up", &forwarded.arguments)
        }
        Command::Watch(Forwarded { mut arguments }) => {
            program::build_for_watching()?;
            arguments.insert(0, "--watch".into());
            program::exec("up", &arguments)
        }
        Command::Budget(forwarded) => {
            if forwarded.has("--sizes") {
                program::build(&["budget"])?;
                program::bundle()?;
            } else {
                program::build_system(&["budget"], forwarded.has("--release"))?;
            }
            program::exec("budget", &forwarded.arguments)
        }
        Command::Bench(forwarded) => {
            if forwarded.arguments.first().is_some_and(|task| task == "pictures") {
                program::compile(&["bench", "photo"], true)?;
            } else {
                program::bundle()?;
                program::build_release(&["bench"])?;
            }
            program::exec_release("bench", &forwarded.arguments)
        }
        Command::StackTest(forwarded) => {
            if !forwarded.has("--binaries") {
                program::build_all()?;
                program::bundle()?;
            }
            program::build_and_exec("stack-test", &forwarded.arguments)
        }
        Command::Fault(forwarded) => {
            program::build_all()?;
            program::exec("fault", &forwarded.arguments)
        }
        Command::Drill(Forwarded { mut arguments }) => {
            program::build_all()?;
            arguments.insert(0, "drill".into());
            program::exec("fault", &arguments)
        }
        Command::Seed(forwarded) => program::build_and_exec("seed", &forwarded.arguments),
        Command::Db(forwarded) => program::build_and_exec("db", &forwarded.arguments),
        Command::Prepare(forwarded) => program::build_and_exec("prepare", &forwarded.arguments),
        Command::Bundle(forwarded) => program::build_and_exec("bundle", &forwarded.arguments),
    }
}
