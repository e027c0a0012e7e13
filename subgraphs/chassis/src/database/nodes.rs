//! Which node of the database a connection leads to.
//!
//! The name of the database stands for all its nodes. Connections go to them in turn, and to none that is not Synced:
//! a watcher asks every node how it is, and the pool asks again where a connection is opened, where it sat idle, and
//! for a while after a node has failed. A plain MariaDB server is always good.

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

/// A connection that sat idle for longer is asked whether it still works before it is used.
const TRUST_IDLE: Duration = Duration::from_secs(5);
/// For how long every connection is asked after a node has failed.
const SUSPICION: Duration = Duration::from_secs(5);
/// How long a connection may take to say how its node is: a part of the time that a request waits for one.
const ANSWER: Duration = Duration::from_millis(100);
/// How often the watcher looks.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How long it waits for a node, and for the name service.
const LOOKING: Duration = Duration::from_millis(500);

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    /// A member that has everything, or a server without a cluster.
    Synced,
    /// It answers, but lags behind because another node copies from it. Only for want of a better one.
    Lagging,
    /// It is joining, or cut off from the others.
    Away,
}

/// In text, because a node that is cut off refuses almost everything else.
const HEALTH: &str =
    "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_provider_name', 'wsrep_ready', 'wsrep_local_state')";
/// Galera's number for Synced.
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
            _ => Self::Away,
        }
    }
}

/// State shared by the hooks of a pool and the watcher of its nodes.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    /// A connection is being opened: the next one goes elsewhere.
    opened: Notify,
    /// Whether one of the nodes is Synced, as far as the watcher knows.
    one_is_synced: AtomicBool,
    /// Where connections may go.
    good: Mutex<Vec<SocketAddr>>,
    turn: AtomicUsize,
    /// When a node failed last.
    failed_at: Mutex<Option<Instant>>,
    /// Addresses of servers that were built without Galera.
    without_galera: Mutex<BTreeSet<(String, u16)>>,
}

impl Nodes {
    /// Notes that a node has failed: for a while, connections are tested before they are used.
    pub(super) fn suspect(&self) {
        *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether a node has failed a short time ago.
    pub(super) fn are_suspect(&self) -> bool {
        let failed_at = *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner);
        failed_at.is_some_and(|at| at.elapsed() < SUSPICION)
    }

    /// Notes that this server has no variables of Galera.
    pub(super) fn note_without_galera(&self, server: (String, u16)) {
        self.without_galera
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(server);
    }

    /// Whether this server is known to have no variables of Galera.
    pub(super) fn is_without_galera(&self, server: &(String, u16)) -> bool {
        self.without_galera
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(server)
    }

    fn accepts(&self, health: Health) -> bool {
        match health {
            Health::Synced => true,
            Health::Lagging => !self.one_is_synced.load(Ordering::Relaxed),
            Health::Away => false,
        }
    }

    fn next(&self) -> Option<SocketAddr> {
        let good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        good.get(turn.checked_rem(good.len())?).copied()
    }
}

/// Has a pool ask its connections how their nodes are. `session` is what every connection begins with.
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
                        "the database node is not Synced",
                    )
                    .into())
                }
            })
        })
        .before_acquire(move |connection, meta| {
            let nodes = Arc::clone(&using);
            Box::pin(async move { still_good(connection, &meta, &nodes).await })
        })
        .after_release(move |connection, _| {
            let nodes = Arc::clone(&releasing);
            Box::pin(async move {
                // The pool itself asks as well, but without an end: a node that hangs would keep the place.
                if nodes.are_suspect() {
                    in_time(LOOKING, connection.ping()).await?;
                }
                Ok(true)
            })
        })
}

async fn still_good(
    connection: &mut MySqlConnection,
    meta: &PoolConnectionMetadata,
    nodes: &Nodes,
) -> Result<bool, sqlx::Error> {
    if meta.idle_for <= TRUST_IDLE && !nodes.are_suspect() {
        return Ok(true);
    }
    Ok(nodes.accepts(in_time(ANSWER, health(connection)).await?))
}

