//! Object storage: a folder, or a bucket of an S3 service.

use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, RetryConfig};
use url::Url;

use crate::config::{ConfigError, Secret};

/// The storage of photo files.
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
    /// The access key id at the S3 service.
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

impl StoreConfig {
    /// Returns the location of the store with its flags.
    pub fn location(&self) -> StoreLocation<'_> {
        StoreLocation {
            name: "MEDIA_STORE",
            url: &self.media_store,
            endpoint: self.s3_endpoint.as_ref(),
            region: &self.s3_region,
            id: SecretSource {
                name: "S3_ACCESS_KEY_ID",
                value: self.s3_access_key_id.as_ref(),
                file: self.s3_access_key_id_file.as_ref(),
            },
            secret: SecretSource {
                name: "S3_SECRET_ACCESS_KEY",
                value: self.s3_secret_access_key.as_ref(),
                file: self.s3_secret_access_key_file.as_ref(),
            },
        }
    }
}

/// The location of a store, and the names of its flags. A process may have two stores with different flags.
#[derive(Debug, Clone, Copy)]
pub struct StoreLocation<'a> {
    /// The flag, for error messages.
    pub name: &'static str,
    /// `file:///folder` or `s3://bucket/prefix`.
    pub url: &'a Url,
    /// The endpoint of the S3 service; `None` for AWS.
    pub endpoint: Option<&'a Url>,
    /// The region of the bucket.
    pub region: &'a str,
    /// The access key id at the S3 service.
    pub id: SecretSource<'a>,
    /// The secret access key.
    pub secret: SecretSource<'a>,
}

/// A secret or a file that contains it, and the name of its flag.
#[derive(Debug, Clone, Copy)]
pub struct SecretSource<'a> {
    /// The flag, for error messages.
    pub name: &'static str,
    /// The secret.
    pub value: Option<&'a Secret>,
    /// The file.
    pub file: Option<&'a PathBuf>,
}

impl SecretSource<'_> {
    fn read(self) -> Result<Secret, ConfigError> {
        Secret::read(self.name, self.value, self.file)
    }
}

/// An object store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    /// The store's client.
    pub objects: Arc<dyn ObjectStore>,
    /// The folder, if the store is a folder.
    pub folder: Option<Arc<FsPath>>,
}

impl Store {
    /// Opens a store. Creates a missing folder. `retry` configures retries of S3 requests.
    pub fn open(location: StoreLocation<'_>, retry: RetryConfig) -> Result<Self, ConfigError> {
        let invalid = |reason: String| ConfigError::Invalid {
            name: location.name,
            reason,
        };
        match location.url.scheme() {
            "file" => {
                let path = location.url.to_file_path();
                let path = path.map_err(|()| invalid("expected file:///folder".to_owned()))?;
                Self::in_folder(&path).map_err(|error| invalid(format!("{}: {error}", path.display())))
            }
            "s3" => Self::in_bucket(location, retry, invalid),
            other => Err(invalid(format!(
                "expected file:///folder or s3://bucket/prefix, not {other}:"
            ))),
        }
    }

    /// Returns a store in a local folder. Writes sync the file and its directory.
    pub fn in_folder(folder: &FsPath) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let folder = folder.canonicalize()?;
        let objects = LocalFileSystem::new_with_prefix(&folder)
            .map_err(std::io::Error::other)?
            .with_fsync(true);
        Ok(Self {
            objects: Arc::new(objects),
            folder: Some(folder.into()),
        })
    }

    fn in_bucket(
        location: StoreLocation<'_>,
        retry: RetryConfig,
        invalid: impl Fn(String) -> ConfigError,
    ) -> Result<Self, ConfigError> {
        let bucket = location.url.host_str().filter(|host| !host.is_empty());
        let bucket = bucket.ok_or_else(|| invalid("expected s3://bucket/prefix".to_owned()))?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(location.region)
            .with_access_key_id(location.id.read()?.expose())
            .with_secret_access_key(location.secret.read()?.expose())
            .with_retry(retry);
        if let Some(endpoint) = location.endpoint {
            // Self-hosted stores on a private network may have no certificate.
            builder = builder
                .with_endpoint(endpoint.as_str().trim_end_matches('/'))
                .with_allow_http(endpoint.scheme() == "http");
        }
        let bucket = builder.build().map_err(|error| invalid(error.to_string()))?;
        let prefix =
            Path::parse(location.url.path().trim_matches('/')).map_err(|error| invalid(error.to_string()))?;
        let objects: Arc<dyn ObjectStore> = if prefix.as_ref().is_empty() {
            Arc::new(bucket)
        } else {
            Arc::new(PrefixStore::new(bucket, prefix))
        };
        Ok(Self {
            objects,
            folder: None,
        })
    }
}
