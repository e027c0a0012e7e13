//! The whole system as it runs in production, to be broken: three database nodes, each under its agent on a machine of
//! its own, an object store, two of each service, and the router.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use std::time::Duration;
//! use harness::cluster::{Cluster, Options};
//!
//! let cluster = Cluster::start(Options::default()).await?;
//! cluster.kill("db-2");
//! cluster.wait_in_step(Duration::from_secs(60)).await?;
//! println!("{}", cluster.base_url());
//! # Ok(())
//! # }
//! ```
//!
//! A program that ends is restarted after a second, as Docker does, unless it was stopped on purpose. The nodes live in
//! network namespaces, so that their links can be cut; router, services and object store have addresses of this
//! machine in the nodes' network. Services find the nodes by a name that stands for all three. Each service has a
//! virtual address, as in a Swarm: it spreads connections over the two processes.

mod balancer;
mod layout;
mod supervisor;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::task::AbortHandle;

use crate::disk::SmallDisk;
use crate::network::{Network, SlowLink};
use crate::system::SERVICES;

use layout::Layout;
use supervisor::Supervisor;

/// Generous, so that a busy machine is no failure.
const CLUSTER_TIMEOUT: Duration = Duration::from_secs(120);
/// Longer than a service gives to the requests that it is still answering; MariaDB has less to write out here.
const PART_STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// Timeout of an agent's status.
const AGENT_STATUS_TIMEOUT: Duration = Duration::from_secs(1);

/// How to start a cluster. The default suits a test.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where data, secrets and logs are kept. `None`: a temporary folder, removed at the end.
    pub data_dir: Option<PathBuf>,
    /// Where the programs are. `None`: beside the running one.
    pub binaries: Option<PathBuf>,
    /// How many processes each service has.
    pub replicas: u8,
    /// Without: only the database and the object store are started; [`Cluster::start_site`] does the rest.
    pub site: bool,
    /// A node whose volume is so small (in MiB) that [`Cluster::fill_volume`] can fill it.
    pub small_volume: Option<(u32, u32)>,
    /// More environment for one service: (`"photo"`, `"TIME_ZONE"`, `"Europe/Berlin"`).
    pub environment: Vec<(String, String, String)>,
    /// More environment for the agents (`"DATABASE_MISSING_MEMBER_TIMEOUT"`, `"5"`).
    pub agent_environment: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            data_dir: None,
            binaries: None,
            replicas: 2,
            site: true,
            small_volume: None,
            environment: Vec::new(),
            agent_environment: Vec::new(),
        }
    }
}

/// A running cluster and site. Dropped, it is killed; data in a given folder stays.
#[derive(Debug)]
pub struct Cluster {
    supervisor: Arc<Supervisor>,
    client: reqwest::Client,
    tasks: Vec<AbortHandle>,
}

/// How many database nodes there are.
pub const NODES: u32 = 3;

impl Cluster {
    /// Starts everything and waits until each part is ready.
    pub async fn start(options: Options) -> Result<Self> {
        let network = Network::reachable(NODES)?;
        let layout = Layout::new(&options, &network)?;
        let small_disk = layout.make_volumes(options.small_volume)?;
        let supervisor = Arc::new(Supervisor::new(layout, network, small_disk, options));
        let mut tasks = vec![supervisor::watch(&supervisor)];
        for service in SERVICES {
            let (address, replicas) = supervisor.layout.balanced(service);
            tasks.push(balancer::start(&address, replicas).await?);
        }
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(AGENT_STATUS_TIMEOUT)
            .build()?;
        let cluster = Self {
            supervisor,
            client,
            tasks,
        };
        cluster.start_parts(&["objects".to_owned()])?;
        cluster.start_parts(&Self::databases())?;
        cluster.wait_in_step(CLUSTER_TIMEOUT).await?;
        if cluster.supervisor.options.site {
            cluster.start_site().await?;
        }
        Ok(cluster)
    }

    /// Migrates the schemas, and starts the services and the router.
    pub async fn start_site(&self) -> Result<()> {
        self.migrate().await?;
        let site = self.site();
        self.start_parts(&site)?;
        self.wait_until_ready(CLUSTER_TIMEOUT).await
    }

