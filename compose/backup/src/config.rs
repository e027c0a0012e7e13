//! The command-line flags. No other module reads the environment.

use std::net::SocketAddr;
use std::path::PathBuf;

use chassis::config::{ConfigError, Secret};
use chassis::objects::{SecretSource, StoreLocation};
use chrono::NaiveTime;
use database_agent::config::{AGENT_PORT, ClusterSecret};
use url::Url;

use crate::packing::Key;

/// The backup store.
#[derive(Debug, Clone, clap::Args)]
pub struct VaultConfig {
    /// `file:///folder` or `s3://bucket/prefix`. Must not be on the machine that is backed up.
    #[arg(long, env = "BACKUP_STORE", default_value = "file:///backup")]
    pub backup_store: Url,
    /// The URL of the S3 service; AWS by default.
    #[arg(long, env = "BACKUP_S3_ENDPOINT")]
    pub backup_s3_endpoint: Option<Url>,
    /// The region of the bucket.
    #[arg(long, env = "BACKUP_S3_REGION", default_value = "us-east-1")]
    pub backup_s3_region: String,
    /// The access key id at the S3 service.
    #[arg(long, env = "BACKUP_S3_ACCESS_KEY_ID", hide_env_values = true)]
    pub backup_s3_access_key_id: Option<Secret>,
    /// A file with the access key id.
    #[arg(long, env = "BACKUP_S3_ACCESS_KEY_ID_FILE")]
    pub backup_s3_access_key_id_file: Option<PathBuf>,
    /// The secret access key. Prefer the file.
    #[arg(long, env = "BACKUP_S3_SECRET_ACCESS_KEY", hide_env_values = true)]
    pub backup_s3_secret_access_key: Option<Secret>,
    /// A file with the secret access key.
    #[arg(long, env = "BACKUP_S3_SECRET_ACCESS_KEY_FILE")]
    pub backup_s3_secret_access_key_file: Option<PathBuf>,
    /// The encryption key of backups; without it they are not encrypted. Prefer the file.
    #[arg(long, env = "BACKUP_KEY", hide_env_values = true)]
    pub backup_key: Option<Secret>,
    /// A file with the key. Keep a copy elsewhere: backups cannot be read without it.
    #[arg(long, env = "BACKUP_KEY_FILE")]
    pub backup_key_file: Option<PathBuf>,
}

impl VaultConfig {
    /// Returns the location of the backup store.
    pub fn location(&self) -> StoreLocation<'_> {
        StoreLocation {
            name: "BACKUP_STORE",
            url: &self.backup_store,
            endpoint: self.backup_s3_endpoint.as_ref(),
            region: &self.backup_s3_region,
            id: SecretSource {
                name: "BACKUP_S3_ACCESS_KEY_ID",
                value: self.backup_s3_access_key_id.as_ref(),
                file: self.backup_s3_access_key_id_file.as_ref(),
            },
            secret: SecretSource {
                name: "BACKUP_S3_SECRET_ACCESS_KEY",
                value: self.backup_s3_secret_access_key.as_ref(),
                file: self.backup_s3_secret_access_key_file.as_ref(),
            },
        }
    }

    /// Reads the key, if one is configured.
    pub fn key(&self) -> Result<Option<Key>, ConfigError> {
        const NAME: &str = "BACKUP_KEY";
        let (value, file) = (self.backup_key.as_ref(), self.backup_key_file.as_ref());
        if value.is_none() && file.is_none() {
            return Ok(None);
        }
        let secret = Secret::read(NAME, value, file)?.of_at_least(32, NAME)?;
        Ok(Some(Key::of(&secret)))
    }
}

/// The database to back up.
#[derive(Debug, Clone, clap::Args)]
pub struct SourceConfig {
    /// The database nodes: DNS names that may have many addresses (`tasks.db`), or hosts.
    #[arg(
        long,
        env = "DATABASE_PEERS",
        value_delimiter = ',',
        default_value = "tasks.db"
    )]
    pub peers: Vec<String>,
    /// The port of the agents.
    #[arg(long, env = "DATABASE_AGENT_PORT", default_value_t = AGENT_PORT)]
    pub agent_port: u16,
    /// The name of the cluster, as configured for the agents.
    #[arg(long, env = "DATABASE_CLUSTER", default_value = "proofsheet")]
    pub cluster: String,
    #[command(flatten)]
    pub secret: ClusterSecret,
}

/// The schedule and the retention of backups.
#[derive(Debug, Clone, clap::Args)]
pub struct RunConfig {
    /// Time of day of the full backup, in the site's time zone.
    #[arg(long, env = "BACKUP_AT", default_value = "03:30", value_parser = time_of_day)]
    pub at: NaiveTime,
    /// The site's time zone, by its name in the IANA database.
    #[arg(long, env = "TIME_ZONE", default_value = "UTC")]
    pub time_zone: chrono_tz::Tz,
    /// Seconds between two fetches of new logs and files: the worst-case data loss.
    #[arg(long, env = "BACKUP_EVERY", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub every: u64,
    /// Number of days for which any point in time can be restored. Older backups are deleted.
    #[arg(long, env = "BACKUP_KEEP_DAYS", default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..))]
    pub keep_days: u32,
    /// The address of `/health` and `/metrics`.
    #[arg(long, env = "LISTEN", default_value = DEFAULT_LISTEN)]
    pub listen: SocketAddr,
}

/// The default address of `/health` and `/metrics`.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:5006";

fn time_of_day(text: &str) -> Result<NaiveTime, String> {
    NaiveTime::parse_from_str(text, "%H:%M").map_err(|_| "expected hours and minutes, as in 03:30".to_owned())
}
