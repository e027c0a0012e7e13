//! Where the files of pictures are: a folder, or a bucket of any S3 service.
//!
//! A picture's files share a folder that is named by its key, and those folders are spread over 256 shards by the
//! key's first two digits, so that the reconciler can compare files and rows a shard at a time.

use std::collections::HashMap;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chassis::config::{ConfigError, Secret};
use chrono::{DateTime, Utc};
use darkroom::File;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, GetOptions, GetResult, ObjectStore, ObjectStoreExt as _, RetryConfig};
use url::Url;

use crate::domain::{FileKey, FileName};
use crate::error::Error;

/// How many files are written at once for one picture.
const WRITES: usize = 4;

/// How long a bucket that does not answer is asked again, while somebody waits: a stumble passes, an outage is said.
const PATIENCE: Duration = Duration::from_secs(4);

/// Where files are kept.
#[derive(Debug, Clone, clap::Args)]
pub struct StoreConfig {
    /// `file:///folder` or `s3://bucket/prefix`.
    #[arg(long, env = "MEDIA_STORE")]
    pub media_store: Url,
    /// The address of the S3 service; that of AWS where it is not set.
    #[arg(long, env = "S3_ENDPOINT")]
    pub s3_endpoint: Option<Url>,
    /// The region of the bucket.
    #[arg(long, env = "S3_REGION", default_value = "us-east-1")]
    pub s3_region: String,
    /// Who we are to the S3 service.
    #[arg(long, env = "S3_ACCESS_KEY_ID", hide_env_values = true)]
    pub s3_access_key_id: Option<Secret>,
    /// A file that holds the access key id.
    #[arg(long, env = "S3_ACCESS_KEY_ID_FILE")]
    pub s3_access_key_id_file: Option<PathBuf>,
    /// The secret that belongs to it. Prefer the file.
    #[arg(long, env = "S3_SECRET_ACCESS_KEY", hide_env_values = true)]
    pub s3_secret_access_key: Option<Secret>,
    /// A file that holds the secret.
    #[arg(long, env = "S3_SECRET_ACCESS_KEY_FILE")]
    pub s3_secret_access_key_file: Option<PathBuf>,
}

/// The store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Files {
    store: Arc<dyn ObjectStore>,
    /// Of a local store. Listing and removing go past `object_store` there: it hides what a write leaves behind that
    /// was killed half-way, and that must be swept too.
    folder: Option<Arc<FsPath>>,
}

/// What is in the store under one key.
#[derive(Debug, Clone)]
pub struct Found {
    /// The files that we know the names of.
    pub names: Vec<FileName>,
    /// When something was last written there.
    pub changed_at: DateTime<Utc>,
}

impl Files {
    /// Opens the store; makes the folder where it is missing.
    pub fn open(config: &StoreConfig) -> Result<Self, ConfigError> {
        let invalid = |reason: String| ConfigError::Invalid {
            name: "MEDIA_STORE",
            reason,
        };
        match config.media_store.scheme() {
            "file" => {
                let path = config.media_store.to_file_path();
                let path = path.map_err(|()| invalid("expected file:///folder".to_owned()))?;
                Self::in_folder(&path).map_err(|error| invalid(format!("{}: {error}", path.display())))
            }
            "s3" => Self::in_bucket(config, invalid),
            other => Err(invalid(format!(
                "expected file:///folder or s3://bucket/prefix, not {other}:"
            ))),
        }
    }

    /// A store in a local folder. Every write is synced, the file and its directory, before it counts as done.
    pub fn in_folder(folder: &FsPath) -> Result<Self, Error> {
        std::fs::create_dir_all(folder)?;
        let folder = folder.canonicalize()?;
        let store = LocalFileSystem::new_with_prefix(&folder)?.with_fsync(true);
        Ok(Self {
            store: Arc::new(store),
            folder: Some(folder.into()),
        })
    }

