//! The classification of errors.

use std::error::Error as StdError;
use std::time::Duration;

use contracts::Code;

/// The classification of an error.
pub trait Classify: StdError + Send + Sync + 'static {
    /// The code that the client gets.
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

/// Logs an error that the client is not told of, once.
pub fn log(code: Code, error: &(dyn StdError + 'static)) {
    let causes = chain(error);
    match code {
        Code::Internal => tracing::error!(error = causes, "internal error"),
        Code::Unavailable => tracing::warn!(error = causes, "unavailable"),
        _ => tracing::debug!(code = code.as_str(), error = causes, "refused"),
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
