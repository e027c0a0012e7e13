//! Compares rows, files and accounts, repairs what does not agree, and says how much that was.

use std::collections::{HashMap, HashSet};

use chassis::{deleted_accounts, error};
use chrono::TimeDelta;
use imaging::File;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::State;
use crate::domain::{FileKey, FileName, Format, PhotoId, Rendition};
use crate::error::Error;
use crate::files::Found;
use crate::imaging_worker::WorkerError;
use crate::store::sweeping::{self, Owned};
use crate::sweep;

/// Files without a row may belong to an upload whose row is about to be written.
const YOUNG_FILES: TimeDelta = TimeDelta::minutes(10);
/// An account that authentication has never heard of may be news that has not got there yet.
const YOUNG_PHOTOS: TimeDelta = TimeDelta::minutes(15);

/// How much was repaired, and what could not be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Repaired {
    /// Folders of files to which no row belonged: removed.
    pub orphaned_folders: u64,
    /// Files that a row should have had: made again from the master.
    pub missing_files: u64,
    /// Uploads that were not published in time: removed.
    pub expired_uploads: u64,
    /// Authors whose account is gone without our having heard of it.
    pub departed_authors: u64,
    /// Photos of accounts that had been swept: removed.
    pub returned_photos: u64,
    /// Photos and uploads that miss files and have nothing left to make them from. An operator has to restore a backup.
    #[serde(skip)]
    pub beyond_repair: Vec<PhotoId>,
}

impl Repaired {
    /// As the subcommand prints it.
    pub fn to_json(&self) -> Value {
        json!({ "repaired": self, "beyondRepair": self.beyond_repair })
    }

    fn record(&self) {
        let repairs = [
            ("orphaned_folders", self.orphaned_folders),
            ("missing_files", self.missing_files),
            ("expired_uploads", self.expired_uploads),
            ("departed_authors", self.departed_authors),
            ("returned_photos", self.returned_photos),
        ];
        for (what, count) in repairs {
            metrics::counter!("proofsheet_reconcile_repairs_total", "what" => what).increment(count);
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge is a float; nobody loses 2^52 photos"
        )]
        metrics::gauge!("proofsheet_photos_beyond_repair").set(self.beyond_repair.len() as f64);
    }
}

/// Compares everything once. Without our own authentication service, deleted accounts are unknown, and that part is skipped.
pub async fn run(state: &State) -> Result<Repaired, Error> {
    let mut report = Repaired::default();
    let now = state.clock.now();
    let authors = |after| sweeping::authors_after(&state.pool, after, now - YOUNG_PHOTOS);
    match deleted_accounts::reconcile(&state.pool, state.accounts.as_ref(), now, authors).await {
        Ok(departed) => report.departed_authors = departed,
        // The parts that do not need accounts are still compared.
        Err(failure) => {
            tracing::warn!(
                error = error::chain(&failure),
                "the authors could not be compared with the accounts"
            );
        }
    }
    for author in sweeping::returned_authors(&state.pool).await? {
        report.returned_photos += sweep::delete_photos_of(state, author).await?;
    }
    report.expired_uploads = sweep::run(state).await?;
    let blank = sweeping::is_blank(&state.pool).await?;
    for shard in 0..=u8::MAX {
        compare_shard(state, Shard { number: shard, blank }, &mut report).await?;
    }
    report.record();
    Ok(report)
}

struct Shard {
    number: u8,
    /// The database has never held anything. Then it may be the wrong one, and no file is removed on its word.
    blank: bool,
}

impl Shard {
    /// The key before the first of the shard, and its last.
    fn bounds(&self) -> (FileKey, FileKey) {
        let edge = |number: u8| u128::from(number) << 120;
        let before = edge(self.number).saturating_sub(1);
        (
            FileKey(Uuid::from_u128(before)),
            FileKey(Uuid::from_u128(edge(self.number) | (u128::MAX >> 8))),
        )
    }
}

