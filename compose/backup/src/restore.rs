//! Restores a point in time into an empty folder, which becomes the volume of a database node.
//!
//! The result is the first node of a *new* cluster: nodes that still have the old data do not mix with it, and empty
//! ones join it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use chrono::{DateTime, Utc};
use database_agent::cluster_record::{ClusterRecord, NodeId, RecordFile, Start};
use database_agent::mariadb::find;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use uuid::Uuid;

use crate::error::Error;
use crate::manifest::Manifest;
use crate::media;
use crate::replay::{self, RestoreTarget};
use crate::server::{ReplayServer, program_failed};
use crate::vault::Vault;
use chassis::objects::StoreConfig;

/// The options of a restore.
#[derive(Clone, Debug)]
pub struct RestoreRequest {
    /// The point in time.
    pub to: RestoreTarget,
    /// The volume, which must be empty.
    pub into: PathBuf,
    /// The slot of the node that will use it.
    pub slot: u32,
}

/// The result of a restore.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The full backup that was restored.
    pub base: String,
    /// The last transaction.
    pub transaction: u64,
    /// When that transaction was written. `None` if the logs had no later transactions.
    pub written_at: Option<DateTime<Utc>>,
    /// The new cluster.
    pub cluster: Uuid,
    /// Number of restored files.
    pub files: u64,
}

/// Restores the database and the files of photos.
pub async fn restore(
    vault: &Vault,
    media: &StoreConfig,
    request: &RestoreRequest,
) -> Result<Restored, Error> {
    let base = request.to.base(Manifest::all(vault).await?)?;
    require_empty(&request.into)?;
    tracing::info!(
        backup = base.name,
        mariadb = base.mariadb,
        files = base.media_files,
        "restoring"
    );
    let files = media::needed(vault, &base, request.to).await?;
    let (database, written) = tokio::join!(
        restore_database(vault, &base, request),
        media::restore(media, vault, &files)
    );
    if database.is_err() {
        // The folder was empty before, so the restore can be repeated.
        let _ = std::fs::remove_dir_all(request.into.join(WORK_FOLDER));
    }
    let (replay, cluster) = database?;
    Ok(Restored {
        base: base.name,
        transaction: replay.reached,
        written_at: replay.written_at,
        cluster,
        files: written?,
    })
}

/// The folder in which the volume is prepared.
const WORK_FOLDER: &str = "restoring";
/// The root folder of a file system contains this folder, which holds no data.
const LOST_AND_FOUND: &str = "lost+found";

fn require_empty(folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        if entry.map_err(Error::io(folder))?.file_name() != LOST_AND_FOUND {
            return Err(Error::NotEmpty(folder.to_owned()));
        }
    }
    Ok(())
}

async fn restore_database(
    vault: &Vault,
    base: &Manifest,
    request: &RestoreRequest,
) -> Result<(replay::Replay, Uuid), Error> {
    let work = request.into.join(WORK_FOLDER);
    let data = work.join("data");
    std::fs::create_dir_all(&data).map_err(Error::io(&data))?;
    let began = Instant::now();
    extract(vault, base, &data).await?;
    tracing::info!("copied back after {:.1} s", began.elapsed().as_secs_f32());
    prepare(&data).await?;
    tracing::info!("prepared after {:.1} s", began.elapsed().as_secs_f32());

    let logs = work.join("logs");
    std::fs::create_dir_all(&logs).map_err(Error::io(&logs))?;
    let replay = replay::assemble(vault, base, request.to, Some(&logs)).await?;
    if let RestoreTarget::At(time) = request.to
        && replay.all
        && time > replay.shipped_at
    {
        tracing::warn!(
            "the backup ends at {}, before the requested time",
            replay.shipped_at
        );
    }
    let server = ReplayServer::start(&data).await?;
    server.replay(&replay.files).await?;
    tracing::info!(
        transactions = replay.reached - base.transaction,
        "replayed after {:.1} s",
        began.elapsed().as_secs_f32()
    );
    let server = ReplayServer::bootstrap(&data, server).await?;
    let (cluster, seqno) = server.finish(&data).await?;
    remove_leftovers(&data)?;
    install(request, &work, cluster, seqno).await?;
    tracing::info!(
        "a new cluster was founded after {:.1} s",
        began.elapsed().as_secs_f32()
    );
    Ok((replay, cluster))
}

/// Unpacks the copy into `data` and verifies its hash.
async fn extract(vault: &Vault, base: &Manifest, data: &Path) -> Result<(), Error> {
    let mut reading = vault
        .open_packed(&base.database.path, base.database.packing)
        .await?;
    let mut child = Command::new(find("mbstream", "mariadb-backup")?)
        .arg("--extract")
        .arg(format!("--directory={}", data.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(Error::io("mbstream"))?;
    let mut input = child.stdin.take().expect("the standard input is a pipe");
    while let Some(part) = reading.next().await? {
        if input.write_all(&part).await.is_err() {
            // mbstream has ended, and its output has the reason.
            break;
        }
    }
    drop(input);
    let output = child.wait_with_output().await.map_err(Error::io("mbstream"))?;
    if !output.status.success() {
        return Err(program_failed("mbstream", output.status, &output.stderr));
    }
    reading.compare(&base.database)
}

/// Applies the redo log of the copy.
async fn prepare(data: &Path) -> Result<(), Error> {
    let output = Command::new(find("mariadb-backup", "mariadb-backup")?)
        .arg("--prepare")
        .arg(format!("--target-dir={}", data.display()))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(Error::io("mariadb-backup"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(program_failed("mariadb-backup", output.status, &output.stderr))
    }
}

/// Removes files that mariadb-backup and the replay leave behind.
fn remove_leftovers(data: &Path) -> Result<(), Error> {
    for entry in std::fs::read_dir(data).map_err(Error::io(data))? {
        let entry = entry.map_err(Error::io(data))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("xtrabackup_") || name == "backup-my.cnf" || name == "galera.cache" {
            std::fs::remove_file(entry.path()).map_err(Error::io(entry.path()))?;
        }
    }
    Ok(())
}

/// Moves the data into place, with a record of a cluster of this node only.
async fn install(request: &RestoreRequest, work: &Path, cluster: Uuid, seqno: i64) -> Result<(), Error> {
    let id = NodeId(rand::random());
    let start = Start {
        id: Uuid::from_u128(rand::random()),
        cluster: Some(cluster),
        seqno,
        forced: false,
        participants: BTreeMap::from([(id, request.slot)]),
    };
    let record = RecordFile {
        id,
        memory: Some(ClusterRecord::of_bootstrapper(None, &start)),
    };
    // MariaDB syncs its files when it stops; files that mbstream wrote and MariaDB did not change are not synced yet.
    let synced = Command::new("sync").status().await.map_err(Error::io("sync"))?;
    if !synced.success() {
        return Err(program_failed("sync", synced, b""));
    }
    let data = request.into.join("data");
    std::fs::rename(work.join("data"), &data).map_err(Error::io(&data))?;
    record.save(&request.into.join("agent.json"))?;
    std::fs::remove_dir_all(work).map_err(Error::io(work))
}
