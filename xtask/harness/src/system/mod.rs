//! The whole system on one machine.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use harness::system::{Options, System};
//!
//! // For a test: free ports, a temporary folder, no output. let system = System::start(Options::default()).await?;
//! system.stop_service("comment").await?; println!("{}", system.base_url()); system.stop().await; # Ok(()) # }
//! ```

pub(crate) mod database;
mod layout;
mod ports;
pub(crate) mod process;
pub(crate) mod services;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::Signal;

pub use database::{Durability, TemporaryDatabase, write_private};
pub(crate) use layout::secret;
pub use ports::free_port;
pub use services::SERVICES;

use crate::topology::{DatabaseAccess, Topology};
use crate::wait;

use layout::Layout;
use ports::PortBlock;
use process::{Log, Process, Show};

/// Timeout until a service is ready.
const SERVICE_READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Timeout of stopping a service: longer than its drain time.
const SERVICE_STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// Options of a system. The defaults are for tests.
#[derive(Clone, Debug)]
pub struct Options {
    /// Port of the router. The other programs listen on the next ports. `None`: free ports.
    pub port: Option<u16>,
    /// Folder for data, secrets and logs. `None`: a temporary folder.
    pub data_dir: Option<PathBuf>,
    /// Folder of the programs. `None`: the folder of the running one.
    pub binaries: Option<PathBuf>,
    /// Whether the logs of all processes are also printed on standard error.
    pub show_logs: bool,
    pub durability: Durability,
    /// More environment for one service: (`"photo"`, `"TIME_ZONE"`, `"Europe/Berlin"`).
    pub environment: Vec<(String, String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: None,
            data_dir: None,
            binaries: None,
            show_logs: false,
            durability: Durability::Fast,
            environment: Vec::new(),
        }
    }
}

/// A running system. Dropping it stops all programs; data in a given folder remains.
#[derive(Debug)]
pub struct System {
    layout: Layout,
    options: Options,
    /// The lock of the data folder.
    _lock: File,
    block: PortBlock,
    processes: Mutex<BTreeMap<String, Arc<Process>>>,
    /// Declared last, so that all programs have stopped when the folder is deleted.
    temporary: Option<tempfile::TempDir>,
}

impl System {
    /// Starts all programs and waits until they are ready.
    ///
    /// An error is a message for the user. No program keeps running then.
    pub async fn start(options: Options) -> Result<Self> {
        let temporary = match options.data_dir {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("proofsheet-").tempdir()?),
        };
        let dir = match (&options.data_dir, &temporary) {
            (Some(dir), _) => std::path::absolute(dir)?,
            (None, Some(temporary)) => temporary.path().to_path_buf(),
            (None, None) => unreachable!("one of the two was just made"),
        };
        for folder in ["logs", "secrets", "media", "mariadb"] {
            fs::create_dir_all(dir.join(folder))
                .with_context(|| format!("Could not make the folder {}", dir.join(folder).display()))?;
        }
        let lock = layout::lock(&dir)?;
        let block = match options.port {
            Some(port) => PortBlock::at(port)?,
            None => PortBlock::free()?,
        };
        let binaries = options
            .binaries
            .clone()
            .unwrap_or_else(crate::workspace::binaries);
        let layout = Layout::new(&dir, block.base, binaries)?;

