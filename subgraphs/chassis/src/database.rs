//! The connection pool, transactions that are tried again, and what a database error means.

mod migrating;
mod nodes;
mod schema;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlDatabaseError, MySqlPoolOptions};
use sqlx::pool::PoolConnection;
use sqlx::{Executor as _, MySql, MySqlConnection, MySqlPool, QueryBuilder, Row as _, Transaction};
use uuid::Uuid;

use crate::config::Secret;
use crate::{Classify, Code};

pub use migrating::{MigrationError, migrate, migrate_with};
use nodes::Nodes;
pub use schema::{SchemaState, schema_state};

/// The migrations of the tables that every subgraph's schema has.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// How long a request waits for a connection.
const ACQUIRE: Duration = Duration::from_millis(250);
/// Connections end after this long, so that they spread again when a database node joins.
const LIFETIME: Duration = Duration::from_secs(300);
/// The most times that one transaction is tried.
const ATTEMPTS: u32 = 5;
/// No try begins when the first one is longer ago: a request must be answered within two seconds.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// Every connection's session: strict about values, and no statement of a request runs for much more than a second. Who
/// waits for a lock gives up first, because that may be tried again.
const SESSION: &str = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO', \
                       max_statement_time = 1.2, innodb_lock_wait_timeout = 1";

/// A pool over `url` with at most `connections` connections. Opens none yet.
///
/// Where the database is called by a name, this may stand for several nodes: the pool's connections go to those of
/// them that are Synced, in turn.
pub fn pool(url: &Secret, connections: u32) -> Result<MySqlPool, sqlx::Error> {
    let options: MySqlConnectOptions = url.expose().parse()?;
    let (host, port) = (options.get_host().to_owned(), options.get_port());
    if host.parse::<IpAddr>().is_ok() || options.get_socket().is_some() {
        return Ok(pool_options(connections).connect_lazy_with(options));
    }
    let resolve = move || {
        let host = host.clone();
        async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) }
    };
    pool_over(url, connections, resolve)
}

/// A pool over the nodes that `resolve` gives, with everything else from `url`.
pub fn pool_over<R>(
    url: &Secret,
    connections: u32,
    resolve: impl Fn() -> R + Send + Sync + 'static,
) -> Result<MySqlPool, sqlx::Error>
where
    R: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
{
    let options: MySqlConnectOptions = url.expose().parse()?;
    let nodes = Arc::default();
    let pool = options_over(connections, &nodes).connect_lazy_with(options.clone());
    tokio::spawn(nodes::watch(pool.clone(), options, nodes, resolve));
    Ok(pool)
}

/// How every pool behaves.
pub fn pool_options(connections: u32) -> MySqlPoolOptions {
    options_over(connections, &Arc::default())
}

fn options_over(connections: u32, nodes: &Arc<Nodes>) -> MySqlPoolOptions {
    let options = MySqlPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        .max_lifetime(LIFETIME);
    nodes::guard(options, nodes, SESSION)
}

/// What a client is told about a database error.
pub fn code(error: &sqlx::Error) -> Code {
    let gone = matches!(
        error,
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) | sqlx::Error::Tls(_)
    );
    // Too many connections, shutdown, lock wait, deadlock, connection gone, not Synced, commit failed, statement too
    // slow, transaction lost.
    let busy = matches!(
        number(error),
        Some(1020 | 1040 | 1047 | 1053 | 1180 | 1203 | 1205 | 1213 | 1226 | 1792 | 1927 | 1969 | 2006 | 2013)
    ) || is_lost(error);
    if is_of_the_node(error) {
        nodes::suspect();
    }
    if gone || busy {
        Code::Unavailable
    } else {
        Code::Internal
    }
}

/// What to do about a transaction that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// The whole transaction may succeed if it is run again.
    Again,
    /// Again, but the commit may have happened: its answer was lost.
    AgainAfterAmbiguousCommit,
    /// It would fail again.
    Fail,
}

/// 1213 deadlock or certification failure, 1205 lock wait, 1020 changed since last read, 1792 a statement after the
/// transaction was lost (see [`Open`]): nothing was committed.
/// 1047 node not Synced, 1180 commit failed, and what says that the connection is gone: at the commit nobody knows
/// whether it happened, and another connection may reach another node. Without a connection nothing was begun: just
/// after a node has failed the time may have gone into finding out which of them still work.
fn verdict(error: &sqlx::Error, at_commit: bool) -> Verdict {
    match number(error) {
        Some(1213 | 1205 | 1020 | 1792) => Verdict::Again,
        _ if is_lost(error) => Verdict::Again,
        _ if matches!(error, sqlx::Error::PoolTimedOut) && nodes::suspicious() => Verdict::Again,
        _ if !is_of_the_node(error) => Verdict::Fail,
        _ if at_commit => Verdict::AgainAfterAmbiguousCommit,
        _ => Verdict::Again,
    }
}

