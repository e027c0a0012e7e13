//! The binary logs of the database, shipped piece by piece, as they are written.
//!
//! All nodes use the same transaction numbers, so the log of one node continues that of another. A piece contains
//! complete transactions of one log. Its name has their numbers, so that gaps are visible:
//! `logs/<cluster>/<time>_<first>-<last>.log`.

use chrono::{DateTime, NaiveDateTime, Utc};
use database_agent::backup::{BackupError, BinlogInfo, BinlogRange, MAX_RANGE_BYTES};
use database_agent::binlog::{self, MAGIC_LENGTH};
use database_agent::cluster_record::NodeId;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Error;
use crate::packing::Fingerprint;
use crate::source::{Source, SourceNode};
use crate::vault::{Vault, is_encrypted};

/// The folder of all logs.
pub const LOGS: &str = "logs";
/// Maximum size of a transaction, by Galera's limit.
const MAX_TRANSACTION_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// A byte range of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRange {
    /// The volume.
    pub node: NodeId,
    /// The name of the log on that volume.
    pub name: String,
    /// When the log was created, in seconds since 1970.
    pub created: u32,
    /// Offset of the first byte.
    pub from: u64,
    /// Offset after the last byte.
    pub to: u64,
}

impl LogRange {
    fn is_of(&self, node: NodeId, log: &BinlogInfo) -> bool {
        self.node == node && self.name == log.name && self.created == log.created
    }

    /// Whether this range of the same log begins at the end of `before` or earlier.
    pub fn continues(&self, before: &Self) -> bool {
        let same = (self.node, &self.name, self.created) == (before.node, &before.name, before.created);
        same && (before.from..=before.to).contains(&self.from)
    }
}

/// The first line of a piece.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct PieceHeader {
    #[serde(flatten)]
    origin: LogRange,
    #[serde(flatten)]
    fingerprint: Fingerprint,
}

/// A piece in the store, parsed from its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShippedPiece {
    /// The path in the store.
    pub path: Path,
    /// When the piece was written. All its transactions are older.
    pub at: DateTime<Utc>,
    /// The first transaction.
    pub first: u64,
    /// The last transaction.
    pub last: u64,
    /// Size in the store in bytes.
    pub size: u64,
}

const TIME_FORMAT: &str = "%Y%m%dT%H%M%S%.3fZ";

impl ShippedPiece {
    fn parse(path: &Path, size: u64) -> Option<Self> {
        let name = path
            .filename()?
            .trim_end_matches(".sealed")
            .strip_suffix(".log")?;
        let (at, numbers) = name.split_once('_')?;
        let (first, last) = numbers.split_once('-')?;
        Some(Self {
            path: path.clone(),
            at: NaiveDateTime::parse_from_str(at, TIME_FORMAT).ok()?.and_utc(),
            first: first.parse().ok()?,
            last: last.parse().ok()?,
            size,
        })
    }

    /// Lists all pieces of one cluster, in the order in which they were shipped.
    pub async fn all(vault: &Vault, cluster: Uuid) -> Result<Vec<Self>, Error> {
        let objects = vault.list(&format!("{LOGS}/{cluster}")).await?;
        Ok(objects
            .iter()
            .filter_map(|object| Self::parse(&object.location, object.size))
            .collect())
    }

    /// Reads the piece, and returns its range and its content.
    pub async fn read(&self, vault: &Vault) -> Result<(LogRange, Vec<u8>), Error> {
        let path = self.path.as_ref();
        let damaged = |why| Error::Damaged(path.to_owned(), why);
        let contents = vault.unpack(path, true).await?;
        let line = contents.iter().position(|byte| *byte == b'\n');
        let line = line.ok_or_else(|| damaged("its first line is missing"))?;
        let head: PieceHeader = serde_json::from_slice(&contents[..line])
            .map_err(|_| damaged("its first line is not the JSON of this version"))?;
        let bytes = contents[line + 1..].to_vec();
        if Fingerprint::of(&bytes) != head.fingerprint {
            return Err(damaged("its hash is wrong"));
        }
        Ok((head.origin, bytes))
    }

