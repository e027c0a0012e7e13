//! Selects the database nodes to which a pool connects.
//!
//! The host name of the database resolves to all nodes. Connections are distributed over the synced nodes in turn: a
//! watcher probes all nodes, and the pool checks connections when they are opened, after they were idle, and for some
//! seconds after a node has failed. A MariaDB server without a cluster counts as synced.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use rand::RngExt as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sqlx::pool::PoolConnectionMetadata;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, MySqlConnection, MySqlPool, Row as _};
use tokio::sync::Notify;

/// Connections that were idle for longer are checked before they are used.
const MAX_UNCHECKED_IDLE: Duration = Duration::from_secs(5);
/// The time after a failure of a node in which all connections are checked.
const CHECK_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// The timeout of a check: a part of the time that a request waits for a connection.
const CHECK_TIMEOUT: Duration = Duration::from_millis(100);
/// The interval of the watcher.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The timeout of the watcher for a node and for name resolution.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

/// The health of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    /// A synced cluster member, or a server without a cluster.
    Synced,
    /// Responds, but lags behind because it sends a state transfer. Used if no node is synced.
    Lagging,
    /// Joining, or without a quorum.
    Unavailable,
}

/// With the text protocol, because a node without a quorum refuses almost all other statements.
const HEALTH: &str =
    "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_provider_name', 'wsrep_ready', 'wsrep_local_state')";
/// The value of `wsrep_local_state` for Synced.
const SYNCED: &str = "4";

async fn health(connection: &mut MySqlConnection) -> Result<Health, sqlx::Error> {
    let rows = connection.fetch_all(HEALTH).await?;
    let mut status = HashMap::new();
    for row in rows {
        status.insert(row.try_get::<String, _>(0)?, row.try_get::<String, _>(1)?);
    }
    Ok(Health::read(&status))
}

impl Health {
    fn read(status: &HashMap<String, String>) -> Self {
        let value = |name: &str| status.get(name).map_or("", String::as_str);
        if value("wsrep_provider_name").is_empty() {
            return Self::Synced;
        }
        match (value("wsrep_ready"), value("wsrep_local_state")) {
            ("ON", SYNCED) => Self::Synced,
            ("ON", _) => Self::Lagging,
            _ => Self::Unavailable,
        }
    }
}

/// State shared by the hooks of a pool and the watcher of its nodes.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    /// Notified when a connection is being opened: the next one goes to another node.
    opened: Notify,
    /// Whether the watcher has seen a synced node.
    has_synced_node: AtomicBool,
    /// The nodes for new connections.
    usable: Mutex<Vec<SocketAddr>>,
    next_index: AtomicUsize,
    /// The last known failure of a node.
    failed_at: Mutex<Option<Instant>>,
    /// The addresses of servers that were built without Galera.
    without_galera: Mutex<BTreeSet<(String, u16)>>,
}

impl Nodes {
    /// Records a failure of a node, so that connections are checked for some seconds.
    pub(super) fn report_failure(&self) {
        *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether a node has failed in the last seconds.
    pub(super) fn have_failed_recently(&self) -> bool {
        let failed_at = *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner);
        failed_at.is_some_and(|at| at.elapsed() < CHECK_AFTER_FAILURE)
    }

    /// Records a server without the variables of Galera.
    pub(super) fn record_without_galera(&self, server: (String, u16)) {
        self.without_galera
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(server);
    }

    /// Whether this server has no variables of Galera.
    pub(super) fn is_without_galera(&self, server: &(String, u16)) -> bool {
        self.without_galera
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(server)
    }

    fn accepts(&self, health: Health) -> bool {
        match health {
            Health::Synced => true,
            Health::Lagging => !self.has_synced_node.load(Ordering::Relaxed),
            Health::Unavailable => false,
        }
    }

