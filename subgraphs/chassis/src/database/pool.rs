//! The connection pool of a service.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use sqlx::mysql::{
    MySqlConnectOptions, MySqlPoolOptions, MySqlQueryResult, MySqlRow, MySqlStatement, MySqlTypeInfo,
};
use sqlx::pool::PoolConnection;
use sqlx::{Describe, Either, Execute, Executor, MySql, MySqlPool, SqlStr};

use super::nodes::{self, Nodes};
use crate::config::Secret;

/// The maximum time that a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(250);
/// The maximum age of a connection, so that connections are rebalanced when a database node joins.
const MAX_LIFETIME: Duration = Duration::from_secs(300);

/// Settings of every session: strict SQL mode, and a limit of about a second for a statement. Lock waits time out
/// earlier, because they can be retried.
const SESSION_SETTINGS: &str = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO', \
                       max_statement_time = 1.2, innodb_lock_wait_timeout = 1";

/// A connection pool with the state of the database's nodes. Cheap to clone.
#[derive(Clone)]
pub struct Pool {
    connections: MySqlPool,
    pub(super) nodes: Arc<Nodes>,
}

impl Pool {
    /// Returns a pool with at most `connections` connections to `url`. Opens no connection yet.
    ///
    /// If the host name has several addresses, connections are distributed over the synced nodes.
    pub fn new(url: &Secret, connections: u32) -> Result<Self, sqlx::Error> {
        let options: MySqlConnectOptions = url.expose().parse()?;
        let (host, port) = (options.get_host().to_owned(), options.get_port());
        if host.parse::<IpAddr>().is_ok() || options.get_socket().is_some() {
            return Self::with_acquire_timeout(url, connections, ACQUIRE_TIMEOUT);
        }
        let resolve = move || {
            let host = host.clone();
            async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) }
        };
        Self::over_nodes(url, connections, resolve)
    }

    /// Returns a pool for the nodes that `resolve` returns. All other options are those of `url`.
    pub fn over_nodes<R>(
        url: &Secret,
        connections: u32,
        resolve: impl Fn() -> R + Send + Sync + 'static,
    ) -> Result<Self, sqlx::Error>
    where
        R: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        let pool = Self::with_acquire_timeout(url, connections, ACQUIRE_TIMEOUT)?;
        let options = pool.connect_options().as_ref().clone();
        let nodes = Arc::clone(&pool.nodes);
        tokio::spawn(nodes::watch(pool.connections.clone(), options, nodes, resolve));
        Ok(pool)
    }

    /// Returns a pool for the single server of `url`, with this timeout.
    pub fn with_acquire_timeout(
        url: &Secret,
        connections: u32,
        acquire_timeout: Duration,
    ) -> Result<Self, sqlx::Error> {
        let nodes = Arc::default();
        let options = MySqlPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(acquire_timeout)
            .max_lifetime(MAX_LIFETIME);
        let connections = nodes::guard(options, &nodes, SESSION_SETTINGS).connect_lazy(url.expose())?;
        Ok(Self { connections, nodes })
    }
}

impl Deref for Pool {
    type Target = MySqlPool;

    fn deref(&self) -> &Self::Target {
        &self.connections
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.connections.fmt(formatter)
    }
}

/// A connection that is closed unless its statement has ended. sqlx does not skip the rest of the response to a `PREPARE`
/// whose caller was cancelled, and waits without a limit for the response to any other statement.
struct Running {
    connection: PoolConnection<MySql>,
    has_ended: bool,
}

impl Running {
    async fn on(pool: &MySqlPool) -> Result<Self, sqlx::Error> {
        Ok(Self {
            connection: pool.acquire().await?,
            has_ended: false,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended {
            self.connection.close_on_drop();
        }
    }
}

/// Runs queries on any connection, as [`MySqlPool`] does, but reads all rows before it returns the first.
impl<'p> Executor<'p> for &'_ Pool {
    type Database = MySql;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<MySqlQueryResult, MySqlRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, MySql>,
    {
        let pool = self.connections.clone();
        let rows = async move {
            let mut running = Running::on(&pool).await?;
            let rows: Vec<_> = (&mut *running.connection).fetch_many(query).collect().await;
            running.has_ended = true;
            Ok::<_, sqlx::Error>(stream::iter(rows))
        };
        Box::pin(stream::once(rows).try_flatten())
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<MySqlRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, MySql>,
    {
        let pool = self.connections.clone();
        Box::pin(async move {
            let mut running = Running::on(&pool).await?;
            let row = (&mut *running.connection).fetch_optional(query).await;
            running.has_ended = true;
            row
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [MySqlTypeInfo],
    ) -> BoxFuture<'e, Result<MySqlStatement, sqlx::Error>>
    where
        'p: 'e,
    {
        self.connections.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<MySql>, sqlx::Error>>
    where
        'p: 'e,
    {
        self.connections.describe(sql)
    }
}
