//! A Docker engine: that of the machine, or an isolated one in a network namespace.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use harness::topology::{DatabaseAccess, Topology};
use harness::wait;
use serde_json::Value;
use xtask::workspace::{root, target_dir};

use crate::{STACK, STEP_TIMEOUT};
use xtask::tools::{command, output, run};

/// How often a condition is checked by a docker command.
pub(super) const STACK_POLL_INTERVAL: Duration = Duration::from_millis(500);

pub(super) struct DockerEngine {
    /// The folder with the state and the images of an isolated engine (`compose/engine`).
    dir: PathBuf,
    number: u32,
    /// The address of an isolated engine.
    host: Option<String>,
    address: String,
    started_swarm: bool,
}

impl DockerEngine {
    /// Creates an engine. Number 1 is the machine's engine, if there is one.
    pub(super) fn new(number: u32) -> Self {
        let name = match number {
            1 => "engine".to_owned(),
            _ => format!("engine-{number}"),
        };
        Self {
            dir: target_dir().join("stack-test").join(name),
            number,
            host: None,
            address: "127.0.0.1".to_owned(),
            started_swarm: false,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}:4999", self.address)
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn host(&self) -> &str {
        self.host.as_deref().unwrap_or("the machine's own")
    }

    /// Returns a command with the environment for this engine and this stack.
    pub(super) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = command(program, arguments);
        if let Some(host) = &self.host {
            command.env("DOCKER_HOST", host);
        }
        command
            .env("STACK", STACK)
            .env("TAG", "stack-test")
            .env("BASE", "proofsheet/base")
            .env("BASE_DATABASE", "proofsheet/base-database")
            .env("GARAGE", "proofsheet/garage")
            .env("SECRETS", target_dir().join("stack-test/secrets"));
        command
    }

    /// Runs docker and returns its output; its standard error becomes the error.
    pub(super) async fn docker(&self, arguments: &[&str]) -> Result<String> {
        said(self.command("docker", arguments)).await
    }

    /// Starts the engine if none is running.
    pub(super) async fn start(&mut self) -> Result<String> {
        if self.number > 1 || self.docker(&["version"]).await.is_err() {
            self.start_own()?;
        }
        let version = self
            .docker(&["version", "--format", "{{.Server.Version}}"])
            .await?;
        let whose = if self.host.is_some() {
            "an isolated engine"
        } else {
            "the machine's"
        };
        Ok(format!("Docker {version}, {whose}"))
    }

    /// Starts an isolated engine.
    pub(super) fn start_own(&mut self) -> Result<()> {
        let number = self.number.to_string();
        let mut start = self.command("compose/engine", &["start"]);
        let host = output("an engine", start.arg(&self.dir).arg(&number))?;
        self.host = Some(String::from_utf8(host)?.trim().to_owned());
        let mut address = self.command("compose/engine", &["address", &number]);
        let address = output("its address", &mut address)?;
        String::from_utf8(address)?.trim().clone_into(&mut self.address);
        Ok(())
    }

    /// Starts a Swarm with this engine alone.
    pub(super) async fn swarm(&mut self) -> Result<String> {
        let state = ["info", "--format", "{{.Swarm.LocalNodeState}}"];
        if self.docker(&state).await? == "inactive" {
            // A longer heartbeat, because on a busy machine a late node would have its tasks restarted elsewhere.
            let late = ["--dispatcher-heartbeat", "30s"];
            let init = ["swarm", "init", "--advertise-addr", &self.address];
            self.docker(&[&init[..], &late[..]].concat()).await?;
            self.started_swarm = true;
        }
        let stacks = self.docker(&["stack", "ls"]).await?;
        ensure!(
            !stacks.contains(STACK),
            "a stack {STACK} runs already: docker stack rm {STACK}"
        );
        Ok("a Swarm of one".to_owned())
    }

    pub(super) async fn leave_swarm(&mut self) -> Result<()> {
        if std::mem::take(&mut self.started_swarm) {
            self.docker(&["swarm", "leave", "--force"]).await?;
        }
        Ok(())
    }

    /// Stops an isolated engine. `Stop::Kill` kills its tasks.
    pub(super) fn stop(&self, how: Stop) -> Result<()> {
        if self.host.is_none() {
            return Ok(());
        }
        let how = match how {
            Stop::InOrder => "stop",
            Stop::Kill => "kill",
        };
        let mut stop = self.command("compose/engine", &[how]);
        run(
            "stopping the engine",
            stop.arg(&self.dir).arg(self.number.to_string()),
        )
    }

