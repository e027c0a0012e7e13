//! A private MariaDB without network access, which replays logs on a restored copy.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use database_agent::binlog::GTID_DOMAIN;
use database_agent::mariadb::{find, provider, user};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::error::Error;

/// Maximum time for a start, which includes the recovery of a large copy.
const SERVER_START_TIMEOUT: Duration = Duration::from_mins(10);
const SERVER_STOP_TIMEOUT: Duration = Duration::from_mins(10);
/// The temporary account that replays the logs.
const REPLAY_USER: &str = "restore";

/// A running MariaDB.
pub struct ReplayServer {
    child: Child,
    /// Contains the socket and the log. Its path is short, because the path of a socket is limited to 107 bytes.
    folder: TempDir,
    password: String,
}

impl ReplayServer {
    /// Starts MariaDB with the data folder `data`, and creates the temporary account.
    pub async fn start(data: &Path) -> Result<Self, Error> {
        let folder = TempDir::with_prefix("restore-").map_err(Error::io("/tmp"))?;
        let password = format!("{:032x}", rand::random::<u128>());
        let account = folder.path().join("account.sql");
        let sql = format!(
            "CREATE OR REPLACE USER '{REPLAY_USER}'@'localhost' IDENTIFIED BY '{password}';\n\
             GRANT ALL PRIVILEGES ON *.* TO '{REPLAY_USER}'@'localhost' WITH GRANT OPTION;\n"
        );
        std::fs::write(&account, sql).map_err(Error::io(&account))?;
        let options = vec![
            "--skip-networking".to_owned(),
            format!("--init-file={}", account.display()),
            // Durability is not needed, because a crash restarts the restore.
            "--innodb-flush-log-at-trx-commit=0".to_owned(),
        ];
        Self::spawn(data, folder, password, options).await
    }

