//! The backup store.

use bytes::Bytes;
use chassis::objects::Store;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt as _, RetryConfig};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;

use crate::config::VaultConfig;
use crate::error::Error;
use crate::packing::{Fingerprint, FingerprintHasher, Key, Packer, Packing, Unpacker, Unreadable};

/// Maximum number of concurrent part uploads (10 MB each).
const MAX_CONCURRENT_PARTS: usize = 2;

/// A packed object in the store, with its fingerprints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The path in the store.
    pub path: String,
    /// Whether it is compressed and encrypted.
    pub packing: Packing,
    /// The fingerprint of the packed data.
    pub content: Fingerprint,
    /// The fingerprint of the stored object.
    pub stored: Fingerprint,
}

/// The backup store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Vault {
    store: Store,
    key: Option<Key>,
}

impl Vault {
    /// Opens the store.
    pub fn open(config: &VaultConfig) -> Result<Self, Error> {
        Ok(Self {
            store: Store::open(config.location(), RetryConfig::default())?,
            key: config.key()?,
        })
    }

    /// Checks that the store is writable, by writing a file.
    pub async fn check(&self) -> Result<(), Error> {
        self.put(
            "writable",
            Vec::from("The backup service writes this file to check that it can.\n"),
        )
        .await
    }

    /// Whether objects are encrypted.
    pub fn encrypts(&self) -> bool {
        self.key.is_some()
    }

    /// Writes `bytes` without compression or encryption.
    pub async fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), Error> {
        self.store
            .objects
            .put(&Path::from(path), Bytes::from(bytes).into())
            .await
            .map(drop)
            .map_err(Error::Store)
    }

    /// Packs and writes `bytes` under `path`; encrypted objects get the suffix `.sealed`.
    pub async fn pack(&self, path: &str, compressed: bool, bytes: &[u8]) -> Result<Item, Error> {
        let mut writing = self.create_packed(path, compressed)?;
        writing.write(bytes).await?;
        writing.finish().await
    }

    /// Starts a streaming write.
    pub fn create_packed(&self, path: &str, compressed: bool) -> Result<PackingWriter, Error> {
        let packing = Packing {
            compressed,
            encrypted: self.encrypts(),
        };
        let path = if packing.encrypted {
            format!("{path}.sealed")
        } else {
            path.to_owned()
        };
        let packer = Packer::new(compressed, self.key.as_ref()).map_err(Error::io("zstd"))?;
        Ok(PackingWriter {
            writer: BufWriter::new(self.store.objects.clone(), Path::from(path.as_str()))
                .with_max_concurrency(MAX_CONCURRENT_PARTS),
            item: (path, packing),
            packer,
            content: FingerprintHasher::default(),
            stored: FingerprintHasher::default(),
        })
    }

    /// Reads an object without decompression or decryption.
    pub async fn get(&self, path: &str) -> Result<Bytes, Error> {
        let found = self.store.objects.get(&Path::from(path)).await;
        found.map_err(Error::Store)?.bytes().await.map_err(Error::Store)
    }

    /// Unpacks an object without verifying its hash.
    pub async fn unpack(&self, path: &str, compressed: bool) -> Result<Vec<u8>, Error> {
        let packing = Packing {
            compressed,
            encrypted: is_encrypted(path),
        };
        let mut reading = self.open_packed(path, packing).await?;
        let mut contents = Vec::new();
        while let Some(part) = reading.next().await? {
            contents.extend(part);
        }
        Ok(contents)
    }

    /// Unpacks an object and verifies its hash.
    pub async fn unpack_item(&self, item: &Item) -> Result<Vec<u8>, Error> {
        let mut reading = self.open_packed(&item.path, item.packing).await?;
        let mut contents = Vec::new();
        while let Some(part) = reading.next().await? {
            contents.extend(part);
        }
        reading.compare(item)?;
        Ok(contents)
    }

    /// Starts a streaming read.
    pub async fn open_packed(&self, path: &str, packing: Packing) -> Result<UnpackingReader, Error> {
        let key = match (packing.encrypted, &self.key) {
            (true, None) => return Err(Error::KeyMissing(path.to_owned())),
            (true, key) => key.as_ref(),
            (false, _) => None,
        };
        let unpacker = Unpacker::new(packing.compressed, key).map_err(Error::io("zstd"))?;
        let found = self
            .store
            .objects
            .get(&Path::from(path))
            .await
            .map_err(Error::Store)?;
        Ok(UnpackingReader {
            path: path.to_owned(),
            stream: found.into_stream().boxed(),
            unpacker: Some(unpacker),
            content: FingerprintHasher::default(),
            stored: FingerprintHasher::default(),
        })
    }

    /// Lists the objects under `folder`, sorted by name.
    pub async fn list(&self, folder: &str) -> Result<Vec<ObjectMeta>, Error> {
        let objects = self.store.objects.list(Some(&Path::from(folder)));
        let mut objects: Vec<_> = objects.try_collect().await.map_err(Error::Store)?;
        objects.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(objects)
    }

    /// Lists the names of the folders in `folder`, sorted.
    pub async fn folders(&self, folder: &str) -> Result<Vec<String>, Error> {
        let listed = self
            .store
            .objects
            .list_with_delimiter(Some(&Path::from(folder)))
            .await
            .map_err(Error::Store)?;
        let mut names: Vec<_> = listed
            .common_prefixes
            .iter()
            .filter_map(|path| Some(path.filename()?.to_owned()))
            .collect();
        names.sort();
        Ok(names)
    }

    /// Deletes one object; a missing object is not an error.
    pub async fn remove(&self, path: &Path) -> Result<(), Error> {
        match self.store.objects.delete(path).await {
            Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(Error::Store(error)),
        }
    }

    /// Deletes everything under `folder`, including incomplete files.
    pub async fn remove_folder(&self, folder: &str) -> Result<(), Error> {
        if let Some(root) = &self.store.folder {
            let path = root.join(folder);
            return match tokio::fs::remove_dir_all(&path).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path)(error)),
                _ => Ok(()),
            };
        }
        for object in self.list(folder).await? {
            self.remove(&object.location).await?;
        }
        Ok(())
    }
}

