//! `./dev up`: starts and supervises everything until it is stopped.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Parser;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use harness::system::{Durability, Options, System};
use harness::watch::watch;
use harness::workspace::{development_bundle, root, target_dir};
use tokio::signal::unix::{SignalKind, signal};

use xtask::tools::say;

/// A program that ran at least this long is restarted immediately.
const STABLE_RUN_TIME: Duration = Duration::from_secs(60);
/// Maximum delay before a restart.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// Builds and starts everything, and prints the address once it is ready. Ctrl-C stops it.
#[derive(Debug, Parser)]
#[command(name = "./dev up", bin_name = "./dev up", max_term_width = 100)]
struct Arguments {
    /// Port of the router. The other programs listen on the ports after it.
    #[arg(long, default_value_t = 4999)]
    port: u16,
    /// Folder for photos, the database, secrets and logs.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Uses release builds, which take much longer to compile.
    #[arg(long)]
    release: bool,
    /// Starts the existing builds without checking whether they are current.
    #[arg(long)]
    no_build: bool,
    /// Serves the development bundle, builds what changes, and restarts it: `./dev watch`.
    #[arg(long, hide = true, conflicts_with = "release")]
    watch: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    xtask::exit_code(up(Arguments::parse()).await)
}

async fn up(arguments: Arguments) -> Result<()> {
    // Installed first, so that Ctrl-C always stops everything in order.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;

    let data = arguments.data.unwrap_or_else(|| root().join(".proofsheet"));
    say("starting MariaDB, the services and the router");
    let options = Options {
        port: Some(arguments.port),
        data_dir: Some(data.clone()),
        binaries: arguments.release.then(|| target_dir().join("release")),
        show_logs: true,
        durability: Durability::Safe,
        environment: if arguments.watch {
            let bundle = development_bundle().display().to_string();
            vec![("router".into(), "APP_DIR".into(), bundle)]
        } else {
            Vec::new()
        },
    };
    let system = tokio::select! {
        system = System::start(options) => system?,
        _ = interrupt.recv() => bail!("interrupted while starting"),
        _ = terminate.recv() => bail!("interrupted while starting"),
    };
    println!("ready: {}", system.base_url());

    tokio::select! {
        () = supervise(&system) => {}
        () = watch(&system), if arguments.watch => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    say("stopping; please wait");
    system.stop().await;
    say(&format!("stopped; the data stays in {}", data.display()));
    Ok(())
}

/// Restarts programs that end: the first time at once, then with exponential backoff.
async fn supervise(system: &System) {
    let mut failures: HashMap<String, (u32, Instant)> = HashMap::new();
    let mut restarting = HashSet::new();
    let mut restarts = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
            Some((name, count)) = restarts.next() => {
                restarting.remove(&name);
                failures.insert(name, (count, Instant::now()));
            }
        }
        for (name, status) in system.exited() {
            if !restarting.insert(name.clone()) {
                continue;
            }
            say(&format!("{name} ended ({status})"));
            let before = match failures.get(&name) {
                Some((count, since)) if since.elapsed() < STABLE_RUN_TIME => *count,
                _ => 0,
            };
            restarts.push(restart(system, name, before));
        }
    }
}

/// Restarts a program until it is ready. Returns its name and the number of consecutive restarts.
async fn restart(system: &System, name: String, mut failures: u32) -> (String, u32) {
    loop {
        let pause = backoff(failures);
        if !pause.is_zero() {
            say(&format!("{name} is restarted in {} s", pause.as_secs()));
            tokio::time::sleep(pause).await;
        }
        failures += 1;
        match system.restart(&name).await {
            Ok(()) => {
                say(&format!("{name} is ready again"));
                return (name, failures);
            }
            Err(error) => say(&format!("{error:#}")),
        }
    }
}

fn backoff(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => Duration::from_secs(1 << doublings.min(5)).min(MAX_BACKOFF),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_at_once_and_later_ones_wait_longer() {
        let pauses: Vec<_> = (0..9).map(|failures| backoff(failures).as_secs()).collect();
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(backoff(u32::MAX), MAX_BACKOFF);
    }
}
