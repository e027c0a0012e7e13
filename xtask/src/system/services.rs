//! What each part is started with. The parts take the same settings as flags; the environment keeps
//! secrets out of the list of processes.

use std::process::Command;

use super::Layout;
use crate::workspace;

/// The services that have a schema, in no particular order.
pub const SERVICES: [&str; 5] = ["profile", "authentication", "photo", "vote", "comment"];

/// Sets the environment of a part that listens on `port`.
pub(super) fn set_up(layout: &Layout, service: &str, port: u16, command: &mut Command) {
    let url = |name: &str| format!("http://127.0.0.1:{}", layout.port(name));
    let subscribers = |names: &[&str]| {
        names
            .iter()
            .map(|name| format!("{name}={}", url(name)))
            .collect::<Vec<_>>()
            .join(",")
    };
    command
        .env("LISTEN", format!("127.0.0.1:{port}"))
        .env(
            "JWKS_URL",
            format!("{}/.well-known/jwks.json", url("authentication")),
        )
        .env("INTERNAL_SECRET_FILE", layout.secret_file("internal-secret"))
        .env("PUBLIC_URL", format!("http://localhost:{}", layout.base))
        .env("LOG_FORMAT", "human")
        // Their lines go through a pipe into files.
        .env("NO_COLOR", "1")
        .env_remove("INTERNAL_SECRET")
        .env_remove("DATABASE_URL");

    match service {
        "router" => {
            command
                .env(
                    "INTERNAL_LISTEN",
                    format!("127.0.0.1:{}", layout.port("router-internal")),
                )
                .env("SUPERGRAPH", workspace::root().join("supergraph.graphql"))
                .env("APP_DIR", workspace::app_bundle())
                .env("PLAYGROUND_DIR", workspace::playground_bundle());
            for name in SERVICES {
                command.env(format!("{}_URL", name.to_uppercase()), url(name));
            }
            return;
        }
        "authentication" => {
            command
                .env("KEY_SECRET_FILE", layout.secret_file("key-secret"))
                .env(
                    "EVENT_SUBSCRIBERS",
                    subscribers(&["profile", "photo", "vote", "comment"]),
                );
        }
        "photo" => {
            command
                .env(
                    "MEDIA_STORE",
                    format!("file://{}", layout.dir.join("media").display()),
                )
                .env("EVENT_SUBSCRIBERS", subscribers(&["vote", "comment"]));
        }
        "vote" | "comment" => {
            command.env("PHOTO_URL", url("photo"));
        }
        _ => {}
    }
    command
        .env(
            "DATABASE_URL_FILE",
            layout.secret_file(&format!("{service}-database-url")),
        )
        .env("AUTHENTICATION_URL", url("authentication"));
}
