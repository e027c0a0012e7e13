//! Errors of this service, with their codes and messages for clients.

use chassis::{Classify, Code};
use subgraph::error::Common;

use crate::domain::UsernameError;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error that every service has.
    #[error(transparent)]
    Common(#[from] Common),
    /// The username is malformed or reserved.
    #[error(transparent)]
    Username(#[from] UsernameError),
    #[error("This username is taken.")]
    Taken,
    /// Another user released this username recently.
    #[error("This username was in use until a short time ago and cannot be claimed yet. Choose another one.")]
    Quarantined,
    /// The user has released too many usernames.
    #[error(
        "You have changed your username too often. Keep this one for a while, or take back one that you had."
    )]
    TooManyRenames,
}

subgraph::common_errors!(Error);

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::Common(error) => error.code(),
            Self::Username(UsernameError::Malformed) => Code::InvalidInput,
            Self::Username(UsernameError::Reserved) | Self::Taken | Self::Quarantined => Code::Conflict,
            Self::TooManyRenames => Code::RateLimited,
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::Common(error) => error.field(),
            Self::Username(_) | Self::Taken | Self::Quarantined | Self::TooManyRenames => Some("username"),
        }
    }

    fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Common(error) => error.database(),
            _ => None,
        }
    }
}