async fn compare_shard(state: &State, shard: Shard, report: &mut Repaired) -> Result<(), Error> {
    // The files first: rows are written after their files, so a row that is there has its files in this list,
    // or is younger than it, and then they are looked at once more.
    let mut found = state.files.shard(shard.number).await?;
    let (mut after, last) = shard.bounds();
    loop {
        let rows = sweeping::owned_after(&state.pool, after, last).await?;
        let Some(row) = rows.last() else { break };
        after = row.file_key;
        for row in rows {
            let there = found
                .remove(&row.file_key)
                .map(|found| found.names)
                .unwrap_or_default();
            if !missing(&row, &there).is_empty() {
                restore(state, &row, report).await?;
            }
        }
    }
    if shard.blank {
        if !found.is_empty() {
            tracing::warn!(
                shard = shard.number,
                folders = found.len(),
                "files in the store and an empty database: nothing is removed"
            );
        }
        return Ok(());
    }
    remove_orphans(state, found, report).await
}

fn missing(row: &Owned, there: &[FileName]) -> Vec<FileName> {
    let there: HashSet<_> = there.iter().copied().collect();
    FileName::all(row.size(), row.file_key.ladder())
        .filter(|name| !there.contains(name))
        .collect()
}

/// Makes the files of a row that are not there.
async fn restore(state: &State, row: &Owned, report: &mut Repaired) -> Result<(), Error> {
    let lost = missing(row, &state.files.names(row.file_key).await?);
    if lost.is_empty() {
        return Ok(());
    }
    let widest = FileName::from(Rendition {
        size: row.size().largest(row.file_key.ladder()),
        format: Format::Jpeg,
    });
    let mut master = None;
    for source in [FileName::Master, widest] {
        if !lost.contains(&source) {
            master = state.files.read(row.file_key, source).await?;
            if master.is_some() {
                break;
            }
        }
    }
    let Some(master) = master else {
        give_up(row, report);
        return Ok(());
    };
    let renditions: Vec<_> = row
        .size()
        .renditions(row.file_key.ladder())
        .filter(|rendition| lost.contains(&FileName::from(*rendition)))
        .collect();
    let mut files = match state.imaging.reencode(master.clone(), renditions).await {
        Ok(files) => files,
        Err(WorkerError::Failed(error)) => return Err(error),
        Err(WorkerError::Picture(_) | WorkerError::TooSlow) => {
            give_up(row, report);
            return Ok(());
        }
    };
    if lost.contains(&FileName::Master) {
        // Encoding the rendition once more would only lose more of it.
        files.push(File {
            name: FileName::Master,
            bytes: master.to_vec(),
        });
    }
    tracing::warn!(photo = %row.id, key = %row.file_key, files = files.len(), "files were missing and were made again");
    report.missing_files += files.len() as u64;
    state.files.write(row.file_key, files).await?;
    // Deleted meanwhile: its files must not come back.
    if crate::store::is_deleted(&state.pool, row.id).await? {
        state.files.remove(row.file_key).await?;
    }
    Ok(())
}

fn give_up(row: &Owned, report: &mut Repaired) {
    tracing::error!(photo = %row.id, key = %row.file_key, "files are missing and nothing is left to make them from; restore them from a backup");
    report.beyond_repair.push(row.id);
}

/// Removes folders that no row answers for.
async fn remove_orphans(
    state: &State,
    found: HashMap<FileKey, Found>,
    report: &mut Repaired,
) -> Result<(), Error> {
    let young = state.clock.now() - YOUNG_FILES;
    let old: Vec<_> = found
        .into_iter()
        .filter(|(_, found)| found.changed_at < young)
        .map(|(key, _)| key)
        .collect();
    for keys in old.chunks(1000) {
        let mut connection = state.pool.acquire().await?;
        let known: HashSet<_> = sweeping::answered_for(&mut connection, keys)
            .await?
            .into_iter()
            .collect();
        for key in keys.iter().filter(|key| !known.contains(key)) {
            tracing::warn!(%key, "files without a photo or an upload were removed");
            state.files.remove(*key).await?;
            report.orphaned_folders += 1;
        }
    }
    Ok(())
}
