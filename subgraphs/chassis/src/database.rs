//! The connection pool, and transactions and reads that are tried again.

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
use errors::{LOST, RetryDecision, is_of_the_node, number, reason, retry_decision};
pub use migrating::{MigrationError, migrate, migrate_with};
pub use pool::Pool;
pub use schema::{SchemaState, schema_state};

/// The migrations of the tables that every subgraph's schema has.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// The most times that one transaction is tried.
const ATTEMPTS: u32 = 5;
/// No try begins when the first one is longer ago: a request must be answered within two seconds.
const RETRY_WINDOW: Duration = Duration::from_millis(1_500);

/// Which try of a transaction this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// An earlier try may have been committed although its answer was lost. Only then may "duplicate" mean success.
    pub ambiguous: bool,
}

/// Runs a block in a transaction and commits it; runs the whole of it again, with full jitter, where the database
/// says that this may help: `transaction!(pool, Error, |tx, attempt| { …; Ok(value) })`.
///
/// The block must be safe to repeat: absolute values, natural keys, ids made before. `tx` is a `&mut MySqlConnection`,
/// `attempt` an [`Attempt`]. With a [`View`] before the block, that is what the block reads from. A macro and not a function, because the futures of async closures cannot be named `Send`.
#[macro_export]
macro_rules! transaction {
    ($pool:expr, $error:ty, |$tx:ident, $attempt:pat_param| $work:expr) => {{
        $crate::transaction!(
            $pool,
            $error,
            $crate::database::View::OfTheNode,
            |$tx, $attempt| $work
        )
    }};
    ($pool:expr, $error:ty, $view:expr, |$tx:ident, $attempt:pat_param| $work:expr) => {{
        let mut retry = $crate::database::Retry::new(&$pool);
        loop {
            let outcome: ::std::result::Result<_, ($error, bool)> =
                match $crate::database::begin(&$pool, $view).await {
                    Err(error) => Err((<$error>::from(error), false)),
                    Ok(mut open) => {
                        let $attempt = retry.attempt();
                        let worked: ::std::result::Result<_, $error> = async {
                            let $tx: &mut $crate::reexport::sqlx::MySqlConnection = &mut open;
                            $work
                        }
                        .await;
                        $crate::database::finish(open, worked).await
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

/// The consistency of a transaction's reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// The state of the connection's node. It may be some milliseconds behind another one.
    OfTheNode,
    /// All that was acknowledged before on any node. The node waits until it has got that, so this is for those who
    /// read what the same person has just written, perhaps by way of another node.
    Latest,
}

/// A transaction that is open; a connection of which it is not known how it ended is closed.
///
/// While it is open the session may only read outside it. A node of a cluster may take a transaction back at any time,
/// when another node's is in its way. MariaDB forgets to say so (10.11) where that happens while a statement is
/// prepared; the statements that follow would then be transactions of their own, and a half of the whole would be there
/// for good.
#[derive(Debug)]
pub struct Open {
    connection: PoolConnection<MySql>,
    ended: bool,
}

impl Deref for Open {
    type Target = MySqlConnection;

    fn deref(&self) -> &Self::Target {
        &self.connection
    }
}

impl DerefMut for Open {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.connection
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.close_on_drop();
        }
    }
}

/// Begins a transaction that sees `view`.
pub async fn begin(pool: &Pool, view: View) -> Result<Open, sqlx::Error> {
    const BEGIN: &str = "SET SESSION TRANSACTION READ ONLY; START TRANSACTION READ WRITE";
    /// Galera waits at the start; what is read afterwards need not wait again.
    const LATEST: &str = "SET SESSION TRANSACTION READ ONLY; SET SESSION wsrep_sync_wait = 1; \
                          START TRANSACTION READ WRITE; SET SESSION wsrep_sync_wait = 0";
    if view == View::OfTheNode {
        return begin_with(pool, BEGIN).await;
    }
    or_without_cluster(
        pool,
        Box::pin(begin_with(pool, LATEST)),
        Box::pin(begin_with(pool, BEGIN)),
    )
    .await
}

/// A connection whose reads see what [`View::Latest`] gives.
pub async fn read_latest(pool: &Pool) -> Result<PoolConnection<MySql>, sqlx::Error> {
    or_without_cluster(pool, Box::pin(caught_up(pool)), Box::pin(pool.acquire())).await
}

/// Waits on one connection until its node has everything. Where that fails or is cancelled the connection is closed: its
/// later reads would wait as well.
async fn caught_up(pool: &Pool) -> Result<PoolConnection<MySql>, sqlx::Error> {
    /// Galera waits where a transaction starts.
    const CATCH_UP: &str = "SET SESSION wsrep_sync_wait = 1; START TRANSACTION READ ONLY; COMMIT; \
                            SET SESSION wsrep_sync_wait = 0; SELECT 1";
    let mut connection = CloseOnDrop(Some(pool.acquire().await?));
    if let Some(connection) = &mut connection.0 {
        last_answer(connection, CATCH_UP).await?;
    }
    connection.0.take().ok_or(sqlx::Error::PoolClosed)
}

/// Closes its connection, unless that is taken out before.
struct CloseOnDrop(Option<PoolConnection<MySql>>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.0 {
            connection.close_on_drop();
        }
    }
}

/// Runs a read, and runs it again on another connection where the database node or the connection fails.
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

/// Servers that were built without Galera do not have the variable; one without a cluster accepts it and does nothing
/// about it.
async fn or_without_cluster<T>(
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
            pool.nodes.note_without_galera(server);
            without.await
        }
        begun => begun,
    }
}

