//! The errors that every service has, and the one place where a failure becomes a GraphQL error.

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

/// Errors that every service has. A service's own error has them as the variant `Common`.
#[derive(Debug, thiserror::Error)]
pub enum Common {
    /// The request is not signed in.
    #[error(transparent)]
    NoViewer(#[from] NoViewer),
    /// The account was deleted, or that could not be looked up.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// An id is malformed.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// A text breaks its rule.
    #[error(transparent)]
    Text(#[from] InvalidText),
    /// A page cannot be had.
    #[error(transparent)]
    Page(#[from] PageError),
    /// Another service did not answer.
    #[error(transparent)]
    Internal(#[from] InternalError),
    /// The comparison with another service did not finish.
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
    /// An event makes no sense.
    #[error(transparent)]
    Event(#[from] MalformedEvent),
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// The database failed for many keys at once.
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

/// Lets `?` make a service's error of everything that is [`Common`].
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

/// A classified error on its way to a client.
///
/// It deliberately has no `Display`: async-graphql turns every displayable error into an answer, and that would
/// send causes to clients. The only way out is the conversion below.
#[derive(Debug)]
pub struct Failure {
    code: Code,
    field: Option<&'static str>,
    retry_after: Option<Duration>,
    source: Box<dyn StdError + Send + Sync>,
}

impl Failure {
    /// The code that the client gets.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The message for people; causes of `INTERNAL` and `UNAVAILABLE` stay inside.
    pub fn message(&self) -> String {
        match self.code {
            Code::Internal => "Something went wrong on our side.".to_owned(),
            Code::Unavailable => {
                "A part of the site cannot be reached right now. Please try again.".to_owned()
            }
            _ => self.source.to_string(),
        }
    }

    /// Logs what the client is not told, once.
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
