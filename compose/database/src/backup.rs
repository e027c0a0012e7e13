//! Serves backups: a copy of the database while it runs, and its binary logs.
//!
//! Requests are signed like those between agents, so the client knows the cluster's secret. The copy is streamed in
//! frames, and the last frame contains a signature of all data.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::Row;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::binlog::{self, MAGIC_LENGTH};
use crate::cluster_record::NodeId;
use crate::mariadb;
use crate::peers::{PeerClient, PeerError};
use crate::signature;
use crate::sql::AGENT_USER;
use crate::state::Shared;

/// Maximum size of a range of a log in one response.
pub const MAX_RANGE_BYTES: u64 = 8 * 1024 * 1024;
/// How much of a log is read to find the position before it.
const LOG_HEADER_BYTES: u64 = 64 * 1024;
/// Timeout of reading a range of a log.
const RANGE_TIMEOUT: Duration = Duration::from_secs(30);
/// Timeout of a statement.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// Size of a frame of a copy.
const FRAME_BYTES: usize = 256 * 1024;
/// Idle timeout of a copy. MariaDB may have to wait for a long statement before it starts.
const COPY_IDLE_TIMEOUT: Duration = Duration::from_secs(120);

/// Why a node cannot be copied, or its logs cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// MariaDB of the node does not respond.
    #[error("the database does not answer: {0}")]
    Database(String),
    /// The node is already being copied.
    #[error("this node is being copied already")]
    Busy,
    /// A file cannot be read.
    #[error("{0}: {1}")]
    Io(String, #[source] std::io::Error),
    /// mariadb-backup cannot be run, or failed.
    #[error("{0}")]
    Copy(String),
    /// The node cannot be reached, or refuses the request.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The received data differs from the sent data.
    #[error("the copy from {0} was interrupted")]
    BrokeOff(SocketAddr),
    /// The signature is wrong: the sender does not know the secret.
    #[error("the copy from {0} is not signed with the cluster's secret: it is not used")]
    Forged(SocketAddr),
}

/// One binary log of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinlogInfo {
    /// The file name. It may be reused after a full copy of the node.
    pub name: String,
    /// Creation time in seconds since 1970. Identifies the log together with the name.
    pub created: u32,
    /// Length of the complete transactions in bytes.
    pub end: u64,
    /// The number of the cluster's last transaction before the log.
    pub after: u64,
}

/// The logs of a node, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinlogList {
    /// The cluster whose transactions the logs contain.
    pub cluster: Uuid,
    /// The volume.
    pub node: NodeId,
    /// The logs.
    pub logs: Vec<BinlogInfo>,
}

/// A part of one log, at most [`MAX_RANGE_BYTES`] long.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BinlogRange {
    /// The file name.
    pub name: String,
    /// Offset of the first byte.
    pub from: u64,
    /// Number of bytes.
    pub length: u64,
}

/// The position of a finished copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyPosition {
    /// The cluster.
    pub cluster: Uuid,
    /// The volume.
    pub node: NodeId,
    /// The number of the cluster's last transaction in the copy.
    pub transaction: u64,
    /// The version of MariaDB that has to prepare the copy.
    pub version: String,
}

// ------------------------------------------------------------------------------------------------ The agent's side

/// Handles a request about logs. Returns `None` for other requests.
pub async fn answer(shared: &Shared, path: &str, body: &[u8]) -> Option<Result<Vec<u8>, BackupError>> {
    match path {
        "/peer/logs" => Some(logs(shared).await.map(|logs| to_json(&logs))),
        "/peer/log" => {
            let piece: BinlogRange = serde_json::from_slice(body).ok()?;
            let data = shared.volume.data();
            let read = tokio::task::spawn_blocking(move || read_piece(&data, &piece)).await;
            Some(read.unwrap_or(Err(BackupError::Busy)))
        }
        _ => None,
    }
}

fn to_json(answer: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(answer).expect("plain data can be written as JSON")
}

