use std::path::PathBuf;

use super::Pool;
use crate::config::{ConfigError, Secret};

/// The database connection.
#[derive(Debug, Clone, clap::Args)]
pub struct DatabaseConfig {
    /// `mysql://user:password@host:port/schema`. Prefer the file.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<Secret>,
    /// A file that holds the database URL.
    #[arg(long, env = "DATABASE_URL_FILE")]
    pub database_url_file: Option<PathBuf>,
    /// Maximum number of connections of this process
    #[arg(long, env = "DATABASE_CONNECTIONS", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub database_connections: u32,
}

impl DatabaseConfig {
    /// Returns the URL of the flag or of its file.
    pub fn url(&self) -> Result<Secret, ConfigError> {
        Secret::read(
            "DATABASE_URL",
            self.database_url.as_ref(),
            self.database_url_file.as_ref(),
        )
    }

    /// Returns a connection pool. Opens no connection yet.
    pub fn pool(&self) -> Result<Pool, ConfigError> {
        Pool::new(&self.url()?, self.database_connections).map_err(|error| ConfigError::Invalid {
            name: "DATABASE_URL",
            reason: error.to_string(),
        })
    }
}
