//! Database nodes in separate network namespaces, the backup program beside the first node, and the folders of both.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use chassis::config::Secret;
use database_agent::{binlog, signature, sql};
use harness::network::Network;
use harness::workspace;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sqlx::{MySqlPool, Row};
use tempfile::TempDir;

const SECRET: &str = "the secret of all nodes here";
/// Timeout of waiting in tests, long enough for a busy machine.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(300);

pub(crate) struct Site {
    network: Network,
    nodes: u32,
    folder: TempDir,
    agents: Vec<Option<Child>>,
    service: Option<Child>,
    /// An S3 server for the backups and the files of photos. Without one, both are in folders.
    objects: Option<Child>,
}

impl Site {
    /// Creates network namespaces for `nodes` database nodes and an S3 server, and starts nothing in them.
    pub(crate) fn new(nodes: u32) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("proofsheet-backup-")
            .tempdir()
            .unwrap();
        let site = Self {
            network: Network::closed(nodes + 1).unwrap(),
            nodes,
            folder,
            agents: (0..nodes).map(|_| None).collect(),
            service: None,
            objects: None,
        };
        for (file, text) in [
            ("cluster", SECRET),
            ("sst", "copies-need-a-password"),
            ("vote_password", "vote-has-a-password"),
            ("vote_migrate_password", "vote-migrates-with-another"),
            ("key", "a key of more than thirty-two characters"),
            ("other-key", "another key of more than thirty-two characters"),
        ] {
            fs::create_dir_all(site.path("secrets")).unwrap();
            fs::write(site.path("secrets").join(file), format!("{text}\n")).unwrap();
        }
        site
    }

    fn peers(&self) -> String {
        let nodes: Vec<_> = (1..=self.nodes).map(|slot| self.network.address(slot)).collect();
        nodes.join(",")
    }

    /// Starts an S3 server, and stores backups and photos in it.
    pub(crate) fn use_buckets(&mut self) {
        for bucket in ["backups", "media"] {
            fs::create_dir_all(self.path("objects").join(bucket)).unwrap();
        }
        let mut server = self
            .network
            .command(self.nodes + 1)
            .arg(workspace::binaries().join("s3-server"))
            .args(["--listen", &self.objects_address(), "--access-key-id", "us"])
            .args(["--secret-access-key", "us-and-nobody-else"])
            .arg(self.path("objects"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(server.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        assert!(line.starts_with("listening on"), "the S3 server printed {line:?}");
        self.objects = Some(server);
    }

    fn objects_address(&self) -> String {
        format!("{}:9000", self.network.address(self.nodes + 1))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder of the backups.
    pub(crate) fn store(&self) -> PathBuf {
        if self.objects.is_some() {
            self.path("objects/backups/site")
        } else {
            self.path("store")
        }
    }

    fn media(&self) -> PathBuf {
        if self.objects.is_some() {
            self.path("objects/media/photos")
        } else {
            self.path("media")
        }
    }

    fn log(&self, slot: u32) -> PathBuf {
        self.path(&format!("node-{slot}.log"))
    }

    /// The log of a node's agent.
    pub(crate) fn node_log(&self, slot: u32) -> String {
        fs::read_to_string(self.log(slot)).unwrap_or_default()
    }

    /// Starts the agent of a node on a volume.
    pub(crate) fn start(&mut self, slot: u32, volume: &str) {
        let secrets = self.path("secrets");
        let volume = self.path(volume);
        fs::create_dir_all(&volume).unwrap();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(slot))
            .unwrap();
        let mut command = self.network.command(slot);
        command
            .arg(workspace::binaries().join("database-agent"))
            .args(["run", "--slot", &slot.to_string(), "--services", "vote"])
            .args(["--nodes", &self.nodes.to_string()])
            .args(["--peers", &self.peers()])
            .args(["--buffer-pool", "32M", "--gcache", "32M"])
            .args(["--max-connections", "50"])
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
        self.agents[slot as usize - 1] = Some(command.spawn().unwrap());
    }

    /// Starts the first node alone, and waits until it is in sync.
    pub(crate) fn start_alone(&mut self, volume: &str) {
        self.start(1, volume);
        self.wait_in_sync(&[1]);
    }

    /// Waits until the cluster consists of these nodes and all of them are in sync.
    pub(crate) fn wait_in_sync(&self, slots: &[u32]) {
        let size = slots.len().to_string();
        wait_until(&format!("nodes {slots:?} are in sync"), || {
            slots.iter().all(|slot| {
                let mut command = self.network.command(*slot);
                command.arg(workspace::binaries().join("database-agent"));
                let output = command.arg("status").output().unwrap();
                let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
                status["stage"] == "primary"
                    && status["wsrep"]["local_state_comment"] == "Synced"
                    && status["wsrep"]["cluster_size"] == size.as_str()
            })
        });
    }

    /// Stops a node with SIGTERM.
    pub(crate) fn stop(&mut self, slot: u32) {
        let mut agent = self.agents[slot as usize - 1].take().unwrap();
        kill(Pid::from_raw(agent.id().cast_signed()), Signal::SIGTERM).unwrap();
        assert!(agent.wait().unwrap().success());
    }

    /// Kills all processes of a node, as a power failure would.
    pub(crate) fn kill(&mut self, slot: u32) {
        self.network.kill_all(slot);
        if let Some(mut agent) = self.agents[slot as usize - 1].take() {
            let _ = agent.wait();
        }
    }

    /// Kills the copying program of a node, but not its agent.
    pub(crate) fn kill_copy_program(&self, slot: u32) {
        let agent = self.agents[slot as usize - 1].as_ref().unwrap();
        let copying = child_of(agent.id(), "mariadb-backup").expect("the node is being copied");
        kill(copying, Signal::SIGKILL).unwrap();
    }

    /// Kills the first node and the backup service, and deletes the node's volume and the files of photos.
    pub(crate) fn lose_everything(&mut self) {
        self.kill(1);
        if let Some(mut service) = self.service.take() {
            let _ = service.wait();
        }
        fs::remove_dir_all(self.path("volume")).unwrap();
        fs::remove_dir_all(self.media()).unwrap();
    }

    pub(crate) fn pool(&self, volume: &str) -> MySqlPool {
        let password = signature::derived_password(&Secret::new(SECRET), "the agent's account");
        sql::pool(&self.path(volume).join("mariadb.sock"), &password)
    }

    /// Whether a node is desynced: the others do not wait for it while it is copied.
    pub(crate) async fn is_desynced(&self, volume: &str) -> bool {
        let pool = self.pool(volume);
        let row = sqlx::query("SELECT CAST(@@GLOBAL.wsrep_desync AS CHAR)").fetch_one(&pool);
        row.await.unwrap().get::<String, _>(0) == "ON"
    }

    /// The sequence number of the cluster's newest transaction.
    pub(crate) async fn last_transaction(&self, pool: &MySqlPool) -> u64 {
        let row = sqlx::query("SELECT @@GLOBAL.gtid_binlog_pos").fetch_one(pool);
        let positions: String = row.await.unwrap().try_get_unchecked(0).unwrap();
        binlog::reached(&positions)
    }

    pub(crate) async fn make_table(&self, pool: &MySqlPool) {
        let statement = "CREATE TABLE IF NOT EXISTS vote.kept (id BIGINT PRIMARY KEY, weight LONGBLOB)";
        for attempt in 0.. {
            match sqlx::raw_sql(statement).execute(pool).await {
                Ok(_) => return,
                // The schemas are made right after the node is in sync.
                Err(error) => assert!(attempt < 100, "the table cannot be made: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub(crate) fn put_file(&self, name: &str, contents: &[u8]) {
        let path = self.media().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.media().join(name)).unwrap()
    }

    /// A command of the backup program, configured for this site.
    pub(crate) fn program(&self, task: &str) -> Command {
        let mut command = self.network.command(1);
        command
            .arg(env!("CARGO_BIN_EXE_backup"))
            .arg(task)
            .env("BACKUP_KEY_FILE", self.path("secrets/key"))
            .env("DATABASE_PEERS", self.peers())
            .env("DATABASE_CLUSTER_SECRET_FILE", self.path("secrets/cluster"))
            .env("BACKUP_EVERY", "1")
            .stdin(Stdio::null());
        if self.objects.is_some() {
            command
                .env("BACKUP_STORE", "s3://backups/site")
                .env("MEDIA_STORE", "s3://media/photos");
            for prefix in ["", "BACKUP_"] {
                command
                    .env(
                        format!("{prefix}S3_ENDPOINT"),
                        format!("http://{}", self.objects_address()),
                    )
                    .env(format!("{prefix}S3_ACCESS_KEY_ID"), "us")
                    .env(format!("{prefix}S3_SECRET_ACCESS_KEY"), "us-and-nobody-else");
            }
        } else {
            command
                .env("BACKUP_STORE", format!("file://{}", self.store().display()))
                .env("MEDIA_STORE", format!("file://{}", self.media().display()));
        }
        command
    }

    pub(crate) fn run_service(&mut self) {
        let log = File::create(self.path("backup.log")).unwrap();
        self.service = Some(self.program("run").stderr(log).spawn().unwrap());
    }

    /// Runs the service, which must fail, and returns its output.
    pub(crate) fn run_service_once(&self) -> String {
        outcome(&self.program("run").output().unwrap()).unwrap_err()
    }

    fn get_from_service(&self, path: &str) -> (u16, String) {
        const GET_REQUEST: &str = r#"exec 3<>/dev/tcp/127.0.0.1/5006
            printf 'GET %s HTTP/1.0\r\nHost: backup\r\n\r\n' "$0" >&3
            cat <&3"#;
        let mut command = self.network.command(1);
        let output = command.args(["bash", "-c", GET_REQUEST, path]).output().unwrap();
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        let (head, text) = output.split_once("\r\n\r\n").unwrap_or_default();
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        (code.unwrap_or(0), text.to_owned())
    }

    pub(crate) fn service_health(&self) -> u16 {
        self.get_from_service("/health").0
    }

    pub(crate) fn service_metrics(&self) -> String {
        self.get_from_service("/metrics").1
    }

    /// Runs a command of the backup program. Returns its output, or its error output if it fails.
    pub(crate) fn backup(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = self.program(arguments[0]);
        outcome(&command.args(&arguments[1..]).output().unwrap())
    }

    /// Starts a full backup, and pauses it when part of the copy is in the store.
    pub(crate) fn begin_backup(&self) -> PausedBackup {
        let mut command = self.program("now");
        let process = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let before = bytes_in(&self.store());
        wait_until("some of the copy is in the store", || {
            bytes_in(&self.store()) > before + (4 << 20)
        });
        let halfway = PausedBackup(process);
        halfway.signal(Signal::SIGSTOP);
        halfway
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

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = (1..=self.nodes).map(|slot| self.log(slot));
            for log in logs.chain([self.path("backup.log")]) {
                let output = fs::read_to_string(&log).unwrap_or_default();
                let lines: Vec<_> = output.lines().collect();
                let end = lines[lines.len().saturating_sub(40)..].join("\n");
                eprintln!("--- the end of {}\n{end}", log.display());
            }
        }
        for slot in 1..=self.nodes {
            self.kill(slot);
        }
        self.network.kill_all(self.nodes + 1);
        for child in [self.service.take(), self.objects.take()].into_iter().flatten() {
            let _ = { child }.wait();
        }
    }
}

/// A backup that is paused by SIGSTOP.
pub(crate) struct PausedBackup(Child);

impl PausedBackup {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).unwrap();
    }

    /// Resumes the backup, and waits until it ends. Returns its output.
    pub(crate) fn resume(self) -> Result<String, String> {
        self.signal(Signal::SIGCONT);
        let output = self.0.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        outcome(&output).map(|printed| errors + &printed)
    }

    /// Kills the paused backup.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
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

/// How much is in a folder, what is half-written too.
fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
            Ok(metadata) => metadata.len(),
            // Files come and go.
            Err(_) => 0,
        })
        .sum()
}

/// The process that another one has started by the name of `program`.
fn child_of(parent: u32, program: &str) -> Option<Pid> {
    let threads = fs::read_dir(format!("/proc/{parent}/task")).unwrap().flatten();
    let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let children = children.collect::<String>();
    let child = children.split_whitespace().find(|child| {
        let name = fs::read_to_string(format!("/proc/{child}/comm"));
        name.is_ok_and(|name| name.trim_end() == program)
    });
    child.and_then(|child| child.parse().ok()).map(Pid::from_raw)
}

pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(
            began.elapsed() < TEST_TIMEOUT,
            "timeout after {TEST_TIMEOUT:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
