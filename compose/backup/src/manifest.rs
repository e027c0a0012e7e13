//! The manifest of a full backup.

use chrono::{DateTime, NaiveDateTime, Utc};
use database_agent::cluster_record::NodeId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Error;
use crate::vault::{Item, Vault};

/// The folder of all full backups.
pub const FULL: &str = "full";
const MANIFEST: &str = "manifest.json";
/// Names are times, so that they sort by time.
const NAME_FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// A full backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The name: the time at which the backup was started.
    pub name: String,
    /// When the backup was complete.
    pub finished_at: DateTime<Utc>,
    /// The version of the program that made it.
    pub program: String,
    /// The version of MariaDB that must restore it.
    pub mariadb: String,
    /// The cluster.
    pub cluster: Uuid,
    /// The node that was copied.
    pub node: NodeId,
    /// The number of the cluster's last transaction in the backup.
    pub transaction: u64,
    /// The copy.
    pub database: Item,
    /// The list of files.
    pub media: Item,
    /// Number of files.
    pub media_files: u64,
    /// Size of the files in bytes.
    pub media_bytes: u64,
}

/// Returns the name of a backup that was started at `time`.
pub fn name_of(time: DateTime<Utc>) -> String {
    time.format(NAME_FORMAT).to_string()
}

/// Parses the time in a name.
pub fn time_of(name: &str) -> Option<DateTime<Utc>> {
    Some(NaiveDateTime::parse_from_str(name, NAME_FORMAT).ok()?.and_utc())
}

impl Manifest {
    /// When the backup was started.
    pub fn began_at(&self) -> DateTime<Utc> {
        time_of(&self.name).unwrap_or(self.finished_at)
    }

    /// Writes the manifest, which completes the backup.
    pub async fn write(&self, vault: &Vault) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(self).expect("plain data can be written as JSON");
        vault.put(&format!("{FULL}/{}/{MANIFEST}", self.name), text).await
    }

    /// Reads a manifest. `None` if it does not exist.
    pub async fn read(vault: &Vault, name: &str) -> Result<Option<Self>, Error> {
        let path = format!("{FULL}/{name}/{MANIFEST}");
        match vault.get(&path).await {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|_| Error::Damaged(path, "it is not the JSON of this version")),
            Err(Error::Store(object_store::Error::NotFound { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads all manifests, oldest first. Damaged ones are skipped, so that the others can be restored.
    pub async fn all(vault: &Vault) -> Result<Vec<Self>, Error> {
        let mut manifests = Vec::new();
        for name in vault.folders(FULL).await? {
            match Self::read(vault, &name).await {
                Ok(manifest) => manifests.extend(manifest),
                Err(error @ Error::Damaged(..)) => tracing::warn!("{error}"),
                Err(error) => return Err(error),
            }
        }
        Ok(manifests)
    }
}
