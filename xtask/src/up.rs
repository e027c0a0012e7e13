//! `./dev up`: builds what changed, starts everything, and looks after it until told to stop.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{SignalKind, signal};
use xtask::system::{Durability, Options, SERVICES, System};
use xtask::workspace::{root, target_dir};

use crate::bundle;
use crate::tools::{cargo, run, say};

/// A part that ran this long before it ended is started again at once.
const STEADY: Duration = Duration::from_secs(60);
/// One that keeps ending is not started more often than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The router's port; everything else listens on the nine after it.
    #[arg(long, default_value_t = 4999)]
    port: u16,
    /// Where photos, the database, secrets and logs are kept.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Builds for speed, which takes much longer to compile.
    #[arg(long)]
    release: bool,
    /// Starts what was built before, without looking whether it is current.
    #[arg(long, conflicts_with = "release")]
    no_build: bool,
}

pub(crate) async fn up(arguments: Arguments) -> Result<()> {
    // Asked for before anything starts, so that Ctrl-C at any later moment stops things in order.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;

    if !arguments.no_build {
        build(arguments.release)?;
        bundle::bundle()?;
    }

    let data = arguments.data.unwrap_or_else(|| root().join(".proofsheet"));
    say("starting MariaDB, the services and the router");
    let options = Options {
        port: Some(arguments.port),
        data_dir: Some(data.clone()),
        binaries: arguments.release.then(|| target_dir().join("release")),
        show_logs: true,
        durability: Durability::Safe,
        environment: Vec::new(),
    };
    let system = tokio::select! {
        system = System::start(options) => system?,
        _ = interrupt.recv() => bail!("interrupted while starting"),
        _ = terminate.recv() => bail!("interrupted while starting"),
    };
    println!("ready: {}", system.base_url());

    tokio::select! {
        () = look_after(&system) => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    say("stopping; a second Ctrl-C does not make it faster");
    system.stop().await;
    say(&format!("stopped; the data stays in {}", data.display()));
    Ok(())
}

/// Compiles the services and the router. cargo shows its own progress.
pub(crate) fn build(release: bool) -> Result<()> {
    say("compiling the services and the router");
    let mut build = cargo(&["build", "--bin", "router"]);
    for service in SERVICES {
        build.args(["--bin", service]);
    }
    if release {
        build.arg("--release");
    }
    run("compiling", &mut build)
        .context("Did a query change? Then run ./dev prepare first, which asks MariaDB about it.")
}

/// Starts again what ended on its own, with growing pauses for what keeps ending.
async fn look_after(system: &System) {
    let mut attempts: HashMap<String, (u32, Instant)> = HashMap::new();
    loop {
        tokio::time::sleep(Duration::from_millis(250)).await;
        for (name, status) in system.casualties() {
            let (failures, since) = attempts.entry(name.clone()).or_insert((0, Instant::now()));
            *failures = if since.elapsed() > STEADY {
                1
            } else {
                *failures + 1
            };
            *since = Instant::now();
            let pause = Duration::from_secs(1 << (*failures - 1).min(5)).min(LONGEST_PAUSE);
            say(&format!(
                "{name} ended ({status}); starting it again in {} s",
                pause.as_secs()
            ));
            tokio::time::sleep(pause).await;
            match system.restart(&name).await {
                Ok(()) => say(&format!("{name} is back")),
                Err(error) => say(&format!("{error:#}")),
            }
        }
    }
}
