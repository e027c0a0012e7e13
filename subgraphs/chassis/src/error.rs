//! The eight error codes, and the one place where a failure becomes a GraphQL error.

use std::error::Error as StdError;
use std::time::Duration;

use crate::database;
use crate::telemetry;

/// What a client can act on; sent as `extensions.code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Nobody is signed in, or the password is wrong.
    Unauthenticated,
    /// Somebody is signed in who may not do this.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// The input breaks a rule; `extensions.field` says which input.
    InvalidInput,
    /// Somebody else was first; `extensions.field` says with what.
    Conflict,
    /// Too many of these; `extensions.retryAfterSeconds` says when to come back.
    RateLimited,
    /// A part that this needs is not there now; the same request may succeed later.
    Unavailable,
    /// Our fault. The cause is in the log under the request id, and nowhere else.
    Internal,
}

impl Code {
    /// The code as clients see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::InvalidInput => "INVALID_INPUT",
            Self::Conflict => "CONFLICT",
            Self::RateLimited => "RATE_LIMITED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Internal => "INTERNAL",
        }
    }
}

/// What a subgraph's error type says about each of its variants.
pub trait Classify: StdError + Send + Sync + 'static {
    /// What the client is told.
    fn code(&self) -> Code;

    /// The innermost argument or input field that is at fault.
    fn field(&self) -> Option<&'static str> {
        None
    }

    /// When to try again.
    fn retry_after(&self) -> Option<Duration> {
        None
    }

    /// The database error inside, if there is one: it decides whether a transaction is tried again.
    fn database(&self) -> Option<&sqlx::Error> {
        None
    }
}

impl Classify for sqlx::Error {
    fn code(&self) -> Code {
        database::code(self)
    }

    fn database(&self) -> Option<&sqlx::Error> {
        Some(self)
    }
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
    /// What the client is told.
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
        let causes = chain(&*self.source);
        match self.code {
            Code::Internal => tracing::error!(error = causes, "internal error"),
            Code::Unavailable => tracing::warn!(error = causes, "unavailable"),
            _ => tracing::debug!(code = self.code.as_str(), error = causes, "refused"),
        }
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

/// Loaders share one error among many keys.
impl Classify for std::sync::Arc<sqlx::Error> {
    fn code(&self) -> Code {
        database::code(self)
    }

    fn database(&self) -> Option<&sqlx::Error> {
        Some(self)
    }
}

/// The error and its sources in one line.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        // `#[error(transparent)]` and wrapped database errors repeat their source's words.
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        source = cause.source();
    }
    line
}