async fn logs(shared: &Shared) -> Result<BinlogList, BackupError> {
    let node = shared.node();
    let cluster = node
        .cluster()
        .ok_or_else(|| BackupError::Database("the node has no cluster yet".to_owned()))?;
    let (current, end) = with_timeout(current_log(shared)).await?;
    let data = shared.volume.data();
    let logs = tokio::task::spawn_blocking(move || logs_in(&data, &current, end))
        .await
        .map_err(|_| BackupError::Busy)??;
    Ok(BinlogList {
        cluster,
        node: node.id,
        logs,
    })
}

async fn with_timeout<T>(statement: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, BackupError> {
    match tokio::time::timeout(STATEMENT_TIMEOUT, statement).await {
        Ok(answer) => answer.map_err(|error| BackupError::Database(error.to_string())),
        Err(_) => Err(BackupError::Database(format!(
            "MariaDB did not respond within {STATEMENT_TIMEOUT:?}"
        ))),
    }
}

/// The current log, and the length of its complete transactions.
async fn current_log(shared: &Shared) -> Result<(String, u64), sqlx::Error> {
    let row = sqlx::raw_sql("SHOW MASTER STATUS").fetch_one(&shared.sql).await?;
    let end: String = row.try_get_unchecked(1)?;
    let end = end.parse().map_err(|_| sqlx::Error::RowNotFound)?;
    Ok((row.try_get_unchecked(0)?, end))
}

fn logs_in(data: &Path, current: &str, end: u64) -> Result<Vec<BinlogInfo>, BackupError> {
    let index = data.join("binlog.index");
    let names = std::fs::read_to_string(&index)
        .map_err(|error| BackupError::Io(index.display().to_string(), error))?;
    let mut logs = Vec::new();
    for name in names.lines().map(|name| name.trim_start_matches("./")) {
        // Old logs may be deleted meanwhile.
        if let Ok(log) = inspect_log(&data.join(name), name, (name == current).then_some(end)) {
            logs.push(log);
        }
        if name == current {
            break;
        }
    }
    Ok(logs)
}

fn inspect_log(path: &Path, name: &str, end: Option<u64>) -> std::io::Result<BinlogInfo> {
    let file = File::open(path)?;
    let end = end.map_or_else(|| Ok(file.metadata()?.len()), Ok::<_, std::io::Error>)?;
    let mut beginning = Vec::new();
    file.take(LOG_HEADER_BYTES).read_to_end(&mut beginning)?;
    let events = || binlog::events(beginning.get(MAGIC_LENGTH..).unwrap_or_default());
    Ok(BinlogInfo {
        name: name.to_owned(),
        created: events().next().map_or(0, |event| event.time),
        end,
        after: events().find_map(|event| event.before_this_file()).unwrap_or(0),
    })
}

fn read_piece(data: &Path, piece: &BinlogRange) -> Result<Vec<u8>, BackupError> {
    let failed = |error| BackupError::Io(piece.name.clone(), error);
    // Only binary logs can be read: the name is checked.
    let number = piece.name.strip_prefix("binlog.").unwrap_or_default();
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(failed(std::io::ErrorKind::InvalidInput.into()));
    }
    let mut file = File::open(data.join(&piece.name)).map_err(failed)?;
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(piece.from)).map_err(failed)?;
    file.take(piece.length.min(MAX_RANGE_BYTES))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(bytes)
}

/// The kinds of frames.
const DATA_FRAME: u8 = 0;
const END_FRAME: u8 = 1;
const FAILED_FRAME: u8 = 2;

