//! Shared by the commands of `./dev`: paths of the repository, and running programs.

use std::process::ExitCode;
use std::sync::LazyLock;

pub mod tools;
pub mod workspace;

/// The names of the services, in the order of `subgraphs/contracts/services.txt`.
pub static SERVICES: LazyLock<Vec<&'static str>> = LazyLock::new(|| contracts::services::names().collect());

/// The exit code of a command. Prints an error as one line on standard error.
pub fn exit_code(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dev: {error:#}");
            ExitCode::FAILURE
        }
    }
}
