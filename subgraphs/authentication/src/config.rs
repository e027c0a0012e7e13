//! The settings of this service.

use std::path::PathBuf;

use chassis::config::{ConfigError, Secret};
use chassis::events::outbox::Subscriber;
use url::Url;

use crate::cookies::are_sent_unencrypted;

/// The settings of `serve`.
#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    #[command(flatten)]
    pub key: KeyConfig,
    #[command(flatten)]
    pub limits: LimitConfig,
    /// Public URL of the site. With https, cookies are Secure and have the prefix `__Host-`
    #[arg(long, env = "PUBLIC_URL", default_value = "http://localhost:4999")]
    pub public_url: Url,
    /// Subscribers to events of this service: `name=http://host:port`, separated by commas
    #[arg(long = "subscribers", env = "EVENT_SUBSCRIBERS", value_delimiter = ',')]
    pub subscribers: Vec<Subscriber>,
}

impl Config {
    /// Logs a warning if the site is served over http.
    pub fn warn_of_plain_http(&self) {
        if are_sent_unencrypted(&self.public_url) {
            tracing::warn!(
                public_url = %self.public_url,
                "the site is served over http: anyone on the network path can read passwords and cookies; use https, or only a network that you trust"
            );
        }
    }
}

/// The secret that encrypts the signing keys in the database.
#[derive(Debug, Clone, clap::Args)]
pub struct KeyConfig {
    /// Secret that encrypts the signing keys in the database; at least 32 random characters. Prefer the file
    #[arg(long, env = "KEY_SECRET", hide_env_values = true)]
    pub key_secret: Option<Secret>,
    /// A file that holds the secret.
    #[arg(long, env = "KEY_SECRET_FILE")]
    pub key_secret_file: Option<PathBuf>,
}

impl KeyConfig {
    /// Returns the secret of the flag or of its file. Short secrets are an error, because they could be guessed.
    pub fn secret(&self) -> Result<Secret, ConfigError> {
        const NAME: &str = "KEY_SECRET";
        let (value, file) = (self.key_secret.as_ref(), self.key_secret_file.as_ref());
        Secret::read(NAME, value, file)?.of_at_least(32, NAME)
    }
}

/// Limits of attempts, counted by all replicas together.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct LimitConfig {
    /// Registrations per minute from one address
    #[arg(long, env = "REGISTRATIONS_PER_ADDRESS", default_value_t = 200)]
    pub registrations_per_address: u32,
    /// Wrong passwords per minute from one address, for all accounts
    #[arg(long, env = "LOGIN_FAILURES_PER_ADDRESS", default_value_t = 100)]
    pub login_failures_per_address: u32,
    /// Wrong passwords in 15 minutes for one account from one address
    #[arg(long, env = "LOGIN_FAILURES_PER_ACCOUNT", default_value_t = 10)]
    pub login_failures_per_account: u32,
    /// Wrong passwords in 15 minutes for one account from all addresses that have never signed in to it
    #[arg(long, env = "LOGIN_FAILURES_BY_STRANGERS", default_value_t = 100)]
    pub login_failures_by_strangers: u32,
}
