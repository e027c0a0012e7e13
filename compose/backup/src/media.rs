//! The files of photos: copied once each, because they never change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use chassis::objects::{Store, StoreConfig};
use chrono::{DateTime, Utc};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt as _, RetryConfig};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::manifest::{Manifest, time_of};
use crate::packing::Fingerprint;
use crate::replay::RestoreTarget;
use crate::vault::{Item, Vault, is_encrypted};

/// The folder of the files.
pub const MEDIA: &str = "media";
/// The folder of the lists of files that were added or removed since a full backup.
pub const CHANGES: &str = "media-changes";
/// Up to this number of files, removals are always recorded; above it only if they are less than half of all files.
const MIN_MASS_REMOVAL: usize = 100;
/// How long a file must be missing before its removal is recorded.
const REMOVAL_DELAY: Duration = Duration::from_secs(60);
/// Maximum number of concurrent copies.
const MAX_CONCURRENT_COPIES: usize = 4;

/// A file in the vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUpFile {
    /// The path in the photo store.
    pub path: String,
    /// The content of the file.
    #[serde(flatten)]
    pub fingerprint: Fingerprint,
    /// Whether it is encrypted in the vault.
    #[serde(rename = "sealed")]
    pub encrypted: bool,
    /// Whether the photo service has removed it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}

impl BackedUpFile {
    /// The path in the backup store.
    pub fn in_vault(&self) -> String {
        let suffix = if self.encrypted { ".sealed" } else { "" };
        format!("{MEDIA}/{}{suffix}", self.path)
    }

    /// Reads the file and verifies its hash.
    pub async fn read(&self, vault: &Vault) -> Result<Vec<u8>, Error> {
        let contents = vault.unpack(&self.in_vault(), false).await?;
        if Fingerprint::of(&contents) != self.fingerprint {
            return Err(Error::Damaged(self.in_vault(), "its hash is wrong"));
        }
        Ok(contents)
    }
}

/// Copies photo files, and lists them.
#[derive(Debug)]
pub struct Media {
    store: Store,
    vault: Vault,
    known: BTreeMap<String, BackedUpFile>,
    /// Files that the photo service has removed, and when this was detected.
    gone: BTreeMap<String, Instant>,
}

impl Media {
    /// Opens the store of photos, and reads the lists of copied files from the vault.
    pub async fn open(config: &StoreConfig, vault: &Vault) -> Result<Self, Error> {
        let store = Store::open(config.location(), RetryConfig::default())?;
        let mut media = Self {
            store,
            vault: vault.clone(),
            known: BTreeMap::new(),
            gone: BTreeMap::new(),
        };
        media.load_lists().await?;
        Ok(media)
    }

    /// Reads the lists of all full backups, and the changes since the newest one.
    async fn load_lists(&mut self) -> Result<(), Error> {
        let manifests = Manifest::all(&self.vault).await?;
        for manifest in &manifests {
            // Files that the newest list lacks were removed before it.
            for file in self.known.values_mut() {
                file.removed = true;
            }
            self.load_list(&manifest.media.path).await?;
        }
        let newest = manifests.last().map(Manifest::began_at);
        for list in self.vault.list(CHANGES).await? {
            if changed_at(&list.location) >= newest {
                self.load_list(list.location.as_ref()).await?;
            }
        }
        Ok(())
    }