    fn next(&self) -> Option<SocketAddr> {
        let usable = self.usable.lock().unwrap_or_else(PoisonError::into_inner);
        let index = self.next_index.fetch_add(1, Ordering::Relaxed);
        usable.get(index.checked_rem(usable.len())?).copied()
    }
}

/// Adds checks of the nodes to a pool. `session` is executed on every new connection.
pub(super) fn guard(
    options: MySqlPoolOptions,
    nodes: &Arc<Nodes>,
    session: &'static str,
) -> MySqlPoolOptions {
    let (opening, using, releasing) = (Arc::clone(nodes), Arc::clone(nodes), Arc::clone(nodes));
    options
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            let nodes = Arc::clone(&opening);
            Box::pin(async move {
                nodes.opened.notify_one();
                connection.execute(session).await?;
                if nodes.accepts(health(connection).await?) {
                    Ok(())
                } else {
                    Err(io::Error::new(
                        io::ErrorKind::ConnectionRefused,
                        "the database node is not synced",
                    )
                    .into())
                }
            })
        })
        .before_acquire(move |connection, meta| {
            let nodes = Arc::clone(&using);
            Box::pin(async move { is_usable(connection, &meta, &nodes).await })
        })
        .after_release(move |connection, _| {
            let nodes = Arc::clone(&releasing);
            Box::pin(async move {
                // The ping of the pool has no timeout, so a hanging node would block the slot.
                if nodes.have_failed_recently() {
                    with_timeout(PROBE_TIMEOUT, connection.ping()).await?;
                }
                Ok(true)
            })
        })
}

async fn is_usable(
    connection: &mut MySqlConnection,
    meta: &PoolConnectionMetadata,
    nodes: &Nodes,
) -> Result<bool, sqlx::Error> {
    if meta.idle_for <= MAX_UNCHECKED_IDLE && !nodes.have_failed_recently() {
        return Ok(true);
    }
    Ok(nodes.accepts(with_timeout(CHECK_TIMEOUT, health(connection)).await?))
}

async fn with_timeout<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    tokio::time::timeout(limit, work)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Sets the node for new connections until the pool is closed. `resolve` returns the addresses of all nodes.
pub(super) async fn watch<R>(
    pool: MySqlPool,
    options: MySqlConnectOptions,
    nodes: Arc<Nodes>,
    resolve: impl Fn() -> R + Send,
) where
    R: Future<Output = io::Result<Vec<SocketAddr>>> + Send,
{
    // Start at a random node, so that replicas are distributed.
    nodes
        .next_index
        .store(rand::rng().random_range(0..1024), Ordering::Relaxed);
    let probing = probe_repeatedly(&pool, &options, &nodes, resolve);
    let changing = async {
        loop {
            nodes.opened.notified().await;
            set_next_node(&pool, &options, &nodes);
        }
    };
    let _ = pool
        .close_event()
        .do_until(async { tokio::join!(probing, changing) })
        .await;
}

fn set_next_node(pool: &MySqlPool, options: &MySqlConnectOptions, nodes: &Nodes) {
    if let Some(next) = nodes.next() {
        pool.set_connect_options(at(options, next));
    }
}

fn at(options: &MySqlConnectOptions, node: SocketAddr) -> MySqlConnectOptions {
    options.clone().host(&node.ip().to_string()).port(node.port())
}

async fn probe_repeatedly<R>(
    pool: &MySqlPool,
    options: &MySqlConnectOptions,
    nodes: &Nodes,
    resolve: impl Fn() -> R,
) where
    R: Future<Output = io::Result<Vec<SocketAddr>>>,
{
    let mut every = tokio::time::interval(POLL_INTERVAL);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut known: BTreeSet<SocketAddr> = BTreeSet::new();
    let mut probes = HashMap::new();
    loop {
        every.tick().await;
        // A failed name resolution keeps the known nodes.
        match tokio::time::timeout(PROBE_TIMEOUT, resolve()).await {
            Ok(Ok(named)) if !named.is_empty() => known = named.into_iter().collect(),
            _ => tracing::debug!(
                "the host name of the database could not be resolved; keeping the known nodes"
            ),
        }
        probes = probe(options, &known, probes).await;
        update_usable(nodes, &known, &probes);
        set_next_node(pool, options, nodes);
    }
}

