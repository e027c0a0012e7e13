//! Errors of this service, with their codes and messages for clients.

use chassis::{Classify, Code};
use subgraph::error::Common;

/// Every failure of this service. Give each new variant a code below.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error that every service has.
    #[error(transparent)]
    Common(#[from] Common),
}

subgraph::common_errors!(Error);

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::Common(error) => error.code(),
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::Common(error) => error.field(),
        }
    }

    fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Common(error) => error.database(),
        }
    }
}