async fn begin_with(pool: &Pool, statements: &'static str) -> Result<Open, sqlx::Error> {
    let mut open = Open {
        connection: pool.acquire().await?,
        ended: false,
    };
    open.execute(statements).await?;
    Ok(open)
}

/// Single statements may write again.
const WRITABLE: &str = "SET SESSION TRANSACTION READ WRITE; SELECT 1";

/// The state of one [`transaction!`](crate::transaction) or [`read`].
#[derive(Debug)]
pub struct Retry<'p> {
    pool: &'p Pool,
    begun: Instant,
    tries: u32,
    ambiguous: bool,
}

impl<'p> Retry<'p> {
    /// The state before the first attempt.
    pub fn new(pool: &'p Pool) -> Self {
        Self {
            pool,
            begun: Instant::now(),
            tries: 0,
            ambiguous: false,
        }
    }

    /// The state for the next attempt.
    pub fn attempt(&self) -> Attempt {
        Attempt {
            ambiguous: self.ambiguous,
        }
    }

    /// Waits before the next try, or gives the error back where another try would not help.
    pub async fn after<E: Classify>(&mut self, error: E, at_commit: bool) -> Result<(), E> {
        self.tries += 1;
        let nodes = &self.pool.nodes;
        let decision = error.database().map_or(RetryDecision::Fail, |error| {
            retry_decision(error, at_commit, nodes.are_suspect())
        });
        if error.database().is_some_and(is_of_the_node) {
            nodes.suspect();
        }
        if decision == RetryDecision::Fail || self.tries >= ATTEMPTS || self.begun.elapsed() > RETRY_WINDOW {
            return Err(error);
        }
        self.ambiguous |= decision == RetryDecision::RetryAfterAmbiguousCommit;
        let reason = error.database().map_or("other", reason);
        metrics::counter!("proofsheet_database_retries_total", "reason" => reason).increment(1);
        tokio::time::sleep(backoff(self.tries)).await;
        Ok(())
    }
}

/// Commits what worked, and takes back what did not. The error comes with whether it was the commit that failed.
pub async fn finish<T, E>(mut open: Open, worked: Result<T, E>) -> Result<T, (E, bool)>
where
    E: From<sqlx::Error>,
{
    let failure = match worked {
        Err(error) => (error, false),
        Ok(value) => match commit(&mut open).await {
            Ok(()) => {
                // It is committed, even if the connection fails now.
                open.ended = last_answer(&mut open, WRITABLE).await.is_ok();
                return Ok(value);
            }
            Err(error) => (error.into(), true),
        },
    };
    open.ended = take_back(&mut open).await.is_ok();
    Err(failure)
}

/// Two messages: where a transaction is taken back in the middle of a message of several statements, MariaDB reports no
/// error, and carries out the rest of it or leaves it out.
async fn commit(connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
    if !last_answer(connection, "SELECT @@in_transaction = 1").await? {
        return Err(sqlx::Error::Protocol(LOST.to_owned()));
    }
    connection.execute("COMMIT").await.map(drop)
}

async fn take_back(connection: &mut MySqlConnection) -> Result<bool, sqlx::Error> {
    last_answer(
        connection,
        "ROLLBACK; SET SESSION TRANSACTION READ WRITE; SELECT 1",
    )
    .await
}

/// The result of the last statement. Without one, the number of executed statements is unknown.
async fn last_answer(
    connection: &mut MySqlConnection,
    statements: &'static str,
) -> Result<bool, sqlx::Error> {
    let rows = connection.fetch_all(statements).await?;
    let last = rows.last().ok_or_else(|| {
        let cut_short = "the database left the end of a message out";
        io::Error::new(io::ErrorKind::UnexpectedEof, cut_short)
    })?;
    last.try_get(0)
}

/// Full jitter: anything up to 10, 20, 40, 80 ms.
fn backoff(tries: u32) -> Duration {
    Duration::from_millis(rand::rng().random_range(0..=10 << (tries - 1)))
}

/// Appends `(?, ?, …)` with `ids` to a query that ends in `IN `.
///
/// The list is padded to a few lengths by repeating its last id, so that the statement cache of the connection hits.
pub fn push_ids(query: &mut QueryBuilder<MySql>, ids: impl IntoIterator<Item = impl Into<Uuid>>) {
    let mut ids: Vec<Uuid> = ids.into_iter().map(Into::into).collect();
    let length = match ids.len() {
        0..=1 => 1,
        2..=8 => 8,
        9..=24 => 24,
        more => more.next_multiple_of(50),
    };
    // `IN ()` is not SQL; no row has the nil id.
    ids.resize(length, ids.last().copied().unwrap_or_default());
    query.push("(");
    let mut list = query.separated(", ");
    for id in ids {
        list.push_bind(id);
    }
    query.push(")");
}
