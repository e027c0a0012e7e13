//! Classifies database errors: the client's error code, and whether to retry.

use std::sync::Arc;

use sqlx::mysql::MySqlDatabaseError;

use crate::{Classify, Code};

/// The message of a transaction that the server has rolled back without reporting it.
pub(super) const LOST: &str = "the transaction was gone before its commit";

/// Kinds of database errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ErrorKind {
    /// Rolled back because of a conflict with another transaction or a schema change. Nothing was committed.
    Conflict,
    /// The node or the connection failed. Another connection may lead to another node.
    Node,
    /// The database has no capacity for this request.
    Busy,
    /// The statement or the expected result is wrong.
    Defect,
}

impl ErrorKind {
    fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Protocol(message) if message == LOST => Self::Conflict,
            // A broken connection may also end in the middle of a packet, which is a protocol error, or before the
            // transaction has begun.
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::BeginFailed => Self::Node,
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => Self::Busy,
            _ => number(error).map_or(Self::Defect, Self::of_number),
        }
    }

    fn of_number(number: u16) -> Self {
        match number {
            // Changed since last read, lock wait, deadlock or certification failure, table changed, statement needs to
            // be prepared again, write in a read-only transaction (see `Tx`).
            1020 | 1205 | 1213 | 1412 | 1615 | 1792 => Self::Conflict,
            // Not synced, shutdown, host blocked after broken connections, aborted connection, network errors, commit
            // failed, read-only server, query interrupted by a shutdown, connection killed or gone.
            1047
            | 1053
            | 1077
            | 1079
            | 1129
            | 1152
            | 1155..=1161
            | 1180
            | 1184
            | 1290
            | 1317
            | 1836
            | 1927
            | 2006
            | 2013 => Self::Node,
            // Disk full, out of memory or threads, error of the storage engine, table full, too many connections,
            // statement too slow.
            1021 | 1026 | 1030 | 1037 | 1038 | 1040 | 1041 | 1114 | 1135 | 1203 | 1226 | 1969 => Self::Busy,
            _ => Self::Defect,
        }
    }
}

/// Returns the client's error code for a database error.
pub fn code(error: &sqlx::Error) -> Code {
    match ErrorKind::of(error) {
        ErrorKind::Defect => Code::Internal,
        ErrorKind::Node | ErrorKind::Conflict | ErrorKind::Busy => Code::Unavailable,
    }
}

impl Classify for sqlx::Error {
    fn code(&self) -> Code {
        code(self)
    }

    fn database(&self) -> Option<&sqlx::Error> {
        Some(self)
    }
}

/// Loaders share one error between many keys.
impl Classify for Arc<sqlx::Error> {
    fn code(&self) -> Code {
        code(self)
    }

    fn database(&self) -> Option<&sqlx::Error> {
        Some(self)
    }
}

/// The retry decision for a failed transaction or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetryDecision {
    /// The attempt can be repeated.
    Retry,
    /// The attempt can be repeated, but it may have been committed, because the response was lost.
    RetryAfterAmbiguousCommit,
    /// Another attempt would fail too.
    Fail,
}

/// Decides by the kind of the error. If the node failed during the commit, it is unknown whether the commit happened.
/// If no connection could be opened, nothing was begun, and the pool may know the working nodes by now.
pub(super) fn retry_decision(
    error: &sqlx::Error,
    at_commit: bool,
    node_has_failed_recently: bool,
) -> RetryDecision {
    match ErrorKind::of(error) {
        ErrorKind::Node if at_commit => RetryDecision::RetryAfterAmbiguousCommit,
        ErrorKind::Conflict | ErrorKind::Node => RetryDecision::Retry,
        ErrorKind::Busy if matches!(error, sqlx::Error::PoolTimedOut) && node_has_failed_recently => {
            RetryDecision::Retry
        }
        ErrorKind::Busy | ErrorKind::Defect => RetryDecision::Fail,
    }
}

/// Whether the node or the connection failed.
pub(super) fn is_node_failure(error: &sqlx::Error) -> bool {
    ErrorKind::of(error) == ErrorKind::Node
}

/// Returns the reason for the label of `proofsheet_database_retries_total`.
pub(super) fn reason(error: &sqlx::Error) -> &'static str {
    match (ErrorKind::of(error), number(error)) {
        (_, Some(1213)) => "deadlock",
        (_, Some(1205)) => "lock_wait",
        (_, Some(1020 | 1412 | 1615)) => "changed",
        (ErrorKind::Conflict, _) => "lost",
        _ => "node",
    }
}

pub(super) fn number(error: &sqlx::Error) -> Option<u16> {
    error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>())
        .map(MySqlDatabaseError::number)
}
