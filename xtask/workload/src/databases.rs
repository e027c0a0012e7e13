//! Administrative SQL connections to the database nodes of a site.

use std::time::Duration;

use anyhow::Result;
use chassis::config::Secret;
use database_agent::{signature, sql};
use harness::topology::DatabaseAccess;
use harness::wait;
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sqlx::{MySql, MySqlPool, pool::PoolConnection};

/// How long a node that has just restarted may refuse connections.
const RECONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// Returns a pool of connections to a node.
pub fn pool(access: &DatabaseAccess) -> Result<MySqlPool> {
    let options: MySqlConnectOptions = match access {
        DatabaseAccess::Url(url) => url.parse()?,
        DatabaseAccess::Socket { path, cluster_secret } => {
            let secret = Secret::new(cluster_secret);
            let password = signature::derived_password(&secret, "the agent's account");
            MySqlConnectOptions::new()
                .socket(path)
                .username(sql::AGENT_USER)
                .password(password.expose())
        }
    };
    Ok(MySqlPoolOptions::new()
        .max_connections(4)
        .acquire_timeout(Duration::from_secs(1))
        .connect_lazy_with(options))
}

/// Returns a pool for each node.
pub fn pools(nodes: &[DatabaseAccess]) -> Result<Vec<MySqlPool>> {
    nodes.iter().map(pool).collect()
}

/// Returns a connection that reads all writes that were committed on any node.
pub async fn connection(pool: &MySqlPool) -> Result<PoolConnection<MySql>> {
    wait::until("a connection to a database node", RECONNECT_TIMEOUT, || async {
        let mut connection = pool.acquire().await?;
        // Without Galera there is only one node.
        sqlx::query("SET SESSION wsrep_sync_wait = 1")
            .execute(&mut *connection)
            .await?;
        sqlx::query("SELECT 1").execute(&mut *connection).await?;
        Ok(connection)
    })
    .await
}