    /// Restarts `before` as the first node of a new cluster. The temporary account is still the only one that can
    /// connect.
    pub async fn bootstrap(data: &Path, before: Self) -> Result<Self, Error> {
        let (folder, password) = before.stop().await?;
        let port = free_port().map_err(Error::io("127.0.0.1"))?;
        let options = vec![
            "--bind-address=127.0.0.1".to_owned(),
            "--port=0".to_owned(),
            "--wsrep-on=ON".to_owned(),
            format!("--wsrep-provider={}", provider()?),
            format!(
                "--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:{port};gcache.size=8M;pc.recovery=false"
            ),
            "--wsrep-node-address=127.0.0.1".to_owned(),
            "--wsrep-cluster-name=restored".to_owned(),
            "--wsrep-cluster-address=gcomm://".to_owned(),
            "--wsrep-new-cluster".to_owned(),
            "--wsrep-gtid-mode=ON".to_owned(),
            format!("--wsrep-gtid-domain-id={GTID_DOMAIN}"),
            "--server-id=1".to_owned(),
            "--innodb-flush-log-at-trx-commit=1".to_owned(),
        ];
        let server = Self::spawn(data, folder, password, options).await?;
        let began = Instant::now();
        while server
            .query("SHOW STATUS LIKE 'wsrep_local_state_comment'")
            .await?
            .trim()
            != "Synced"
        {
            if began.elapsed() > SERVER_START_TIMEOUT {
                return Err(server.failed("mariadbd", "it did not become ready"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(server)
    }

    async fn spawn(
        data: &Path,
        folder: TempDir,
        password: String,
        options: Vec<String>,
    ) -> Result<Self, Error> {
        let log = folder.path().join("log");
        let file = std::fs::File::create(&log).map_err(Error::io(&log))?;
        let temporary = folder.path().join("tmp");
        std::fs::create_dir_all(&temporary).map_err(Error::io(&temporary))?;
        let child = Command::new(find("mariadbd", "mariadb-server-core")?)
            .arg("--no-defaults")
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--tmpdir={}", temporary.display()))
            .arg(format!("--socket={}", folder.path().join("s").display()))
            .arg(format!("--pid-file={}", folder.path().join("pid").display()))
            .arg(format!("--user={}", user()))
            .args([
                "--skip-log-bin",
                "--binlog-format=ROW",
                "--innodb-autoinc-lock-mode=2",
                "--character-set-server=utf8mb4",
                "--collation-server=utf8mb4_bin",
                "--max-allowed-packet=1G",
                "--innodb-buffer-pool-size=256M",
                "--skip-name-resolve",
            ])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::io("mariadbd"))?;
        let mut server = Self {
            child,
            folder,
            password,
        };
        let began = Instant::now();
        while server.query("SELECT 1").await.is_err() {
            if let Ok(Some(status)) = server.child.try_wait() {
                return Err(server.failed("mariadbd", &status.to_string()));
            }
            if began.elapsed() > SERVER_START_TIMEOUT {
                return Err(server.failed("mariadbd", "it did not become ready"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(server)
    }

    fn client(&self) -> Result<Command, Error> {
        let mut client = Command::new(find("mariadb", "mariadb-client-core")?);
        client
            .arg("--no-defaults")
            .arg(format!("--socket={}", self.folder.path().join("s").display()))
            .args(["--user", REPLAY_USER, "--max-allowed-packet=1G"])
            .env("MYSQL_PWD", &self.password)
            .kill_on_drop(true);
        Ok(client)
    }

    /// Runs a statement, and returns the last column of its result.
    async fn query(&self, sql: &str) -> Result<String, Error> {
        let mut client = self.client()?;
        client.args(["--skip-column-names", "--batch", "--execute", sql]);
        let output = client
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(Error::io("mariadb"))?;
        if !output.status.success() {
            return Err(program_failed("mariadb", output.status, &output.stderr));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.trim_end().rsplit('\t').next().unwrap_or_default().to_owned())
    }

    /// Replays binary logs.
    pub async fn replay(&self, files: &[PathBuf]) -> Result<(), Error> {
        if files.is_empty() {
            return Ok(());
        }
        let (pipe, writer) = std::io::pipe().map_err(Error::io("mariadb-binlog"))?;
        let reading = Command::new(find("mariadb-binlog", "mariadb-client")?)
            .arg("--no-defaults")
            // Skips local transactions of nodes.
            .arg(format!("--do-domain-ids={GTID_DOMAIN}"))
            .args(files)
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::io("mariadb-binlog"))?;
        let mut client = self.client()?;
        let client = client
            .arg("--binary-mode")
            .stdin(pipe)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::io("mariadb"))?;
        let (decoded, replayed) = tokio::join!(reading.wait_with_output(), client.wait_with_output());
        let replayed = replayed.map_err(Error::io("mariadb"))?;
        if !replayed.status.success() {
            return Err(program_failed("mariadb", replayed.status, &replayed.stderr));
        }
        let decoded = decoded.map_err(Error::io("mariadb-binlog"))?;
        if !decoded.status.success() {
            return Err(program_failed("mariadb-binlog", decoded.status, &decoded.stderr));
        }
        Ok(())
    }

    /// Removes the temporary account and stops MariaDB. Returns the id of the new cluster and its position.
    pub async fn finish(self, data: &Path) -> Result<(Uuid, i64), Error> {
        self.query(&format!("DROP USER '{REPLAY_USER}'@'localhost'"))
            .await?;
        self.stop().await?;
        let path = data.join("grastate.dat");
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
        let value = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name))
                .map(str::trim)
        };
        let cluster = value("uuid:").and_then(|text| text.parse().ok());
        let seqno = value("seqno:").and_then(|text| text.parse().ok());
        cluster
            .zip(seqno)
            .filter(|(_, seqno)| *seqno >= 0)
            .ok_or_else(|| Error::Damaged(path.display().to_string(), "it does not name the new cluster"))
    }

    async fn stop(mut self) -> Result<(TempDir, String), Error> {
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
            let _ = nix::sys::signal::kill(Pid::from_raw(id), Signal::SIGTERM);
        }
        match tokio::time::timeout(SERVER_STOP_TIMEOUT, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok((self.folder, self.password)),
            Ok(Ok(status)) => Err(self.failed("mariadbd", &status.to_string())),
            _ => Err(self.failed("mariadbd", "it did not stop")),
        }
    }

    fn failed(&self, program: &'static str, status: &str) -> Error {
        let output = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        Error::Program {
            program,
            status: status.to_owned(),
            output: last_lines(&output),
        }
    }
}

/// The error for a program that failed, with the last lines of its output.
pub fn program_failed(program: &'static str, status: ExitStatus, output: &[u8]) -> Error {
    Error::Program {
        program,
        status: status.to_string(),
        output: last_lines(output),
    }
}

fn last_lines(output: &[u8]) -> String {
    let output = String::from_utf8_lossy(output);
    let lines: Vec<_> = output.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?
        .local_addr()?
        .port())
}