        let system = Self {
            layout,
            options,
            _lock: lock,
            block,
            processes: Mutex::default(),
            temporary,
        };
        system.start_database().await?;
        system.migrate().await?;
        futures::future::try_join_all(SERVICES.iter().map(|service| system.start_service(service))).await?;
        system.start_service("router").await?;
        Ok(system)
    }

    /// Returns the public URL of the router.
    pub fn base_url(&self) -> String {
        format!("http://localhost:{}", self.block.base)
    }

    /// Returns the URL of a service: `http://127.0.0.1:5002` for `"photo"`.
    pub fn url(&self, service: &str) -> String {
        format!("http://127.0.0.1:{}", self.layout.port(service))
    }

    /// Returns the internal URL of the router, for metrics and health.
    pub fn router_internal_url(&self) -> String {
        self.url("router-internal")
    }

    /// The folder of data, secrets and logs.
    pub fn data_dir(&self) -> &Path {
        &self.layout.dir
    }

    /// Returns the administrator's database URL, without a schema: append `/photo` for one.
    pub fn admin_database_url(&self) -> String {
        database::admin_url(self.layout.port("database"), &self.layout.root_password)
    }

    /// Returns the database URL of a service.
    pub fn database_url(&self, service: &str) -> String {
        self.layout.database_url(service)
    }

    /// Returns the log of a program so far.
    pub fn log(&self, name: &str) -> String {
        let text = fs::read(self.layout.log_file(name)).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Starts a stopped service (or `"router"`), and waits until it is ready.
    pub async fn start_service(&self, service: &str) -> Result<()> {
        if self
            .process(service)
            .is_ok_and(|process| process.ended().is_none())
        {
            return Ok(());
        }
        let program = self.layout.program(service)?;
        let log = self.log_to(service, Show::Everything);
        let set_up = |command: &mut std::process::Command| {
            command.arg("serve");
            self.set_up(service, command);
        };
        let process = Process::spawn(service, &program, set_up, &log)?;
        self.processes().insert(service.to_owned(), Arc::new(process));
        self.wait_until_ready(service).await
    }

    /// Returns the log of a program. `shown` lines are printed if logs are shown at all.
    fn log_to(&self, name: &str, shown: Show) -> Log {
        Log {
            file: self.layout.log_file(name),
            show: if self.options.show_logs {
                shown
            } else {
                Show::Nothing
            },
        }
    }

    /// Stops a service by SIGTERM: it finishes its requests.
    pub async fn stop_service(&self, service: &str) -> Result<()> {
        let process = self.process(service)?;
        self.processes().remove(service);
        process.stop(SERVICE_STOP_TIMEOUT).await;
        Ok(())
    }

    /// Kills a service by SIGKILL.
    pub async fn kill_service(&self, service: &str) -> Result<()> {
        let process = self.process(service)?;
        self.processes().remove(service);
        process.signal(Signal::SIGKILL);
        process.ends_within(SERVICE_STOP_TIMEOUT).await;
        Ok(())
    }

    /// Runs a subcommand in the environment of a service: `run("photo", &["reconcile"])`.
    pub async fn run(&self, service: &str, arguments: &[&str]) -> Result<std::process::Output> {
        let program = self.layout.program(service)?;
        let mut command = std::process::Command::new(program);
        command.args(arguments);
        self.set_up(service, &mut command);
        tokio::process::Command::from(command)
            .output()
            .await
            .with_context(|| format!("could not run {service} {}", arguments.join(" ")))
    }

    /// Stops all programs: the router first, so that no request reaches a stopped service, and the database last.
    pub async fn stop(self) {
        self.stop_all().await;
    }

    /// Returns the programs that ended unexpectedly, with their exit status.
    pub fn exited(&self) -> Vec<(String, std::process::ExitStatus)> {
        self.processes()
            .iter()
            .filter_map(|(name, process)| Some((name.clone(), process.ended()?)))
            .collect()
    }

    /// Restarts an ended program.
    pub async fn restart(&self, name: &str) -> Result<()> {
        self.processes().remove(name);
        if name == "database" {
            self.start_database().await
        } else {
            self.start_service(name).await
        }
    }

    async fn stop_all(&self) {
        let processes = std::mem::take(&mut *self.processes());
        let (database, rest): (Vec<_>, Vec<_>) = processes.into_values().partition(|p| p.name == "database");
        let (router, services): (Vec<_>, Vec<_>) = rest.into_iter().partition(|p| p.name == "router");
        for group in [router, services] {
            futures::future::join_all(group.iter().map(|process| process.stop(SERVICE_STOP_TIMEOUT))).await;
        }
        for process in &database {
            database::stop(process).await;
        }
    }

    async fn start_database(&self) -> Result<()> {
        let accounts: Vec<_> = self
            .layout
            .passwords
            .iter()
            .map(|(service, (password, migrate_password))| database::GrantValues {
                service,
                password,
                migrate_password,
            })
            .collect();
        let process = database::start(&database::Settings {
            dir: &self.layout.dir.join("mariadb"),
            log: &self.log_to("database", Show::Warnings),
            port: self.layout.port("database"),
            root_password: &self.layout.root_password,
            durability: self.options.durability,
            accounts: &accounts,
        })
        .await
        .context("MariaDB did not start.")?;
        self.processes().insert("database".to_owned(), Arc::new(process));
        Ok(())
    }

    /// Migrates all schemas concurrently.
    pub async fn migrate(&self) -> Result<()> {
        let migrations = SERVICES.iter().map(|service| async move {
            let mut command = std::process::Command::new(self.layout.program(service)?);
            command.arg("migrate");
            self.layout.set_up(service, &mut command);
            command.env(
                "DATABASE_URL_FILE",
                self.layout
                    .secret_file(&format!("{service}-migrate-database-url")),
            );
            let output = tokio::process::Command::from(command).output().await?;
            if !output.status.success() {
                bail!(
                    "The migrations of {service} failed ({}):\n{}{}",
                    output.status,
                    String::from_utf8_lossy(&output.stdout),
                    String::from_utf8_lossy(&output.stderr)
                );
            }
            Ok(())
        });
        futures::future::try_join_all(migrations).await?;
        Ok(())
    }

    fn set_up(&self, service: &str, command: &mut std::process::Command) {
        self.layout.set_up(service, command);
        for (of, name, value) in &self.options.environment {
            if of == service {
                command.env(name, value);
            }
        }
    }

    async fn wait_until_ready(&self, service: &str) -> Result<()> {
        let process = self.process(service)?;
        // The router has its health checks on the internal port.
        let port = self.layout.port(if service == "router" {
            "router-internal"
        } else {
            service
        });
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(2))
            .build()?;
        let url = format!("http://127.0.0.1:{port}/readiness");
        let is_ready = || async { Ok(client.get(&url).send().await?.error_for_status()?) };
        let ready = wait::until("readiness", SERVICE_READY_TIMEOUT, is_ready);
        process.unless_it_ends(ready).await.map(drop)
    }

    fn processes(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Process>>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn process(&self, name: &str) -> Result<Arc<Process>> {
        let process = self.processes().get(name).cloned();
        process.ok_or_else(|| anyhow!("{name} is not running"))
    }
}

