//! Assembles shipped logs into files with exactly the transactions to replay.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use chrono::{DateTime, Utc};
use database_agent::binlog::{self, MAGIC_LENGTH};

use crate::error::Error;
use crate::logs::{LogRange, ShippedPiece};
use crate::manifest::Manifest;
use crate::vault::Vault;

/// The point in time to restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreTarget {
    /// The newest state.
    Latest,
    /// The state at this second.
    At(DateTime<Utc>),
}

impl FromStr for RestoreTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        DateTime::parse_from_rfc3339(text)
            .map(|time| Self::At(time.with_timezone(&Utc)))
            .map_err(|_| "expected latest, or a time such as 2026-11-22T20:15:00Z".to_owned())
    }
}

impl RestoreTarget {
    /// Whether a transaction at `seconds` since the epoch is included.
    fn includes(self, seconds: u32) -> bool {
        match self {
            Self::Latest => true,
            Self::At(time) => i64::from(seconds) <= time.timestamp(),
        }
    }

    /// Returns the newest backup that was finished by then.
    pub fn base(self, manifests: Vec<Manifest>) -> Result<Manifest, Error> {
        let base = manifests.into_iter().rfind(|manifest| match self {
            Self::Latest => true,
            Self::At(time) => manifest.finished_at <= time,
        });
        base.ok_or_else(|| {
            Error::NoBackup(match self {
                Self::Latest => "at all".to_owned(),
                Self::At(time) => format!("that was finished by {time}"),
            })
        })
    }
}

/// The result of planning a replay.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The binary logs, in order.
    pub files: Vec<PathBuf>,
    /// The number of the last transaction.
    pub reached: u64,
    /// When that transaction was written. `None` if there is none after the full backup.
    pub written_at: Option<DateTime<Utc>>,
    /// When the last piece was shipped.
    pub shipped_at: DateTime<Utc>,
    /// Whether all shipped transactions are included, because the requested time is after the last one.
    pub all: bool,
}

/// Assembles the transactions after `base`, and writes them into `folder` if it is given.
pub async fn assemble(
    vault: &Vault,
    base: &Manifest,
    to: RestoreTarget,
    folder: Option<&Path>,
) -> Result<Replay, Error> {
    let shipped = ShippedPiece::all(vault, base.cluster).await?;
    let mut assembly = Assembly {
        folder,
        to,
        segment: None,
        replay: Replay {
            files: Vec::new(),
            reached: base.transaction,
            written_at: None,
            shipped_at: base.finished_at,
            all: true,
        },
    };
    for piece in &shipped[first_needed(vault, &shipped, base.transaction).await?..] {
        let (origin, bytes) = piece.read(vault).await?;
        if !assembly.continues(&origin) {
            assembly.end_segment(piece)?;
            if !assembly.replay.all {
                return Ok(assembly.replay);
            }
        }
        assembly.add(piece, &origin, bytes)?;
    }
    if let Some(last) = shipped.last() {
        assembly.end_segment(last)?;
    }
    Ok(assembly.replay)
}

/// Returns the index of the first needed piece: the beginning of the log with the first transaction after `copied`.
async fn first_needed(vault: &Vault, shipped: &[ShippedPiece], copied: u64) -> Result<usize, Error> {
    let Some(mut index) = shipped.iter().position(|piece| piece.last > copied) else {
        return Ok(shipped.len());
    };
    while index > 0 {
        let (origin, _) = shipped[index].read(vault).await?;
        if origin.from == 0 {
            break;
        }
        index -= 1;
    }
    Ok(index)
}

struct Assembly<'a> {
    folder: Option<&'a Path>,
    to: RestoreTarget,
    /// The current log, as far as it was shipped.
    segment: Option<(LogRange, Vec<u8>)>,
    replay: Replay,
}

impl Assembly<'_> {
    fn continues(&self, origin: &LogRange) -> bool {
        let segment = self.segment.as_ref();
        segment.is_none_or(|(before, _)| origin.continues(before))
    }

    fn add(&mut self, piece: &ShippedPiece, origin: &LogRange, bytes: Vec<u8>) -> Result<(), Error> {
        match &mut self.segment {
            // Pieces that two processes shipped at the same time overlap.
            Some((so_far, whole)) => {
                let known = usize::try_from(so_far.to - origin.from).unwrap_or(usize::MAX);
                if let Some(new) = bytes.get(known..) {
                    whole.extend_from_slice(new);
                    so_far.to = so_far.to.max(origin.to);
                }
            }
            None if origin.from == 0 => self.segment = Some((origin.clone(), bytes)),
            None if piece.last <= self.replay.reached => {}
            None => return Err(self.gap(piece.first)),
        }
        self.replay.shipped_at = piece.at;
        Ok(())
    }

    fn gap(&self, before: u64) -> Error {
        Error::Gap {
            after: self.replay.reached,
            before,
            until: self.replay.written_at.unwrap_or(self.replay.shipped_at),
        }
    }

    /// Writes the wanted transactions of the segment, and ends it. `next` is the piece after it.
    fn end_segment(&mut self, next: &ShippedPiece) -> Result<(), Error> {
        let Some((_, bytes)) = self.segment.take() else {
            return Ok(());
        };
        let events = || binlog::events(bytes.get(MAGIC_LENGTH..).unwrap_or_default());
        let before = events().find_map(|event| event.before_this_file()).unwrap_or(0);
        if before > self.replay.reached {
            return Err(self.gap(before.min(next.first)));
        }
        let wanted = self.wanted_range(&bytes);
        let Some((head, from, to)) = wanted else {
            return Ok(());
        };
        let Some(folder) = self.folder else {
            return Ok(());
        };
        let path = folder.join(format!("{:06}.binlog", self.replay.files.len() + 1));
        let cut = [&bytes[..head], &bytes[from..to]].concat();
        std::fs::write(&path, cut).map_err(Error::io(&path))?;
        self.replay.files.push(path);
        Ok(())
    }

    /// Returns the end of the log's header, and the range of the wanted transactions, as offsets in bytes.
    fn wanted_range(&mut self, bytes: &[u8]) -> Option<(usize, usize, usize)> {
        let mut head = None;
        let mut from = None;
        for event in binlog::events(bytes.get(MAGIC_LENGTH..)?) {
            let at = MAGIC_LENGTH + event.at;
            if event.begins_transaction() {
                head.get_or_insert(at);
            }
            let Some(number) = event.transaction().filter(|number| *number > self.replay.reached) else {
                continue;
            };
            if !self.to.includes(event.time) {
                self.replay.all = false;
                return Some((head?, from?, at));
            }
            from.get_or_insert(at);
            self.replay.reached = number;
            self.replay.written_at = DateTime::from_timestamp(i64::from(event.time), 0);
        }
        Some((head?, from?, bytes.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_latest_or_a_time() {
        assert_eq!("latest".parse(), Ok(RestoreTarget::Latest));
        let at = "2026-11-22T21:15:00+01:00".parse::<RestoreTarget>().unwrap();
        assert_eq!(at, RestoreTarget::At("2026-11-22T20:15:00Z".parse().unwrap()));
        assert!("yesterday".parse::<RestoreTarget>().is_err());
        // The precision is a second: all transactions of that second are included.
        let second = u32::try_from(
            "2026-11-22T20:15:00Z"
                .parse::<DateTime<Utc>>()
                .unwrap()
                .timestamp(),
        )
        .unwrap();
        assert!(at.includes(second));
        assert!(!at.includes(second + 1));
    }
}
