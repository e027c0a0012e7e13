//! The connection pool, and transactions and reads with retries.

mod config;
mod errors;
mod migrating;
mod nodes;
mod pool;
mod schema;

use std::io;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use sqlx::pool::PoolConnection;
use sqlx::{Executor as _, MySql, MySqlConnection, QueryBuilder, Row as _};
use uuid::Uuid;

use crate::Classify;

pub use config::DatabaseConfig;
pub use errors::code;
use errors::{LOST, RetryDecision, is_node_failure, number, reason, retry_decision};
pub use migrating::{MigrationError, migrate, migrate_with};
pub use pool::Pool;
pub use schema::{SchemaState, schema_state};

/// The migrations of the tables that every service's schema has.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// The maximum number of attempts of a transaction or read.
const MAX_ATTEMPTS: u32 = 5;
/// The maximum time between the first attempt and the start of the last one: requests must be answered within two
/// seconds.
const RETRY_WINDOW: Duration = Duration::from_millis(1_500);

/// The state of an attempt of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// An earlier attempt may have been committed, because its response was lost. Only then may a duplicate key mean
    /// success.
    pub ambiguous: bool,
}

/// Runs a block in a transaction and commits it. Retries the transaction with backoff and full jitter if the error is
/// retryable: `transaction!(pool, Error, |tx, attempt| { …; Ok(value) })`.
///
/// The block must be idempotent: absolute values, natural keys, ids generated before. `tx` is a `&mut MySqlConnection`,
/// `attempt` an [`Attempt`]. An optional [`Consistency`] precedes the block. It is a macro because the futures of async
/// closures cannot be required to be `Send`.
#[macro_export]
macro_rules! transaction {
    ($pool:expr, $error:ty, |$tx:ident, $attempt:pat_param| $work:expr) => {{
        $crate::transaction!(
            $pool,
            $error,
            $crate::database::Consistency::Local,
            |$tx, $attempt| $work
        )
    }};
    ($pool:expr, $error:ty, $consistency:expr, |$tx:ident, $attempt:pat_param| $work:expr) => {{
        let mut retry = $crate::database::Retry::new(&$pool);
        loop {
            let outcome: ::std::result::Result<_, ($error, bool)> =
                match $crate::database::begin(&$pool, $consistency).await {
                    Err(error) => Err((<$error>::from(error), false)),
                    Ok(mut open) => {
                        let $attempt = retry.attempt();
                        let result: ::std::result::Result<_, $error> = async {
                            let $tx: &mut $crate::reexport::sqlx::MySqlConnection = &mut open;
                            $work
                        }
                        .await;
                        $crate::database::finish(open, result).await
                    }
                };
            match outcome {
                Ok(value) => break ::std::result::Result::<_, $error>::Ok(value),
                Err((error, at_commit)) => {
                    if let Err(error) = retry.after(error, at_commit).await {
                        break Err(error);
                    }
                }
            }
        }
    }};
}

/// The read consistency of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// The state of the connection's node, which may be some milliseconds behind other nodes.
    Local,
    /// All writes that were acknowledged before, by any node. The node waits until it has applied them. For reads of a
    /// user's own writes, perhaps on another node.
    Latest,
}

/// An open transaction. If its end is unknown, the connection is closed.
///
/// Outside of the transaction, the session is read-only. A cluster may roll back a transaction at any time because of a
/// conflict. MariaDB 10.11 does not report this while a statement is prepared, and the following statements would be
/// committed one by one.
#[derive(Debug)]
pub struct Tx {
    connection: PoolConnection<MySql>,
    ended: bool,
}

impl Deref for Tx {
    type Target = MySqlConnection;

    fn deref(&self) -> &Self::Target {
        &self.connection
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.connection
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.close_on_drop();
        }
    }
}

