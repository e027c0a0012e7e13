//! `./dev watch`: rebuilds changed programs while the system runs, and restarts them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};
use tokio::process::Command;

use crate::system::{SERVICES, System};
use crate::workspace::{binaries, root};

/// How often the sources are checked.
const SOURCE_POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The sources of the app.
const APP_SOURCES: [&str; 8] = [
    "frontend/src",
    "frontend/style",
    "frontend/static",
    "frontend/ui/src",
    "frontend/ui/locales",
    "frontend/operations.graphql",
    "frontend/index.html",
    "frontend/entry.js",
];

/// The sources of the services and the router. cargo decides which programs a change affects.
const SERVICE_SOURCES: [&str; 7] = [
    "subgraphs",
    "router/src",
    "frontend/ui/src",
    "frontend/ui/locales",
    "Cargo.toml",
    "Cargo.lock",
    ".sqlx",
];

/// The number of files and the newest modification time, which detect changes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct SourceState {
    files: usize,
    newest: SystemTime,
}

impl SourceState {
    fn of(paths: &[&str]) -> Self {
        let mut state = Self {
            files: 0,
            newest: SystemTime::UNIX_EPOCH,
        };
        for path in paths {
            state.add(&root().join(path));
        }
        state
    }

    fn add(&mut self, path: &Path) {
        let Ok(metadata) = fs::metadata(path) else {
            return;
        };
        if metadata.is_file() {
            self.files += 1;
            self.newest = self.newest.max(modified(path));
        } else if let Ok(entries) = fs::read_dir(path) {
            for entry in entries.filter_map(Result::ok) {
                self.add(&entry.path());
            }
        }
    }
}

fn modified(path: &Path) -> SystemTime {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Rebuilds and restarts changed programs, until the future is dropped.
pub async fn watch(system: &System) {
    let (mut app, mut services) = (SourceState::of(&APP_SOURCES), SourceState::of(&SERVICE_SOURCES));
    say("watching frontend, subgraphs and router for changes");
    loop {
        tokio::time::sleep(SOURCE_POLL_INTERVAL).await;
        let now = SourceState::of(&APP_SOURCES);
        if now != app {
            app = now;
            report("the app", rebuild_app(system).await);
        }
        let now = SourceState::of(&SERVICE_SOURCES);
        if now != services {
            services = now;
            report("the services", rebuild_services(system).await);
        }
    }
}

/// Rebuilds the app, and restarts the router, which reads the bundle when it starts. Open pages detect the new bundle
/// and reload.
async fn rebuild_app(system: &System) -> Result<()> {
    run(Command::new(binaries().join("bundle")).arg("--development")).await?;
    restart(system, "router").await
}

async fn rebuild_services(system: &System) -> Result<()> {
    let parts = [&SERVICES[..], &["router"]].concat();
    let build_times = || {
        parts
            .iter()
            .map(|name| modified(&program(name)))
            .collect::<Vec<_>>()
    };
    let before = build_times();
    let mut build = Command::new("cargo");
    build.arg("build");
    for name in &parts {
        build.args(["--bin", name]);
    }
    run(&mut build).await?;
    for ((name, before), after) in parts.iter().zip(before).zip(build_times()) {
        if before != after {
            restart(system, name).await?;
        }
    }
    Ok(())
}

fn program(name: &str) -> PathBuf {
    binaries().join(name)
}

async fn restart(system: &System, name: &str) -> Result<()> {
    // Ignore errors, because the program may have ended already.
    let _ = system.stop_service(name).await;
    system.restart(name).await?;
    say(&format!("{name} was restarted"));
    Ok(())
}

async fn run(command: &mut Command) -> Result<()> {
    let status = command.current_dir(root()).kill_on_drop(true).status().await?;
    if !status.success() {
        bail!("the build failed; see the output above");
    }
    Ok(())
}

fn report(what: &str, result: Result<()>) {
    match result {
        Ok(()) => say(&format!("{what}: up to date")),
        Err(error) => say(&format!("{what}: {error:#}; the previous build keeps running")),
    }
}

fn say(text: &str) {
    xtask::tools::say(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_new_files_and_deletions_are_detected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let file = folder.path().join("a");
        let states = [
            SourceState::of(&[path]),
            {
                fs::write(&file, "one").unwrap();
                SourceState::of(&[path])
            },
            {
                let later = SystemTime::now() + Duration::from_secs(2);
                fs::File::options()
                    .write(true)
                    .open(&file)
                    .unwrap()
                    .set_modified(later)
                    .unwrap();
                SourceState::of(&[path])
            },
            {
                fs::remove_file(&file).unwrap();
                SourceState::of(&[path])
            },
        ];
        assert!(states.windows(2).all(|pair| pair[0] != pair[1]));
    }

    /// A renamed path would not be watched.
    #[test]
    fn what_is_watched_is_there() {
        for path in APP_SOURCES.iter().chain(&SERVICE_SOURCES) {
            assert!(root().join(path).exists(), "{path}");
        }
    }
}
