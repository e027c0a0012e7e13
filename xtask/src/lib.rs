//! Shared by the commands of `./dev`: paths of the repository, and running programs.

use std::process::ExitCode;

pub mod tools;
pub mod workspace;

/// The services that have a schema, in no particular order.
pub const SERVICES: [&str; 5] = ["profile", "authentication", "photo", "vote", "comment"];

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
