//! A private MariaDB with separate folder, port and socket, independent of MariaDB's system service.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::Signal;
use rand::RngExt;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::ports::PortBlock;
use super::process::{Log, Process, Show};
use crate::wait;

/// Timeout of starting, which includes recovery after a crash.
const DATABASE_START_TIMEOUT: Duration = Duration::from_secs(60);
const DATABASE_STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// The values for the grants template of one service.
pub(super) struct GrantValues<'a> {
    pub(super) service: &'a str,
    pub(super) password: &'a str,
    pub(super) migrate_password: &'a str,
}

/// The durability of commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Commits are on disk before they are acknowledged.
    Safe,
    /// Commits are written later, for tests.
    Fast,
}

pub(super) struct Settings<'a> {
    pub(super) dir: &'a Path,
    pub(super) log: &'a Log,
    pub(super) port: u16,
    pub(super) root_password: &'a str,
    pub(super) durability: Durability,
    pub(super) accounts: &'a [GrantValues<'a>],
}

/// Starts MariaDB in `settings.dir` (made on first use) and waits until it accepts connections.
pub(super) async fn start(settings: &Settings<'_>) -> Result<Process> {
    let data = settings.dir.join("data");
    fs::create_dir_all(temporary(settings.dir))?;
    if !data.join("mysql").exists() {
        install(&data, &temporary(settings.dir))?;
    }
    let process = spawn(settings, &data)?;
    wait_until_it_answers(&process, settings.port).await?;
    Ok(process)
}

/// Stops MariaDB cleanly, so that no recovery is needed.
pub(super) async fn stop(process: &Process) {
    process.stop(DATABASE_STOP_TIMEOUT).await;
}

/// Returns the URL of the administrator.
pub(super) fn admin_url(port: u16, password: &str) -> String {
    format!("mysql://root:{password}@127.0.0.1:{port}")
}

/// Returns the folder of temporary tables. MariaDB empties it when it starts, so instances must not share one.
fn temporary(dir: &Path) -> PathBuf {
    dir.join("tmp")
}

/// Creates the system tables in a temporary folder, so that an interruption leaves no incomplete database.
fn install(data: &Path, temporary: &Path) -> Result<()> {
    let program = find("mariadb-install-db")?;
    let new = data.with_extension("new");
    if new.exists() {
        fs::remove_dir_all(&new)?;
    }
    fs::create_dir_all(&new)?;
    let output = Command::new(program)
        .args([
            "--no-defaults",
            "--skip-test-db",
            "--auth-root-authentication-method=socket",
        ])
        .arg(format!("--datadir={}", new.display()))
        .arg(format!("--tmpdir={}", temporary.display()))
        .arg(format!("--user={}", user()))
        .arg(format!("--auth-root-socket-user={}", user()))
        .output()
        .context("could not run mariadb-install-db")?;
    if !output.status.success() {
        bail!(
            "MariaDB could not make its first tables in {} ({}):\n{}{}",
            new.display(),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
    }
    fs::rename(&new, data)?;
    Ok(())
}

fn spawn(settings: &Settings<'_>, data: &Path) -> Result<Process> {
    let program = find("mariadbd")?;
    let init = settings.dir.join("init.sql");
    write_private(&init, &init_sql(settings))?;
    let socket = socket_path(settings.dir);
    let (flush, doublewrite, pool) = match settings.durability {
        Durability::Safe => (1, "ON", "256M"),
        Durability::Fast => (0, "OFF", "128M"),
    };
    let set_up = |command: &mut Command| {
        command
            // Must be first. Ignores the configuration files of the system.
            .arg("--no-defaults")
            .arg(format!("--user={}", user()))
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--tmpdir={}", temporary(settings.dir).display()))
            .arg(format!("--socket={}", socket.display()))
            .arg(format!(
                "--pid-file={}",
                settings.dir.join("mariadb.pid").display()
            ))
            // Creates users, grants and schemas before clients can connect.
            .arg(format!("--init-file={}", init.display()))
            .arg(format!("--port={}", settings.port))
            .arg("--bind-address=127.0.0.1")
            .arg("--skip-name-resolve")
            .arg("--skip-log-bin")
            // No warnings about connections that end early, as those of the readiness check do.
            .arg("--log-warnings=1")
            .arg("--character-set-server=utf8mb4")
            .arg("--collation-server=utf8mb4_bin")
            .arg(format!("--innodb-flush-log-at-trx-commit={flush}"))
            .arg(format!("--innodb-doublewrite={doublewrite}"))
            .arg(format!("--innodb-buffer-pool-size={pool}"))
            // Rows that a transaction reads and then changes must not change in between; only some versions support
            // this.
            .arg("--loose-innodb-snapshot-isolation=ON")
            .arg("--max-connections=600");
    };
    Process::spawn("database", &program, set_up, settings.log)
}

/// Returns the init file: one statement per line, as MariaDB requires.
fn init_sql(settings: &Settings<'_>) -> String {
    const GRANTS: &str = include_str!("../../../../compose/grants.sql");
    let password = settings.root_password;
    let mut sql = format!(
        "CREATE USER IF NOT EXISTS 'root'@'127.0.0.1' IDENTIFIED BY '{password}';\n\
         ALTER USER 'root'@'127.0.0.1' IDENTIFIED BY '{password}';\n\
         GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;\n"
    );
    for account in settings.accounts {
        let filled = GRANTS
            .replace("{{service}}", account.service)
            .replace("{{password}}", account.password)
            .replace("{{migrate_password}}", account.migrate_password);
        for line in filled
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with("--"))
        {
            sql.push_str(line);
            sql.push(if line.ends_with(';') { '\n' } else { ' ' });
        }
    }
    sql
}

