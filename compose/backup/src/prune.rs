//! Deletes data that is not needed to restore a point in time within the retention period.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::error::Error;
use crate::logs::{LOGS, ShippedPiece};
use crate::manifest::{FULL, Manifest, time_of};
use crate::media::{CHANGES, MEDIA, changed_at, path_of, read_list};
use crate::vault::Vault;

/// Minimum age before an unfinished backup is deleted; younger ones may be in progress.
const MIN_UNFINISHED_AGE: TimeDelta = TimeDelta::days(1);
/// Minimum age before an unlisted file is deleted; younger ones may not be listed yet.
const MIN_UNLISTED_AGE: TimeDelta = TimeDelta::days(1);

/// Deletes data older than `keep`. Returns the paths of deleted photo files.
pub async fn prune(vault: &Vault, now: DateTime<Utc>, keep: TimeDelta) -> Result<Vec<String>, Error> {
    let all = Manifest::all(vault).await?;
    let (kept, old) = split(all, now - keep);
    for manifest in &old {
        tracing::info!(backup = manifest.name, "removing an old backup");
        vault.remove_folder(&format!("{FULL}/{}", manifest.name)).await?;
    }
    remove_unfinished(vault, now).await?;
    // Without a backup, it is unknown what is needed.
    let Some(oldest) = kept.first() else {
        return Ok(Vec::new());
    };
    remove_logs(vault, &kept).await?;
    remove_media(vault, &kept, oldest.began_at(), now).await
}

/// Splits backups into kept and expired ones. The newest one before `since` is kept, because later points in time are
/// restored from it.
fn split(manifests: Vec<Manifest>, since: DateTime<Utc>) -> (Vec<Manifest>, Vec<Manifest>) {
    let base = manifests
        .iter()
        .rposition(|manifest| manifest.finished_at <= since);
    let mut old = manifests;
    let kept = old.split_off(base.unwrap_or(0));
    (kept, old)
}

async fn remove_unfinished(vault: &Vault, now: DateTime<Utc>) -> Result<(), Error> {
    for name in vault.folders(FULL).await? {
        let is_old = time_of(&name).is_some_and(|began| began < now - MIN_UNFINISHED_AGE);
        if is_old && matches!(Manifest::read(vault, &name).await, Ok(None)) {
            tracing::info!(backup = name, "removing a backup that was never finished");
            vault.remove_folder(&format!("{FULL}/{name}")).await?;
        }
    }
    Ok(())
}

async fn remove_logs(vault: &Vault, kept: &[Manifest]) -> Result<(), Error> {
    let mut needed: BTreeMap<Uuid, u64> = BTreeMap::new();
    for manifest in kept {
        let first = needed.entry(manifest.cluster).or_insert(manifest.transaction);
        *first = manifest.transaction.min(*first);
    }
    for folder in vault.folders(LOGS).await? {
        let Ok(cluster) = folder.parse() else { continue };
        let Some(copied) = needed.get(&cluster) else {
            // Logs are shipped only after the first full backup of a cluster.
            vault.remove_folder(&format!("{LOGS}/{folder}")).await?;
            continue;
        };
        let shipped = ShippedPiece::all(vault, cluster).await?;
        // A log is needed from its beginning.
        let first = shipped.iter().position(|piece| piece.last > *copied).unwrap_or(0);
        let first = beginning_of_log(vault, &shipped, first).await?;
        for piece in &shipped[..first] {
            vault.remove(&piece.path).await?;
        }
    }
    Ok(())
}

/// Returns the index of the piece with which the log of the piece at `index` begins.
async fn beginning_of_log(vault: &Vault, shipped: &[ShippedPiece], index: usize) -> Result<usize, Error> {
    for at in (0..=index).rev() {
        let Some(piece) = shipped.get(at) else {
            return Ok(0);
        };
        let (origin, _) = piece.read(vault).await?;
        if origin.from == 0 {
            return Ok(at);
        }
    }
    Ok(0)
}

async fn remove_media(
    vault: &Vault,
    kept: &[Manifest],
    oldest: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Vec<String>, Error> {
    let mut listed = HashSet::new();
    for manifest in kept {
        listed.extend(
            read_list(vault, &manifest.media.path)
                .await?
                .into_iter()
                .map(|file| file.path),
        );
    }
    for list in vault.list(CHANGES).await? {
        if changed_at(&list.location).is_some_and(|at| at < oldest) {
            vault.remove(&list.location).await?;
        } else {
            let files = read_list(vault, list.location.as_ref()).await?;
            listed.extend(files.into_iter().map(|file| file.path));
        }
    }
    let mut removed = Vec::new();
    for object in vault.list(MEDIA).await? {
        let Some(path) = path_of(&object.location) else {
            continue;
        };
        if !listed.contains(&path) && object.last_modified < now - MIN_UNLISTED_AGE {
            vault.remove(&object.location).await?;
            removed.push(path);
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packing::{Fingerprint, Packing};
    use crate::vault::Item;
    use database_agent::cluster_record::NodeId;

    fn made_on(day: u32) -> Manifest {
        let item = Item {
            path: String::new(),
            packing: Packing {
                compressed: true,
                encrypted: false,
            },
            content: Fingerprint::of(b""),
            stored: Fingerprint::of(b""),
        };
        let name = format!("202611{day:02}T030000Z");
        Manifest {
            finished_at: time_of(&name).unwrap(),
            name,
            program: String::new(),
            mariadb: String::new(),
            cluster: Uuid::nil(),
            node: NodeId(1),
            transaction: 0,
            database: item.clone(),
            media: item,
            media_files: 0,
            media_bytes: 0,
        }
    }

    fn kept_of(days: &[u32], since: &str) -> Vec<u32> {
        let all = days.iter().map(|day| made_on(*day)).collect();
        let (kept, old) = split(all, since.parse().unwrap());
        assert_eq!(kept.len() + old.len(), days.len());
        kept.iter()
            .map(|manifest| manifest.name[6..8].parse().unwrap())
            .collect()
    }

    #[test]
    fn every_time_in_the_retention_period_can_be_restored() {
        assert_eq!(kept_of(&[1, 2, 3, 4], "2026-11-02T12:00:00Z"), [2, 3, 4]);
        assert_eq!(kept_of(&[3, 4], "2026-11-02T12:00:00Z"), [3, 4]);
        // The newest backup is kept, regardless of its age.
        assert_eq!(kept_of(&[1], "2026-11-30T12:00:00Z"), [1]);
        assert_eq!(kept_of(&[], "2026-11-30T12:00:00Z"), Vec::<u32>::new());
    }
}