    /// Whether the piece is encrypted.
    pub fn is_encrypted(&self) -> bool {
        is_encrypted(self.path.as_ref())
    }
}

/// Ships logs, and stores the position.
#[derive(Debug)]
pub struct Shipper {
    vault: Vault,
    cluster: Uuid,
    /// The last shipped transaction.
    last: u64,
    /// The range of the last piece.
    at: Option<LogRange>,
    /// The time in the name of the last piece. Names ascend.
    named: DateTime<Utc>,
}

/// Log data that was fetched and is not written yet.
#[derive(Debug)]
pub struct FetchedLogs {
    pieces: Vec<(LogRange, u64, u64, Vec<u8>)>,
    /// Whether more data is available for the next round.
    pub more: bool,
}

/// Maximum amount of data that is fetched before it is written.
const MAX_ROUND_BYTES: usize = 64 * 1024 * 1024;

impl Shipper {
    /// Continues after the last piece in the store. `copied` is the last transaction of a full backup of `cluster`:
    /// nothing before it is needed if nothing was shipped yet.
    pub async fn open(vault: &Vault, cluster: Uuid, copied: u64) -> Result<Self, Error> {
        let shipped = ShippedPiece::all(vault, cluster).await?;
        let mut new = Self {
            vault: vault.clone(),
            cluster,
            last: copied,
            at: None,
            named: DateTime::UNIX_EPOCH,
        };
        // Shipping does not continue from before a gap that the full backup covers.
        if let Some(newest) = shipped.last().filter(|newest| newest.last >= copied) {
            new.last = newest.last;
            new.named = newest.at;
            match newest.read(vault).await {
                Ok((origin, _)) => new.at = Some(origin),
                // The same transactions are in the log of any node.
                Err(error) => tracing::warn!("the last piece of the logs cannot be read: {error}"),
            }
        }
        Ok(new)
    }

    /// Returns the cluster whose logs are shipped.
    pub fn cluster(&self) -> Uuid {
        self.cluster
    }

    /// Fetches new logs, from the node of the last piece if possible.
    pub async fn fetch(&mut self, source: &Source) -> Result<FetchedLogs, Error> {
        let mut nodes = source.nodes().await?;
        let before = self.at.as_ref().map(|at| at.node);
        // Full backups begin with the highest slot, and a node that is being copied lags behind.
        nodes.sort_by_key(|node| (Some(node.id) != before, node.slot));
        let mut failed = None;
        for node in nodes.iter().filter(|node| node.cluster == self.cluster) {
            match self.fetch_from(source, node).await {
                Ok(fetched) => return Ok(fetched),
                Err(error) => {
                    tracing::debug!("no logs from slot {}: {error}", node.slot);
                    failed = failed.or(Some(error));
                }
            }
        }
        Err(failed.unwrap_or_else(|| Error::NoNode(format!("nodes of cluster {}", self.cluster))))
    }

    async fn fetch_from(&self, source: &Source, node: &SourceNode) -> Result<FetchedLogs, Error> {
        let asked = source.client.logs(node.address, node.boot).await;
        let logs = asked.map_err(BackupError::Peer)?.logs;
        let known = self.at.as_ref().and_then(|at| {
            let index = logs.iter().position(|log| at.is_of(node.id, log))?;
            Some((index, at.to))
        });
        // The logs of another node overlap with the shipped ones: continue with the last one that begins early enough.
        let (index, mut from) = known
            .or_else(|| Some((logs.iter().rposition(|log| log.after <= self.last)?, 0)))
            .ok_or(Error::LogsGone(self.last))?;
        let mut fetched = FetchedLogs {
            pieces: Vec::new(),
            more: false,
        };
        let mut size = 0;
        for log in &logs[index..] {
            while from < log.end {
                if size >= MAX_ROUND_BYTES {
                    fetched.more = true;
                    return Ok(fetched);
                }
                let bytes = whole_transactions(source, node, log, from).await?;
                let Some((first, last)) = numbers(&bytes, from) else {
                    // No complete transaction yet.
                    break;
                };
                let to = from + bytes.len() as u64;
                size += bytes.len();
                let origin = LogRange {
                    node: node.id,
                    name: log.name.clone(),
                    created: log.created,
                    from,
                    to,
                };
                fetched.pieces.push((origin, first, last, bytes));
                from = to;
            }
            from = 0;
        }
        Ok(fetched)
    }