/// Begins a transaction with this consistency.
pub async fn begin(pool: &Pool, consistency: Consistency) -> Result<Tx, sqlx::Error> {
    const BEGIN: &str = "SET SESSION TRANSACTION READ ONLY; START TRANSACTION READ WRITE";
    /// Galera waits at the start of the transaction only.
    const LATEST: &str = "SET SESSION TRANSACTION READ ONLY; SET SESSION wsrep_sync_wait = 1; \
                          START TRANSACTION READ WRITE; SET SESSION wsrep_sync_wait = 0";
    if consistency == Consistency::Local {
        return begin_with(pool, BEGIN).await;
    }
    with_galera_or_without(
        pool,
        Box::pin(begin_with(pool, LATEST)),
        Box::pin(begin_with(pool, BEGIN)),
    )
    .await
}

/// Returns a connection whose reads have [`Consistency::Latest`].
pub async fn read_latest(pool: &Pool) -> Result<PoolConnection<MySql>, sqlx::Error> {
    with_galera_or_without(pool, Box::pin(synced_connection(pool)), Box::pin(pool.acquire())).await
}

/// Waits until the node of a connection has applied all writes. If this fails or is cancelled, the connection is
/// closed, because its later reads would wait too.
async fn synced_connection(pool: &Pool) -> Result<PoolConnection<MySql>, sqlx::Error> {
    /// Galera waits at the start of a transaction.
    const WAIT_FOR_SYNC: &str = "SET SESSION wsrep_sync_wait = 1; START TRANSACTION READ ONLY; COMMIT; \
                            SET SESSION wsrep_sync_wait = 0; SELECT 1";
    let mut connection = CloseOnDrop(Some(pool.acquire().await?));
    if let Some(connection) = &mut connection.0 {
        last_result(connection, WAIT_FOR_SYNC).await?;
    }
    connection.0.take().ok_or(sqlx::Error::PoolClosed)
}

/// Closes its connection on drop, unless it was taken.
struct CloseOnDrop(Option<PoolConnection<MySql>>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.0 {
            connection.close_on_drop();
        }
    }
}

/// Runs a read. Retries it on another connection if the node or the connection fails.
pub async fn read<T, E, F>(pool: &Pool, read: impl Fn() -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
    E: Classify,
{
    let mut retry = Retry::new(pool);
    loop {
        match read().await {
            Ok(value) => return Ok(value),
            Err(error) => retry.after(error, false).await?,
        }
    }
}

/// Runs `with`, or `without` if the server does not have the variable because it was built without Galera.
async fn with_galera_or_without<T>(
    pool: &Pool,
    with: impl Future<Output = Result<T, sqlx::Error>>,
    without: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    const UNKNOWN_VARIABLE: u16 = 1193;

    let options = pool.connect_options();
    let server = (options.get_host().to_owned(), options.get_port());
    if pool.nodes.is_without_galera(&server) {
        return without.await;
    }
    match with.await {
        Err(error) if number(&error) == Some(UNKNOWN_VARIABLE) => {
            pool.nodes.record_without_galera(server);
            without.await
        }
        started => started,
    }
}

async fn begin_with(pool: &Pool, statements: &'static str) -> Result<Tx, sqlx::Error> {
    let mut open = Tx {
        connection: pool.acquire().await?,
        ended: false,
    };
    open.execute(statements).await?;
    Ok(open)
}

/// Makes the session writable again.
const MAKE_WRITABLE: &str = "SET SESSION TRANSACTION READ WRITE; SELECT 1";

/// The retries of a [`transaction!`](crate::transaction) or [`read`].
#[derive(Debug)]
pub struct Retry<'p> {
    pool: &'p Pool,
    started: Instant,
    attempts: u32,
    ambiguous: bool,
}

impl<'p> Retry<'p> {
    /// Returns the state before the first attempt.
    pub fn new(pool: &'p Pool) -> Self {
        Self {
            pool,
            started: Instant::now(),
            attempts: 0,
            ambiguous: false,
        }
    }