fn frame(kind: u8, payload: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(5 + payload.len());
    bytes.push(kind);
    bytes.extend(u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend(payload);
    bytes.into()
}

#[derive(Serialize, Deserialize)]
struct SignedCopy {
    copied: CopyPosition,
    #[serde(rename = "seal")]
    signature: String,
}

fn signature_of_copy(
    secret: &chassis::config::Secret,
    nonce: &str,
    hash: &[u8],
    copied: &CopyPosition,
) -> String {
    signature::sign(secret, &[b"copy", nonce.as_bytes(), hash, &to_json(copied)])
}

/// Copies this node for the verified request with `nonce`.
pub fn copy(shared: Arc<Shared>, nonce: String) -> Response {
    let (frames, receiver) = mpsc::channel::<Bytes>(4);
    // Continues if the client disconnects, because the node has to return into sync.
    tokio::spawn(async move { copy_into(&shared, &nonce, &frames).await });
    let frames = stream::unfold(receiver, |mut receiver| async move {
        let frame = receiver.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(frame), receiver))
    });
    (StatusCode::OK, Body::from_stream(frames)).into_response()
}

async fn copy_into(shared: &Shared, nonce: &str, frames: &mpsc::Sender<Bytes>) {
    let last = match copy_desynced(shared, frames).await {
        Ok((hash, copied)) => {
            let signature = signature_of_copy(&shared.secret, nonce, &hash, &copied);
            frame(END_FRAME, &to_json(&SignedCopy { copied, signature }))
        }
        Err(error) => {
            tracing::warn!("this node was not copied: {error}");
            frame(FAILED_FRAME, error.to_string().as_bytes())
        }
    };
    let _ = frames.send(last).await;
}

/// Desyncs the node during the copy, so that flow control does not slow down the cluster.
async fn copy_desynced(
    shared: &Shared,
    frames: &mpsc::Sender<Bytes>,
) -> Result<(Vec<u8>, CopyPosition), BackupError> {
    let Ok(_one_at_a_time) = shared.copying.try_lock() else {
        return Err(BackupError::Busy);
    };
    let cluster = shared.node().cluster();
    let cluster = cluster.ok_or_else(|| BackupError::Database("the node has no cluster yet".to_owned()))?;
    tracing::info!("this node is being copied for a backup");
    desync(shared, true).await?;
    let copied = run_copy(shared, cluster, frames).await;
    // The setting ends with MariaDB; while it runs, it must be reset.
    while let Err(error) = desync(shared, false).await {
        tracing::warn!("this node cannot return into sync after a backup: {error}; trying again");
        tokio::time::sleep(Duration::from_secs(2)).await;
        if !shared.volume.socket().exists() {
            break;
        }
    }
    tracing::info!("the copy for a backup has ended");
    copied
}

/// Sets `wsrep_desync`.
pub(crate) async fn desync(shared: &Shared, on: bool) -> Result<(), BackupError> {
    let statement = if on {
        "SET GLOBAL wsrep_desync = ON"
    } else {
        "SET GLOBAL wsrep_desync = OFF"
    };
    let done = with_timeout(async { sqlx::raw_sql(statement).execute(&shared.sql).await }).await;
    match done {
        // Already set, after a backup that ended while MariaDB did not respond.
        Err(BackupError::Database(output)) if output.contains("desync is already") => Ok(()),
        done => done.map(drop),
    }
}

async fn run_copy(
    shared: &Shared,
    cluster: Uuid,
    frames: &mpsc::Sender<Bytes>,
) -> Result<(Vec<u8>, CopyPosition), BackupError> {
    let version = async {
        let row = sqlx::raw_sql("SELECT VERSION()").fetch_one(&shared.sql).await?;
        row.try_get_unchecked::<String, _>(0)
    };
    let version = with_timeout(version).await?;
    let mut child = spawn_copy(shared)?;
    let output = child.stdout.take().expect("the standard output is a pipe");
    let errors = child.stderr.take().expect("the standard error is a pipe");
    let listening = tokio::spawn(read_output(errors));
    let hash = pump(output, frames).await;
    if hash.is_err() {
        let _ = child.start_kill();
    }
    let status = child
        .wait()
        .await
        .map_err(|error| BackupError::Io("mariadb-backup".to_owned(), error))?;
    let output = listening.await.unwrap_or_default();
    let hash = hash?;
    match output.transaction {
        Some(transaction) if status.success() => Ok((
            hash,
            CopyPosition {
                cluster,
                node: shared.node().id,
                transaction,
                version,
            },
        )),
        _ => Err(BackupError::Copy(format!(
            "mariadb-backup failed ({status}). The end of its output:\n{}",
            output.last.join("\n")
        ))),
    }
}

