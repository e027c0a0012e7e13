//! The whole system as in production, for tests of failures: three database nodes with their agents on separate
//! simulated machines, an object store, two replicas of each service, and the router.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use std::time::Duration;
//! use harness::cluster::{Cluster, Options};
//! use harness::topology::Topology as _;
//!
//! let cluster = Cluster::start(Options::default()).await?;
//! cluster.kill_part("db-2").await?;
//! cluster.wait_in_sync(Duration::from_secs(60)).await?;
//! println!("{}", cluster.base_url());
//! # Ok(())
//! # }
//! ```
//!
//! A program that ends is restarted after a second, as Docker does, unless it was stopped on purpose. The nodes live in
//! network namespaces, so that their links can be cut; router, services and object store have addresses of this machine
//! in the nodes' network. Services find the nodes by a name that resolves to all three. Each service has a virtual
//! address, as in Swarm, which balances connections over the two replicas.

mod balancer;
mod layout;
mod supervisor;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::task::AbortHandle;

use crate::disk::SmallDisk;
use crate::network::{Network, SlowLink};
use crate::system::SERVICES;
use crate::topology::{DatabaseAccess, Topology};
use crate::wait;

use layout::Layout;
use supervisor::Supervisor;

/// Timeout of waiting, long enough for a busy machine.
const CLUSTER_TIMEOUT: Duration = Duration::from_secs(120);
/// Timeout of stopping a program: longer than the drain time of services.
const PART_STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// Timeout of an agent's status.
const AGENT_STATUS_TIMEOUT: Duration = Duration::from_secs(1);

/// How to start a cluster. The default suits a test.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder for data, secrets and logs. `None`: a temporary folder.
    pub data_dir: Option<PathBuf>,
    /// Folder of the programs. `None`: the folder of the running one.
    pub binaries: Option<PathBuf>,
    /// Number of replicas of each service.
    pub replicas: u8,
    /// Whether services and router are started too. If not, call [`Cluster::start_site`].
    pub site: bool,
    /// The slot of a node with a small volume, and its size in MiB, for [`Cluster::fill_volume`].
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

/// A running cluster and site. Dropping it kills all programs; data in a given folder remains.
#[derive(Debug)]
pub struct Cluster {
    supervisor: Arc<Supervisor>,
    client: reqwest::Client,
    tasks: Vec<AbortHandle>,
}

/// Number of database nodes.
pub const NODES: u32 = 3;

