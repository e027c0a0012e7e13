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
use crate::packing::Print;
use crate::replay::Moment;
use crate::vault::{Item, Vault, is_sealed};

/// The folder of the files.
pub const MEDIA: &str = "media";
/// The folder of the lists of what came and went since a full backup.
pub const CHANGES: &str = "media-changes";
/// So many files may well be removed at once; more, only if they are less than half of all.
const FEW: usize = 100;
/// A file has to be gone for so long before that is noted.
const GONE_FOR: Duration = Duration::from_secs(60);
/// How many files are copied at once.
const MAX_CONCURRENT_COPIES: usize = 4;

/// A file in the vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Where the photo service has it.
    pub path: String,
    /// The content of the file.
    #[serde(flatten)]
    pub print: Print,
    /// Whether it is encrypted in the vault.
    pub sealed: bool,
    /// Whether the photo service has removed it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}

impl Known {
    /// Where it is in the vault.
    pub fn in_vault(&self) -> String {
        let sealed = if self.sealed { ".sealed" } else { "" };
        format!("{MEDIA}/{}{sealed}", self.path)
    }

    /// Reads it, and compares its hash.
    pub async fn read(&self, vault: &Vault) -> Result<Vec<u8>, Error> {
        let contents = vault.unpack(&self.in_vault(), false).await?;
        if Print::of(&contents) != self.print {
            return Err(Error::Damaged(
                self.in_vault(),
                "its hash is not that of what was written",
            ));
        }
        Ok(contents)
    }
}

/// Copies files, and remembers which it has.
#[derive(Debug)]
pub struct Media {
    store: Store,
    vault: Vault,
    known: BTreeMap<String, Known>,
    /// Files that the photo service has removed, and when that was noticed.
    gone: BTreeMap<String, Instant>,
}

impl Media {
    /// Reads from the vault what was copied before.
    pub async fn open(config: &StoreConfig, vault: &Vault) -> Result<Self, Error> {
        let store = Store::open(config.place(), RetryConfig::default())?;
        let mut media = Self {
            store,
            vault: vault.clone(),
            known: BTreeMap::new(),
            gone: BTreeMap::new(),
        };
        media.remember().await?;
        Ok(media)
    }

    /// Reads what the vault lists: all full backups, and what has changed since the newest one.
    async fn remember(&mut self) -> Result<(), Error> {
        let manifests = Manifest::all(&self.vault).await?;
        for manifest in &manifests {
            // Files that the newest list lacks were removed before it.
            for file in self.known.values_mut() {
                file.removed = true;
            }
            self.learn(&manifest.media.path).await?;
        }
        let newest = manifests.last().map(Manifest::began_at);
        for list in self.vault.list(CHANGES).await? {
            if changed_at(&list.location) >= newest {
                self.learn(list.location.as_ref()).await?;
            }
        }
        Ok(())
    }

