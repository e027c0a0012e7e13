//! The errors that every service has, and their conversion to GraphQL errors.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use chassis::deleted_accounts::{AccountError, ReconcileError};
use chassis::events::MalformedEvent;
use chassis::internal::InternalError;
use chassis::text::InvalidText;
use chassis::viewer::NoViewer;
use chassis::{Classify, Code, InvalidId, error, telemetry};

use crate::pagination::PageError;

/// Errors that every service has. A service's error type has them as the variant `Common`.
#[derive(Debug, thiserror::Error)]
pub enum Common {
    /// The request is not signed in.
    #[error(transparent)]
    NoViewer(#[from] NoViewer),
    /// The account was deleted, or the check failed.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// An id is malformed.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// A text violates its rule.
    #[error(transparent)]
    Text(#[from] InvalidText),
    /// The arguments of a page are invalid.
    #[error(transparent)]
    Page(#[from] PageError),
    /// Another service did not respond.
    #[error(transparent)]
    Internal(#[from] InternalError),
    /// The comparison with another service failed.
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
    /// The data of an event is invalid.
    #[error(transparent)]
    Event(#[from] MalformedEvent),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// The database failed in a loader.
    #[error("the database failed")]
    Loader(#[from] Arc<sqlx::Error>),
}

impl Classify for Common {
    fn code(&self) -> Code {
        match self {
            Self::NoViewer(error) => error.code(),
            Self::Account(error) => error.code(),
            Self::Id(error) => error.code(),
            Self::Text(error) => error.code(),
            Self::Page(error) => error.code(),
            Self::Internal(error) => error.code(),
            Self::Reconcile(error) => error.code(),
            Self::Event(error) => error.code(),
            Self::Database(error) => error.code(),
            Self::Loader(error) => error.code(),
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::Id(error) => error.field(),
            Self::Text(error) => error.field(),
            Self::Page(error) => error.field(),
            _ => None,
        }
    }

    fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Account(error) => error.database(),
            Self::Reconcile(error) => error.database(),
            Self::Database(error) => Some(error),
            Self::Loader(error) => Some(error),
            _ => None,
        }
    }
}

/// Lets `?` convert everything that is [`Common`] to a service's error.
#[macro_export]
macro_rules! common_errors {
    ($error:ty) => {
        $crate::common_errors! {
            $error:
            $crate::reexport::chassis::viewer::NoViewer,
            $crate::reexport::chassis::deleted_accounts::AccountError,
            $crate::reexport::chassis::InvalidId,
            $crate::reexport::chassis::text::InvalidText,
            $crate::pagination::PageError,
            $crate::reexport::chassis::internal::InternalError,
            $crate::reexport::chassis::deleted_accounts::ReconcileError,
            $crate::reexport::chassis::events::MalformedEvent,
            $crate::reexport::sqlx::Error,
            ::std::sync::Arc<$crate::reexport::sqlx::Error>,
        }
    };
    ($error:ty: $($source:ty),+ $(,)?) => {
        $(impl From<$source> for $error {
            fn from(error: $source) -> Self {
                Self::Common(error.into())
            }
        })+
    };
}

/// A classified error for a client.
///
/// It deliberately has no `Display`: async-graphql sends the text of every displayable error to clients, which would
/// expose causes. The only conversion is below.
#[derive(Debug)]
pub struct Failure {
    code: Code,
    field: Option<&'static str>,
    retry_after: Option<Duration>,
    source: Box<dyn StdError + Send + Sync>,
}

impl Failure {
    /// Returns the code for the client.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Returns the message for the client. It does not contain causes of `INTERNAL` and `UNAVAILABLE`.
    pub fn message(&self) -> String {
        match self.code {
            Code::Internal => "Something went wrong on our side.".to_owned(),
            Code::Unavailable => "This is unavailable right now. Try again in a minute.".to_owned(),
            _ => self.source.to_string(),
        }
    }

    /// Logs the cause if it is not sent to the client.
    pub fn log(&self) {
        error::log(self.code, &*self.source);
    }
}

impl<E: Classify> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            code: error.code(),
            field: error.field(),
            retry_after: error.retry_after(),
            source: Box::new(error),
        }
    }
}

impl From<Failure> for async_graphql::Error {
    fn from(failure: Failure) -> Self {
        failure.log();
        let mut error = async_graphql::Error::new(failure.message());
        let extensions = error.extensions.get_or_insert_default();
        extensions.set("code", failure.code.as_str());
        if let Some(field) = failure.field {
            extensions.set("field", field);
        }
        if let Some(wait) = failure.retry_after {
            extensions.set("retryAfterSeconds", wait.as_secs().max(1));
        }
        if let (Code::Internal, Some(id)) = (failure.code, telemetry::request_id()) {
            extensions.set("requestId", id);
        }
        error
    }
}
