//! Errors of this service, with their codes and messages for clients.

use std::time::Duration;

use chassis::{Classify, Code};
use subgraph::error::Common;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error that every service has.
    #[error(transparent)]
    Common(#[from] Common),
    /// The session of a valid token has ended: signed out, replaced, or the account was deleted.
    #[error("This session has ended. Please sign in again.")]
    SessionEnded,
    /// The same for an unknown e-mail and a wrong password, so that it does not reveal which accounts exist.
    #[error("This e-mail and password do not belong together.")]
    WrongCredentials,
    /// The password that confirms a change is wrong.
    #[error("The password is wrong.")]
    WrongPassword {
        /// The input field.
        field: &'static str,
    },
    /// The refresh token is missing, unknown, or was replayed.
    #[error("This login has ended. Please sign in again.")]
    RefreshRefused,
    /// The input is invalid.
    #[error("{message}")]
    Invalid {
        /// The input field.
        field: &'static str,
        /// The violated rule.
        message: &'static str,
    },
    #[error("There is already an account with this e-mail.")]
    EmailTaken,
    /// Too many attempts from one address, or for one account.
    #[error("Too many attempts. Wait a few minutes, then try again.")]
    TooManyTries {
        /// When the next attempt is allowed.
        retry_after: Duration,
    },
    /// Too many passwords wait to be hashed.
    #[error("Sign-in is busy right now. Try again in a moment.")]
    Busy,
    /// Hashing failed: a damaged row, or a failed thread.
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

/// Why the signing keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The rows were encrypted with another secret, or modified.
    #[error(
        "the signing keys in the database cannot be opened with this KEY_SECRET: give the secret that they were made under"
    )]
    Sealed,
    /// The decrypted value is not an Ed25519 key.
    #[error("a signing key cannot be used")]
    Unusable(#[from] jsonwebtoken::errors::Error),
    /// The table is empty, because it was emptied by hand.
    #[error("there is no signing key")]
    None,
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
