use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chassis::database::{self, Pool};
use testkit::{Proxy, TestDatabase};

/// Three proxies of one server, as three nodes of a database.
struct Nodes {
    proxies: Vec<Proxy>,
    named: Arc<Mutex<Vec<SocketAddr>>>,
    pool: Pool,
    _database: TestDatabase,
}

impl Nodes {
    async fn new() -> Self {
        let database = super::database().await;
        let mut proxies = Vec::new();
        for ip in ["127.0.0.2", "127.0.0.3", "127.0.0.4"] {
            proxies.push(Proxy::new(ip).await);
        }
        let named = Arc::new(Mutex::new(proxies.iter().map(Proxy::address).collect::<Vec<_>>()));
        let resolving = Arc::clone(&named);
        let resolve = move || {
            let named = resolving.lock().unwrap().clone();
            async move { Ok(named) }
        };
        let pool = database::Pool::over_nodes(&database.url_through(&proxies[0]), 12, resolve).unwrap();
        let nodes = Self {
            proxies,
            named,
            pool,
            _database: database,
        };
        nodes
            .wait_for(|opened| opened.iter().all(|opened| *opened > 0))
            .await;
        nodes
    }

    fn opened(&self) -> Vec<usize> {
        self.proxies.iter().map(Proxy::opened).collect()
    }

    /// The watcher probes once a second.
    async fn wait_for(&self, reached: impl Fn(&[usize]) -> bool) {
        let begun = Instant::now();
        while !reached(&self.opened()) {
            assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", self.opened());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Opens all connections, and returns the number of new ones for each node.
    async fn spread(&self) -> Vec<usize> {
        let before = self.opened();
        let mut held = Vec::new();
        while held.len() < 12 {
            // A busy machine may need longer than a request may wait.
            if let Ok(connection) = self.pool.acquire().await {
                held.push(connection);
            }
        }
        let spread = self
            .opened()
            .iter()
            .zip(before)
            .map(|(after, before)| after - before)
            .collect();
        for connection in held {
            connection.close().await.unwrap();
        }
        spread
    }
}

#[tokio::test]
async fn connections_go_to_all_nodes_in_turn() {
    let nodes = Nodes::new().await;
    let spread = nodes.spread().await;
    assert!(spread.iter().all(|opened| *opened > 0), "{spread:?}");
    nodes.pool.close().await;
}

#[tokio::test]
async fn a_hanging_node_is_avoided_until_it_responds_again() {
    let nodes = Nodes::new().await;
    nodes.proxies[1].freeze(true);
    tokio::time::sleep(Duration::from_secs(3)).await;
    // Idle connections to the hanging node do not make requests wait: their check times out.
    let spread = nodes.spread().await;
    assert!(spread[0] > 0 && spread[2] > 0, "{spread:?}");
    let begun = Instant::now();
    for _ in 0..20 {
        sqlx::query("SELECT 1").execute(&nodes.pool).await.unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(5));

    nodes.proxies[1].freeze(false);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let spread = nodes.spread().await;
    assert!(spread.iter().all(|opened| *opened > 0), "{spread:?}");
    nodes.pool.close().await;
}

#[tokio::test]
async fn nodes_are_added_and_removed() {
    let nodes = Nodes::new().await;
    let all = nodes.named.lock().unwrap().clone();
    nodes.named.lock().unwrap().truncate(2);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(nodes.spread().await[2], 0);
    // An empty result of the name resolution keeps the known nodes.
    nodes.named.lock().unwrap().clear();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let spread = nodes.spread().await;
    assert!(spread[0] > 0 && spread[1] > 0 && spread[2] == 0, "{spread:?}");
    *nodes.named.lock().unwrap() = all;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let spread = nodes.spread().await;
    assert!(spread.iter().all(|opened| *opened > 0), "{spread:?}");
    nodes.pool.close().await;
}