    /// The database nodes: `db-1` and so on.
    pub fn databases() -> Vec<String> {
        (1..=NODES).map(|slot| format!("db-{slot}")).collect()
    }

    /// The processes of the services, and the router: `photo-1`, `photo-2`, …, `router`.
    pub fn site(&self) -> Vec<String> {
        let mut parts = self.supervisor.layout.replicas();
        parts.push("router".to_owned());
        parts
    }

    /// The router's public address.
    pub fn base_url(&self) -> String {
        self.supervisor.layout.base_url()
    }

    /// The virtual address of a service.
    pub fn url(&self, service: &str) -> String {
        self.supervisor.layout.url(service)
    }

    /// The folder of data, secrets and logs.
    pub fn data_dir(&self) -> &Path {
        &self.supervisor.layout.dir
    }

    /// Where a part writes its log.
    pub fn log_file(&self, part: &str) -> PathBuf {
        self.supervisor.layout.log_file(part)
    }

    /// The volume of a node.
    pub fn volume(&self, slot: u32) -> PathBuf {
        self.supervisor.layout.volume(slot)
    }

    /// Where the MariaDB of a node is spoken to on this machine.
    pub fn socket(&self, slot: u32) -> PathBuf {
        self.volume(slot).join("mariadb.sock")
    }

    /// The secret that the agents share; the password of their own account at MariaDB is derived from it.
    pub fn cluster_secret(&self) -> &str {
        &self.supervisor.layout.cluster_secret
    }

    /// One node as a service sees it.
    pub fn database_url(&self, slot: u32, service: &str) -> String {
        let layout = &self.supervisor.layout;
        layout.database_url(service, &self.network().address(slot))
    }

    /// The folder in which the object store keeps the files of photos.
    pub fn objects(&self) -> PathBuf {
        self.supervisor.layout.dir.join("objects/media/photos")
    }

    /// The environment of the object store's clients.
    pub fn objects_environment(&self) -> Vec<(&'static str, String)> {
        self.supervisor.layout.objects_environment()
    }

    /// The network that the nodes are on.
    pub fn network(&self) -> &Network {
        &self.supervisor.network
    }

    /// A part and all that it has started dies at once, and comes back after a second.
    pub fn kill(&self, part: &str) {
        self.supervisor.signal(part, Signal::SIGKILL);
    }

    /// The same for several at the same moment.
    pub fn kill_all(&self, parts: &[String]) {
        std::thread::scope(|scope| {
            for part in parts {
                scope.spawn(|| self.kill(part));
            }
        });
    }

    /// Freezes a part: it keeps its connections and answers nothing.
    pub fn pause(&self, part: &str) {
        self.supervisor.signal(part, Signal::SIGSTOP);
    }

    /// Lets a frozen part go on.
    pub fn resume(&self, part: &str) {
        self.supervisor.signal(part, Signal::SIGCONT);
    }

    /// Cuts the link of a node, or mends it.
    pub fn cut(&self, slot: u32, cut: bool) -> Result<()> {
        self.network().cut(slot, cut)
    }

    /// Slows the link of a node down until what this returns is dropped.
    pub fn slow_down(&self, slot: u32, delay: Duration) -> Result<SlowLink> {
        self.network().slow_down(slot, delay)
    }

    /// Fills the small volume to the last byte.
    pub fn fill_volume(&self) -> Result<()> {
        self.small_disk()?.fill(u64::MAX)
    }

    /// Makes room in it again.
    pub fn clear_volume(&self) -> Result<()> {
        self.small_disk()?.clear()
    }

    fn small_disk(&self) -> Result<&SmallDisk> {
        let disk = self.supervisor.small_disk.as_ref();
        disk.context("no node has a small volume")
    }

    /// SIGTERM to parts at the same time; they are not started again. Returns once all have ended.
    pub async fn stop_parts(&self, parts: &[String]) -> Result<()> {
        self.supervisor.stop(parts, PART_STOP_TIMEOUT).await
    }

    /// Parts die, and stay away.
    pub async fn kill_for_good(&self, parts: &[String]) -> Result<()> {
        self.supervisor.stop_restarting(parts);
        self.kill_all(parts);
        self.supervisor.wait_for_end(parts, PART_STOP_TIMEOUT).await
    }

