//! The settings of this service beside those that every service has.

use std::path::PathBuf;

use chassis::config::{ConfigError, Secret};
use chassis::events::outbox::Subscriber;
use url::Url;

use crate::cookies::travel_in_clear;

/// The settings of `serve`.
#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    #[command(flatten)]
    pub key: KeyConfig,
    #[command(flatten)]
    pub limits: LimitConfig,
    /// How people reach the site. With https, cookies are Secure and carry the `__Host-` prefix.
    #[arg(long, env = "PUBLIC_URL", default_value = "http://localhost:4999")]
    pub public_url: Url,
    /// Subscribers to this service's events: `name=http://host:port`, separated by commas.
    #[arg(long = "subscribers", env = "EVENT_SUBSCRIBERS", value_delimiter = ',')]
    pub subscribers: Vec<Subscriber>,
}

impl Config {
    /// Logs that the site is served over http, if it is.
    pub fn warn_of_plain_http(&self) {
        if travel_in_clear(&self.public_url) {
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
    /// Encrypts the signing keys in the database; at least 32 characters, random. Prefer the file.
    #[arg(long, env = "KEY_SECRET", hide_env_values = true)]
    pub key_secret: Option<Secret>,
    /// A file that holds the secret.
    #[arg(long, env = "KEY_SECRET_FILE")]
    pub key_secret_file: Option<PathBuf>,
}

impl KeyConfig {
    /// The secret, from the flag or its file; a short one could be found by trying.
    pub fn secret(&self) -> Result<Secret, ConfigError> {
        const NAME: &str = "KEY_SECRET";
        let (value, file) = (self.key_secret.as_ref(), self.key_secret_file.as_ref());
        Secret::read(NAME, value, file)?.of_at_least(32, NAME)
    }
}

/// How much is too much. Counted by all replicas together.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct LimitConfig {
    /// Registrations from one address in a minute.
    #[arg(long, env = "REGISTRATIONS_PER_ADDRESS", default_value_t = 200)]
    pub registrations_per_address: u32,
    /// Wrong passwords from one address in a minute, over all accounts.
    #[arg(long, env = "LOGIN_FAILURES_PER_ADDRESS", default_value_t = 100)]
    pub login_failures_per_address: u32,
    /// Wrong passwords for one account from one address in 15 minutes.
    #[arg(long, env = "LOGIN_FAILURES_PER_ACCOUNT", default_value_t = 10)]
    pub login_failures_per_account: u32,
    /// Wrong passwords for one account in 15 minutes from all addresses that never signed in to it.
    #[arg(long, env = "LOGIN_FAILURES_BY_STRANGERS", default_value_t = 100)]
    pub login_failures_by_strangers: u32,
}