/// MariaDB sends a greeting when it is ready. A connection alone does not mean that.
async fn wait_until_it_answers(process: &Process, port: u16) -> Result<()> {
    let greeting = wait::until("its greeting", DATABASE_START_TIMEOUT, || async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        Ok(tokio::time::timeout(Duration::from_secs(2), stream.read_u8()).await??)
    });
    let ready = process.unless_it_ends(greeting).await;
    if ready.is_err() {
        process.stop_blocking(Signal::SIGTERM, DATABASE_STOP_TIMEOUT);
    }
    ready.map(drop)
}

/// Returns a path for the socket of at most 107 bytes, the kernel's limit.
fn socket_path(dir: &Path) -> PathBuf {
    let wanted = dir.join("mariadb.sock");
    if wanted.as_os_str().len() <= 100 {
        return wanted;
    }
    PathBuf::from(format!("/tmp/proofsheet-{}.sock", random_secret()))
}

/// Returns the current user, as which MariaDB runs.
fn user() -> String {
    nix::unistd::User::from_uid(nix::unistd::Uid::effective())
        .ok()
        .flatten()
        .map_or_else(|| "root".to_owned(), |user| user.name)
}

/// Finds a program of MariaDB. Debian installs some outside of the users' PATH.
fn find(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into(), "/usr/local/bin".into()])
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
        .ok_or_else(|| {
            anyhow!("{program} is missing. It is part of MariaDB: run ./dev, which installs Debian's package mariadb-server-core.")
        })
}

/// Returns 32 random hexadecimal digits.
pub(super) fn random_secret() -> String {
    format!("{:032x}", rand::rng().random::<u128>())
}

/// Writes a file that only its owner can read.
pub fn write_private(file: &Path, text: &str) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
        .open(file)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("could not write {}", file.display()))
}

/// A MariaDB for tests that need only a database. Its data is deleted when it is dropped.
pub struct TemporaryDatabase {
    process: Process,
    url: String,
    password: String,
    block: PortBlock,
    /// Dropped last, after MariaDB has stopped.
    _dir: tempfile::TempDir,
}

impl TemporaryDatabase {
    pub async fn start() -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("proofsheet-database-")
            .tempdir()?;
        let block = PortBlock::free()?;
        let password = random_secret();
        let process = start(&Settings {
            dir: dir.path(),
            log: &Log {
                file: dir.path().join("database.log"),
                show: Show::Nothing,
            },
            port: block.base,
            root_password: &password,
            durability: Durability::Fast,
            accounts: &[],
        })
        .await?;
        let url = admin_url(block.base, &password);
        Ok(Self {
            process,
            url,
            password,
            block,
            _dir: dir,
        })
    }

    /// Returns the administrator's URL, without a schema.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs a script of SQL statements.
    pub fn execute(&self, sql: &str) -> Result<()> {
        let mut client = Command::new("mariadb")
            .args([
                "--no-defaults",
                "--host=127.0.0.1",
                "--user=root",
                "--default-character-set=utf8mb4",
            ])
            .arg(format!("--port={}", self.block.base))
            .env("MYSQL_PWD", &self.password)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("could not start MariaDB's client (Debian's package mariadb-client-core)")?;
        // The client closes its input if it fails. Its output is the better error message, so ignore this one.
        let written = client
            .stdin
            .take()
            .expect("the standard input is a pipe")
            .write_all(sql.as_bytes());
        let output = client.wait_with_output()?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(written?)
    }
}

impl Drop for TemporaryDatabase {
    fn drop(&mut self) {
        self.process
            .stop_blocking(Signal::SIGKILL, Duration::from_secs(5));
    }
}
