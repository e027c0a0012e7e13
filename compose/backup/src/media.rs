//! The files of photos: copied once each, because they never change.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt as _};
use serde::{Deserialize, Serialize};

use crate::config::MediaConfig;
use crate::error::Error;
use crate::manifest::{Manifest, time_of};
use crate::packing::Print;
use crate::store::Store;
use crate::vault::{Item, Vault, is_sealed};

/// The folder of the files.
pub const MEDIA: &str = "media";
/// The folder of the lists of what came since a full backup.
pub const ADDED: &str = "media-added";
/// How many files are copied at once.
const AT_ONCE: usize = 4;

/// A file in the vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Where the photo service has it.
    pub path: String,
    /// What it holds.
    #[serde(flatten)]
    pub print: Print,
    /// Whether it is encrypted in the vault.
    pub sealed: bool,
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
}

impl Media {
    /// Reads from the vault what was copied before.
    pub async fn open(config: &MediaConfig, vault: &Vault) -> Result<Self, Error> {
        let store = Store::open(config.place())?;
        let mut media = Self {
            store,
            vault: vault.clone(),
            known: BTreeMap::new(),
        };
        media.remember().await?;
        Ok(media)
    }

    /// Reads what the vault lists.
    pub async fn remember(&mut self) -> Result<(), Error> {
        let mut lists: Vec<_> = Vec::new();
        for manifest in Manifest::all(&self.vault).await? {
            lists.push(manifest.media.path);
        }
        for list in self.vault.list(ADDED).await? {
            lists.push(list.location.to_string());
        }
        self.known.clear();
        for list in lists {
            match read_list(&self.vault, &list).await {
                Ok(files) => self
                    .known
                    .extend(files.into_iter().map(|file| (file.path.clone(), file))),
                // What it listed is copied again.
                Err(error @ (Error::Damaged(..) | Error::WrongKey(_) | Error::KeyMissing(_))) => {
                    tracing::warn!("a list of files cannot be read: {error}");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Copies what is new, and lists it. Returns how many files that were.
    pub async fn copy_new(&mut self, now: DateTime<Utc>) -> Result<usize, Error> {
        let there = self.listing().await?;
        let new: Vec<_> = there
            .into_iter()
            .filter(|object| !self.known.contains_key(object.location.as_ref()))
            .collect();
        // A few at a time, so that a copy that is interrupted has not been for nothing.
        for some in new.chunks(256) {
            self.copy(some, now).await?;
        }
        Ok(new.len())
    }

    async fn copy(&mut self, objects: &[ObjectMeta], now: DateTime<Utc>) -> Result<(), Error> {
        let copies: Vec<_> = objects
            .iter()
            .map(|object| copy_one(self.store.clone(), self.vault.clone(), object.location.clone()))
            .collect();
        let copied: Vec<Option<Known>> = futures::stream::iter(copies)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let copied: Vec<Known> = copied.into_iter().flatten().collect();
        if copied.is_empty() {
            return Ok(());
        }
        let name = format!("{ADDED}/{}.jsonl.zst", now.format("%Y%m%dT%H%M%S%.6fZ"));
        // Two batches of the same moment.
        let first = &copied[0].print.sha256[..8];
        let name = name.replace(".jsonl", &format!("-{first}.jsonl"));
        write_list(&self.vault, &name, copied.iter()).await?;
        self.known
            .extend(copied.into_iter().map(|file| (file.path.clone(), file)));
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

    /// Lists, for a full backup, what the photo service has now.
    pub async fn write_full_list(&self, path: &str) -> Result<(Item, u64, u64), Error> {
        let there = self.listing().await?;
        let files: Vec<_> = there
            .iter()
            .filter_map(|object| self.known.get(object.location.as_ref()))
            .collect();
        let bytes = files.iter().map(|file| file.print.bytes).sum();
        let item = write_list(&self.vault, path, files.iter().copied()).await?;
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
    let text = vault.unpack(path, true).await?;
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            serde_json::from_slice(line)
                .map_err(|_| Error::Damaged(path.to_owned(), "a line of it is not the JSON of this version"))
        })
        .collect()
}

/// When the list at `location` was written.
pub fn added_at(location: &Path) -> Option<DateTime<Utc>> {
    let name = location.filename()?;
    let seconds = name.get(..15)?;
    time_of(&format!("{seconds}Z"))
}

/// Every file that a restore of `base` may need: what it lists, and all that came later.
pub async fn needed(vault: &Vault, base: &Manifest) -> Result<BTreeMap<String, Known>, Error> {
    let listed = vault.unpack_item(&base.media).await?;
    drop(listed);
    let mut files = BTreeMap::new();
    let mut lists = vec![base.media.path.clone()];
    for list in vault.list(ADDED).await? {
        if added_at(&list.location).is_none_or(|at| at >= base.began_at()) {
            lists.push(list.location.to_string());
        }
    }
    for list in lists {
        let more = read_list(vault, &list).await?;
        files.extend(more.into_iter().map(|file| (file.path.clone(), file)));
    }
    Ok(files)
}

/// Writes files back to where the photo service has them. Those that are there already are left alone.
pub async fn restore(
    config: &MediaConfig,
    vault: &Vault,
    files: &BTreeMap<String, Known>,
) -> Result<u64, Error> {
    let store = &Store::open(config.place())?;
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
        .buffer_unordered(AT_ONCE)
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
