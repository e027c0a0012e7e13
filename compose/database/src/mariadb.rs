//! MariaDB's programs: making a data folder, recovering its position, and running it as a child.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use chassis::config::Secret;
use nix::sys::signal::{Signal, killpg};
use nix::sys::statvfs::statvfs;
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::binlog;
use crate::cluster_record::{Epoch, NodeId, sync_folder_of};
use crate::config::Config;
use crate::decision::VolumeState;

/// Why MariaDB cannot be run, with what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A program is not installed.
    #[error("{program} is missing; Debian's package {package} has it")]
    NotInstalled {
        program: &'static str,
        /// The Debian package that contains it.
        package: &'static str,
    },
    /// A file operation failed.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A program of MariaDB failed.
    #[error("{program} failed ({status}). The end of its output:\n{output}")]
    Failed {
        /// The program.
        program: &'static str,
        /// Its exit status.
        status: String,
        /// The last lines of its output.
        output: String,
    },
    /// The position could not be read.
    #[error("mariadbd --wsrep-recover reported no position; its last output:\n{0}")]
    NoPosition(String),
}

/// Disk space of a volume in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Space {
    /// Bytes that can still be written.
    pub free: u64,
    /// Size of the volume.
    pub total: u64,
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} MiB are free", self.free >> 20, self.total >> 20)
    }
}

/// The files of one node.
#[derive(Clone, Debug)]
pub struct Volume {
    root: PathBuf,
}

impl Volume {
    /// Opens a volume, and creates missing folders.
    pub fn open(root: &Path) -> Result<Self, ServerError> {
        let volume = Self {
            root: root.to_owned(),
        };
        for folder in [volume.data(), volume.temporary()] {
            fs::create_dir_all(&folder).map_err(|source| ServerError::Io { path: folder, source })?;
        }
        Ok(volume)
    }