    /// Writes the fetched logs to the store. Returns the number of transactions.
    pub async fn write(&mut self, fetched: FetchedLogs) -> Result<u64, Error> {
        let before = self.last;
        for (origin, first, last, bytes) in fetched.pieces {
            // Names must ascend even if the clock goes back.
            let now = Utc::now().max(self.named + chrono::TimeDelta::milliseconds(1));
            let path = format!(
                "{LOGS}/{}/{}_{first}-{last}.log",
                self.cluster,
                now.format(TIME_FORMAT)
            );
            let head = PieceHeader {
                origin: origin.clone(),
                fingerprint: Fingerprint::of(&bytes),
            };
            let mut contents = serde_json::to_vec(&head).expect("plain data can be written as JSON");
            contents.push(b'\n');
            contents.extend(bytes);
            self.vault.pack(&path, true, &contents).await?;
            self.named = now;
            self.last = self.last.max(last);
            self.at = Some(origin);
        }
        Ok(self.last - before)
    }
}

/// Reads `log` at `from`, about [`MAX_RANGE_BYTES`], up to the end of a transaction.
async fn whole_transactions(
    source: &Source,
    node: &SourceNode,
    log: &BinlogInfo,
    from: u64,
) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    loop {
        let at = from + bytes.len() as u64;
        let piece = BinlogRange {
            name: log.name.clone(),
            from: at,
            length: MAX_RANGE_BYTES.min(log.end - at),
        };
        let more = source.client.piece(node.address, node.boot, &piece).await;
        let more = more.map_err(BackupError::Peer)?;
        if more.is_empty() || bytes.len() as u64 > MAX_TRANSACTION_BYTES {
            return Err(BackupError::BrokeOff(node.address).into());
        }
        bytes.extend(more);
        if from + bytes.len() as u64 == log.end {
            return Ok(bytes);
        }
        let mark = if from == 0 { MAGIC_LENGTH } else { 0 };
        let begins = binlog::events(bytes.get(mark..).unwrap_or_default())
            .filter(binlog::BinlogEvent::begins_transaction)
            .map(|event| mark + event.at)
            .filter(|at| *at > mark)
            .last();
        let worth_it = begins.filter(|at| numbers(&bytes[..*at], from).is_some());
        if let Some(end) = worth_it {
            bytes.truncate(end);
            return Ok(bytes);
        }
    }
}

/// Returns the first and the last transaction in a range that begins at `from`.
fn numbers(bytes: &[u8], from: u64) -> Option<(u64, u64)> {
    let mark = if from == 0 { MAGIC_LENGTH } else { 0 };
    let mut numbers = binlog::events(bytes.get(mark..)?).filter_map(|event| event.transaction());
    let first = numbers.next()?;
    Some((first, numbers.last().unwrap_or(first)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_piece_is_parsed() {
        let path = Path::from("logs/x/20261122T200300.125Z_17-42.log.sealed");
        let shipped = ShippedPiece::parse(&path, 9).unwrap();
        assert_eq!((shipped.first, shipped.last, shipped.size), (17, 42, 9));
        assert_eq!(shipped.at.to_rfc3339(), "2026-11-22T20:03:00.125+00:00");
        assert!(shipped.is_encrypted());
        assert_eq!(ShippedPiece::parse(&Path::from("logs/x/readme"), 9), None);
    }
}
