//! Starts the programs of a cluster, and restarts them when they end.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use tokio::task::AbortHandle;

use super::layout::Layout;
use super::{NODES, Options, slot};
use crate::disk::SmallDisk;
use crate::network::Network;
use crate::system::process::{Log, Process, Show};
use crate::wait;

/// The delay before a restart, as in Docker Swarm.
const RESTART_DELAY: Duration = Duration::from_secs(1);
const PROCESS_POLL_INTERVAL: Duration = Duration::from_millis(50);

#[derive(Debug)]
struct Part {
    process: Process,
    /// Whether the program should run. False if it was stopped on purpose.
    wanted: bool,
    /// When the program ended, if it is not running.
    ended: Option<Instant>,
}

/// The programs. Declared first, so that they end before their resources.
#[derive(Debug)]
pub(super) struct Supervisor {
    parts: Mutex<BTreeMap<String, Part>>,
    pub(super) network: Network,
    /// The small volume of one node, if any.
    pub(super) small_disk: Option<SmallDisk>,
    pub(super) layout: Layout,
    pub(super) options: Options,
}

impl Supervisor {
    pub(super) fn new(
        layout: Layout,
        network: Network,
        small_disk: Option<SmallDisk>,
        options: Options,
    ) -> Self {
        Self {
            parts: Mutex::default(),
            network,
            small_disk,
            layout,
            options,
        }
    }

    fn parts(&self) -> MutexGuard<'_, BTreeMap<String, Part>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a stopped program.
    pub(super) fn start(&self, name: &str) -> Result<()> {
        let mut parts = self.parts();
        if let Some(part) = parts.get_mut(name)
            && part.process.ended().is_none()
        {
            part.wanted = true;
            return Ok(());
        }
        let part = Part {
            process: self.launch(name)?,
            wanted: true,
            ended: None,
        };
        parts.insert(name.to_owned(), part);
        Ok(())
    }

    fn launch(&self, name: &str) -> Result<Process> {
        let log = Log {
            file: self.layout.log_file(name),
            show: Show::Nothing,
        };
        if let Some(slot) = slot(name) {
            let agent = self.layout.program("database-agent")?;
            return Process::spawn(
                name,
                Path::new("ip"),
                |command| {
                    command.args(self.network.enter(slot)).arg(agent).arg("run");
                    self.layout.set_up_database(slot, &self.network, command);
                    for (name, value) in &self.options.agent_environment {
                        command.env(name, value);
                    }
                },
                &log,
            );
        }
        if name == "objects" {
            let program = self.layout.program("s3-server")?;
            let mut set_up = Ok(());
            let process = Process::spawn(
                name,
                &program,
                |command| set_up = self.layout.set_up_objects(command),
                &log,
            );
            return set_up.and(process);
        }
        let service = name.rsplit_once('-').map_or(name, |(service, _)| service);
        self.layout.program(service)?;
        let set_up = |command: &mut Command| {
            command.args(self.layout.with_names(service)).arg("serve");
            self.set_up_service(name, service, command);
        };
        Process::spawn(name, Path::new("unshare"), set_up, &log)
    }

    /// Sets the environment of a service.
    pub(super) fn set_up_service(&self, part: &str, service: &str, command: &mut Command) {
        self.layout.set_up_service(part, service, command);
        for (of, name, value) in &self.options.environment {
            if of == service {
                command.env(name, value);
            }
        }
    }

    /// Sends a signal to a program and, on a database node, to all processes of the node.
    pub(super) fn signal(&self, name: &str, signal: Signal) {
        match slot(name) {
            Some(slot) if signal == Signal::SIGKILL => self.network.kill_all(slot),
            Some(slot) => self.network.signal_all(slot, signal),
            None => {
                if let Some(part) = self.parts().get(name) {
                    part.process.signal(signal);
                }
            }
        }
    }

    /// Stops restarting these parts.
    pub(super) fn stop_restarting(&self, names: &[String]) {
        for (_, part) in self.parts().iter_mut().filter(|(name, _)| names.contains(name)) {
            part.wanted = false;
        }
    }

    /// Stops programs by SIGTERM, as an orchestrator does, all at the same time.
    pub(super) async fn stop(&self, names: &[String], limit: Duration) -> Result<()> {
        self.stop_restarting(names);
        for (_, part) in self.parts().iter().filter(|(name, _)| names.contains(name)) {
            part.process.signal(Signal::SIGTERM);
        }
        self.wait_for_end(names, limit).await
    }

    pub(super) async fn wait_for_end(&self, names: &[String], limit: Duration) -> Result<()> {
        wait::until("programs to end", limit, || async {
            let running: Vec<_> = self
                .parts()
                .iter()
                .filter(|(name, part)| names.contains(name) && part.process.ended().is_none())
                .map(|(name, _)| name.clone())
                .collect();
            ensure!(running.is_empty(), "{} still run", running.join(", "));
            Ok(())
        })
        .await
    }

    fn look(&self) {
        let mut due = Vec::new();
        for (name, part) in self.parts().iter_mut() {
            let gone = part.wanted && part.process.ended().is_some();
            if gone && part.ended.get_or_insert_with(Instant::now).elapsed() >= RESTART_DELAY {
                due.push(name.clone());
            }
        }
        for name in due {
            if let Err(error) = self.start(&name) {
                eprintln!("{name} cannot be started again: {error:#}");
            }
        }
    }

    /// Kills all parts.
    pub(super) fn end(&self) {
        for slot in 1..=NODES {
            self.network.kill_all(slot);
        }
        for part in std::mem::take(&mut *self.parts()).into_values() {
            part.process
                .stop_blocking(Signal::SIGKILL, Duration::from_secs(5));
        }
    }
}

/// Restarts ended programs until it is aborted.
pub(super) fn watch(supervisor: &Arc<Supervisor>) -> AbortHandle {
    let supervisor = Arc::downgrade(supervisor);
    let watching = tokio::spawn(async move {
        while let Some(supervisor) = supervisor.upgrade() {
            supervisor.look();
            drop(supervisor);
            tokio::time::sleep(PROCESS_POLL_INTERVAL).await;
        }
    });
    watching.abort_handle()
}