    /// Locks the volume until the result is dropped. Waits while another agent holds the lock: after a network failure
    /// the previous task may still be stopping.
    pub async fn hold(&self) -> Result<fs::File, ServerError> {
        let failed = |source| ServerError::Io {
            path: self.root.clone(),
            source,
        };
        let folder = fs::File::open(&self.root).map_err(failed)?;
        let mut warned = false;
        loop {
            match folder.try_lock() {
                Ok(()) => return Ok(folder),
                Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
                Err(fs::TryLockError::WouldBlock) => {}
            }
            if !std::mem::replace(&mut warned, true) {
                tracing::warn!("another agent still uses this volume; waiting until it ends");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The data folder of MariaDB.
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// The temporary folder. MariaDB empties it at each start, so nothing else may use it.
    fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// The file with the agent's record of the cluster.
    pub fn record(&self) -> PathBuf {
        self.root.join("agent.json")
    }

    /// The operator's force flag.
    pub fn force_flag(&self) -> PathBuf {
        self.root.join("force-bootstrap")
    }

    /// MariaDB's options, for the programs that come with it too.
    pub(crate) fn configuration(&self) -> PathBuf {
        self.root.join("mariadb.cnf")
    }

    /// The socket of MariaDB.
    pub fn socket(&self) -> PathBuf {
        self.root.join("mariadb.sock")
    }

    fn has_database(&self) -> bool {
        self.data().join("mysql").is_dir() && self.data().join("ibdata1").is_file()
    }

    /// MariaDB's scripts keep this file while a copy from another node is under way.
    pub fn copy_is_unfinished(&self) -> bool {
        self.data().join("sst_in_progress").exists()
    }

    /// The free and total space.
    pub fn space(&self) -> Result<Space, ServerError> {
        let disk = statvfs(&self.root).map_err(|error| ServerError::Io {
            path: self.root.clone(),
            source: error.into(),
        })?;
        Ok(Space {
            free: disk.blocks_available() * disk.fragment_size(),
            total: disk.blocks() * disk.fragment_size(),
        })
    }

    /// Removes a copy that was not finished.
    pub fn clear_data(&self) -> Result<(), ServerError> {
        let data = self.data();
        let clear = || {
            fs::remove_dir_all(&data)?;
            fs::create_dir_all(&data)
        };
        clear().map_err(|source| ServerError::Io {
            path: data.clone(),
            source,
        })
    }
}

/// Finds a program on the PATH or in `/usr/sbin`.
pub fn find(program: &'static str, package: &'static str) -> Result<PathBuf, ServerError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .ok_or(ServerError::NotInstalled { program, package })
}

/// Where Galera is.
pub fn provider() -> Result<&'static str, ServerError> {
    [
        "/usr/lib/galera/libgalera_smm.so",
        "/usr/lib64/galera-4/libgalera_smm.so",
        "/usr/lib/libgalera_smm.so",
    ]
    .into_iter()
    .find(|path| Path::new(path).is_file())
    .ok_or(ServerError::NotInstalled {
        program: "libgalera_smm.so",
        package: "galera-4",
    })
}

/// Checks that all needed programs are installed.
pub fn check_installation() -> Result<(), ServerError> {
    find("mariadbd", "mariadb-server-core")?;
    find("mariadb-install-db", "mariadb-server-core")?;
    find("mariadb", "mariadb-client-core")?;
    find("mariadb-backup", "mariadb-backup")?;
    find("wsrep_sst_mariabackup", "mariadb-server")?;
    find("socat", "socat")?;
    find("setpriv", "util-linux")?;
    provider().map(drop)
}

/// The quorum weight (`pc.weight`) of a synced node.
pub const WEIGHT_SYNCED: u8 = 100;
/// The quorum weight of a joiner: joiners must never outvote a node with data, but break the tie between two of them.
const WEIGHT_JOINING: u8 = 1;
/// Options of the membership protocol, during which all writes wait. A node is suspected after 1.5 s of silence. Galera
/// drops messages that arrive out of order, which is common with three senders, repeats them after a second, and gives
/// up after two. So they are repeated ten times per second, and inactivity is checked as often.
const MEMBERSHIP_OPTIONS: &str = "evs.keepalive_period=PT0.4S;evs.suspect_timeout=PT1.5S;evs.inactive_timeout=PT4S;\
                          evs.inactive_check_period=PT0.1S;evs.join_retrans_period=PT0.1S";

/// The name that MariaDB knows a node by (at most 31 characters); the last part is the volume's identity.
pub fn node_name(slot: u32, id: NodeId) -> String {
    format!("db-{slot}-{id}")
}

/// The Galera group name, different for each cluster start, so that a process from before cannot join without
/// registering.
fn group_name(cluster: &str, epoch: Epoch) -> String {
    format!("{cluster}-{}.{}", epoch.forced, epoch.number)
}

/// Parses a [`node_name`]; `None` for other names.
pub fn parse_node_name(name: &str) -> Option<(NodeId, u32)> {
    let (slot, id) = name.strip_prefix("db-")?.split_once('-')?;
    Some((id.parse().ok()?, slot.parse().ok()?))
}

/// Writes MariaDB's configuration. A file, because the SST scripts read it and because flags are visible to all users.
/// Without a `start` it is for recovering the position.
pub fn configure(
    volume: &Volume,
    config: &Config,
    id: NodeId,
    start: Option<(IpAddr, &Mode)>,
    epoch: Epoch,
    copy_password: &Secret,
) -> Result<(), ServerError> {
    let path = volume.configuration();
    let write = |text: String| {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&path)?.write_all(text.as_bytes())
    };
    let address = start.map_or_else(String::new, |(address, _)| {
        format!("wsrep_node_address={address}\n")
    });
    let weight = match start {
        Some((_, Mode::Bootstrap)) => WEIGHT_SYNCED,
        _ => WEIGHT_JOINING,
    };
    let text = format!(
        "# Written by database-agent at every start.\n\
         [mariadbd]\n\
         user={user}\n\
         datadir={data}\n\
         tmpdir={temporary}\n\
         socket={socket}\n\
         pid-file={pid}\n\
         bind-address=0.0.0.0\n\
         port=3306\n\
         skip-name-resolve\n\
         max-connections={max_connections}\n\
         log-warnings=1\n\
         character-set-server=utf8mb4\n\
         collation-server=utf8mb4_bin\n\
         innodb-buffer-pool-size={buffer_pool}\n\
         # An acknowledged write is on disk.\n\
         innodb-flush-log-at-trx-commit=1\n\
         sync-binlog=1\n\
         # Fail a transaction that changes rows that another one changed since it read them. Only newer versions have it.\n\
         loose-innodb-snapshot-isolation=ON\n\
         innodb-autoinc-lock-mode=2\n\
         binlog-format=ROW\n\
         log-bin=binlog\n\
         log-slave-updates=ON\n\
         binlog-expire-logs-seconds=259200\n\
         # Small logs, because a backup continues with those of another node when one fails.\n\
         max-binlog-size=64M\n\
         # All nodes give a transaction of the cluster the same GTID, which requires the same server-id on all of them.\n\
         # Local transactions of a node are in another domain.\n\
         server-id=1\n\
         wsrep-gtid-mode=ON\n\
         wsrep-gtid-domain-id={domain}\n\
         gtid-domain-id={own_domain}\n\
         wsrep-on=ON\n\
         wsrep-provider={provider}\n\
         wsrep-provider-options=\"gcache.size={gcache};gcache.recover=yes;pc.recovery=false;\
         pc.weight={weight};pc.wait_prim_timeout=PT15S;{MEMBERSHIP_OPTIONS}\"\n\
         wsrep-cluster-name={cluster}\n\
         wsrep-node-name={name}\n\
         {address}\
         wsrep-sst-method=mariabackup\n\
         wsrep-sst-auth=sst:{copy_password}\n\
         wsrep-slave-threads=4\n\
         [sst]\n\
         # By default, the scripts write logs outside the volume.\n\
         sst-log-archive=0\n",
        user = user(),
        data = volume.data().display(),
        temporary = volume.temporary().display(),
        socket = volume.socket().display(),
        pid = volume.root.join("mariadb.pid").display(),
        max_connections = config.server.max_connections,
        buffer_pool = config.server.buffer_pool,
        domain = binlog::GTID_DOMAIN,
        own_domain = 100 + config.slot,
        provider = provider()?,
        gcache = config.server.gcache,
        cluster = group_name(&config.cluster, epoch),
        name = node_name(config.slot, id),
        copy_password = copy_password.expose(),
    );
    write(text).map_err(|source| ServerError::Io {
        path: path.clone(),
        source,
    })
}

