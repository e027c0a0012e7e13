//! Negative controls: deliberate defects that the audit must detect.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::cluster::{Cluster, NODES};
use harness::wait;
use sqlx::{MySqlPool, Row as _};
use workload::databases;

/// The negative controls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Control {
    /// Counters are read and then written, on a healthy cluster.
    Rmw,
    /// A commit is acknowledged before it is on disk (`innodb_flush_log_at_trx_commit = 0`), and all nodes are killed.
    Flush0,
    /// After a kill of all, MariaDB is started without recovering its position, first on a node that was away.
    PlainRestart,
}

impl Control {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rmw => "rmw",
            Self::Flush0 => "flush0",
            Self::PlainRestart => "plain-restart",
        }
    }

    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Rmw => "counters read and then written, on a healthy cluster",
            Self::Flush0 => "innodb_flush_log_at_trx_commit = 0 (and a flush a minute), all nodes killed",
            Self::PlainRestart => "all nodes killed, MariaDB started plainly, a stale node first",
        }
    }
}

/// Makes the nodes acknowledge commits before they are on disk, and flush rarely, so that all three lose the same
/// commits.
pub(crate) async fn flush_lazily(pools: &[MySqlPool]) -> Result<()> {
    for pool in pools {
        for statement in [
            "SET GLOBAL innodb_flush_log_at_timeout = 60",
            "SET GLOBAL innodb_flush_log_at_trx_commit = 0",
        ] {
            sqlx::raw_sql(statement).execute(pool).await?;
        }
    }
    Ok(())
}

/// How long the stale node is down while the others continue.
const STALE_NODE_ABSENCE: Duration = Duration::from_secs(4);
const NAIVE_START_TIMEOUT: Duration = Duration::from_secs(90);
const SYNC_STATUS_TIMEOUT: Duration = Duration::from_secs(2);

/// Kills the nodes permanently, the first one earlier, and starts MariaDB without recovering positions, on the first
/// node first.
pub(crate) async fn restart_plainly(cluster: &Cluster) -> Result<()> {
    let databases = Cluster::databases();
    cluster.kill_for_good(&databases[..1]).await?;
    tokio::time::sleep(STALE_NODE_ABSENCE).await;
    cluster.kill_for_good(&databases[1..]).await?;
    let state = cluster.volume(1).join("data/grastate.dat");
    let text = fs::read_to_string(&state)?.replace("safe_to_bootstrap: 0", "safe_to_bootstrap: 1");
    fs::write(&state, text)?;
    start_server(
        cluster,
        1,
        &["--wsrep-new-cluster", "--wsrep-cluster-address=gcomm://"],
    )?;
    wait_until_synced(cluster, 1, 1, NAIVE_START_TIMEOUT).await?;
    let all = format!(
        "--wsrep-cluster-address=gcomm://{}",
        cluster.network().addresses().join(",")
    );
    for slot in 2..=NODES {
        start_server(cluster, slot, &[&all])?;
        wait_until_synced(cluster, slot, slot, NAIVE_START_TIMEOUT).await?;
    }
    Ok(())
}

/// Starts MariaDB on a node with its configuration and without its agent. It ends with the network.
fn start_server(cluster: &Cluster, slot: u32, flags: &[&str]) -> Result<()> {
    let log = fs::File::options()
        .append(true)
        .create(true)
        .open(cluster.log_file(&format!("db-{slot}")))?;
    let configuration = cluster.volume(slot).join("mariadb.cnf");
    let path = std::env::var("PATH").unwrap_or_default();
    cluster
        .network()
        .command(slot)
        .arg("mariadbd")
        .arg(format!("--defaults-file={}", configuration.display()))
        .args(flags)
        .env("PATH", format!("{path}:/usr/sbin:/usr/local/sbin"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("MariaDB cannot be started")?;
    Ok(())
}

/// Waits until nodes without agents are in sync.
pub(crate) async fn wait_in_sync(cluster: &Cluster, limit: Duration) -> Result<()> {
    for slot in 1..=NODES {
        wait_until_synced(cluster, slot, NODES, limit).await?;
    }
    Ok(())
}

async fn wait_until_synced(cluster: &Cluster, slot: u32, size: u32, limit: Duration) -> Result<()> {
    let pool = databases::pool(&cluster.database(slot))?;
    let what = format!("db-{slot}, started plainly, to be in sync");
    wait::until(&what, limit, || async {
        let asked = sqlx::query(
            "SELECT VARIABLE_NAME, VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS
             WHERE VARIABLE_NAME IN ('WSREP_LOCAL_STATE_COMMENT', 'WSREP_CLUSTER_SIZE')",
        )
        .fetch_all(&pool);
        let rows = tokio::time::timeout(SYNC_STATUS_TIMEOUT, asked).await??;
        let said: Vec<String> = rows.iter().filter_map(|row| row.try_get(1).ok()).collect();
        ensure!(
            said.contains(&"Synced".to_owned()) && said.contains(&size.to_string()),
            "{said:?}"
        );
        Ok(())
    })
    .await
}