/// The watcher's connections, and the last results.
type Probes = HashMap<SocketAddr, (MySqlConnection, Health)>;

async fn probe(options: &MySqlConnectOptions, known: &BTreeSet<SocketAddr>, mut before: Probes) -> Probes {
    let asked = known.iter().map(|&node| {
        let connection = before.remove(&node).map(|(connection, _)| connection);
        async move {
            let answered = with_timeout(PROBE_TIMEOUT, async {
                let mut connection = match connection {
                    Some(connection) => connection,
                    None => at(options, node).connect().await?,
                };
                let health = health(&mut connection).await?;
                Ok((connection, health))
            });
            Some((node, answered.await.ok()?))
        }
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// Updates the nodes for new connections.
fn update_usable(nodes: &Nodes, known: &BTreeSet<SocketAddr>, probes: &Probes) {
    let of = |wanted: Health| -> Vec<SocketAddr> {
        let with = |node: &&SocketAddr| probes.get(node).is_some_and(|(_, health)| *health == wanted);
        known.iter().filter(with).copied().collect()
    };
    let synced = of(Health::Synced);
    nodes.has_synced_node.store(!synced.is_empty(), Ordering::Relaxed);
    let now = [synced, of(Health::Lagging), known.iter().copied().collect()]
        .into_iter()
        .find(|nodes| !nodes.is_empty())
        .unwrap_or_default();
    let mut usable = nodes.usable.lock().unwrap_or_else(PoisonError::into_inner);
    if *usable == now {
        return;
    }
    tracing::info!(nodes = ?now, "nodes for new database connections");
    if usable.iter().any(|node| !now.contains(node)) {
        nodes.report_failure();
    }
    *usable = now;
}

#[cfg(test)]
mod tests {
    use super::{HashMap, Health, Nodes, Ordering};

    fn read(status: &[(&str, &str)]) -> Health {
        let status: HashMap<String, String> = status
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Health::read(&status)
    }

    #[test]
    fn a_server_without_a_cluster_counts_as_synced() {
        assert_eq!(read(&[]), Health::Synced);
        assert_eq!(
            read(&[("wsrep_provider_name", ""), ("wsrep_ready", "OFF")]),
            Health::Synced
        );
    }

    #[test]
    fn health_follows_the_state_of_the_member() {
        let galera = |ready, state| {
            read(&[
                ("wsrep_provider_name", "Galera"),
                ("wsrep_ready", ready),
                ("wsrep_local_state", state),
            ])
        };
        assert_eq!(galera("ON", "4"), Health::Synced);
        assert_eq!(galera("ON", "2"), Health::Lagging, "a donor");
        assert_eq!(galera("OFF", "1"), Health::Unavailable, "joining");
        assert_eq!(galera("OFF", "4"), Health::Unavailable, "without a quorum");
    }

    #[test]
    fn pools_do_not_share_state() {
        let (one, other) = (Nodes::default(), Nodes::default());
        one.report_failure();
        assert!(one.have_failed_recently() && !other.have_failed_recently());
        let server = ("db".to_owned(), 3306);
        one.record_without_galera(server.clone());
        assert!(one.is_without_galera(&server) && !other.is_without_galera(&server));
    }

    #[test]
    fn a_lagging_node_is_used_if_no_node_is_synced() {
        let nodes = Nodes::default();
        assert!(nodes.accepts(Health::Lagging));
        nodes.has_synced_node.store(true, Ordering::Relaxed);
        assert!(!nodes.accepts(Health::Lagging));
        assert!(!nodes.accepts(Health::Unavailable));
        assert!(nodes.accepts(Health::Synced));
    }
}