    /// Returns the state of the next attempt.
    pub fn attempt(&self) -> Attempt {
        Attempt {
            ambiguous: self.ambiguous,
        }
    }

    /// Waits before the next attempt, or returns the error if it is not retryable.
    pub async fn after<E: Classify>(&mut self, error: E, at_commit: bool) -> Result<(), E> {
        self.attempts += 1;
        let nodes = &self.pool.nodes;
        let decision = error.database().map_or(RetryDecision::Fail, |error| {
            retry_decision(error, at_commit, nodes.have_failed_recently())
        });
        if error.database().is_some_and(is_node_failure) {
            nodes.report_failure();
        }
        if decision == RetryDecision::Fail
            || self.attempts >= MAX_ATTEMPTS
            || self.started.elapsed() > RETRY_WINDOW
        {
            return Err(error);
        }
        self.ambiguous |= decision == RetryDecision::RetryAfterAmbiguousCommit;
        let reason = error.database().map_or("other", reason);
        metrics::counter!("proofsheet_database_retries_total", "reason" => reason).increment(1);
        tokio::time::sleep(backoff(self.attempts)).await;
        Ok(())
    }
}

/// Commits after success, and rolls back after an error. The boolean tells whether the commit failed.
pub async fn finish<T, E>(mut open: Tx, result: Result<T, E>) -> Result<T, (E, bool)>
where
    E: From<sqlx::Error>,
{
    let failure = match result {
        Err(error) => (error, false),
        Ok(value) => match commit(&mut open).await {
            Ok(()) => {
                // Committed, even if the connection fails now.
                open.ended = last_result(&mut open, MAKE_WRITABLE).await.is_ok();
                return Ok(value);
            }
            Err(error) => (error.into(), true),
        },
    };
    open.ended = rollback(&mut open).await.is_ok();
    Err(failure)
}

/// Two messages, because MariaDB reports no error for a rollback in the middle of a message with several statements,
/// and may execute or skip the rest.
async fn commit(connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
    if !last_result(connection, "SELECT @@in_transaction = 1").await? {
        return Err(sqlx::Error::Protocol(LOST.to_owned()));
    }
    connection.execute("COMMIT").await.map(drop)
}

async fn rollback(connection: &mut MySqlConnection) -> Result<bool, sqlx::Error> {
    last_result(
        connection,
        "ROLLBACK; SET SESSION TRANSACTION READ WRITE; SELECT 1",
    )
    .await
}

/// Returns the result of the last statement, or an error if it is missing: then the number of executed statements is
/// unknown.
async fn last_result(
    connection: &mut MySqlConnection,
    statements: &'static str,
) -> Result<bool, sqlx::Error> {
    let rows = connection.fetch_all(statements).await?;
    let last = rows.last().ok_or_else(|| {
        let cut_short = "the database did not execute all statements of a message";
        io::Error::new(io::ErrorKind::UnexpectedEof, cut_short)
    })?;
    last.try_get(0)
}

/// Full jitter: a random delay of up to 10, 20, 40, 80 ms.
fn backoff(attempts: u32) -> Duration {
    Duration::from_millis(rand::rng().random_range(0..=10 << (attempts - 1)))
}

/// Appends `(?, ?, …)` with `ids` to a query that ends in `IN `.
///
/// The list is padded to a few lengths with its last id, for hits in the statement cache.
pub fn push_ids(query: &mut QueryBuilder<MySql>, ids: impl IntoIterator<Item = impl Into<Uuid>>) {
    let mut ids: Vec<Uuid> = ids.into_iter().map(Into::into).collect();
    let length = match ids.len() {
        0..=1 => 1,
        2..=8 => 8,
        9..=24 => 24,
        more => more.next_multiple_of(50),
    };
    // `IN ()` is a syntax error. No row has the nil id.
    ids.resize(length, ids.last().copied().unwrap_or_default());
    query.push("(");
    let mut list = query.separated(", ");
    for id in ids {
        list.push_bind(id);
    }
    query.push(")");
}
