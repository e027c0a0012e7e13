//! Starts Garage, the object store of the stack, with its secrets from files.
//!
//! Garage reads the key of its clients from the environment only. This program reads it from secret files and replaces
//! itself by Garage (exec), so that the container's configuration has no secret.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use clap::Parser;

/// The object store: Garage, as one node with one bucket.
#[derive(Debug, Parser)]
#[command(name = "objects", version)]
struct Arguments {
    /// Path of the Garage executable. `GARAGE_CONFIG_FILE` names its configuration file.
    #[arg(long, env = "GARAGE", default_value = "/garage", global = true)]
    garage: PathBuf,
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, clap::Subcommand)]
enum Task {
    /// Serve until SIGTERM. Creates the bucket and its key if they are missing.
    Run(Bucket),
    /// Exit with 0 if the server on this machine is healthy.
    Healthcheck,
}

#[derive(Debug, clap::Args)]
struct Bucket {
    /// The name of the bucket.
    #[arg(long = "bucket", env = "BUCKET", default_value = "media")]
    name: String,
    /// A file with the id of the clients' key: GK and 24 hexadecimal digits.
    #[arg(long, env = "S3_ACCESS_KEY_ID_FILE")]
    access_key_id_file: PathBuf,
    /// A file with the secret of the clients' key: 64 hexadecimal digits.
    #[arg(long, env = "S3_SECRET_ACCESS_KEY_FILE")]
    secret_access_key_file: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let Arguments { garage, task } = Arguments::parse();
    let mut command = command(&garage, &task)?;
    // `exec` returns only on failure.
    Err(command.exec()).with_context(|| format!("cannot start {}", garage.display()))
}

fn command(garage: &Path, task: &Task) -> anyhow::Result<Command> {
    let mut command = Command::new(garage);
    match task {
        Task::Run(bucket) => command
            .args(["server", "--single-node", "--default-bucket"])
            .env("GARAGE_DEFAULT_BUCKET", &bucket.name)
            .env("GARAGE_DEFAULT_ACCESS_KEY", secret(&bucket.access_key_id_file)?)
            .env(
                "GARAGE_DEFAULT_SECRET_KEY",
                secret(&bucket.secret_access_key_file)?,
            ),
        Task::Healthcheck => command.args(["health", "--quiet"]),
    };
    Ok(command)
}

fn secret(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let secret = text.trim();
    ensure!(!secret.is_empty(), "{} is empty", file.display());
    Ok(secret.to_owned())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn secrets_come_from_files() {
        let folder = tempfile::tempdir().unwrap();
        let [id, secret] = ["id", "secret"].map(|name| folder.path().join(name));
        std::fs::write(&id, "GK31c2f218a2e44f485b94239e\n").unwrap();
        std::fs::write(&secret, "\n").unwrap();
        let arguments = Arguments::parse_from([
            OsStr::new("objects"),
            OsStr::new("run"),
            OsStr::new("--access-key-id-file"),
            id.as_os_str(),
            OsStr::new("--secret-access-key-file"),
            secret.as_os_str(),
        ]);
        let started = || command(&arguments.garage, &arguments.task);
        assert!(started().unwrap_err().to_string().ends_with("secret is empty"));

        std::fs::write(&secret, "b892c0665f0ada8a4755dae98baa3b13").unwrap();
        let command = started().unwrap();
        let environment: Vec<_> = command
            .get_envs()
            .map(|(name, value)| (name.to_str().unwrap(), value.unwrap().to_str().unwrap()))
            .collect();
        assert_eq!(
            environment,
            [
                ("GARAGE_DEFAULT_ACCESS_KEY", "GK31c2f218a2e44f485b94239e"),
                ("GARAGE_DEFAULT_BUCKET", "media"),
                ("GARAGE_DEFAULT_SECRET_KEY", "b892c0665f0ada8a4755dae98baa3b13"),
            ]
        );
    }
}