    /// Starts parts that do not run, and waits for nothing.
    pub fn start_parts(&self, parts: &[String]) -> Result<()> {
        parts.iter().try_for_each(|part| self.supervisor.start(part))
    }

    /// The status of a node's agent; `None` while it is unreachable.
    pub async fn status(&self, slot: u32) -> Option<Value> {
        let url = format!("http://{}:4569/status", self.network().address(slot));
        self.client.get(url).send().await.ok()?.json().await.ok()
    }

    /// Whether a node is in step with all others.
    pub async fn is_in_step(&self, slot: u32) -> bool {
        self.status(slot).await.is_some_and(|status| {
            status["stage"] == "primary"
                && status["wsrep"]["local_state_comment"] == "Synced"
                && status["wsrep"]["ready"] == "ON"
                && status["wsrep"]["cluster_size"].as_str() == Some(NODES.to_string().as_str())
        })
    }

    /// Waits until all nodes are one cluster in step; says how long that took.
    pub async fn wait_in_step(&self, limit: Duration) -> Result<Duration> {
        let began = Instant::now();
        loop {
            let all = (1..=NODES).map(|slot| self.is_in_step(slot));
            if futures::future::join_all(all).await.into_iter().all(|it| it) {
                return Ok(began.elapsed());
            }
            if began.elapsed() > limit {
                bail!(
                    "the three nodes were not in step within {} s: {}",
                    limit.as_secs(),
                    self.say().await
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until every service and the router say that they are ready.
    pub async fn wait_until_ready(&self, limit: Duration) -> Result<()> {
        let began = Instant::now();
        for part in self.site() {
            let url = self.supervisor.layout.readiness(&part);
            while !self.answers(&url).await {
                if began.elapsed() > limit {
                    let lines = crate::system::process::last_lines(&self.log_file(&part), 12);
                    bail!(
                        "{part} was not ready within {} s. Its last lines:\n{lines}",
                        limit.as_secs()
                    );
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    async fn answers(&self, url: &str) -> bool {
        let answer = self.client.get(url).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// The sentences of the agents.
    async fn say(&self) -> String {
        let mut all = Vec::new();
        for slot in 1..=NODES {
            let status = self.status(slot).await.unwrap_or_default();
            let says = status["message"].as_str().unwrap_or("nothing");
            all.push(format!("\n  db-{slot} says: {says}"));
        }
        all.concat()
    }

    /// Brings every schema up to date. The accounts are made when the nodes are in step, so a first try may be early.
    pub async fn migrate(&self) -> Result<()> {
        futures::future::try_join_all(SERVICES.iter().map(|service| self.migrate_one(service))).await?;
        Ok(())
    }

    async fn migrate_one(&self, service: &str) -> Result<()> {
        let began = Instant::now();
        loop {
            let mut command = self.command(service, &["migrate"]);
            let url = self
                .supervisor
                .layout
                .secret_file(&format!("{service}-migrate-database-url"));
            command.env("DATABASE_URL_FILE", url);
            let output = tokio::process::Command::from(command).output().await?;
            if output.status.success() {
                return Ok(());
            }
            if began.elapsed() > Duration::from_secs(30) {
                bail!(
                    "the migrations of {service} failed: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// A subcommand of a service, with the environment that the running one has.
    pub fn command(&self, service: &str, arguments: &[&str]) -> Command {
        let supervisor = &self.supervisor;
        let mut command = Command::new("unshare");
        command
            .args(supervisor.layout.with_names(service))
            .args(arguments);
        supervisor.set_up_service(&format!("{service}-1"), service, &mut command);
        command
    }

    /// Stops everything in order.
    pub async fn stop(self) -> Result<()> {
        self.stop_parts(&self.site()).await?;
        self.stop_parts(&Self::databases()).await?;
        self.stop_parts(&["objects".to_owned()]).await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.supervisor.end();
    }
}

/// The slot of a database node, by the name of the part.
fn slot(part: &str) -> Option<u32> {
    part.strip_prefix("db-")?.parse().ok()
}

/// Reads a file that we wrote.
fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}