    /// Deletes the data of a stopped engine.
    pub(super) fn wipe(&self) -> Result<()> {
        // Mounts remain until the last process has ended.
        for _ in 0..50 {
            match std::fs::remove_dir_all(&self.dir) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    std::thread::sleep(Duration::from_millis(200));
                }
                _ => return Ok(()),
            }
        }
        bail!("{} could not be emptied", self.dir.display())
    }

    /// Builds an image from the `lines` of a Dockerfile.
    pub(super) fn image(&self, tag: &str, lines: &str) -> Result<()> {
        let mut build = self.command("docker", &["build", "--quiet", "--tag", tag, "-"]);
        let mut child = build.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        child
            .stdin
            .take()
            .context("docker build reads")?
            .write_all(lines.as_bytes())?;
        ensure!(
            child.wait()?.success(),
            "{tag} was not built; see the output above"
        );
        Ok(())
    }

    /// Waits until `look` returns true. Errors are retried.
    pub(super) async fn until(&self, what: &str, look: impl AsyncFn() -> Result<bool>) -> Result<()> {
        self.until_within(STEP_TIMEOUT, what, look).await
    }

    pub(super) async fn until_within(
        &self,
        patience: Duration,
        what: &str,
        look: impl AsyncFn() -> Result<bool>,
    ) -> Result<()> {
        let looked = wait::until_every(STACK_POLL_INTERVAL, what, patience, || async {
            ensure!(look().await?, "not yet");
            Ok(())
        })
        .await;
        if let Err(error) = &looked {
            let columns = "{{.Name}} {{.CurrentState}} {{.Error}}";
            let tasks = self.docker(&["stack", "ps", STACK, "--format", columns]).await?;
            bail!("{error:#}. The tasks:\n{tasks}");
        }
        Ok(())
    }

    /// Lists the containers of a service on this engine.
    pub(super) async fn containers(&self, service: &str) -> Result<Vec<String>> {
        let filter = format!("label=com.docker.swarm.service.name={STACK}_{service}");
        let ids = self.docker(&["ps", "--quiet", "--filter", &filter]).await?;
        Ok(ids.lines().map(str::to_owned).collect())
    }

    /// Returns a container of a service on this engine.
    pub(super) async fn container(&self, service: &str) -> Result<String> {
        let container = self.containers(service).await?.pop();
        container.with_context(|| format!("there is no task of {service}"))
    }

    /// Runs a subcommand of a service in its container.
    pub(super) async fn run_in(&self, service: &str, arguments: &[&str]) -> Result<String> {
        let container = self.container(service).await?;
        self.docker(&[&["exec", &container, "/service"], arguments].concat())
            .await
    }

    /// Returns the status of the database agents on this engine.
    pub(super) async fn database_nodes(&self) -> Result<Vec<Value>> {
        let mut nodes = Vec::new();
        for container in self.containers("db").await? {
            let said = self.docker(&["exec", &container, "/service", "status"]).await?;
            nodes.push(serde_json::from_str(&said)?);
        }
        Ok(nodes)
    }

    /// Returns the number of connections of services to each database node on this engine.
    pub(super) async fn connections(&self) -> Result<Vec<u32>> {
        let users = xtask::SERVICES.join("', '");
        let sql = format!("SELECT COUNT(*) FROM information_schema.processlist WHERE user IN ('{users}')");
        let mut counts = Vec::new();
        for container in self.containers("db").await? {
            // The administrator's account has the name of the container's user.
            let client = [
                "exec",
                &container,
                "mariadb",
                "--no-defaults",
                "--user=proofsheet",
                "--socket=/var/lib/proofsheet/mariadb.sock",
                "--skip-column-names",
                "--execute",
                &sql,
            ];
            counts.push(self.docker(&client).await?.parse()?);
        }
        Ok(counts)
    }

    pub(super) async fn scale(&self, service: &str, count: usize) -> Result<()> {
        let wanted = format!("{STACK}_{service}={count}");
        self.docker(&["service", "scale", "--detach=true", &wanted])
            .await
            .map(drop)
    }

    /// Waits until `count` tasks of a service run, all on this engine.
    pub(super) async fn has(&self, service: &str, count: usize) -> Result<()> {
        self.until(&format!("{count} of {service} run"), async || {
            let filter = format!("name={STACK}_{service}");
            let list = ["service", "ls", "--filter", &filter, "--format", "{{.Replicas}}"];
            let replicas = self.docker(&list).await?;
            let running = self.containers(service).await?.len();
            Ok(replicas.starts_with(&format!("{count}/{count}")) && running == count)
        })
        .await
    }

    /// Updates a service, and waits until the update is complete. Fails with Swarm's message if it is rolled back.
    pub(super) async fn update(&self, service: &str, changes: &[&str]) -> Result<()> {
        let name = format!("{STACK}_{service}");
        let update = ["service", "update", "--detach=false"];
        let progress = self.docker(&[&update[..], changes, &[&name]].concat()).await?;
        // The command may end before the update does.
        let state = ["service", "inspect", "--format", "{{.UpdateStatus.State}}", &name];
        self.until("the update ends", async || {
            Ok(!matches!(
                self.docker(&state).await?.as_str(),
                "updating" | "rollback_started"
            ))
        })
        .await?;
        let state = self.docker(&state).await?;
        let reason = progress.lines().rfind(|line| line.contains("update"));
        ensure!(state == "completed", "{state}: {}", reason.unwrap_or(&progress));
        Ok(())
    }

    /// Returns the logs of a service.
    pub(super) async fn logs(&self, service: &str) -> Result<String> {
        let name = format!("{STACK}_{service}");
        let logs = self.command("docker", &["service", "logs", "--raw", &name]);
        let output = tokio::process::Command::from(logs).output().await?;
        // docker prints the programs' standard error on its standard error.
        Ok([output.stdout, output.stderr]
            .map(|lines| String::from_utf8_lossy(&lines).into_owned())
            .concat())
    }

    /// Returns the errors of a service's tasks, by the ids of the tasks.
    pub(super) async fn task_errors(&self, service: &str) -> Result<BTreeMap<String, String>> {
        let name = format!("{STACK}_{service}");
        let columns = ["--no-trunc", "--format", "{{.ID}} {{.CurrentState}}: {{.Error}}"];
        let tasks = self
            .docker(&[&["service", "ps", name.as_str()], &columns[..]].concat())
            .await?;
        let complaints = tasks.lines().filter(|line| !line.ends_with(": "));
        let by_task = complaints.filter_map(|line| line.split_once(' '));
        Ok(by_task
            .map(|(task, why)| (task.to_owned(), why.to_owned()))
            .collect())
    }
}