    fn in_bucket(config: &StoreConfig, invalid: impl Fn(String) -> ConfigError) -> Result<Self, ConfigError> {
        let bucket = config.media_store.host_str().filter(|host| !host.is_empty());
        let bucket = bucket.ok_or_else(|| invalid("expected s3://bucket/prefix".to_owned()))?;
        let id = Secret::read(
            "S3_ACCESS_KEY_ID",
            config.s3_access_key_id.as_ref(),
            config.s3_access_key_id_file.as_ref(),
        )?;
        let secret = Secret::read(
            "S3_SECRET_ACCESS_KEY",
            config.s3_secret_access_key.as_ref(),
            config.s3_secret_access_key_file.as_ref(),
        )?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(&config.s3_region)
            .with_access_key_id(id.expose())
            .with_secret_access_key(secret.expose())
            .with_retry(RetryConfig {
                backoff: BackoffConfig {
                    max_backoff: Duration::from_secs(1),
                    ..BackoffConfig::default()
                },
                retry_timeout: PATIENCE,
                ..RetryConfig::default()
            });
        if let Some(endpoint) = &config.s3_endpoint {
            // A service of one's own on a private network may well have no certificate.
            builder = builder
                .with_endpoint(endpoint.as_str().trim_end_matches('/'))
                .with_allow_http(endpoint.scheme() == "http");
        }
        let bucket = builder.build().map_err(|error| invalid(error.to_string()))?;
        let prefix = Path::parse(config.media_store.path().trim_matches('/'))
            .map_err(|error| invalid(error.to_string()))?;
        let store: Arc<dyn ObjectStore> = if prefix.as_ref().is_empty() {
            Arc::new(bucket)
        } else {
            Arc::new(PrefixStore::new(bucket, prefix))
        };
        Ok(Self { store, folder: None })
    }

    /// Writes files under `key`; when this returns they are safe.
    pub async fn write(&self, key: FileKey, files: Vec<File>) -> Result<(), Error> {
        futures::stream::iter(files)
            .map(|file| async move {
                self.store
                    .put(&path(key, file.name), Bytes::from(file.bytes).into())
                    .await
            })
            .buffer_unordered(WRITES)
            .try_for_each(|_| async { Ok(()) })
            .await?;
        Ok(())
    }

    /// Opens a file; `None` where there is none.
    pub async fn open_file(
        &self,
        key: FileKey,
        name: FileName,
        options: GetOptions,
    ) -> Result<Option<GetResult>, object_store::Error> {
        match self.store.get_opts(&path(key, name), options).await {
            Ok(found) => Ok(Some(found)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a file; `None` where there is none.
    pub async fn read(&self, key: FileKey, name: FileName) -> Result<Option<Bytes>, Error> {
        match self.open_file(key, name, GetOptions::default()).await? {
            Some(found) => Ok(Some(found.bytes().await?)),
            None => Ok(None),
        }
    }

    /// Removes everything under `key`. Nothing there is well too.
    pub async fn remove(&self, key: FileKey) -> Result<(), Error> {
        if let Some(folder) = &self.folder {
            let place = folder.join(shard_of(key)).join(key.to_string());
            return match tokio::fs::remove_dir_all(place).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            };
        }
        let prefix = Path::from_iter([shard_of(key), key.to_string()]);
        let found = self
            .store
            .list(Some(&prefix))
            .map_ok(|object| object.location)
            .boxed();
        self.store
            .delete_stream(found)
            .try_for_each(|_| async { Ok(()) })
            .await?;
        Ok(())
    }

    /// What is under `key`.
    pub async fn names(&self, key: FileKey) -> Result<Vec<FileName>, Error> {
        let mut found = self
            .found_under(Path::from_iter([shard_of(key), key.to_string()]))
            .await?;
        Ok(found.remove(&key).map(|found| found.names).unwrap_or_default())
    }

    /// Everything in one of the 256 shards.
    pub async fn shard(&self, shard: u8) -> Result<HashMap<FileKey, Found>, Error> {
        let shard = format!("{shard:02x}");
        let Some(folder) = self.folder.clone() else {
            return self.found_under(Path::from(shard)).await;
        };
        Ok(tokio::task::spawn_blocking(move || folders_in(&folder.join(shard))).await??)
    }

    async fn found_under(&self, prefix: Path) -> Result<HashMap<FileKey, Found>, Error> {
        let mut objects = self.store.list(Some(&prefix));
        let mut found = HashMap::new();
        while let Some(object) = objects.try_next().await? {
            let mut parts = object.location.parts().skip(1);
            let (key, name) = (parts.next(), parts.next());
            if let Some(key) = key.and_then(|key| FileKey::parse(key.as_ref())) {
                let name = name.and_then(|name| FileName::parse(name.as_ref()));
                note(&mut found, key, name, object.last_modified);
            }
        }
        Ok(found)
    }
}

/// The folders of one shard of a local store, with what is in them.
fn folders_in(shard: &FsPath) -> std::io::Result<HashMap<FileKey, Found>> {
    let mut found = HashMap::new();
    for folder in entries(shard)? {
        let Some(key) = folder.file_name().to_str().and_then(FileKey::parse) else {
            continue;
        };
        note(&mut found, key, None, folder.metadata()?.modified()?.into());
        for file in entries(&folder.path())? {
            // A file that is removed meanwhile is not there.
            let Ok(metadata) = file.metadata() else { continue };
            let name = file.file_name().to_str().and_then(FileName::parse);
            note(&mut found, key, name, metadata.modified()?.into());
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

fn note(
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