    async fn learn(&mut self, list: &str) -> Result<(), Error> {
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

    /// Copies what is new, and lists it. Returns how many files that were.
    pub async fn copy_new(&mut self, now: DateTime<Utc>) -> Result<usize, Error> {
        let there = self.listing().await?;
        self.look_for_gone(&there);
        let new: Vec<_> = there
            .into_iter()
            .filter(|object| {
                let known = self.known.get(object.location.as_ref());
                known.is_none_or(|file| file.removed)
            })
            .collect();
        // A few at a time, so that a copy that is interrupted has not been for nothing.
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
        let copied: Vec<Option<Known>> = futures::stream::iter(tasks)
            .buffer_unordered(MAX_CONCURRENT_COPIES)
            .try_collect()
            .await?;
        let copied: Vec<Known> = copied.into_iter().flatten().collect();
        self.note(copied, now).await
    }

    fn look_for_gone(&mut self, there: &[ObjectMeta]) {
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

    /// Notes what the photo service has removed: a restore would bring back what people have deleted. The files go
    /// after their rows, so this waits until the logs that tell so are in the vault for certain.
    pub async fn note_gone(&mut self, now: DateTime<Utc>) -> Result<(), Error> {
        let had = self.known.values().filter(|file| !file.removed).count();
        if self.gone.len() > FEW.max(had / 2) {
            tracing::error!(
                "{} of {had} files of photos are not there any more: that looks like a lost store, so a restore would \
                 still bring them back",
                self.gone.len()
            );
            return Ok(());
        }
        let gone = self.gone.iter().filter(|(_, since)| since.elapsed() > GONE_FOR);
        let removed: Vec<_> = gone
            .filter_map(|(path, _)| self.known.get(path))
            .map(|file| Known {
                removed: true,
                ..file.clone()
            })
            .collect();
        for file in &removed {
            self.gone.remove(&file.path);
        }
        self.note(removed, now).await
    }

    /// Lists a change, and remembers it.
    async fn note(&mut self, files: Vec<Known>, now: DateTime<Utc>) -> Result<(), Error> {
        let Some(first) = files.first() else {
            return Ok(());
        };
        // Two lists of the same moment have different names.
        let (time, hash) = (now.format("%Y%m%dT%H%M%S%.6fZ"), &first.print.sha256[..8]);
        let name = format!("{CHANGES}/{time}-{hash}.jsonl.zst");
        write_list(&self.vault, &name, files.iter()).await?;
        self.known
            .extend(files.into_iter().map(|file| (file.path.clone(), file)));
        Ok(())
    }

    /// Everything that the photo service has.
    async fn listing(&self) -> Result<Vec<ObjectMeta>, Error> {
        self.store
            .objects
            .list(None)
            .try_collect()
            .await
            .map_err(Error::Media)
    }

    /// The photo service's current files that are in the vault.
    pub fn present(&self) -> Vec<String> {
        let present = self.known.values().filter(|file| !file.removed);
        present.map(|file| file.path.clone()).collect()
    }

    /// Lists, for a full backup, what was `present` before it began and what is now.
    pub async fn write_full_list(&self, path: &str, present: Vec<String>) -> Result<(Item, u64, u64), Error> {
        let mut paths: BTreeSet<_> = present.into_iter().collect();
        paths.extend(self.present());
        let files: Vec<_> = paths.iter().filter_map(|path| self.known.get(path)).collect();
        let bytes = files.iter().map(|file| file.print.bytes).sum();
        let listed = files.iter().map(|file| Known {
            removed: false,
            ..(*file).clone()
        });
        let listed: Vec<_> = listed.collect();
        let item = write_list(&self.vault, path, listed.iter()).await?;
        Ok((item, files.len() as u64, bytes))
    }

    /// Forgets what is not in the vault any more.
    pub fn forget(&mut self, paths: &[String]) {
        for path in paths {
            self.known.remove(path);
        }
    }
}

/// A file that is gone when its turn comes was deleted meanwhile.
async fn copy_one(store: Store, vault: Vault, location: Path) -> Result<Option<Known>, Error> {
    let contents = match store.objects.get(&location).await {
        Ok(found) => found.bytes().await.map_err(Error::Media)?,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(Error::Media(error)),
    };
    let path = location.to_string();
    let item = vault.pack(&format!("{MEDIA}/{path}"), false, &contents).await?;
    Ok(Some(Known {
        path,
        print: item.content,
        sealed: item.packing.sealed,
        removed: false,
    }))
}

async fn write_list(vault: &Vault, path: &str, files: impl Iterator<Item = &Known>) -> Result<Item, Error> {
    let mut text = Vec::new();
    for file in files {
        serde_json::to_writer(&mut text, file).expect("plain data can be written as JSON");
        text.push(b'\n');
    }
    vault.pack(path, true, &text).await
}

/// Reads a list of files.
pub async fn read_list(vault: &Vault, path: &str) -> Result<Vec<Known>, Error> {
    parse_list(path, &vault.unpack(path, true).await?)
}

fn parse_list(path: &str, text: &[u8]) -> Result<Vec<Known>, Error> {
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

/// Every file that a restore of `base` to a moment needs: the files in its list, and later ones. Files from after the
/// moment are included, because a file is copied a little later than it was written; the photo service removes files
/// without a row.
pub async fn needed(vault: &Vault, base: &Manifest, to: Moment) -> Result<BTreeMap<String, Known>, Error> {
    let listed = parse_list(&base.media.path, &vault.unpack_item(&base.media).await?)?;
    let mut files: BTreeMap<_, _> = listed.into_iter().map(|file| (file.path.clone(), file)).collect();
    for list in vault.list(CHANGES).await? {
        let at = changed_at(&list.location).unwrap_or(base.finished_at);
        if at < base.began_at() {
            continue;
        }
        for file in read_list(vault, list.location.as_ref()).await? {
            let gone_by_then = match to {
                Moment::Latest => true,
                Moment::At(time) => at <= time,
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

/// Writes files back to where the photo service has them. Those that are there already are left alone.
pub async fn restore(
    config: &StoreConfig,
    vault: &Vault,
    files: &BTreeMap<String, Known>,
) -> Result<u64, Error> {
    let store = &Store::open(config.place(), RetryConfig::default())?;
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
        .filter(|file| there.get(file.path.as_str()) != Some(&file.print.bytes));
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

/// The path at the photo service of a file in the vault.
pub fn path_of(in_vault: &Path) -> Option<String> {
    let path = in_vault.as_ref().strip_prefix("media/")?;
    Some(if is_sealed(path) {
        path.trim_end_matches(".sealed").to_owned()
    } else {
        path.to_owned()
    })
}