impl Topology for DockerEngine {
    fn urls(&self) -> Vec<String> {
        vec![self.url()]
    }

    /// The nodes are in containers.
    fn databases(&self) -> Vec<DatabaseAccess> {
        Vec::new()
    }

    fn files(&self) -> Option<PathBuf> {
        None
    }

    /// Swarm replaces the task.
    async fn kill_part(&self, part: &str) -> Result<()> {
        let victim = self.container(part).await?;
        self.docker(&["kill", "--signal", "KILL", &victim])
            .await
            .map(drop)
    }

    async fn stop_part(&self, part: &str) -> Result<()> {
        self.scale(part, 0).await?;
        self.has(part, 0).await
    }

    async fn start_part(&self, part: &str) -> Result<()> {
        self.scale(part, 1).await?;
        self.has(part, 1).await
    }

    async fn pause_part(&self, part: &str) -> Result<()> {
        let container = self.container(part).await?;
        self.docker(&["pause", &container]).await.map(drop)
    }

    async fn resume_part(&self, part: &str) -> Result<()> {
        let container = self.container(part).await?;
        self.docker(&["unpause", &container]).await.map(drop)
    }
}

/// How an engine is stopped.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stop {
    /// Containers are stopped in order.
    InOrder,
    /// All processes are killed, as by a power failure.
    Kill,
}

/// Runs a command and returns its output; its standard error becomes the error.
pub(super) async fn said(command: Command) -> Result<String> {
    let text = command
        .get_args()
        .map(|argument| argument.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ");
    let program = command.get_program().to_string_lossy().into_owned();
    // Boxed, because the futures of steps would be very large.
    let output = Box::pin(
        tokio::process::Command::from(command)
            .stdin(Stdio::null())
            .output(),
    )
    .await
    .with_context(|| format!("could not start {program}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {text}: {}", complaint.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether this kernel has IPVS, which Swarm's virtual addresses need.
pub(super) fn has_ipvs() -> bool {
    let modprobe = || {
        Command::new("modprobe")
            .args(["--quiet", "ip_vs"])
            .status()
            .is_ok_and(|status| status.success())
    };
    Path::new("/proc/net/ip_vs").exists() || modprobe()
}

/// Returns the path of a file in `compose`.
pub(super) fn compose(file: &str) -> PathBuf {
    root().join("compose").join(file)
}