fn spawn_copy(shared: &Shared) -> Result<Child, BackupError> {
    let program = mariadb::find("mariadb-backup", "mariadb-backup")
        .map_err(|error| BackupError::Copy(error.to_string()))?;
    let volume = &shared.volume;
    let password = signature::derived_password(&shared.secret, "the agent's account");
    Command::new(program)
        .arg(format!("--defaults-file={}", volume.configuration().display()))
        .args(["--backup", "--stream=mbstream", "--user", AGENT_USER])
        .arg(format!("--socket={}", volume.socket().display()))
        // Created by mariadb-backup, and stays empty.
        .arg(format!(
            "--target-dir={}",
            volume.data().with_file_name("copy").display()
        ))
        .env("MYSQL_PWD", password.expose())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| BackupError::Io("mariadb-backup".to_owned(), error))
}

/// Streams `output` as frames, and returns its hash.
async fn pump(
    mut output: impl tokio::io::AsyncRead + Unpin,
    frames: &mpsc::Sender<Bytes>,
) -> Result<Vec<u8>, BackupError> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; FRAME_BYTES];
    loop {
        let read = output
            .read(&mut buffer)
            .await
            .map_err(|error| BackupError::Io("mariadb-backup".to_owned(), error))?;
        if read == 0 {
            return Ok(hash.finalize().to_vec());
        }
        hash.update(&buffer[..read]);
        if frames.send(frame(DATA_FRAME, &buffer[..read])).await.is_err() {
            return Err(BackupError::Copy(
                "the client of the copy closed the connection".to_owned(),
            ));
        }
    }
}

/// The output of mariadb-backup.
#[derive(Default)]
struct CopyOutput {
    transaction: Option<u64>,
    last: Vec<String>,
}

async fn read_output(errors: impl tokio::io::AsyncRead + Unpin) -> CopyOutput {
    let mut output = CopyOutput::default();
    let mut lines = BufReader::new(errors).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.contains("binlog position: filename") {
            let positions = line.rsplit('\'').nth(1).unwrap_or_default();
            // Before the first transaction there are no positions.
            let numbered = line.contains("GTID of the last change");
            output.transaction = Some(if numbered { binlog::reached(positions) } else { 0 });
        }
        output.last.push(line);
        if output.last.len() > 8 {
            output.last.remove(0);
        }
    }
    output
}

// ------------------------------------------------------------------------------------------------ The client's side

impl PeerClient {
    /// Lists the logs of the agent at `address`, process `boot`.
    pub async fn logs(&self, address: SocketAddr, boot: u64) -> Result<BinlogList, PeerError> {
        let answer = self
            .exchange(
                address,
                "/peer/logs",
                &boot.to_string(),
                b"null".to_vec(),
                RANGE_TIMEOUT,
            )
            .await?;
        serde_json::from_slice(&answer).map_err(|error| PeerError::Unreadable(address, error))
    }

    /// Reads a range of a log.
    pub async fn piece(
        &self,
        address: SocketAddr,
        boot: u64,
        piece: &BinlogRange,
    ) -> Result<Vec<u8>, PeerError> {
        self.exchange(
            address,
            "/peer/log",
            &boot.to_string(),
            to_json(piece),
            RANGE_TIMEOUT,
        )
        .await
    }