/// The current user, as which MariaDB runs.
pub fn user() -> String {
    nix::unistd::User::from_uid(nix::unistd::Uid::effective())
        .ok()
        .flatten()
        .map_or_else(|| "root".to_owned(), |user| user.name)
}

/// Creates the system tables in a temporary folder, so that an interruption leaves no incomplete database.
pub async fn install(volume: &Volume) -> Result<(), ServerError> {
    let program = find("mariadb-install-db", "mariadb-server-core")?;
    let new = volume.root.join("data.new");
    let disk = |source| ServerError::Io {
        path: new.clone(),
        source,
    };
    if new.exists() {
        fs::remove_dir_all(&new).map_err(disk)?;
    }
    fs::create_dir_all(&new).map_err(disk)?;
    let output = Command::new(program)
        .args([
            "--no-defaults",
            "--skip-test-db",
            "--auth-root-authentication-method=socket",
        ])
        .arg(format!("--datadir={}", new.display()))
        .arg(format!("--tmpdir={}", volume.temporary().display()))
        .arg(format!("--user={}", user()))
        .arg(format!("--auth-root-socket-user={}", user()))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(disk)?;
    if !output.status.success() {
        return Err(failed("mariadb-install-db", &output));
    }
    let data = volume.data();
    fs::remove_dir_all(&data)
        .and_then(|()| fs::rename(&new, &data))
        .and_then(|()| sync_folder_of(&data))
        .map_err(|source| ServerError::Io { path: data, source })
}

/// Recovers the state of the volume. `joining`: the node was a joiner when the record was last written.
pub async fn recover(volume: &Volume, joining: bool) -> Result<VolumeState, ServerError> {
    if !volume.has_database() {
        return Ok(if joining {
            VolumeState::Incomplete
        } else {
            VolumeState::Empty
        });
    }
    if joining && volume.copy_is_unfinished() {
        return Ok(VolumeState::Incomplete);
    }
    let program = find("mariadbd", "mariadb-server-core")?;
    let output = Command::new(program)
        .arg(format!("--defaults-file={}", volume.configuration().display()))
        .arg("--wsrep-recover")
        // Required, although no connection is made.
        .arg("--wsrep-cluster-address=gcomm://")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|source| ServerError::Io {
            path: volume.data(),
            source,
        })?;
    let log = String::from_utf8_lossy(&output.stderr);
    match parse_position(&log) {
        Some(position) if output.status.success() => Ok(position),
        // An unreadable copy is discarded, because its source exists.
        _ if joining => Ok(VolumeState::Incomplete),
        _ if output.status.success() => Err(ServerError::NoPosition(last_lines(&log))),
        _ => Err(failed("mariadbd --wsrep-recover", &output)),
    }
}

/// Reads the position from the output of MariaDB. `grastate.dat` contains -1 after a crash, so it cannot be used.
fn parse_position(output: &str) -> Option<VolumeState> {
    let position = output
        .lines()
        .rev()
        .find_map(|line| line.split_once("Recovered position: "))?
        .1
        .trim();
    let (cluster, seqno) = position.rsplit_once(':')?;
    let cluster: Uuid = cluster.parse().ok()?;
    Some(VolumeState::At {
        cluster: (!cluster.is_nil()).then_some(cluster),
        seqno: seqno.split(',').next()?.parse().ok()?,
    })
}

/// How MariaDB is started.
#[derive(Clone, Debug)]
pub enum Mode {
    /// As the first node of the cluster.
    Bootstrap,
    /// Joining these nodes.
    Join(Vec<IpAddr>),
}