#[expect(
    clippy::unused_async_trait_impl,
    reason = "signals are sent at once; docker is not"
)]
impl Topology for System {
    fn urls(&self) -> Vec<String> {
        vec![self.base_url()]
    }

    fn databases(&self) -> Vec<DatabaseAccess> {
        vec![DatabaseAccess::Url(self.admin_database_url())]
    }

    fn files(&self) -> Option<PathBuf> {
        Some(self.layout.dir.join("media"))
    }

    async fn kill_part(&self, part: &str) -> Result<()> {
        self.kill_service(part).await
    }

    async fn stop_part(&self, part: &str) -> Result<()> {
        self.stop_service(part).await
    }

    async fn start_part(&self, part: &str) -> Result<()> {
        self.restart(part).await
    }

    async fn pause_part(&self, part: &str) -> Result<()> {
        self.process(part)?.signal(Signal::SIGSTOP);
        Ok(())
    }

    async fn resume_part(&self, part: &str) -> Result<()> {
        self.process(part)?.signal(Signal::SIGCONT);
        Ok(())
    }
}

impl Drop for System {
    /// Does nothing after [`System::stop`]. After a failure, temporary systems are killed, and others are stopped in
    /// order.
    fn drop(&mut self) {
        let Ok(processes) = self.processes.get_mut() else {
            return;
        };
        let mut processes: Vec<_> = std::mem::take(processes).into_values().collect();
        processes.sort_by_key(|process| match process.name.as_str() {
            "router" => 0,
            "database" => 2,
            _ => 1,
        });
        let signal = if self.temporary.is_some() {
            Signal::SIGKILL
        } else {
            Signal::SIGTERM
        };
        for process in processes {
            process.stop_blocking(signal, SERVICE_STOP_TIMEOUT);
        }
    }
}
