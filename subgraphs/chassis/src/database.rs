//! The connection pool, transactions that are tried again, and what a database error means.

use std::time::Duration;

use rand::RngExt as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlDatabaseError, MySqlPoolOptions};
use sqlx::{Connection as _, Executor as _, MySql, MySqlConnection, MySqlPool, QueryBuilder, Transaction};
use uuid::Uuid;

use crate::config::Secret;
use crate::{Classify, Code};

/// The migrations of the tables that every subgraph's schema has.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// How long a request waits for a connection.
const ACQUIRE: Duration = Duration::from_millis(250);
/// Connections end after this long, so that they spread again when a database node joins.
const LIFETIME: Duration = Duration::from_secs(300);
/// A connection that sat idle for longer is asked whether it still works before it is used.
const TRUST_IDLE: Duration = Duration::from_secs(5);
/// The most times that one transaction is tried.
const ATTEMPTS: u32 = 5;

/// Every connection's session: strict about values, and no statement of a request runs for more than a second.
const SESSION: &str = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO', \
                       max_statement_time = 1, innodb_lock_wait_timeout = 1";

/// A pool over `url` with at most `connections` connections. Opens none yet.
pub fn pool(url: &Secret, connections: u32) -> Result<MySqlPool, sqlx::Error> {
    pool_options(connections).connect_lazy(url.expose())
}

/// How every pool behaves.
pub fn pool_options(connections: u32) -> MySqlPoolOptions {
    MySqlPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        .max_lifetime(LIFETIME)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > TRUST_IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .after_connect(|connection, _| Box::pin(async move { connection.execute(SESSION).await.map(drop) }))
}

/// Runs the chassis' migrations and then the subgraph's, on one connection without the time limits of requests.
pub async fn migrate(
    url: &Secret,
    subgraph: &sqlx::migrate::Migrator,
) -> Result<(), sqlx::migrate::MigrateError> {
    let options: MySqlConnectOptions = url.expose().parse()?;
    let mut connection = MySqlConnection::connect_with(&options).await?;
    MIGRATOR.run(&mut connection).await?;
    subgraph.run(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// What a client is told about a database error.
pub fn code(error: &sqlx::Error) -> Code {
    let gone = matches!(
        error,
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) | sqlx::Error::Tls(_)
    );
    // Too many connections, shutdown, lock wait, deadlock, connection gone, not Synced, commit failed, statement too slow.
    let busy = matches!(
        number(error),
        Some(1020 | 1040 | 1047 | 1053 | 1180 | 1203 | 1205 | 1213 | 1226 | 1927 | 1969 | 2006 | 2013)
    );
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

/// 1213 deadlock or certification failure, 1205 lock wait, 1020 changed since last read.
/// 1047 node not Synced and 1180 commit failed: another connection may reach another node.
fn verdict(error: &sqlx::Error, at_commit: bool) -> Verdict {
    match (error, number(error)) {
        (_, Some(1213 | 1205 | 1020 | 1047 | 1180)) => Verdict::Again,
        (sqlx::Error::Io(_), _) | (_, Some(1053 | 1927 | 2006 | 2013)) if at_commit => {
            Verdict::AgainAfterAmbiguousCommit
        }
        (sqlx::Error::Io(_), _) | (_, Some(1053 | 1927 | 2006 | 2013)) => Verdict::Again,
        _ => Verdict::Fail,
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
/// `attempt` an [`Attempt`]. A macro and not a function, because the futures of async closures cannot be named `Send`.
#[macro_export]
macro_rules! transaction {
    ($pool:expr, $error:ty, |$tx:ident, $attempt:pat_param| $work:expr) => {{
        let mut retry = $crate::database::Retry::default();
        loop {
            let outcome: ::std::result::Result<_, ($error, bool)> = match $pool.begin().await {
                Err(error) => Err((<$error>::from(error), false)),
                Ok(mut transaction) => {
                    let $attempt = retry.attempt();
                    let worked: ::std::result::Result<_, $error> = async {
                        let $tx: &mut $crate::reexport::sqlx::MySqlConnection = &mut transaction;
                        $work
                    }
                    .await;
                    $crate::database::finish(transaction, worked).await
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

/// The state of one [`transaction!`](crate::transaction).
#[derive(Debug, Default)]
pub struct Retry {
    tries: u32,
    ambiguous: bool,
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
        if verdict == Verdict::Fail || self.tries >= ATTEMPTS {
            return Err(error);
        }
        self.ambiguous |= verdict == Verdict::AgainAfterAmbiguousCommit;
        tokio::time::sleep(backoff(self.tries)).await;
        Ok(())
    }
}

/// Commits what worked. The error comes with whether it was the commit that failed.
pub async fn finish<T, E>(transaction: Transaction<'_, MySql>, worked: Result<T, E>) -> Result<T, (E, bool)>
where
    E: From<sqlx::Error>,
{
    let value = worked.map_err(|error| (error, false))?;
    transaction.commit().await.map_err(|error| (error.into(), true))?;
    Ok(value)
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
