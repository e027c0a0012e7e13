//! Errors, with messages that say what to do.

use std::error::Error as StdError;
use std::io::ErrorKind;
use std::path::PathBuf;

use chassis::config::ConfigError;
use chrono::{DateTime, Utc};
use database_agent::backup::BackupError;
use database_agent::cluster_record::RecordError;
use database_agent::mariadb::ServerError;

/// Why a backup or a restore failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The backup store failed.
    #[error("{}", store_message(.0))]
    Store(object_store::Error),
    /// The files of photos cannot be read, or written back.
    #[error("the store of photos: {0}")]
    Media(object_store::Error),
    /// A local file failed.
    #[error("{path}: {source}")]
    Io {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// No node can be copied.
    #[error("no database node is in sync with its cluster ({0})")]
    NoNode(String),
    /// A node cannot be copied.
    #[error(transparent)]
    Node(#[from] BackupError),
    /// No node has the needed logs any more.
    #[error(
        "no node has the logs from transaction {0} on any more; a new full backup is needed, and the moments between \
         that transaction and the new backup cannot be restored"
    )]
    LogsGone(u64),
    /// The object was encrypted with another key.
    #[error(
        "{0} was encrypted with another key than BACKUP_KEY_FILE holds: give the key that was configured when the backup was made"
    )]
    WrongKey(String),
    /// The object is encrypted, and no key is configured.
    #[error("{0} is encrypted: set BACKUP_KEY_FILE to a file with the key")]
    KeyMissing(String),
    /// The object does not have the expected format or checksum.
    #[error("{0} is damaged: {1}")]
    Damaged(String, &'static str),
    /// There is nothing to restore.
    #[error("there is no full backup {0}; `backup list` shows which there are")]
    NoBackup(String),
    /// Logs are missing.
    #[error(
        "the logs between transactions {after} and {before} are missing. What came before them can be restored: --to {until} or earlier"
    )]
    Gap {
        /// The last transaction before the gap.
        after: u64,
        /// The first transaction after the gap.
        before: u64,
        /// The latest time before the gap that can be restored.
        until: DateTime<Utc>,
    },
    /// The target folder is not empty.
    #[error(
        "{0} is not empty, and a restore overwrites nothing: give an empty folder, or move away what is in it"
    )]
    NotEmpty(PathBuf),
    /// MariaDB cannot be run.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// One of MariaDB's programs failed.
    #[error("{program} failed ({status}). The end of its output:\n{output}")]
    Program {
        /// The program.
        program: &'static str,
        /// Its exit status.
        status: String,
        /// The last lines of its output.
        output: String,
    },
    /// The agent's record cannot be written.
    #[error(transparent)]
    RecordFile(#[from] RecordError),
    /// The client cannot be made.
    #[error("cannot make an HTTP client: {0}")]
    Client(String),
}

impl Error {
    /// Returns a function that adds `path` to an error of the file system.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }

    /// Whether the backup store is full.
    pub fn is_store_full(&self) -> bool {
        matches!(self, Self::Store(error) if is_full(error))
    }
}

fn store_message(error: &object_store::Error) -> String {
    if is_full(error) {
        "the backup store is full: make room there, or keep fewer days (BACKUP_KEEP_DAYS); the backups that it has are \
         untouched"
            .to_owned()
    } else {
        format!("the backup store: {error}")
    }
}

/// Searches the chain of causes for a full disk.
fn is_full(error: &object_store::Error) -> bool {
    let error: &(dyn StdError + 'static) = error;
    let mut causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.any(|cause| {
        let kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        matches!(kind, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
    })
}
