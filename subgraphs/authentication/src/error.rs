//! Errors of this service, and the codes and messages that clients get.

use std::time::Duration;

use chassis::{Classify, Code};
use subgraph::error::Common;

/// Every failure of this service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error that every service has.
    #[error(transparent)]
    Common(#[from] Common),
    /// The token is valid, but its session was ended: signed out, replaced, or the account is gone.
    #[error("This session has ended. Please sign in again.")]
    SessionEnded,
    /// The same error for an unknown e-mail and a wrong password, so that it does not reveal which accounts exist.
    #[error("This e-mail and password do not belong together.")]
    WrongCredentials,
    /// The password that confirms a change is wrong.
    #[error("The password is wrong.")]
    WrongPassword {
        /// The input that held it.
        field: &'static str,
    },
    /// No refresh token, an unknown one, or one that was replayed.
    #[error("This login has ended. Please sign in again.")]
    RefreshRefused,
    /// Input that breaks a rule.
    #[error("{message}")]
    Invalid {
        /// The input that is at fault.
        field: &'static str,
        /// The rule.
        message: &'static str,
    },
    /// The e-mail belongs to an existing account.
    #[error("There is already an account with this e-mail.")]
    EmailTaken,
    /// Too many tries from one address, or on one account.
    #[error("Too many attempts. Wait a few minutes, then try again.")]
    TooManyTries {
        /// When the next one may be made.
        retry_after: Duration,
    },
    /// More passwords wait to be hashed than can be hashed in time.
    #[error("Sign-in is busy right now. Try again in a moment.")]
    Busy,
    /// Hashing failed: a damaged row, or a thread that could not run.
    #[error("a password could not be hashed: {0}")]
    Hashing(String),
    /// The signing keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

subgraph::common_errors!(Error);

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::Common(error) => error.code(),
            Self::SessionEnded
            | Self::WrongCredentials
            | Self::WrongPassword { .. }
            | Self::RefreshRefused => Code::Unauthenticated,
            Self::Invalid { .. } => Code::InvalidInput,
            Self::EmailTaken => Code::Conflict,
            Self::TooManyTries { .. } | Self::Busy => Code::RateLimited,
            Self::Hashing(_) => Code::Internal,
            Self::Keys(error) => error.code(),
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::Common(error) => error.field(),
            Self::WrongPassword { field } | Self::Invalid { field, .. } => Some(field),
            Self::EmailTaken => Some("email"),
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyTries { retry_after } => Some(*retry_after),
            Self::Busy => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Common(error) => error.database(),
            Self::Keys(error) => error.database(),
            _ => None,
        }
    }
}

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The rows were sealed under another secret, or changed.
    #[error(
        "the signing keys in the database cannot be opened with this KEY_SECRET: give the secret that they were made under"
    )]
    Sealed,
    /// The decrypted value is no Ed25519 key.
    #[error("a signing key cannot be used")]
    Unusable(#[from] jsonwebtoken::errors::Error),
    /// The table is empty: it was emptied by hand while this process ran.
    #[error("there is no signing key")]
    None,
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl Classify for KeyError {
    fn code(&self) -> Code {
        match self {
            Self::Database(error) => error.code(),
            Self::Sealed | Self::Unusable(_) | Self::None => Code::Internal,
        }
    }

    fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Database(error) => Some(error),
            _ => None,
        }
    }
}
