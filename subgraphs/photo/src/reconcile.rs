//! Compares rows, files and accounts, repairs differences, and reports their number.

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
use crate::store::sweeping::{self, FilesOwner};
use crate::sweep;

/// Younger files without a row are kept, because their row may be about to be written.
const FILE_SETTLE_TIME: TimeDelta = TimeDelta::minutes(10);
/// Photos of accounts that authentication does not know yet may be younger than this.
const ACCOUNT_SETTLE_TIME: TimeDelta = TimeDelta::minutes(15);

/// The numbers of repairs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Repaired {
    /// Deleted folders without a row.
    pub orphaned_folders: u64,
    /// Files that were missing and were encoded again from the master.
    pub missing_files: u64,
    /// Deleted uploads that were not published in time.
    pub expired_uploads: u64,
    /// Newly found deleted accounts.
    pub departed_authors: u64,
    /// Deleted photos of accounts that had already been swept.
    pub returned_photos: u64,
    /// Photos and uploads with missing files that cannot be encoded again. An operator has to restore a backup.
    #[serde(skip)]
    pub beyond_repair: Vec<PhotoId>,
}

impl Repaired {
    /// Returns the report of the subcommand.
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
            reason = "a gauge is a float, and the number is small"
        )]
        metrics::gauge!("proofsheet_photos_beyond_repair").set(self.beyond_repair.len() as f64);
    }
}

/// Compares everything once. Skips accounts if the issuer is external.
pub async fn run(state: &State) -> Result<Repaired, Error> {
    let mut report = Repaired::default();
    let now = state.clock.now();
    let authors = |after| sweeping::authors_after(&state.pool, after, now - ACCOUNT_SETTLE_TIME);
    match deleted_accounts::reconcile(&state.pool, state.accounts.as_ref(), now, authors).await {
        Ok(deleted_accounts) => report.departed_authors = deleted_accounts,
        // The comparison of files does not need accounts.
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
    /// The database has never had photos. It may be the wrong one, so no files are deleted.
    blank: bool,
}

impl Shard {
    /// Returns the key before the first of the shard, and its last.
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
    // The files are listed first: a row is written after its files, so a listed row either has its files in this list
    // or is newer, and its files are checked again.
    let mut found = state.files.shard(shard.number).await?;
    let (mut after, last) = shard.bounds();
    loop {
        let rows = sweeping::owners_after(&state.pool, after, last).await?;
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
                "the store has files but the database is empty; nothing is deleted"
            );
        }
        return Ok(());
    }
    remove_orphans(state, found, report).await
}

fn missing(row: &FilesOwner, there: &[FileName]) -> Vec<FileName> {
    let there: HashSet<_> = there.iter().copied().collect();
    FileName::all(row.size(), row.file_key.ladder())
        .filter(|name| !there.contains(name))
        .collect()
}

/// Encodes missing files again.
async fn restore(state: &State, row: &FilesOwner, report: &mut Repaired) -> Result<(), Error> {
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
        // The copied rendition becomes the master, because encoding it again would lose quality.
        files.push(File {
            name: FileName::Master,
            bytes: master.to_vec(),
        });
    }
    tracing::warn!(photo = %row.id, key = %row.file_key, files = files.len(), "restored missing files");
    report.missing_files += files.len() as u64;
    state.files.write(row.file_key, files).await?;
    // Deleted meanwhile: its files must not be restored.
    if crate::store::is_deleted(&state.pool, row.id).await? {
        state.files.remove(row.file_key).await?;
    }
    Ok(())
}

fn give_up(row: &FilesOwner, report: &mut Repaired) {
    tracing::error!(photo = %row.id, key = %row.file_key, "files are missing and cannot be encoded again; restore them from a backup");
    report.beyond_repair.push(row.id);
}

/// Deletes folders without a row.
async fn remove_orphans(
    state: &State,
    found: HashMap<FileKey, Found>,
    report: &mut Repaired,
) -> Result<(), Error> {
    let young = state.clock.now() - FILE_SETTLE_TIME;
    let old: Vec<_> = found
        .into_iter()
        .filter(|(_, found)| found.changed_at < young)
        .map(|(key, _)| key)
        .collect();
    for keys in old.chunks(1000) {
        let mut connection = state.pool.acquire().await?;
        let known: HashSet<_> = sweeping::keys_in_use(&mut connection, keys)
            .await?
            .into_iter()
            .collect();
        for key in keys.iter().filter(|key| !known.contains(key)) {
            tracing::warn!(%key, "deleted files without a photo or an upload");
            state.files.remove(*key).await?;
            report.orphaned_folders += 1;
        }
    }
    Ok(())
}
