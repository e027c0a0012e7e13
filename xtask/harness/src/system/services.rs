//! The arguments of each program. The programs take the same settings as flags; the environment keeps secrets out of
//! the list of processes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use contracts::services::ServiceEntry;
pub use xtask::SERVICES;

use crate::workspace;

/// The addresses of the other programs.
pub(crate) struct ServiceEnv<'a> {
    /// The address on which the program listens.
    pub(crate) listen: String,
    /// The internal address of the router.
    pub(crate) internal_listen: String,
    pub(crate) public_url: String,
    pub(crate) media_store: String,
    pub(crate) secrets: &'a Path,
    /// Returns the URL of a service.
    pub(crate) url: &'a dyn Fn(&str) -> String,
}

/// Returns the path of a built program.
pub(crate) fn program(folder: &Path, name: &str) -> Result<PathBuf> {
    let program = folder.join(name);
    ensure!(
        program.is_file(),
        "{} is not built. ./dev up and ./dev test build it, or cargo build --bins.",
        program.display()
    );
    Ok(program)
}

/// Sets the environment of a program.
pub(crate) fn set_up(env: &ServiceEnv<'_>, service: &str, command: &mut Command) {
    let url = env.url;
    let secret = |name: &str| env.secrets.join(name);
    let subscribers = || {
        let receives = |other: &&ServiceEntry<'_>| other.senders.contains(&service);
        let subscribers = contracts::services::all().iter().filter(receives);
        let urls: Vec<_> = subscribers
            .map(|other| format!("{}={}", other.name, url(other.name)))
            .collect();
        urls.join(",")
    };
    command
        .env("LISTEN", &env.listen)
        .env(
            "JWKS_URL",
            format!("{}/.well-known/jwks.json", url("authentication")),
        )
        .env("INTERNAL_SECRET_FILE", secret("internal-secret"))
        .env("PUBLIC_URL", &env.public_url)
        .env("LOG_FORMAT", "human")
        // The output is not a terminal.
        .env("NO_COLOR", "1")
        .env_remove("INTERNAL_SECRET")
        .env_remove("DATABASE_URL");

    match service {
        "router" => {
            command
                .env("INTERNAL_LISTEN", &env.internal_listen)
                .env("SUPERGRAPH", workspace::root().join("supergraph.graphql"))
                .env("APP_DIR", workspace::app_bundle())
                .env("PLAYGROUND_DIR", workspace::playground_bundle());
            for other in contracts::services::all() {
                command.env(other.url_variable(), url(other.name));
            }
            return;
        }
        "authentication" => {
            command.env("KEY_SECRET_FILE", secret("key-secret"));
        }
        "photo" => {
            command.env("MEDIA_STORE", &env.media_store);
        }
        _ => {}
    }
    command
        .env("DATABASE_URL_FILE", secret(&format!("{service}-database-url")))
        .env("EVENT_SUBSCRIBERS", subscribers())
        .env("AUTHENTICATION_URL", url("authentication"))
        .env("PHOTO_URL", url("photo"));
}
