//! The agent's statements to its own MariaDB.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use chassis::config::Secret;
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions, MySqlRow};
use sqlx::{MySqlPool, Row};
use uuid::Uuid;

use crate::cluster_record::{NodeId, Slot};
use crate::config::ServiceAccount;
use crate::mariadb::parse_node_name;

/// The agent's own account.
pub const AGENT_USER: &str = "agent";

/// A membership, as MariaDB reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The cluster.
    pub cluster: Uuid,
    /// Galera's number of the membership.
    pub number: u64,
    /// The members.
    pub members: BTreeMap<NodeId, Slot>,
}

/// MariaDB's status variables.
pub type Status = BTreeMap<String, String>;

/// Returns a pool that connects on first use.
pub fn pool(socket: &Path, password: &Secret) -> MySqlPool {
    let options = MySqlConnectOptions::new()
        .socket(socket)
        .username(AGENT_USER)
        .password(password.expose())
        // A node without a majority accepts only simple statements.
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(None)
        .set_names(false);
    MySqlPoolOptions::new()
        .max_connections(3)
        .test_before_acquire(false)
        .max_lifetime(Duration::from_secs(300))
        .acquire_timeout(Duration::from_secs(2))
        .connect_lazy_with(options)
}

fn text(row: &MySqlRow, column: usize) -> Result<String, sqlx::Error> {
    row.try_get_unchecked(column)
}

/// Reads the status variables of replication.
pub async fn status(pool: &MySqlPool) -> Result<Status, sqlx::Error> {
    let status = show(pool, "SHOW GLOBAL STATUS LIKE 'wsrep\\_%'").await?;
    let short = |name: String| name.strip_prefix("wsrep_").map_or(name.clone(), str::to_owned);
    Ok(status
        .into_iter()
        .map(|(name, value)| (short(name), value))
        .collect())
}

/// Reads all status variables.
pub async fn all_status(pool: &MySqlPool) -> Result<Status, sqlx::Error> {
    show(pool, "SHOW GLOBAL STATUS").await
}

async fn show(pool: &MySqlPool, statement: &'static str) -> Result<Status, sqlx::Error> {
    let rows = sqlx::raw_sql(statement).fetch_all(pool).await?;
    rows.iter()
        .map(|row| Ok((text(row, 0)?, text(row, 1)?)))
        .collect()
}

/// Reads the membership, in one statement so that its parts are consistent.
pub async fn view(pool: &MySqlPool) -> Result<Option<Membership>, sqlx::Error> {
    let rows = sqlx::raw_sql(
        "SELECT c.cluster_uuid, CAST(c.view_id AS CHAR), m.node_name FROM mysql.wsrep_cluster c \
         JOIN mysql.wsrep_cluster_members m ON m.cluster_uuid = c.cluster_uuid",
    )
    .fetch_all(pool)
    .await?;
    let mut view = None;
    for row in &rows {
        let (Ok(cluster), Ok(number)) = (text(row, 0)?.parse(), text(row, 1)?.parse()) else {
            return Ok(None);
        };
        let view = view.get_or_insert(Membership {
            cluster,
            number,
            members: BTreeMap::new(),
        });
        view.members.extend(parse_node_name(&text(row, 2)?));
    }
    Ok(view)
}

/// Sets this node's quorum weight (`pc.weight`).
pub async fn set_weight(pool: &MySqlPool, weight: u8) -> Result<(), sqlx::Error> {
    let statement = format!("SET GLOBAL wsrep_provider_options = 'pc.weight={weight}'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .execute(pool)
        .await?;
    Ok(())
}

/// Sets `read_only`, which refuses writes of services. Replicated writes are still applied.
pub async fn refuse_writes(pool: &MySqlPool, refuse: bool) -> Result<(), sqlx::Error> {
    let statement = if refuse {
        "SET GLOBAL read_only = ON"
    } else {
        "SET GLOBAL read_only = OFF"
    };
    sqlx::raw_sql(statement).execute(pool).await?;
    Ok(())
}

/// Whether accounts are missing.
pub async fn accounts_missing(pool: &MySqlPool, accounts: &[ServiceAccount]) -> Result<bool, sqlx::Error> {
    let rows = sqlx::raw_sql("SELECT User FROM mysql.global_priv")
        .fetch_all(pool)
        .await?;
    let mut users = Vec::new();
    for row in &rows {
        users.push(text(row, 0)?);
    }
    let has = |user: &str| users.iter().any(|there| there == user);
    Ok(!has("sst")
        || accounts
            .iter()
            .any(|account| !has(&account.service) || !has(&format!("{}_migrate", account.service))))
}

/// Creates or updates the schemas and accounts.
pub async fn make_accounts(
    pool: &MySqlPool,
    accounts: &[ServiceAccount],
    copy_password: &Secret,
) -> Result<(), sqlx::Error> {
    for statement in account_statements(accounts, copy_password) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(pool)
            .await?;
    }
    Ok(())
}

/// Returns the statements that create the agent's account.
pub fn agent_account(password: &Secret) -> String {
    let password = password.expose();
    format!(
        "CREATE USER IF NOT EXISTS '{AGENT_USER}'@'localhost' IDENTIFIED BY '{password}';\n\
         ALTER USER '{AGENT_USER}'@'localhost' IDENTIFIED BY '{password}';\n\
         GRANT ALL PRIVILEGES ON *.* TO '{AGENT_USER}'@'localhost' WITH GRANT OPTION;\n"
    )
}

fn account_statements(accounts: &[ServiceAccount], copy_password: &Secret) -> Vec<String> {
    const GRANTS: &str = include_str!("../../grants.sql");
    let copy_password = copy_password.expose();
    let mut statements = vec![
        format!("CREATE USER IF NOT EXISTS 'sst'@'localhost' IDENTIFIED BY '{copy_password}'"),
        format!("ALTER USER 'sst'@'localhost' IDENTIFIED BY '{copy_password}'"),
        // The privileges that mariadb-backup needs to copy a running node.
        "GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR, REPLICA MONITOR ON *.* TO 'sst'@'localhost'"
            .to_owned(),
    ];
    for account in accounts {
        let filled = GRANTS
            .replace("{{service}}", &account.service)
            .replace("{{password}}", account.password.expose())
            .replace("{{migrate_password}}", account.migrate_password.expose());
        let mut statement = String::new();
        for line in filled
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with("--"))
        {
            statement.push_str(line.trim_end_matches(';'));
            if line.ends_with(';') {
                statements.push(std::mem::take(&mut statement));
            } else {
                statement.push(' ');
            }
        }
    }
    for statement in &mut statements {
        *statement = statement.trim().to_owned();
    }
    statements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_split_into_statements() {
        let account = ServiceAccount {
            service: "vote".to_owned(),
            password: Secret::new("one-long-password"),
            migrate_password: Secret::new("other-long-password"),
        };
        let statements = account_statements(&[account], &Secret::new("a-third-password"));
        assert!(statements.iter().all(|statement| !statement.contains("{{")));
        assert!(statements.iter().all(|statement| {
            ["CREATE ", "ALTER ", "GRANT "]
                .iter()
                .any(|verb| statement.starts_with(verb))
        }));
        assert!(
            statements
                .iter()
                .any(|statement| statement.contains("`vote`.* TO 'vote'@'%'"))
        );
    }
}
