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
    /// The flags cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The backup store failed.
    #[error("{}", about_store(.0))]
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
    #[error("no database node is in step with its cluster: asked {0}")]
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
    /// Another key, or none.
    #[error(
        "{0} was encrypted with another key than BACKUP_KEY_FILE holds: give the key that was configured when the backup was made"
    )]
    WrongKey(String),
    /// It is encrypted.
    #[error("{0} is encrypted: set BACKUP_KEY_FILE to a file with the key")]
    KeyMissing(String),
    /// The bytes are not those that were written.
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
        /// The last that is there.
        after: u64,
        /// The next that is there.
        before: u64,
        /// A moment before the gap.
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
    #[error("{program} failed ({status}); it said at the end:\n{said}")]
    Program {
        /// The program.
        program: &'static str,
        /// Its exit status.
        status: String,
        /// Its last lines.
        said: String,
    },
    /// The agent's record cannot be written.
    #[error(transparent)]
    RecordFile(#[from] RecordError),
    /// The client cannot be made.
    #[error("cannot make an HTTP client: {0}")]
    Client(String),
}

impl Error {
    /// Wraps what the disk says about `path`.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }

    /// Whether the backup store is full.
    pub fn is_of_full_store(&self) -> bool {
        matches!(self, Self::Store(error) if is_full(error))
    }
}

fn about_store(error: &object_store::Error) -> String {
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
        let said = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        matches!(said, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
    })
}