/// Whether it is the node or the way there that has failed.
fn is_of_the_node(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(_))
        || matches!(number(error), Some(1047 | 1053 | 1180 | 1927 | 2006 | 2013))
}

fn is_lost(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Protocol(what) if what == LOST)
}

/// Why a transaction is run again, for whoever counts that.
fn reason(error: &sqlx::Error) -> &'static str {
    match number(error) {
        Some(1213) => "deadlock",
        Some(1205) => "lock_wait",
        Some(1020) => "changed",
        Some(1792) => "lost",
        _ if is_lost(error) => "lost",
        _ => "node",
    }
}

fn number(error: &sqlx::Error) -> Option<u16> {
    error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>())
        .map(MySqlDatabaseError::number)
}

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
        let mut retry = $crate::database::Retry::default();
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

/// What a transaction reads from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// What the node has that the connection leads to. It may be some milliseconds behind another one.
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
pub async fn begin(pool: &MySqlPool, view: View) -> Result<Open, sqlx::Error> {
    const BEGIN: &str = "SET SESSION TRANSACTION READ ONLY; START TRANSACTION READ WRITE";
    /// Galera waits at the start; what is read afterwards need not wait again.
    const LATEST: &str = "SET SESSION TRANSACTION READ ONLY; SET SESSION wsrep_sync_wait = 1; \
                          START TRANSACTION READ WRITE; SET SESSION wsrep_sync_wait = 0";
    if view == View::OfTheNode {
        return begin_with(pool, BEGIN).await;
    }
    or_without_cluster(
        Box::pin(begin_with(pool, LATEST)),
        Box::pin(begin_with(pool, BEGIN)),
    )
    .await
}

/// Begins to read what [`View::Latest`] gives, until this is dropped.
pub async fn read_latest(pool: &MySqlPool) -> Result<Transaction<'static, MySql>, sqlx::Error> {
    const LATEST: &str =
        "SET SESSION wsrep_sync_wait = 1; START TRANSACTION READ ONLY; SET SESSION wsrep_sync_wait = 0";
    or_without_cluster(Box::pin(pool.begin_with(LATEST)), Box::pin(pool.begin())).await
}

/// Servers that were built without Galera do not have the variable; one without a cluster accepts it and does nothing
/// about it.
async fn or_without_cluster<T>(
    with: impl Future<Output = Result<T, sqlx::Error>>,
    without: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    const UNKNOWN_VARIABLE: u16 = 1193;
    static KNOWN: AtomicBool = AtomicBool::new(true);

    if !KNOWN.load(Ordering::Relaxed) {
        return without.await;
    }
    match with.await {
        Err(error) if number(&error) == Some(UNKNOWN_VARIABLE) => {
            KNOWN.store(false, Ordering::Relaxed);
            without.await
        }
        begun => begun,
    }
}

async fn begin_with(pool: &MySqlPool, statements: &'static str) -> Result<Open, sqlx::Error> {
    let mut open = Open {
        connection: pool.acquire().await?,
        ended: false,
    };
    open.execute(statements).await?;
    Ok(open)
}

/// Single statements may write again.
const WRITABLE: &str = "SET SESSION TRANSACTION READ WRITE; SELECT 1";

/// The server has taken the transaction back and has not said so.
const LOST: &str = "the transaction was gone before its commit";

/// The state of one [`transaction!`](crate::transaction).
#[derive(Debug)]
pub struct Retry {
    begun: Instant,
    tries: u32,
    ambiguous: bool,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            tries: 0,
            ambiguous: false,
        }
    }
}

impl Retry {
    /// What the next try should know.
    pub fn attempt(&self) -> Attempt {
        Attempt {
            ambiguous: self.ambiguous,
        }
    }

    /// Waits before the next try, or gives the error back where another try would not help.
    pub async fn after<E: Classify>(&mut self, error: E, at_commit: bool) -> Result<(), E> {
        self.tries += 1;
        let verdict = error
            .database()
            .map_or(Verdict::Fail, |error| verdict(error, at_commit));
        if error.database().is_some_and(is_of_the_node) {
            nodes::suspect();
        }
        if verdict == Verdict::Fail || self.tries >= ATTEMPTS || self.begun.elapsed() > PATIENCE {
            return Err(error);
        }
        self.ambiguous |= verdict == Verdict::AgainAfterAmbiguousCommit;
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
                // It is committed, whatever becomes of the connection.
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

/// What the last of the statements answers. Without an answer it is not known how many were carried out.
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
    // `IN ()` is not SQL; the nil id is nobody's.
    ids.resize(length, ids.last().copied().unwrap_or_default());
    query.push("(");
    let mut list = query.separated(", ");
    for id in ids {
        list.push_bind(id);
    }
    query.push(")");
}