    /// Starts to copy the node at `address`.
    pub async fn copy(&self, address: SocketAddr, boot: u64) -> Result<Copy, PeerError> {
        let (request, nonce) =
            self.signed_request(address, "/peer/copy", &boot.to_string(), b"null".to_vec());
        let response = request
            .timeout(Duration::from_hours(24))
            .send()
            .await
            .map_err(|error| PeerError::Silent(address, error))?;
        let status = response.status();
        if !status.is_success() {
            let reason = response.text().await.unwrap_or_default();
            return Err(PeerError::Refused(address, format!("{status} {reason}")));
        }
        Ok(Copy {
            address,
            response,
            nonce,
            secret: self.secret().clone(),
            waiting: Vec::new(),
            hash: Sha256::new(),
            copied: None,
        })
    }
}

/// A copy that is being received.
#[derive(Debug)]
pub struct Copy {
    address: SocketAddr,
    response: reqwest::Response,
    nonce: String,
    secret: chassis::config::Secret,
    waiting: Vec<u8>,
    hash: Sha256,
    copied: Option<CopyPosition>,
}

impl Copy {
    /// Receives the next part. `None` at the end, when [`Self::copied`] has the position.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, BackupError> {
        if self.copied.is_some() {
            return Ok(None);
        }
        let (kind, payload) = self.next_frame().await?;
        match kind {
            DATA_FRAME => {
                self.hash.update(&payload);
                Ok(Some(payload))
            }
            END_FRAME => {
                let forged = || BackupError::Forged(self.address);
                let signed: SignedCopy = serde_json::from_slice(&payload).map_err(|_| forged())?;
                let hash = std::mem::take(&mut self.hash).finalize();
                let parts: [&[u8]; 4] = [b"copy", self.nonce.as_bytes(), &hash, &to_json(&signed.copied)];
                if !signature::verify(&self.secret, &parts, &signed.signature) {
                    return Err(forged());
                }
                self.copied = Some(signed.copied);
                Ok(None)
            }
            _ => Err(BackupError::Copy(String::from_utf8_lossy(&payload).into_owned())),
        }
    }

    /// Returns the position of the copy, once it is complete and verified.
    pub fn copied(&self) -> Option<&CopyPosition> {
        self.copied.as_ref()
    }

    async fn next_frame(&mut self) -> Result<(u8, Vec<u8>), BackupError> {
        let broke_off = BackupError::BrokeOff(self.address);
        loop {
            if let Some(header) = self.waiting.first_chunk::<5>() {
                let [kind, length @ ..] = *header;
                let end = 5 + u32::from_be_bytes(length) as usize;
                if self.waiting.len() >= end {
                    let payload = self.waiting[5..end].to_vec();
                    self.waiting.drain(..end);
                    return Ok((kind, payload));
                }
            }
            match tokio::time::timeout(COPY_IDLE_TIMEOUT, self.response.chunk()).await {
                Ok(Ok(Some(bytes))) => self.waiting.extend_from_slice(&bytes),
                _ => return Err(broke_off),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_logs_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("binlog.000001"), "0123456789").unwrap();
        std::fs::write(folder.path().join("ibdata1"), "secret").unwrap();
        let piece = |name: &str| BinlogRange {
            name: name.to_owned(),
            from: 2,
            length: 3,
        };
        assert_eq!(
            read_piece(folder.path(), &piece("binlog.000001")).unwrap(),
            b"234"
        );
        for name in [
            "ibdata1",
            "../agent.json",
            "binlog.index",
            "binlog.",
            "binlog.1/../../x",
        ] {
            assert!(
                read_piece(folder.path(), &piece(name)).is_err(),
                "{name} was read"
            );
        }
    }

    #[tokio::test]
    async fn the_position_of_a_copy_is_read_from_its_output() {
        let output = "[00] 2026-11-22 19:47:36 MySQL binlog position: filename 'binlog.000006', position '379', \
                    GTID of the last change '1-1-16446'\n[00] 2026-11-22 19:47:36 completed OK!\n";
        assert_eq!(read_output(output.as_bytes()).await.transaction, Some(16446));
        assert_eq!(read_output(&b"FATAL ERROR\n"[..]).await.transaction, None);
    }
}
