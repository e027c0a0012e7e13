//! The command-line flags of the agent. No other module reads the environment.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use chassis::config::{ConfigError, LogConfig, Secret};

/// The port of the agents and of the health check.
pub const AGENT_PORT: u16 = 4569;

/// Settings of `run`.
#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    /// The number of this node, from 1 (Swarm: `{{.Task.Slot}}`). Only slot 1 founds a cluster.
    #[arg(long, env = "DATABASE_SLOT", value_parser = clap::value_parser!(u32).range(1..=99))]
    pub slot: u32,
    /// Number of nodes that a new cluster needs. With fewer, empty volumes stay empty.
    #[arg(long, env = "DATABASE_NODES", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub nodes: u32,
    /// The nodes, including this one: DNS names that may have many addresses (`tasks.db`), or hosts.
    #[arg(
        long,
        env = "DATABASE_PEERS",
        value_delimiter = ',',
        default_value = "tasks.db"
    )]
    pub peers: Vec<String>,
    /// The name of the cluster. Agents ignore other clusters.
    #[arg(long, env = "DATABASE_CLUSTER", default_value = "proofsheet", value_parser = plain_name)]
    pub cluster: String,
    /// The persistent folder: the data and the agent's record.
    #[arg(long, env = "DATABASE_VOLUME", default_value = "/var/lib/proofsheet")]
    pub volume: PathBuf,
    /// The address of this node for its peers. By default detected among the addresses of the peers.
    #[arg(long, env = "DATABASE_ADDRESS")]
    pub address: Option<IpAddr>,
    /// The address on which the agent listens. All agents use the same port.
    #[arg(long, env = "DATABASE_AGENT_LISTEN", default_value_t = SocketAddr::from(([0, 0, 0, 0], AGENT_PORT)))]
    pub listen: SocketAddr,
    /// Seconds to wait for missing nodes that may have newer data, before an operator is needed.
    #[arg(long, env = "DATABASE_MISSING_MEMBER_TIMEOUT", default_value_t = 45)]
    pub missing_member_timeout: u64,
    /// Free disk space in bytes below which the node leaves the cluster. It returns when there is space.
    #[arg(long, env = "DATABASE_RESERVE", default_value = "256M", value_parser = bytes)]
    pub reserve: u64,
    /// The services that have a schema in this database.
    #[arg(
        long,
        env = "DATABASE_SERVICES",
        value_delimiter = ',',
        default_values_t = contracts::services::names().map(str::to_owned),
        value_parser = plain_name
    )]
    pub services: Vec<String>,
    /// The folder with a file for each password: `<service>_password` and `<service>_migrate_password`.
    #[arg(long, env = "DATABASE_SECRETS", default_value = "/run/secrets")]
    pub secrets: PathBuf,
    #[command(flatten)]
    pub cluster_secret: ClusterSecret,
    #[command(flatten)]
    pub copy_password: CopyPassword,
    #[command(flatten)]
    pub server: ServerConfig,
    #[command(flatten)]
    pub log: LogConfig,
}

/// Resources for MariaDB.
#[derive(Debug, Clone, clap::Args)]
pub struct ServerConfig {
    /// Memory for pages of tables.
    #[arg(long, env = "DATABASE_BUFFER_POOL", default_value = "512M", value_parser = size)]
    pub buffer_pool: String,
    /// Disk space for write sets from which a returning node catches up (IST). Beyond it a full copy (SST) is needed.
    #[arg(long, env = "DATABASE_GCACHE", default_value = "512M", value_parser = size)]
    pub gcache: String,
    /// Maximum number of client connections.
    #[arg(long, env = "DATABASE_MAX_CONNECTIONS", default_value_t = 600)]
    pub max_connections: u32,
}

/// The secret of the cluster's agents.
#[derive(Debug, Clone, clap::Args)]
pub struct ClusterSecret {
    /// The secret that all agents of the cluster share. Prefer the file.
    #[arg(long, env = "DATABASE_CLUSTER_SECRET", hide_env_values = true)]
    pub database_cluster_secret: Option<Secret>,
    /// A file with the value.
    #[arg(long, env = "DATABASE_CLUSTER_SECRET_FILE")]
    pub database_cluster_secret_file: Option<PathBuf>,
}

impl ClusterSecret {
    /// Reads the secret from the flag or its file; fails if it is too short.
    pub fn read(&self) -> Result<Secret, ConfigError> {
        const NAME: &str = "DATABASE_CLUSTER_SECRET";
        let value = self.database_cluster_secret.as_ref();
        let file = self.database_cluster_secret_file.as_ref();
        Secret::read(NAME, value, file)?.of_at_least(16, NAME)
    }
}

/// The password with which mariadb-backup copies a node for another.
#[derive(Debug, Clone, clap::Args)]
pub struct CopyPassword {
    /// The password of the user `sst`. Prefer the file.
    #[arg(long, env = "DATABASE_SST_PASSWORD", hide_env_values = true)]
    pub database_sst_password: Option<Secret>,
    /// A file with the password.
    #[arg(long, env = "DATABASE_SST_PASSWORD_FILE")]
    pub database_sst_password_file: Option<PathBuf>,
}

impl CopyPassword {
    /// Reads the password from the flag or its file.
    pub fn read(&self) -> Result<Secret, ConfigError> {
        let secret = Secret::read(
            "DATABASE_SST_PASSWORD",
            self.database_sst_password.as_ref(),
            self.database_sst_password_file.as_ref(),
        )?;
        check_password("DATABASE_SST_PASSWORD", secret)
    }
}

/// The passwords of one service.
#[derive(Debug, Clone)]
pub struct ServiceAccount {
    /// The name of the service, of its schema and of its user.
    pub service: String,
    /// The password of the running service.
    pub password: Secret,
    /// The password of its migrations.
    pub migrate_password: Secret,
}

impl Config {
    /// Reads the passwords of all services.
    pub fn accounts(&self) -> Result<Vec<ServiceAccount>, ConfigError> {
        let read = |file: String| {
            let path = self.secrets.join(file);
            let secret = Secret::read("DATABASE_SECRETS", None, Some(&path))?;
            check_password("DATABASE_SECRETS", secret)
        };
        self.services
            .iter()
            .map(|service| {
                Ok(ServiceAccount {
                    service: service.clone(),
                    password: read(format!("{service}_password"))?,
                    migrate_password: read(format!("{service}_migrate_password"))?,
                })
            })
            .collect()
    }
}

/// Checks that a password needs no escaping in SQL and in MariaDB's configuration.
fn check_password(name: &'static str, secret: Secret) -> Result<Secret, ConfigError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.~+=/".contains(c);
    if secret.expose().len() < 16 || !secret.expose().chars().all(plain) {
        return Err(ConfigError::Invalid {
            name,
            reason: "a password must have at least 16 characters, letters, digits and -_.~+=/ only"
                .to_owned(),
        });
    }
    Ok(secret)
}

fn plain_name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !text.is_empty() && text.len() <= 20 && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("letters, digits, - and _, at most 20".to_owned())
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.chars().last() {
        Some('K') => (&text[..text.len() - 1], 10),
        Some('M') => (&text[..text.len() - 1], 20),
        Some('G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << unit))
        .ok_or_else(|| "a number of bytes, or one with K, M or G".to_owned())
}

fn size(text: &str) -> Result<String, String> {
    bytes(text).map(|_| text.to_owned())
}
