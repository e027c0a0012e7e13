//! The flags of every service. Only flags read the environment.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

use crate::telemetry::LogFormat;

/// An invalid configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Neither the value nor its file is set.
    #[error("{0} is missing: set it, or set {0}_FILE to a file that holds it")]
    Missing(&'static str),
    /// The file cannot be read.
    #[error("{name}_FILE: cannot read {path}: {source}")]
    Unreadable {
        /// The setting.
        name: &'static str,
        /// The configured path.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The value is invalid.
    #[error("{name}: {reason}")]
    Invalid {
        /// The setting.
        name: &'static str,
        reason: String,
    },
}

/// A secret value. Its `Debug` output is redacted.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// Returns the value.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the value, or else the contents of the file without the final line break.
    pub fn read(
        name: &'static str,
        value: Option<&Self>,
        file: Option<&PathBuf>,
    ) -> Result<Self, ConfigError> {
        if let Some(value) = value {
            return Ok(value.clone());
        }
        let path = file.ok_or(ConfigError::Missing(name))?;
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Self(text.trim_end_matches(['\r', '\n']).to_owned())),
            Err(source) => Err(ConfigError::Unreadable {
                name,
                path: path.clone(),
                source,
            }),
        }
    }

    /// Returns an error if the secret is shorter than `characters`.
    pub fn of_at_least(self, characters: usize, name: &'static str) -> Result<Self, ConfigError> {
        if self.0.len() < characters {
            return Err(ConfigError::Invalid {
                name,
                reason: format!("it must have at least {characters} characters, from a random source"),
            });
        }
        Ok(self)
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The accepted access tokens.
#[derive(Debug, Clone, clap::Args)]
pub struct TokenConfig {
    /// Where the issuer publishes its keys.
    #[arg(
        long,
        env = "JWKS_URL",
        default_value = "http://127.0.0.1:5001/.well-known/jwks.json"
    )]
    pub jwks_url: Url,
    /// The claim `iss` of every access token.
    #[arg(long, env = "TOKEN_ISSUER", default_value = "proofsheet")]
    pub token_issuer: String,
    /// The claim `aud` of every access token.
    #[arg(long, env = "TOKEN_AUDIENCE", default_value = "proofsheet")]
    pub token_audience: String,
    /// The header `typ` of every access token (RFC 9068).
    #[arg(long, env = "TOKEN_TYPE", default_value = "at+jwt")]
    pub token_type: String,
}

/// The secret shared by all services.
#[derive(Debug, Clone, clap::Args)]
pub struct InternalConfig {
    /// The secret that guards `/events` and `/internal`. Prefer the file.
    #[arg(long, env = "INTERNAL_SECRET", hide_env_values = true)]
    pub internal_secret: Option<Secret>,
    /// A file that holds the secret.
    #[arg(long, env = "INTERNAL_SECRET_FILE")]
    pub internal_secret_file: Option<PathBuf>,
}

impl InternalConfig {
    /// Returns the secret of the flag or of its file. Short secrets are an error.
    pub fn secret(&self) -> Result<Secret, ConfigError> {
        const NAME: &str = "INTERNAL_SECRET";
        let (value, file) = (self.internal_secret.as_ref(), self.internal_secret_file.as_ref());
        Secret::read(NAME, value, file)?.of_at_least(16, NAME)
    }
}

/// How the process logs.
#[derive(Debug, Clone, clap::Args)]
pub struct LogConfig {
    /// How log lines look. `RUST_LOG` chooses which there are.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Human)]
    pub log_format: LogFormat,
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }
}
