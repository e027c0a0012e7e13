//! Classifies database errors: the client's error code, and whether to retry.

use std::sync::Arc;

use sqlx::mysql::MySqlDatabaseError;

use crate::{Classify, Code};

/// The message of a transaction that the server has rolled back without reporting it.
pub(super) const LOST: &str = "the transaction was gone before its commit";

/// Kinds of database errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The transaction was rolled back in favour of another one, or of a change of a table. Nothing was committed.
    Conflict,
    /// The node failed, or the way there. Another connection leads to another node.
    Node,
    /// The database has no capacity left for this request.
    Busy,
    /// The statement is wrong, or its result is not what the code expects.
    Defect,
}

impl Kind {
    fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Protocol(message) if message == LOST => Self::Conflict,
            // A connection that breaks may also end in the middle of a packet, which is a protocol error, or before
            // the transaction has begun.
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
            // Changed since last read, lock wait, deadlock or certification failure, table changed, statement to be
            // prepared again, write in a read-only transaction (see `Open`).
            1020 | 1205 | 1213 | 1412 | 1615 | 1792 => Self::Conflict,
            // Not Synced, shutdown, host blocked after broken connections, aborted connection, network errors,
            // commit failed, read-only server, query interrupted by a shutdown, connection killed or gone.
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

/// The client's error code for a database error.
pub fn code(error: &sqlx::Error) -> Code {
    match Kind::of(error) {
        Kind::Defect => Code::Internal,
        Kind::Node | Kind::Conflict | Kind::Busy => Code::Unavailable,
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

/// Loaders share one error among many keys.
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
    /// The whole may succeed if it is run again.
    Retry,
    /// Again, but the commit may have happened: its answer was lost.
    RetryAfterAmbiguousCommit,
    /// It would fail again.
    Fail,
}

/// Decides by the kind of the error. After a failure of the node at the commit, it is unknown whether the commit
/// happened, and another connection may reach another node. Without a connection nothing was begun: shortly after a
/// node has failed, the time may have gone into finding out which of them still work.
pub(super) fn retry_decision(error: &sqlx::Error, at_commit: bool, nodes_are_suspect: bool) -> RetryDecision {
    match Kind::of(error) {
        Kind::Node if at_commit => RetryDecision::RetryAfterAmbiguousCommit,
        Kind::Conflict | Kind::Node => RetryDecision::Retry,
        Kind::Busy if matches!(error, sqlx::Error::PoolTimedOut) && nodes_are_suspect => RetryDecision::Retry,
        Kind::Busy | Kind::Defect => RetryDecision::Fail,
    }
}

/// Whether the node has failed, or the way there.
pub(super) fn is_of_the_node(error: &sqlx::Error) -> bool {
    Kind::of(error) == Kind::Node
}

/// The label of `proofsheet_database_retries_total`.
pub(super) fn reason(error: &sqlx::Error) -> &'static str {
    match (Kind::of(error), number(error)) {
        (_, Some(1213)) => "deadlock",
        (_, Some(1205)) => "lock_wait",
        (_, Some(1020 | 1412 | 1615)) => "changed",
        (Kind::Conflict, _) => "lost",
        _ => "node",
    }
}

pub(super) fn number(error: &sqlx::Error) -> Option<u16> {
    error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>())
        .map(MySqlDatabaseError::number)
}
