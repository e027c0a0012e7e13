//! Compares a schema with the migrations of a program.

use std::collections::BTreeSet;

use sqlx::AssertSqlSafe;
use sqlx::migrate::Migrator;

use super::{MIGRATOR, Pool, number};

/// The state of a schema's migrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    /// The database rejects the user or the password.
    Refused,
    /// No migrations: a new site.
    Empty,
    /// Some of the program's migrations are missing: the site is being upgraded.
    Older,
    /// All migrations of the program are applied. Later ones may be too: they only add until no program needs what a
    /// later migration removes.
    Current,
}

/// Access denied: unknown user or wrong password.
const ACCESS_DENIED: u16 = 1045;

/// Returns the state of `pool`'s schema for the migrations of chassis and of `subgraph`.
pub async fn schema_state(pool: &Pool, subgraph: &Migrator) -> Result<SchemaState, sqlx::Error> {
    let (mut some, mut all) = (false, true);
    for migrator in [&MIGRATOR, subgraph] {
        let applied = match applied(pool, &migrator.table_name).await {
            Err(error) if matches!(number(&error), Some(ACCESS_DENIED)) => return Ok(SchemaState::Refused),
            applied => applied?,
        };
        some |= !applied.is_empty();
        all &= migrator
            .iter()
            .all(|migration| applied.contains(&migration.version));
    }
    Ok(match (some, all) {
        (_, true) => SchemaState::Current,
        (true, false) => SchemaState::Older,
        (false, false) => SchemaState::Empty,
    })
}

/// Returns the versions of completed migrations.
async fn applied(pool: &Pool, table: &str) -> Result<BTreeSet<i64>, sqlx::Error> {
    const NO_SUCH_TABLE: u16 = 1146;
    let versions = sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT version FROM {table} WHERE success"
    )))
    .fetch_all(pool)
    .await;
    match versions {
        Ok(versions) => Ok(versions.into_iter().collect()),
        Err(error) if number(&error) == Some(NO_SUCH_TABLE) => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}
