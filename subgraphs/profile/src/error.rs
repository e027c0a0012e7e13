//! What can go wrong here, and what a client is told of it.

use chassis::departed::{PresenceError, ReconcileError};
use chassis::events::MalformedEvent;
use chassis::text::InvalidText;
use chassis::viewer::NoViewer;
use chassis::{Classify, Code};

use crate::domain::UsernameError;

/// Every failure of this service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody is signed in.
    #[error(transparent)]
    NoViewer(#[from] NoViewer),
    /// The account was deleted, or that could not be looked up.
    #[error(transparent)]
    Presence(#[from] PresenceError),
    /// Nobody can have this username.
    #[error(transparent)]
    Username(#[from] UsernameError),
    /// Somebody else has this username.
    #[error("This username is taken.")]
    Taken,
    /// A display name or bio breaks its rule.
    #[error(transparent)]
    Text(#[from] InvalidText),
    /// An event makes no sense.
    #[error(transparent)]
    Event(#[from] MalformedEvent),
    /// The comparison with another service did not finish.
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::NoViewer(error) => error.code(),
            Self::Presence(error) => error.code(),
            Self::Username(UsernameError::Malformed) => Code::InvalidInput,
            Self::Username(UsernameError::Reserved) | Self::Taken => Code::Conflict,
            Self::Text(error) => error.code(),
            Self::Event(error) => error.code(),
            Self::Reconcile(error) => error.code(),
            Self::Database(error) => error.code(),
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::Username(_) | Self::Taken => Some("username"),
            Self::Text(error) => error.field(),
            _ => None,
        }
    }

    fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Presence(error) => error.database(),
            Self::Reconcile(error) => error.database(),
            Self::Database(error) => Some(error),
            _ => None,
        }
    }
}
