//! The storage of photo files: a folder, or a bucket of an S3 service.
//!
//! The files of a photo share a folder that is named by its key. The folders are distributed over 256 shards by the
//! first two digits of the key, so that reconciliation can compare files and rows shard by shard.

use std::collections::HashMap;
use std::path::Path as FsPath;
use std::time::Duration;

use bytes::Bytes;
use chassis::config::ConfigError;
use chassis::objects::{Store, StoreConfig};
use chrono::{DateTime, Utc};
use futures::{StreamExt as _, TryStreamExt as _};
use imaging::File;
use object_store::path::Path;
use object_store::{BackoffConfig, GetOptions, GetResult, ObjectStoreExt as _, RetryConfig};

use crate::domain::{FileKey, FileName};
use crate::error::Error;

/// The number of concurrent writes for a photo.
const MAX_CONCURRENT_WRITES: usize = 4;

/// The total time of retries if the bucket does not respond, while a request waits.
const RETRY_TIMEOUT: Duration = Duration::from_secs(4);

/// The store. Cheap to clone. Folders are listed and deleted without `object_store`, which hides incomplete writes, and
/// these must be deleted too.
#[derive(Debug, Clone)]
pub struct Files(Store);

/// The stored files of a key.
#[derive(Debug, Clone)]
pub struct Found {
    /// Files with known names.
    pub names: Vec<FileName>,
    /// The last modification.
    pub changed_at: DateTime<Utc>,
}

impl Files {
    /// Opens the store. Creates a missing folder.
    pub fn open(config: &StoreConfig) -> Result<Self, ConfigError> {
        let retry = RetryConfig {
            backoff: BackoffConfig {
                max_backoff: Duration::from_secs(1),
                ..BackoffConfig::default()
            },
            retry_timeout: RETRY_TIMEOUT,
            ..RetryConfig::default()
        };
        Store::open(config.location(), retry).map(Self)
    }

    /// Returns a store in a local folder.
    pub fn in_folder(folder: &FsPath) -> Result<Self, Error> {
        Ok(Self(Store::in_folder(folder)?))
    }

    /// Writes and syncs files under `key`.
    pub async fn write(&self, key: FileKey, files: Vec<File>) -> Result<(), Error> {
        futures::stream::iter(files)
            .map(|file| async move {
                self.0
                    .objects
                    .put(&path(key, file.name), Bytes::from(file.bytes).into())
                    .await
            })
            .buffer_unordered(MAX_CONCURRENT_WRITES)
            .try_for_each(|_| async { Ok(()) })
            .await?;
        Ok(())
    }

    /// Opens a file; `None` if it does not exist.
    pub async fn open_file(
        &self,
        key: FileKey,
        name: FileName,
        options: GetOptions,
    ) -> Result<Option<GetResult>, object_store::Error> {
        match self.0.objects.get_opts(&path(key, name), options).await {
            Ok(found) => Ok(Some(found)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a file; `None` if it does not exist.
    pub async fn read(&self, key: FileKey, name: FileName) -> Result<Option<Bytes>, Error> {
        match self.open_file(key, name, GetOptions::default()).await? {
            Some(found) => Ok(Some(found.bytes().await?)),
            None => Ok(None),
        }
    }

    /// Deletes everything under `key`. Idempotent.
    pub async fn remove(&self, key: FileKey) -> Result<(), Error> {
        if let Some(folder) = &self.0.folder {
            let place = folder.join(shard_of(key)).join(key.to_string());
            return match tokio::fs::remove_dir_all(place).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            };
        }
        let prefix = Path::from_iter([shard_of(key), key.to_string()]);
        let found = self
            .0
            .objects
            .list(Some(&prefix))
            .map_ok(|object| object.location)
            .boxed();
        self.0
            .objects
            .delete_stream(found)
            .try_for_each(|_| async { Ok(()) })
            .await?;
        Ok(())
    }

    /// Returns the names of the files under `key`.
    pub async fn names(&self, key: FileKey) -> Result<Vec<FileName>, Error> {
        let mut found = self
            .found_under(Path::from_iter([shard_of(key), key.to_string()]))
            .await?;
        Ok(found.remove(&key).map(|found| found.names).unwrap_or_default())
    }

    /// Returns everything in one of the 256 shards.
    pub async fn shard(&self, shard: u8) -> Result<HashMap<FileKey, Found>, Error> {
        let shard = format!("{shard:02x}");
        let Some(folder) = self.0.folder.clone() else {
            return self.found_under(Path::from(shard)).await;
        };
        Ok(tokio::task::spawn_blocking(move || folders_in(&folder.join(shard))).await??)
    }

    async fn found_under(&self, prefix: Path) -> Result<HashMap<FileKey, Found>, Error> {
        let mut objects = self.0.objects.list(Some(&prefix));
        let mut found = HashMap::new();
        while let Some(object) = objects.try_next().await? {
            let mut parts = object.location.parts().skip(1);
            let (key, name) = (parts.next(), parts.next());
            if let Some(key) = key.and_then(|key| FileKey::parse(key.as_ref())) {
                let name = name.and_then(|name| FileName::parse(name.as_ref()));
                add_file(&mut found, key, name, object.last_modified);
            }
        }
        Ok(found)
    }
}

/// Returns the folders of a shard of a local store with their files.
fn folders_in(shard: &FsPath) -> std::io::Result<HashMap<FileKey, Found>> {
    let mut found = HashMap::new();
    for folder in entries(shard)? {
        let Some(key) = folder.file_name().to_str().and_then(FileKey::parse) else {
            continue;
        };
        add_file(&mut found, key, None, folder.metadata()?.modified()?.into());
        for file in entries(&folder.path())? {
            // The file may have been deleted meanwhile.
            let Ok(metadata) = file.metadata() else { continue };
            let name = file.file_name().to_str().and_then(FileName::parse);
            add_file(&mut found, key, name, metadata.modified()?.into());
        }
    }
    Ok(found)
}

fn entries(folder: &FsPath) -> std::io::Result<Vec<std::fs::DirEntry>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn add_file(
    found: &mut HashMap<FileKey, Found>,
    key: FileKey,
    name: Option<FileName>,
    changed_at: DateTime<Utc>,
) {
    let under_key = found.entry(key).or_insert_with(|| Found {
        names: Vec::new(),
        changed_at,
    });
    under_key.names.extend(name);
    under_key.changed_at = under_key.changed_at.max(changed_at);
}

fn path(key: FileKey, name: FileName) -> Path {
    Path::from_iter([shard_of(key), key.to_string(), name.to_string()])
}

fn shard_of(key: FileKey) -> String {
    format!("{:02x}", key.0.as_bytes()[0])
}