/// Whether the suffix of a name is that of encrypted objects.
pub fn is_encrypted(path: &str) -> bool {
    path.ends_with(".sealed")
}

/// A streaming write. Dropping it discards the data.
pub struct PackingWriter {
    writer: BufWriter,
    item: (String, Packing),
    packer: Packer,
    content: FingerprintHasher,
    stored: FingerprintHasher,
}

impl PackingWriter {
    /// Writes the next bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.content.update(bytes);
        let packed = self.packer.push(bytes).map_err(Error::io("zstd"))?;
        self.store(packed).await
    }

    async fn store(&mut self, packed: Vec<u8>) -> Result<(), Error> {
        if packed.is_empty() {
            return Ok(());
        }
        self.stored.update(&packed);
        self.writer.put(packed.into()).await.map_err(Error::Store)
    }

    /// Writes the rest. The object is durable when this returns.
    pub async fn finish(mut self) -> Result<Item, Error> {
        let packer = std::mem::replace(
            &mut self.packer,
            Packer::new(false, None).map_err(Error::io("zstd"))?,
        );
        let rest = packer.finish().map_err(Error::io("zstd"))?;
        self.store(rest).await?;
        let written = self.writer.shutdown().await;
        written.map_err(|error| match error.downcast() {
            Ok(error) => Error::Store(error),
            Err(error) => Error::io(self.item.0.as_str())(error),
        })?;
        let (path, packing) = self.item;
        Ok(Item {
            path,
            packing,
            content: self.content.finish(),
            stored: self.stored.finish(),
        })
    }

    /// Aborts the write.
    pub async fn abort(mut self) {
        let _ = self.writer.abort().await;
    }
}

/// A streaming read.
pub struct UnpackingReader {
    path: String,
    stream: futures::stream::BoxStream<'static, object_store::Result<Bytes>>,
    unpacker: Option<Unpacker>,
    content: FingerprintHasher,
    stored: FingerprintHasher,
}

impl UnpackingReader {
    /// Reads the next part. `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let unreadable = |why| match why {
            Unreadable::WrongKey => Error::WrongKey(self.path.clone()),
            Unreadable::Damaged(why) => Error::Damaged(self.path.clone(), why),
        };
        let Some(unpacker) = &mut self.unpacker else {
            return Ok(None);
        };
        let part = if let Some(bytes) = self.stream.try_next().await.map_err(Error::Store)? {
            self.stored.update(&bytes);
            unpacker.push(&bytes).map_err(unreadable)?
        } else {
            let unpacker = self.unpacker.take().expect("it is there until the end");
            unpacker.finish().map_err(unreadable)?
        };
        self.content.update(&part);
        Ok(Some(part))
    }

    /// Verifies the hashes after the object was read to its end.
    pub fn compare(self, item: &Item) -> Result<(), Error> {
        if self.stored.finish() != item.stored || self.content.finish() != item.content {
            return Err(Error::Damaged(self.path, "its hash is wrong"));
        }
        Ok(())
    }
}