impl Cluster {
    /// Starts all programs and waits until they are ready.
    pub async fn start(options: Options) -> Result<Self> {
        let network = Network::reachable(NODES)?;
        let layout = Layout::new(&options, &network)?;
        let small_disk = layout.make_volumes(options.small_volume)?;
        let supervisor = Arc::new(Supervisor::new(layout, network, small_disk, options));
        let mut tasks = vec![supervisor::watch(&supervisor)];
        for service in SERVICES.iter().copied() {
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
        cluster.wait_in_sync(CLUSTER_TIMEOUT).await?;
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

    /// The folder of data, secrets and logs.
    pub fn data_dir(&self) -> &Path {
        &self.supervisor.layout.dir
    }

    /// Returns the log file of a program.
    pub fn log_file(&self, part: &str) -> PathBuf {
        self.supervisor.layout.log_file(part)
    }

    /// The volume of a node.
    pub fn volume(&self, slot: u32) -> PathBuf {
        self.supervisor.layout.volume(slot)
    }

    /// How the administrator of a node connects to it.
    pub fn database(&self, slot: u32) -> DatabaseAccess {
        DatabaseAccess::Socket {
            path: self.volume(slot).join("mariadb.sock"),
            cluster_secret: self.supervisor.layout.cluster_secret.clone(),
        }
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

    /// Kills several programs at the same time. They are restarted after a second.
    pub fn kill_all(&self, parts: &[String]) {
        std::thread::scope(|scope| {
            for part in parts {
                scope.spawn(|| self.supervisor.signal(part, Signal::SIGKILL));
            }
        });
    }

    /// Delays the link of a node until the result is dropped.
    pub fn slow_down(&self, slot: u32, delay: Duration) -> Result<SlowLink> {
        self.network().slow_down(slot, delay)
    }

    /// Fills the small volume completely.
    pub fn fill_volume(&self) -> Result<()> {
        self.small_disk()?.fill(u64::MAX)
    }

    /// Empties the small volume again.
    pub fn clear_volume(&self) -> Result<()> {
        self.small_disk()?.clear()
    }

    fn small_disk(&self) -> Result<&SmallDisk> {
        let disk = self.supervisor.small_disk.as_ref();
        disk.context("no node has a small volume")
    }

    /// Stops programs by SIGTERM at the same time. They are not restarted. Returns when all have ended.
    pub async fn stop_parts(&self, parts: &[String]) -> Result<()> {
        self.supervisor.stop(parts, PART_STOP_TIMEOUT).await
    }

    /// Kills programs, which are not restarted.
    pub async fn kill_for_good(&self, parts: &[String]) -> Result<()> {
        self.supervisor.stop_restarting(parts);
        self.kill_all(parts);
        self.supervisor.wait_for_end(parts, PART_STOP_TIMEOUT).await
    }

    /// Starts stopped programs, without waiting until they are ready.
    pub fn start_parts(&self, parts: &[String]) -> Result<()> {
        parts.iter().try_for_each(|part| self.supervisor.start(part))
    }

    /// The status of a node's agent; `None` while it is unreachable.
    pub async fn status(&self, slot: u32) -> Option<Value> {
        let url = format!("http://{}:4569/status", self.network().address(slot));
        self.client.get(url).send().await.ok()?.json().await.ok()
    }

    /// Whether a node is in sync with all others.
    pub async fn is_in_sync(&self, slot: u32) -> bool {
        self.status(slot).await.is_some_and(|status| {
            status["stage"] == "primary"
                && status["wsrep"]["local_state_comment"] == "Synced"
                && status["wsrep"]["ready"] == "ON"
                && status["wsrep"]["cluster_size"].as_str() == Some(NODES.to_string().as_str())
        })
    }

    /// Waits until all nodes are in sync. Returns how long that took.
    pub async fn wait_in_sync(&self, limit: Duration) -> Result<Duration> {
        let began = Instant::now();
        wait::until("three nodes in sync", limit, || async {
            let all = (1..=NODES).map(|slot| self.is_in_sync(slot));
            let are_in_sync = futures::future::join_all(all).await.into_iter().all(|it| it);
            ensure!(are_in_sync, "{}", self.status_messages().await);
            Ok(began.elapsed())
        })
        .await
    }

    /// Waits until all services and the router are ready.
    pub async fn wait_until_ready(&self, limit: Duration) -> Result<()> {
        let began = Instant::now();
        for part in self.site() {
            let url = self.supervisor.layout.readiness(&part);
            let is_ready = || async { Ok(self.client.get(&url).send().await?.error_for_status()?) };
            wait::until(&part, limit.saturating_sub(began.elapsed()), is_ready)
                .await
                .map_err(|error| {
                    let lines = crate::system::process::last_lines(&self.log_file(&part), 12);
                    error.context(format!("{part} is not ready. Its last lines:\n{lines}"))
                })?;
        }
        Ok(())
    }

    /// Returns the status messages of the agents.
    async fn status_messages(&self) -> String {
        let mut all = Vec::new();
        for slot in 1..=NODES {
            let status = self.status(slot).await.unwrap_or_default();
            let says = status["message"].as_str().unwrap_or("nothing");
            all.push(format!("\n  db-{slot} says: {says}"));
        }
        all.concat()
    }

    /// Migrates all schemas. Retries, because the accounts are created after the nodes are in sync.
    pub async fn migrate(&self) -> Result<()> {
        futures::future::try_join_all(SERVICES.iter().map(|service| self.migrate_one(service))).await?;
        Ok(())
    }

    async fn migrate_one(&self, service: &str) -> Result<()> {
        let what = format!("the migrations of {service}");
        wait::until(&what, Duration::from_secs(30), || async {
            let mut command = self.command(service, &["migrate"]);
            let url = self
                .supervisor
                .layout
                .secret_file(&format!("{service}-migrate-database-url"));
            command.env("DATABASE_URL_FILE", url);
            let output = tokio::process::Command::from(command).output().await?;
            ensure!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            Ok(())
        })
        .await
    }

    /// Returns a command that runs a subcommand of a service in the environment of the service.
    fn command(&self, service: &str, arguments: &[&str]) -> Command {
        let supervisor = &self.supervisor;
        let mut command = Command::new("unshare");
        command
            .args(supervisor.layout.with_names(service))
            .args(arguments);
        supervisor.set_up_service(&format!("{service}-1"), service, &mut command);
        command
    }

    /// Stops all programs.
    pub async fn stop(self) -> Result<()> {
        self.stop_parts(&self.site()).await?;
        self.stop_parts(&Self::databases()).await?;
        self.stop_parts(&["objects".to_owned()]).await
    }
}

#[expect(
    clippy::unused_async_trait_impl,
    reason = "signals are sent at once; docker is not"
)]
impl Topology for Cluster {
    fn urls(&self) -> Vec<String> {
        vec![self.base_url()]
    }

    fn databases(&self) -> Vec<DatabaseAccess> {
        (1..=NODES).map(|slot| self.database(slot)).collect()
    }

    fn files(&self) -> Option<PathBuf> {
        Some(self.objects())
    }

    /// The part is restarted after a second.
    async fn kill_part(&self, part: &str) -> Result<()> {
        self.supervisor.signal(part, Signal::SIGKILL);
        Ok(())
    }

    async fn stop_part(&self, part: &str) -> Result<()> {
        self.stop_parts(&[part.to_owned()]).await
    }

    async fn start_part(&self, part: &str) -> Result<()> {
        self.start_parts(&[part.to_owned()])
    }

    async fn pause_part(&self, part: &str) -> Result<()> {
        self.supervisor.signal(part, Signal::SIGSTOP);
        Ok(())
    }

    async fn resume_part(&self, part: &str) -> Result<()> {
        self.supervisor.signal(part, Signal::SIGCONT);
        Ok(())
    }

    fn cut_part(&self, part: &str, cut: bool) -> Result<()> {
        let slot = slot(part).with_context(|| format!("{part} is not on a network of its own"))?;
        self.network().cut(slot, cut)
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

/// Reads a generated file.
fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}
