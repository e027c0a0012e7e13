//! Errors of this service, with their codes and messages for clients.

use chassis::{Classify, Code};
use subgraph::error::Common;

use crate::domain::InvalidDay;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error that every service has.
    #[error(transparent)]
    Common(#[from] Common),
    #[error(transparent)]
    Day(#[from] InvalidDay),
    /// The photo does not exist or was deleted.
    #[error("This photo does not exist.")]
    NoSuchPhoto,
    /// The photo is the viewer's.
    #[error("You cannot vote on your own photo.")]
    OwnPhoto,
    /// Another worker has folded the same deltas.
    #[error("another worker folds as well")]
    FoldedElsewhere,
    /// Another replica runs this job now.
    #[error("another replica has taken the lease of this job")]
    LeaseLost,
}

subgraph::common_errors!(Error);

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::Common(error) => error.code(),
            Self::Day(_) => Code::InvalidInput,
            Self::NoSuchPhoto => Code::NotFound,
            Self::OwnPhoto => Code::Forbidden,
            Self::FoldedElsewhere | Self::LeaseLost => Code::Unavailable,
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::Common(error) => error.field(),
            Self::Day(_) => Some("day"),
            _ => None,
        }
    }

    fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Common(error) => error.database(),
            _ => None,
        }
    }
}
