//! Real nodes on one machine.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chassis::config::Secret;
use database_agent::mariadb::Volume;
use database_agent::{signature, sql};
use harness::network::Network;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sqlx::MySqlPool;
use tempfile::TempDir;

const SECRET: &str = "the secret of all three nodes";

/// Labs run one after another, because three nodes keep a machine busy.
static ALONE: Mutex<()> = Mutex::new(());

/// Nodes on simulated machines. Dropping this removes everything.
pub(crate) struct Lab {
    network: Network,
    nodes: u32,
    pub(crate) folder: TempDir,
    agents: Vec<Option<Child>>,
    /// The command prefix that sets a wrong clock for a slot.
    clocks: Vec<Vec<String>>,
    _alone: MutexGuard<'static, ()>,
}

impl Lab {
    /// Creates `nodes` machines on a network, and starts nothing on them.
    pub(crate) fn new(nodes: u32) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let lab = Self {
            network: Network::closed(nodes).unwrap(),
            nodes,
            folder: tempfile::Builder::new()
                .prefix("proofsheet-database-")
                .tempdir()
                .unwrap(),
            agents: (0..nodes).map(|_| None).collect(),
            clocks: vec![Vec::new(); nodes as usize],
            _alone: alone,
        };
        let secrets = lab.folder.path().join("secrets");
        fs::create_dir(&secrets).unwrap();
        for (file, text) in [
            ("cluster", SECRET),
            ("stranger", "the secret of somebody else"),
            ("sst", "copies-need-a-password"),
            ("vote_password", "vote-has-a-password"),
            ("vote_migrate_password", "vote-migrates-with-another"),
        ] {
            fs::write(secrets.join(file), format!("{text}\n")).unwrap();
        }
        lab
    }

    /// Returns the folder of a slot's volume.
    pub(crate) fn volume(&self, slot: u32) -> PathBuf {
        self.folder.path().join(format!("volume-{slot}"))
    }

    /// Returns the folder of a slot's `/etc/hosts` and `/etc/resolv.conf`.
    pub(crate) fn names(&self, slot: u32) -> PathBuf {
        let [.., space] = self.network.enter(slot);
        Path::new("/etc/netns").join(space)
    }

    /// Returns the free space of a slot's volume in bytes.
    pub(crate) fn free(&self, slot: u32) -> u64 {
        Volume::open(&self.volume(slot)).unwrap().space().unwrap().free
    }

    /// The address of a slot.
    pub(crate) fn address(&self, slot: u32) -> String {
        self.network.address(slot)
    }

    fn log(&self, slot: u32) -> PathBuf {
        self.folder.path().join(format!("node-{slot}.log"))
    }

    /// Starts the agent of a slot. The flags in `more` override the defaults.
    pub(crate) fn start_with(&mut self, slot: u32, more: &[&str]) {
        let secrets = self.folder.path().join("secrets");
        fs::create_dir_all(self.volume(slot)).unwrap();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(slot))
            .unwrap();
        let peers = self.network.addresses();
        let mut flags = vec![
            ("--slot", slot.to_string()),
            ("--nodes", self.nodes.to_string()),
            ("--peers", peers.join(",")),
            ("--volume", self.volume(slot).display().to_string()),
            ("--services", "vote".to_owned()),
            ("--secrets", secrets.display().to_string()),
            (
                "--database-cluster-secret-file",
                secrets.join("cluster").display().to_string(),
            ),
            (
                "--database-sst-password-file",
                secrets.join("sst").display().to_string(),
            ),
            ("--buffer-pool", "32M".to_owned()),
            ("--gcache", "32M".to_owned()),
            ("--max-connections", "50".to_owned()),
            ("--missing-member-timeout", "5".to_owned()),
        ];
        for pair in more.chunks(2) {
            flags.retain(|(name, _)| *name != pair[0]);
            flags.push((pair[0], pair[1].to_owned()));
        }
        let mut command = self.network.command(slot);
        command
            .args(&self.clocks[slot as usize - 1])
            .args([env!("CARGO_BIN_EXE_database-agent"), "run"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        for (name, value) in flags {
            command.arg(name).arg(value);
        }
        self.agents[slot as usize - 1] = Some(command.spawn().unwrap());
    }

    pub(crate) fn start(&mut self, slot: u32) {
        self.start_with(slot, &[]);
    }

    /// Starts the agent of a slot with a clock that is wrong by `offset`.
    pub(crate) fn start_with_clock(&mut self, slot: u32, offset: &str) {
        // Timeouts use the monotonic clock, which stays correct.
        let flags = ["faketime", "-m", "--exclude-monotonic", "-f", offset];
        self.clocks[slot as usize - 1] = flags.map(str::to_owned).to_vec();
        self.start(slot);
        self.clocks[slot as usize - 1].clear();
    }

    pub(crate) fn start_all(&mut self) {
        for slot in 1..=self.nodes {
            self.start(slot);
        }
    }

    /// Kills all processes of a slot, as a power failure would.
    pub(crate) fn kill(&mut self, slot: u32) {
        self.network.kill_all(slot);
        if let Some(mut agent) = self.agents[slot as usize - 1].take() {
            agent.wait().unwrap();
        }
    }

    /// Disconnects a slot, or connects it again.
    pub(crate) fn cut(&self, slot: u32, cut: bool) {
        self.network.cut(slot, cut).unwrap();
    }

    /// The stage of a slot.
    pub(crate) fn stage(&self, slot: u32) -> String {
        let status = self.status(slot);
        status.map_or_else(String::new, |status| {
            status["stage"].as_str().unwrap_or_default().to_owned()
        })
    }

    /// Stops slots by SIGTERM, as an orchestrator does, and waits until all have ended successfully.
    pub(crate) fn stop(&mut self, slots: &[u32]) {
        for slot in slots {
            let agent = self.agents[*slot as usize - 1]
                .as_ref()
                .expect("the agent was started");
            kill(Pid::from_raw(agent.id().cast_signed()), Signal::SIGTERM).unwrap();
        }
        let deadline = Instant::now() + Duration::from_secs(40);
        for slot in slots {
            let mut agent = self.agents[*slot as usize - 1]
                .take()
                .expect("the agent was started");
            let status = loop {
                if let Some(status) = agent.try_wait().unwrap() {
                    break status;
                }
                assert!(Instant::now() < deadline, "slot {slot} did not stop within 40 s");
                std::thread::sleep(Duration::from_millis(50));
            };
            assert!(status.success(), "slot {slot} ended with {status}");
        }
    }

    /// The status of an agent; `None` while it does not run.
    pub(crate) fn status(&self, slot: u32) -> Option<Value> {
        let mut command = self.network.command(slot);
        command.args([env!("CARGO_BIN_EXE_database-agent"), "status"]);
        let output = command.output().unwrap();
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Returns the status message of an agent.
    pub(crate) fn message(&self, slot: u32) -> String {
        let status = self.status(slot);
        status.map_or_else(String::new, |status| {
            status["message"].as_str().unwrap_or_default().to_owned()
        })
    }

    pub(crate) fn is_healthy(&self, slot: u32) -> bool {
        let mut command = self.network.command(slot);
        command.args([env!("CARGO_BIN_EXE_database-agent"), "healthcheck"]);
        command.stderr(Stdio::null()).status().unwrap().success()
    }

    /// Whether a slot is in sync in a cluster of `size`.
    pub(crate) fn in_sync(&self, slot: u32, size: usize) -> bool {
        self.status(slot).is_some_and(|status| {
            status["stage"] == "primary"
                && status["wsrep"]["local_state_comment"] == "Synced"
                && status["wsrep"]["cluster_size"].as_str() == Some(size.to_string().as_str())
        })
    }

    /// Waits until the cluster consists of these slots and all are in sync. Returns how long that took.
    pub(crate) fn wait_in_sync(&self, slots: &[u32], limit: Duration) -> Duration {
        let what = format!("slots {slots:?} are in sync");
        wait_until(&what, limit, || {
            slots.iter().all(|slot| self.in_sync(*slot, slots.len()))
        })
    }

    /// The log of a slot.
    pub(crate) fn said(&self, slot: u32) -> String {
        fs::read_to_string(self.log(slot)).unwrap_or_default()
    }

    /// Returns a pool of connections to the socket of a slot.
    pub(crate) fn pool(&self, slot: u32) -> MySqlPool {
        let password = signature::derived_password(&Secret::new(SECRET), "the agent's account");
        sql::pool(&self.volume(slot).join("mariadb.sock"), &password)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for slot in 1..=self.nodes {
                let said = self.said(slot);
                let lines: Vec<_> = said.lines().collect();
                eprintln!("--- the end of slot {slot}'s log");
                eprintln!("{}", lines[lines.len().saturating_sub(60)..].join("\n"));
            }
        }
        for slot in 1..=self.nodes {
            self.network.kill_all(slot);
            if let Some(mut agent) = self.agents[slot as usize - 1].take() {
                let _ = agent.wait();
            }
        }
    }
}

pub(crate) fn wait_until(what: &str, limit: Duration, mut done: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < limit, "timeout after {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
    started.elapsed()
}
