//! Administrative SQL connections to each database node.

use std::time::Duration;

use anyhow::{Result, bail};
use chassis::config::Secret;
use database_agent::{signature, sql};
use harness::cluster::{Cluster, NODES};
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sqlx::{MySql, MySqlPool, pool::PoolConnection};

/// Connection attempts to a node that has just restarted.
const CONNECT_ATTEMPTS: u32 = 50;
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);

/// Returns a pool of connections to one node by its socket, which works while its link is cut.
pub(crate) fn pool(cluster: &Cluster, slot: u32) -> MySqlPool {
    let secret = Secret::new(cluster.cluster_secret());
    let password = signature::derived_password(&secret, "the agent's account");
    let options = MySqlConnectOptions::new()
        .socket(cluster.socket(slot))
        .username(sql::AGENT_USER)
        .password(password.expose());
    MySqlPoolOptions::new()
        .max_connections(4)
        .acquire_timeout(Duration::from_secs(1))
        .connect_lazy_with(options)
}

/// Returns a pool for each node.
pub(crate) fn pools(cluster: &Cluster) -> Vec<MySqlPool> {
    (1..=NODES).map(|slot| pool(cluster, slot)).collect()
}

/// Returns a connection that reads all writes that were committed on any node.
pub(crate) async fn connection(pool: &MySqlPool) -> Result<PoolConnection<MySql>> {
    let mut tries = 0;
    loop {
        let connected = async {
            let mut connection = pool.acquire().await?;
            sqlx::query("SET SESSION wsrep_sync_wait = 1")
                .execute(&mut *connection)
                .await?;
            sqlx::query("SELECT 1").execute(&mut *connection).await?;
            Ok::<_, sqlx::Error>(connection)
        };
        match connected.await {
            Ok(connection) => return Ok(connection),
            Err(error) if tries == CONNECT_ATTEMPTS => bail!("a node cannot be queried: {error}"),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}