/// Starts MariaDB from `data`, which was recovered before.
pub fn spawn(volume: &Volume, mode: &Mode, data: VolumeState) -> Result<Child, ServerError> {
    let program = find("mariadbd", "mariadb-server-core")?;
    // The kernel sends SIGTERM to MariaDB if the agent is killed.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "TERM", "--"])
        .arg(program)
        .arg(format!("--defaults-file={}", volume.configuration().display()));
    if let VolumeState::At {
        cluster: Some(cluster),
        seqno,
    } = data
    {
        command.arg(format!("--wsrep-start-position={cluster}:{seqno}"));
    }
    match mode {
        Mode::Bootstrap => {
            // Galera's `safe_to_bootstrap` is not reliable after a crash. The agents decide instead.
            let state = volume.data().join("grastate.dat");
            if let Ok(text) = fs::read_to_string(&state) {
                let text = text.replace("safe_to_bootstrap: 0", "safe_to_bootstrap: 1");
                fs::write(&state, text).map_err(|source| ServerError::Io { path: state, source })?;
            }
            command.args(["--wsrep-new-cluster", "--wsrep-cluster-address=gcomm://"]);
        }
        Mode::Join(addresses) => {
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            command.arg(format!("--wsrep-cluster-address=gcomm://{}", addresses.join(",")));
        }
    }
    command
        .stdin(Stdio::null())
        // A separate process group, so that its helper processes end with it.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| ServerError::Io {
            path: "setpriv".into(),
            source,
        })
}

/// Sends a signal to MariaDB. `SIGKILL` is sent to its child processes too.
pub fn signal(child: &Child, signal: Signal) {
    let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) else {
        return;
    };
    let _ = match signal {
        Signal::SIGKILL => killpg(Pid::from_raw(id), signal),
        _ => nix::sys::signal::kill(Pid::from_raw(id), signal),
    };
}

/// Kills the helper processes of an ended MariaDB.
pub fn kill_helpers(group: Option<u32>) {
    if let Some(group) = group.and_then(|group| i32::try_from(group).ok()) {
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}

/// Runs SQL as the administrator, by socket authentication.
pub async fn run_admin_sql(volume: &Volume, sql: &str) -> Result<(), ServerError> {
    use tokio::io::AsyncWriteExt as _;
    let program = find("mariadb", "mariadb-client-core")?;
    let disk = |source| ServerError::Io {
        path: volume.socket(),
        source,
    };
    let mut client = Command::new(program)
        .arg("--no-defaults")
        .arg(format!("--socket={}", volume.socket().display()))
        .arg(format!("--user={}", user()))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(disk)?;
    let mut input = client.stdin.take().expect("the standard input is a pipe");
    // The client closes its input if it fails. Its output is the better error message, so ignore this one.
    let _ = input.write_all(sql.as_bytes()).await;
    drop(input);
    let output = client.wait_with_output().await.map_err(disk)?;
    if output.status.success() {
        Ok(())
    } else {
        Err(failed("mariadb", &output))
    }
}

fn failed(program: &'static str, output: &Output) -> ServerError {
    ServerError::Failed {
        program,
        status: output.status.to_string(),
        // mariadb-install-db prints errors on its standard output.
        output: last_lines(&format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_is_read_from_the_log() {
        let output = "2026-11-22 16:49:34 0 [Note] Server socket created on IP: '0.0.0.0'.\n\
                    2026-11-22 16:49:34 0 [Note] WSREP: Recovered position: b14e5b4d-e694-11f1-827a-0a45cad70f64:12\n";
        let cluster = "b14e5b4d-e694-11f1-827a-0a45cad70f64".parse().ok();
        assert_eq!(
            parse_position(output),
            Some(VolumeState::At { cluster, seqno: 12 })
        );
        // If GTIDs are enabled, they follow the position.
        assert_eq!(
            parse_position(&output.replace(":12\n", ":12,0-1-5\n")),
            Some(VolumeState::At { cluster, seqno: 12 })
        );
        let never = "WSREP: Recovered position: 00000000-0000-0000-0000-000000000000:-1";
        assert_eq!(
            parse_position(never),
            Some(VolumeState::At {
                cluster: None,
                seqno: -1
            })
        );
        assert_eq!(parse_position("nothing of the kind"), None);
    }

    #[tokio::test]
    async fn a_volume_has_one_agent_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let volume = Volume::open(folder.path()).unwrap();
        let held = volume.hold().await.unwrap();
        let second = tokio::time::timeout(Duration::from_millis(500), volume.hold());
        assert!(second.await.is_err());
        drop(held);
        volume.hold().await.unwrap();
    }

    #[test]
    fn a_node_is_known_by_its_name() {
        let id = NodeId(0xabc);
        assert_eq!(parse_node_name(&node_name(3, id)), Some((id, 3)));
        assert!(node_name(99, NodeId(u64::MAX)).len() < 32);
        assert_eq!(parse_node_name("garb"), None);
    }
}