async fn in_time<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    tokio::time::timeout(limit, work)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Keeps `pool` pointed at the good ones of the nodes that `resolve` names, until the pool is closed.
pub(super) async fn watch<R>(
    pool: MySqlPool,
    options: MySqlConnectOptions,
    nodes: Arc<Nodes>,
    resolve: impl Fn() -> R + Send,
) where
    R: Future<Output = io::Result<Vec<SocketAddr>>> + Send,
{
    // Replicas that start together should not all begin with the same node.
    nodes
        .turn
        .store(rand::rng().random_range(0..1024), Ordering::Relaxed);
    let looking = look_again_and_again(&pool, &options, &nodes, resolve);
    let turning = async {
        loop {
            nodes.opened.notified().await;
            turn(&pool, &options, &nodes);
        }
    };
    let _ = pool
        .close_event()
        .do_until(async { tokio::join!(looking, turning) })
        .await;
}

fn turn(pool: &MySqlPool, options: &MySqlConnectOptions, nodes: &Nodes) {
    if let Some(next) = nodes.next() {
        pool.set_connect_options(at(options, next));
    }
}

fn at(options: &MySqlConnectOptions, node: SocketAddr) -> MySqlConnectOptions {
    options.clone().host(&node.ip().to_string()).port(node.port())
}

async fn look_again_and_again<R>(
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
        // A name service that does not answer has not taken any node away.
        match tokio::time::timeout(LOOKING, resolve()).await {
            Ok(Ok(named)) if !named.is_empty() => known = named.into_iter().collect(),
            _ => tracing::debug!(
                "the name of the database could not be looked up; its nodes stay as they were known"
            ),
        }
        probes = probe(options, &known, probes).await;
        note(nodes, &known, &probes);
        turn(pool, options, nodes);
    }
}

/// The connections by which the watcher asks, and what was answered last.
type Probes = HashMap<SocketAddr, (MySqlConnection, Health)>;

async fn probe(options: &MySqlConnectOptions, known: &BTreeSet<SocketAddr>, mut before: Probes) -> Probes {
    let asked = known.iter().map(|&node| {
        let connection = before.remove(&node).map(|(connection, _)| connection);
        async move {
            let answered = in_time(LOOKING, async {
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

/// Notes where connections may go from now on.
fn note(nodes: &Nodes, known: &BTreeSet<SocketAddr>, probes: &Probes) {
    let of = |wanted: Health| -> Vec<SocketAddr> {
        let with = |node: &&SocketAddr| probes.get(node).is_some_and(|(_, health)| *health == wanted);
        known.iter().filter(with).copied().collect()
    };
    let synced = of(Health::Synced);
    nodes.one_is_synced.store(!synced.is_empty(), Ordering::Relaxed);
    let now = [synced, of(Health::Lagging), known.iter().copied().collect()]
        .into_iter()
        .find(|nodes| !nodes.is_empty())
        .unwrap_or_default();
    let mut good = nodes.good.lock().unwrap_or_else(PoisonError::into_inner);
    if *good == now {
        return;
    }
    tracing::info!(nodes = ?now, "the database is reached at");
    if good.iter().any(|node| !now.contains(node)) {
        nodes.suspect();
    }
    *good = now;
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
    fn a_plain_server_is_good() {
        assert_eq!(read(&[]), Health::Synced);
        assert_eq!(
            read(&[("wsrep_provider_name", ""), ("wsrep_ready", "OFF")]),
            Health::Synced
        );
    }

    #[test]
    fn a_member_is_what_it_says() {
        let galera = |ready, state| {
            read(&[
                ("wsrep_provider_name", "Galera"),
                ("wsrep_ready", ready),
                ("wsrep_local_state", state),
            ])
        };
        assert_eq!(galera("ON", "4"), Health::Synced);
        assert_eq!(galera("ON", "2"), Health::Lagging, "a donor");
        assert_eq!(galera("OFF", "1"), Health::Away, "joining");
        assert_eq!(galera("OFF", "4"), Health::Away, "cut off from the others");
    }

    #[test]
    fn pools_do_not_share_what_they_know() {
        let (one, other) = (Nodes::default(), Nodes::default());
        one.suspect();
        assert!(one.are_suspect() && !other.are_suspect());
        let server = ("db".to_owned(), 3306);
        one.note_without_galera(server.clone());
        assert!(one.is_without_galera(&server) && !other.is_without_galera(&server));
    }

    #[test]
    fn a_lagging_node_is_used_where_none_is_synced() {
        let nodes = Nodes::default();
        assert!(nodes.accepts(Health::Lagging));
        nodes.one_is_synced.store(true, Ordering::Relaxed);
        assert!(!nodes.accepts(Health::Lagging));
        assert!(!nodes.accepts(Health::Away));
        assert!(nodes.accepts(Health::Synced));
    }
}
