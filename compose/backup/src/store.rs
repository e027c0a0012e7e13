//! A folder, or a bucket of any S3 service.

use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use chassis::config::{ConfigError, Secret};
use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use url::Url;

/// A secret, or a file that holds it.
type Given<'a> = (&'a Option<Secret>, &'a Option<PathBuf>);

/// How an S3 service is reached.
#[derive(Debug, Clone, Copy)]
pub struct S3<'a> {
    /// Its address; AWS where there is none.
    pub endpoint: Option<&'a Url>,
    /// The region of the bucket.
    pub region: &'a str,
    /// Who we are.
    pub id: Given<'a>,
    /// What shows it.
    pub secret: Given<'a>,
}

/// Where a store is, as the flags say.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The flag, for messages.
    pub name: &'static str,
    /// `file:///folder` or `s3://bucket/prefix`.
    pub url: &'a Url,
    /// How the bucket is reached.
    pub s3: S3<'a>,
}

/// A store, and its folder if it is one.
#[derive(Debug, Clone)]
pub struct Store {
    /// The objects.
    pub objects: Arc<dyn ObjectStore>,
    /// The folder that they are in.
    pub folder: Option<Arc<FsPath>>,
}

impl Store {
    /// Opens a store; makes the folder where it is missing. A write has reached the disk when it returns.
    pub fn open(place: Place<'_>) -> Result<Self, ConfigError> {
        let invalid = |reason: String| ConfigError::Invalid {
            name: place.name,
            reason,
        };
        match place.url.scheme() {
            "file" => {
                let path = place.url.to_file_path();
                let path = path.map_err(|()| invalid("expected file:///folder".to_owned()))?;
                Self::in_folder(&path).map_err(|error| invalid(format!("{}: {error}", path.display())))
            }
            "s3" => Self::in_bucket(&place, invalid),
            other => Err(invalid(format!(
                "expected file:///folder or s3://bucket/prefix, not {other}:"
            ))),
        }
    }

    fn in_folder(folder: &FsPath) -> Result<Self, std::io::Error> {
        std::fs::create_dir_all(folder)?;
        let folder = folder.canonicalize()?;
        let store = LocalFileSystem::new_with_prefix(&folder)
            .map_err(std::io::Error::other)?
            .with_fsync(true);
        Ok(Self {
            objects: Arc::new(store),
            folder: Some(folder.into()),
        })
    }

    fn in_bucket(place: &Place<'_>, invalid: impl Fn(String) -> ConfigError) -> Result<Self, ConfigError> {
        let bucket = place.url.host_str().filter(|host| !host.is_empty());
        let bucket = bucket.ok_or_else(|| invalid("expected s3://bucket/prefix".to_owned()))?;
        let read = |(value, file): Given<'_>| {
            Secret::read(place.name, value.as_ref(), file.as_ref()).map_err(|error| match error {
                ConfigError::Missing(_) => {
                    invalid("an s3:// store needs an access key id and its secret".to_owned())
                }
                other => other,
            })
        };
        let (id, secret) = (read(place.s3.id)?, read(place.s3.secret)?);
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(place.s3.region)
            .with_access_key_id(id.expose())
            .with_secret_access_key(secret.expose());
        if let Some(endpoint) = place.s3.endpoint {
            // A service of one's own on a private network may well have no certificate.
            builder = builder
                .with_endpoint(endpoint.as_str().trim_end_matches('/'))
                .with_allow_http(endpoint.scheme() == "http");
        }
        let bucket = builder.build().map_err(|error| invalid(error.to_string()))?;
        let prefix =
            Path::parse(place.url.path().trim_matches('/')).map_err(|error| invalid(error.to_string()))?;
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