    async fn load_list(&mut self, list: &str) -> Result<(), Error> {
        match read_list(&self.vault, list).await {
            Ok(files) => self
                .known
                .extend(files.into_iter().map(|file| (file.path.clone(), file))),
            // The files in the damaged list are copied again.
            Err(error @ (Error::Damaged(..) | Error::WrongKey(_) | Error::KeyMissing(_))) => {
                tracing::warn!("a list of files cannot be read: {error}");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Copies and lists new files. Returns their number.
    pub async fn copy_new(&mut self, now: DateTime<Utc>) -> Result<usize, Error> {
        let there = self.listing().await?;
        self.find_removed(&there);
        let new: Vec<_> = there
            .into_iter()
            .filter(|object| {
                let known = self.known.get(object.location.as_ref());
                known.is_none_or(|file| file.removed)
            })
            .collect();
        // In chunks, so that an interruption loses little.
        for some in new.chunks(256) {
            self.copy(some, now).await?;
        }
        Ok(new.len())
    }

    async fn copy(&mut self, objects: &[ObjectMeta], now: DateTime<Utc>) -> Result<(), Error> {
        let tasks: Vec<_> = objects
            .iter()
            .map(|object| copy_one(self.store.clone(), self.vault.clone(), object.location.clone()))
            .collect();
        let copied: Vec<Option<BackedUpFile>> = futures::stream::iter(tasks)
            .buffer_unordered(MAX_CONCURRENT_COPIES)
            .try_collect()
            .await?;
        let copied: Vec<BackedUpFile> = copied.into_iter().flatten().collect();
        self.record_changes(copied, now).await
    }

    fn find_removed(&mut self, there: &[ObjectMeta]) {
        let there: BTreeSet<_> = there.iter().map(|object| object.location.as_ref()).collect();
        let had = self.known.values().filter(|file| !file.removed);
        let gone = had.filter(|file| !there.contains(file.path.as_str()));
        self.gone = gone
            .map(|file| {
                let since = self.gone.get(&file.path).copied();
                (file.path.clone(), since.unwrap_or_else(Instant::now))
            })
            .collect();
    }

    /// Records removed files, so that a restore does not bring them back. Files are removed after their rows, so this
    /// waits until the logs of the removal are shipped.
    pub async fn record_removed(&mut self, now: DateTime<Utc>) -> Result<(), Error> {
        let had = self.known.values().filter(|file| !file.removed).count();
        if self.gone.len() > MIN_MASS_REMOVAL.max(had / 2) {
            tracing::error!(
                "{} of {had} files of photos are not there any more: that looks like a lost store, so a restore would \
                 still bring them back",
                self.gone.len()
            );
            return Ok(());
        }
        let gone = self
            .gone
            .iter()
            .filter(|(_, since)| since.elapsed() > REMOVAL_DELAY);
        let removed: Vec<_> = gone
            .filter_map(|(path, _)| self.known.get(path))
            .map(|file| BackedUpFile {
                removed: true,
                ..file.clone()
            })
            .collect();
        for file in &removed {
            self.gone.remove(&file.path);
        }
        self.record_changes(removed, now).await
    }

    /// Records changes in a list in the store.
    async fn record_changes(&mut self, files: Vec<BackedUpFile>, now: DateTime<Utc>) -> Result<(), Error> {
        let Some(first) = files.first() else {
            return Ok(());
        };
        // Lists of the same time have different names.
        let (time, hash) = (now.format("%Y%m%dT%H%M%S%.6fZ"), &first.fingerprint.sha256[..8]);
        let name = format!("{CHANGES}/{time}-{hash}.jsonl.zst");
        write_list(&self.vault, &name, files.iter()).await?;
        self.known
            .extend(files.into_iter().map(|file| (file.path.clone(), file)));
        Ok(())
    }

    /// Lists all files of the photo service.
    async fn listing(&self) -> Result<Vec<ObjectMeta>, Error> {
        self.store
            .objects
            .list(None)
            .try_collect()
            .await
            .map_err(Error::Media)
    }

    /// Returns the current files of the photo service that are in the vault.
    pub fn present(&self) -> Vec<String> {
        let present = self.known.values().filter(|file| !file.removed);
        present.map(|file| file.path.clone()).collect()
    }

    /// Writes the list of a full backup: the files that were `present` before it started, and those that exist now.
    pub async fn write_full_list(&self, path: &str, present: Vec<String>) -> Result<(Item, u64, u64), Error> {
        let mut paths: BTreeSet<_> = present.into_iter().collect();
        paths.extend(self.present());
        let files: Vec<_> = paths.iter().filter_map(|path| self.known.get(path)).collect();
        let bytes = files.iter().map(|file| file.fingerprint.bytes).sum();
        let listed = files.iter().map(|file| BackedUpFile {
            removed: false,
            ..(*file).clone()
        });
        let listed: Vec<_> = listed.collect();
        let item = write_list(&self.vault, path, listed.iter()).await?;
        Ok((item, files.len() as u64, bytes))
    }

    /// Removes files from the list that are not in the store any more.
    pub fn remove_known(&mut self, paths: &[String]) {
        for path in paths {
            self.known.remove(path);
        }
    }
}

/// Copies a file; `None` if it was deleted meanwhile.
async fn copy_one(store: Store, vault: Vault, location: Path) -> Result<Option<BackedUpFile>, Error> {
    let contents = match store.objects.get(&location).await {
        Ok(found) => found.bytes().await.map_err(Error::Media)?,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(Error::Media(error)),
    };
    let path = location.to_string();
    let item = vault.pack(&format!("{MEDIA}/{path}"), false, &contents).await?;
    Ok(Some(BackedUpFile {
        path,
        fingerprint: item.content,
        encrypted: item.packing.encrypted,
        removed: false,
    }))
}

async fn write_list(
    vault: &Vault,
    path: &str,
    files: impl Iterator<Item = &BackedUpFile>,
) -> Result<Item, Error> {
    let mut text = Vec::new();
    for file in files {
        serde_json::to_writer(&mut text, file).expect("plain data can be written as JSON");
        text.push(b'\n');
    }
    vault.pack(path, true, &text).await
}

/// Reads a list of files.
pub async fn read_list(vault: &Vault, path: &str) -> Result<Vec<BackedUpFile>, Error> {
    parse_list(path, &vault.unpack(path, true).await?)
}

fn parse_list(path: &str, text: &[u8]) -> Result<Vec<BackedUpFile>, Error> {
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            serde_json::from_slice(line)
                .map_err(|_| Error::Damaged(path.to_owned(), "a line of it is not the JSON of this version"))
        })
        .collect()
}

/// When the list at `location` was written.
pub fn changed_at(location: &Path) -> Option<DateTime<Utc>> {
    let name = location.filename()?;
    let seconds = name.get(..15)?;
    time_of(&format!("{seconds}Z"))
}

/// Returns all files that a restore of `base` to a point in time needs: the files in its list, and later ones. Files
/// from after that time are included, because files are copied later than they are written; the photo service removes
/// files without a row.
pub async fn needed(
    vault: &Vault,
    base: &Manifest,
    to: RestoreTarget,
) -> Result<BTreeMap<String, BackedUpFile>, Error> {
    let listed = parse_list(&base.media.path, &vault.unpack_item(&base.media).await?)?;
    let mut files: BTreeMap<_, _> = listed.into_iter().map(|file| (file.path.clone(), file)).collect();
    for list in vault.list(CHANGES).await? {
        let at = changed_at(&list.location).unwrap_or(base.finished_at);
        if at < base.began_at() {
            continue;
        }
        for file in read_list(vault, list.location.as_ref()).await? {
            let gone_by_then = match to {
                RestoreTarget::Latest => true,
                RestoreTarget::At(time) => at <= time,
            };
            if !file.removed {
                files.insert(file.path.clone(), file);
            } else if gone_by_then {
                files.remove(&file.path);
            }
        }
    }
    Ok(files)
}

/// Restores missing files to the photo store.
pub async fn restore(
    config: &StoreConfig,
    vault: &Vault,
    files: &BTreeMap<String, BackedUpFile>,
) -> Result<u64, Error> {
    let store = &Store::open(config.location(), RetryConfig::default())?;
    let there: Vec<ObjectMeta> = store
        .objects
        .list(None)
        .try_collect()
        .await
        .map_err(Error::Media)?;
    let there: BTreeMap<_, _> = there
        .iter()
        .map(|object| (object.location.as_ref(), object.size))
        .collect();
    let missing = files
        .values()
        .filter(|file| there.get(file.path.as_str()) != Some(&file.fingerprint.bytes));
    futures::stream::iter(missing)
        .map(|file| async move {
            let contents = file.read(vault).await?;
            store
                .objects
                .put(&Path::from(file.path.as_str()), contents.into())
                .await
                .map_err(Error::Media)?;
            Ok(1)
        })
        .buffer_unordered(MAX_CONCURRENT_COPIES)
        .try_fold(0, |sum, one: u64| async move { Ok(sum + one) })
        .await
}

/// Returns the path at the photo service of a file in the vault.
pub fn path_of(in_vault: &Path) -> Option<String> {
    let path = in_vault.as_ref().strip_prefix("media/")?;
    Some(if is_encrypted(path) {
        path.trim_end_matches(".sealed").to_owned()
    } else {
        path.to_owned()
    })
}
