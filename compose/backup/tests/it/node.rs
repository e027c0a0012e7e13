//! One node on a machine of its own, the backup program beside it, and folders for all they keep.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use chassis::config::Secret;
use database_agent::{seal, sql};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sqlx::MySqlPool;
use tempfile::TempDir;
use xtask::network::Network;
use xtask::workspace;

const SECRET: &str = "the secret of this one node";

pub(crate) struct Node {
    network: Network,
    folder: TempDir,
    agent: Option<Child>,
    service: Option<Child>,
}

impl Node {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("proofsheet-backup-")
            .tempdir()
            .unwrap();
        let node = Self {
            network: Network::closed(1).unwrap(),
            folder,
            agent: None,
            service: None,
        };
        for (file, text) in [
            ("cluster", SECRET),
            ("sst", "copies-need-a-password"),
            ("vote_password", "vote-has-a-password"),
            ("vote_migrate_password", "vote-migrates-with-another"),
            ("key", "a key of more than thirty-two characters"),
            ("other-key", "another key of more than thirty-two characters"),
        ] {
            fs::create_dir_all(node.path("secrets")).unwrap();
            fs::write(node.path("secrets").join(file), format!("{text}\n")).unwrap();
        }
        node
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Starts the agent on a volume.
    pub(crate) fn start(&mut self, volume: &str) {
        let secrets = self.path("secrets");
        let volume = self.path(volume);
        fs::create_dir_all(&volume).unwrap();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("node.log"))
            .unwrap();
        let mut command = self.network.command(1);
        command
            .arg(workspace::binaries().join("database-agent"))
            .args(["run", "--slot", "1", "--nodes", "1", "--services", "vote"])
            .args(["--peers", &self.network.address(1)])
            .args([
                "--buffer-pool",
                "32M",
                "--gcache",
                "32M",
                "--max-connections",
                "50",
            ])
            .arg("--volume")
            .arg(volume)
            .arg("--secrets")
            .arg(&secrets)
            .arg("--database-cluster-secret-file")
            .arg(secrets.join("cluster"))
            .arg("--database-sst-password-file")
            .arg(secrets.join("sst"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.agent = Some(command.spawn().unwrap());
    }

    pub(crate) fn wait_in_step(&self, limit: Duration) {
        wait_until("the node is in step", limit, || {
            let mut command = self.network.command(1);
            let output = command
                .arg(workspace::binaries().join("database-agent"))
                .arg("status")
                .output()
                .unwrap();
            let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            status["stage"] == "primary" && status["wsrep"]["local_state_comment"] == "Synced"
        });
    }

    /// SIGTERM to the node.
    pub(crate) fn stop(&mut self) {
        let mut agent = self.agent.take().unwrap();
        kill(Pid::from_raw(agent.id().cast_signed()), Signal::SIGTERM).unwrap();
        assert!(agent.wait().unwrap().success());
    }

    /// The machine burns down, with the volume and the files of photos.
    pub(crate) fn lose_everything(&mut self) {
        self.network.kill_all(1);
        for child in [self.agent.take(), self.service.take()].into_iter().flatten() {
            let _ = { child }.wait();
        }
        fs::remove_dir_all(self.path("volume")).unwrap();
        fs::remove_dir_all(self.path("media")).unwrap();
    }

    pub(crate) fn pool(&self, volume: &str) -> MySqlPool {
        let password = seal::derived_password(&Secret::new(SECRET), "the agent's account");
        sql::pool(&self.path(volume).join("mariadb.sock"), &password)
    }

    pub(crate) async fn make_table(&self, pool: &MySqlPool) {
        let statement = "CREATE TABLE IF NOT EXISTS vote.kept (id BIGINT PRIMARY KEY)";
        for attempt in 0.. {
            match sqlx::raw_sql(statement).execute(pool).await {
                Ok(_) => return,
                // The schemas are made right after the node is in step.
                Err(error) => assert!(attempt < 100, "the table cannot be made: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub(crate) fn put_file(&self, name: &str, contents: &[u8]) {
        let path = self.path("media").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.path("media").join(name)).unwrap()
    }

    fn program(&self, task: &str) -> Command {
        let mut command = self.network.command(1);
        command
            .arg(env!("CARGO_BIN_EXE_backup"))
            .arg(task)
            .env("BACKUP_STORE", format!("file://{}", self.store().display()))
            .env("BACKUP_KEY_FILE", self.path("secrets/key"))
            .env("MEDIA_STORE", format!("file://{}", self.path("media").display()))
            .env("DATABASE_PEERS", self.network.address(1))
            .env("DATABASE_CLUSTER_SECRET_FILE", self.path("secrets/cluster"))
            .env("BACKUP_EVERY", "1")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run_service(&mut self) {
        let log = File::create(self.path("backup.log")).unwrap();
        self.service = Some(self.program("run").stderr(log).spawn().unwrap());
    }

    /// Runs the service, which has to give up by itself, and returns what it said.
    pub(crate) fn run_service_once(&self) -> String {
        outcome(&self.program("run").output().unwrap()).unwrap_err()
    }

    fn ask_service(&self, path: &str) -> (u16, String) {
        let mut command = self.network.command(1);
        let output = command
            .args(["curl", "--silent", "--write-out", "\n%{http_code}"])
            .arg(format!("http://127.0.0.1:5006{path}"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let (text, code) = said.rsplit_once('\n').unwrap_or_default();
        (code.parse().unwrap_or(0), text.to_owned())
    }

    pub(crate) fn service_health(&self) -> u16 {
        self.ask_service("/health").0
    }

    pub(crate) fn service_metrics(&self) -> String {
        self.ask_service("/metrics").1
    }

    /// A task that ends by itself: what it printed, or what it complained about.
    pub(crate) fn backup(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = self.program(arguments[0]);
        outcome(&command.args(&arguments[1..]).output().unwrap())
    }

    pub(crate) fn restore(&self, to: &str, into: &str) -> Result<String, String> {
        let mut command = self.program("restore");
        command.args(["--to", to, "--into"]).arg(self.path(into));
        outcome(&command.output().unwrap())
    }

    pub(crate) fn restore_with_another_key(&self) -> Result<String, String> {
        let mut command = self.program("restore");
        command
            .args(["--to", "latest", "--into"])
            .arg(self.path("never"))
            .env("BACKUP_KEY_FILE", self.path("secrets/other-key"));
        outcome(&command.output().unwrap())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for log in ["node.log", "backup.log"] {
                let said = fs::read_to_string(self.path(log)).unwrap_or_default();
                let lines: Vec<_> = said.lines().collect();
                let end = lines[lines.len().saturating_sub(40)..].join("\n");
                eprintln!("--- the end of {log}\n{end}");
            }
        }
        self.network.kill_all(1);
        for child in [self.agent.take(), self.service.take()].into_iter().flatten() {
            let _ = { child }.wait();
        }
    }
}

fn outcome(output: &Output) -> Result<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stdout) + &text(&output.stderr))
    }
}

pub(crate) fn wait_until(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(
            began.elapsed() < limit,
            "it did not come to pass within {limit:?} that {what}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}
