//! Whether a schema is the one that a program was written for.

use std::collections::BTreeSet;

use sqlx::AssertSqlSafe;
use sqlx::migrate::Migrator;

use super::{MIGRATOR, Pool, number};

/// How far the migrations of a schema have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    /// The database is there, and does not take this user with this password.
    Refused,
    /// Nothing has been migrated yet: a new site.
    Empty,
    /// Some of the program's migrations are missing: the site is being upgraded.
    Older,
    /// All of the program's migrations are there. Later ones may be too: they only add ("expand"), until no program that
    /// could miss what they take away ("contract") is left.
    Current,
}

/// Access denied: no such user, or another password.
const REFUSED: u16 = 1045;

/// Compares what `pool`'s schema has had with the migrations of chassis and of `subgraph`.
pub async fn schema_state(pool: &Pool, subgraph: &Migrator) -> Result<SchemaState, sqlx::Error> {
    let (mut some, mut all) = (false, true);
    for migrator in [&MIGRATOR, subgraph] {
        let applied = match applied(pool, &migrator.table_name).await {
            Err(error) if matches!(number(&error), Some(REFUSED)) => return Ok(SchemaState::Refused),
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

/// The versions that came to their end.
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
