//! The classification of errors.

use std::error::Error as StdError;
use std::time::Duration;

use contracts::Code;

/// The classification of an error.
pub trait Classify: StdError + Send + Sync + 'static {
    /// Returns the code for the client.
    fn code(&self) -> Code;

    /// Returns the innermost invalid argument or input field.
    fn field(&self) -> Option<&'static str> {
        None
    }

    /// Returns when the client may try again.
    fn retry_after(&self) -> Option<Duration> {
        None
    }

    /// Returns the contained database error, which decides about retries.
    fn database(&self) -> Option<&sqlx::Error> {
        None
    }
}

/// Logs an error whose cause is not sent to the client.
pub fn log(code: Code, error: &(dyn StdError + 'static)) {
    let causes = chain(error);
    match code {
        Code::Internal => tracing::error!(error = causes, "internal error"),
        Code::Unavailable => tracing::warn!(error = causes, "unavailable"),
        _ => tracing::debug!(code = code.as_str(), error = causes, "refused"),
    }
}

/// Returns the error and its sources in one line.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        // `#[error(transparent)]` and wrapped database errors repeat the text of their source.
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        source = cause.source();
    }
    line
}
