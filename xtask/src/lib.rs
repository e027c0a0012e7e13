//! Where things are in this repository, and how other programs are run: what `./dev`'s commands share.

use std::process::ExitCode;

pub mod tools;
pub mod workspace;

/// The services that have a schema, in no particular order.
pub const SERVICES: [&str; 5] = ["profile", "authentication", "photo", "vote", "comment"];

/// How a command ends: a failure is one line on standard error.
pub fn exit_code(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dev: {error:#}");
            ExitCode::FAILURE
        }
    }
}
