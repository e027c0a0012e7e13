//! Migrates a schema: one process at a time, and resumable after a kill.
//!
//! MariaDB commits each schema change separately, so a migration is no transaction. The number of executed statements
//! is recorded after each one, and the next process continues there. Only the statement at the kill may or may not have
//! run, so an error that says that its effect exists already counts as success.

use std::time::Duration;

use sqlx::migrate::{Migrate as _, MigrateError, Migration, Migrator};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use uuid::Uuid;

use super::{MIGRATOR, number};
use crate::config::Secret;

/// The duration of the lease, and so how long others wait for a killed process.
const LEASE_TERM: Duration = Duration::from_secs(30);
/// The maximum time to wait for another migrating process.
const LOCK_TIMEOUT: Duration = Duration::from_secs(600);

/// `GET_LOCK` is not replicated by Galera. The table of the other leases is created by migrations.
const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS _migration_lease (
        name       VARCHAR(64) NOT NULL,
        holder     BINARY(16)  NOT NULL,
        expires_at DATETIME(6) NOT NULL,
        PRIMARY KEY (name)
    ) ENGINE = InnoDB",
    "CREATE TABLE IF NOT EXISTS _migration_progress (
        migrations VARCHAR(64)  NOT NULL,
        version    BIGINT       NOT NULL,
        statements INT UNSIGNED NOT NULL,
        PRIMARY KEY (migrations, version)
    ) ENGINE = InnoDB",
];

/// Why a migration failed.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The migrations of the program do not match those of the schema.
    #[error(transparent)]
    Mismatch(#[from] MigrateError),
    /// A statement failed.
    #[error(
        "statement {statement} of migration {version} failed: {source}. Those before it are done. Remove what is in its \
         way and run this again: it goes on with this statement"
    )]
    Statement {
        /// The migration.
        version: i64,
        /// The number of the statement, counted from one.
        statement: usize,
        /// The cause.
        source: sqlx::Error,
    },
    /// Another process is migrating, and has not finished in time.
    #[error("another process has been migrating this schema for more than {LOCK_TIMEOUT:?}")]
    Busy,
    /// This process was paused for so long that another one has taken its lease.
    #[error("the lease of this migration was lost to another process: run it again")]
    LeaseLost,
}

/// Runs the migrations of the chassis and then those of the service, without the time limits of requests.
///
/// Later migrations in the schema are accepted: migrations expand first and contract one release later, so a program
/// works on its own schema and on that of the next release.
pub async fn migrate(url: &Secret, subgraph: &Migrator) -> Result<(), MigrationError> {
    migrate_with(url, subgraph, LEASE_TERM).await
}

/// The same as [`migrate`] with another duration of the lease.
pub async fn migrate_with(url: &Secret, subgraph: &Migrator, term: Duration) -> Result<(), MigrationError> {
    let options: MySqlConnectOptions = url.expose().parse()?;
    let mut connection = MySqlConnection::connect_with(&options).await?;
    for table in TABLES {
        connection.execute(table).await?;
    }
    let holder = Uuid::new_v4();
    wait_for_lease(&mut connection, holder, term).await?;
    let outcome = tokio::select! {
        outcome = run_both(&mut connection, subgraph) => outcome,
        lost = keep_lease(&options, holder, term) => Err(lost),
    };
    if !matches!(outcome, Err(MigrationError::LeaseLost)) {
        // If the connection is lost, the lease expires.
        let released = sqlx::query("DELETE FROM _migration_lease WHERE holder = ?")
            .bind(holder)
            .execute(&mut connection)
            .await;
        outcome.and(released.map(drop).map_err(MigrationError::from))?;
        connection.close().await?;
        return Ok(());
    }
    outcome
}

async fn wait_for_lease(
    connection: &mut MySqlConnection,
    holder: Uuid,
    term: Duration,
) -> Result<(), MigrationError> {
    let waiting = async {
        let mut told = false;
        while !hold(connection, holder, term).await? {
            if !told {
                tracing::info!("another process migrates this schema; waiting for it");
                told = true;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    };
    tokio::time::timeout(LOCK_TIMEOUT, waiting)
        .await
        .map_err(|_| MigrationError::Busy)?
}

/// Takes or renews the lease. Uses the clock of the database.
async fn hold(connection: &mut MySqlConnection, holder: Uuid, term: Duration) -> Result<bool, sqlx::Error> {
    // `holder` is assigned first; the second assignment uses the new value.
    sqlx::query(
        "INSERT INTO _migration_lease (name, holder, expires_at)
         VALUES ('migrate', ?, UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND)
         ON DUPLICATE KEY UPDATE
             holder = IF(holder = VALUES(holder) OR expires_at < UTC_TIMESTAMP(6), VALUES(holder), holder),
             expires_at = IF(holder = VALUES(holder), VALUES(expires_at), expires_at)",
    )
    .bind(holder)
    .bind(i64::try_from(term.as_micros()).unwrap_or(i64::MAX))
    .execute(&mut *connection)
    .await?;
    let held: Option<Uuid> = sqlx::query_scalar("SELECT holder FROM _migration_lease WHERE name = 'migrate'")
        .fetch_optional(connection)
        .await?;
    Ok(held == Some(holder))
}

/// Renews the lease, and returns when it is lost. Uses a separate connection, because the other one may be busy.
async fn keep_lease(options: &MySqlConnectOptions, holder: Uuid, term: Duration) -> MigrationError {
    loop {
        tokio::time::sleep(term / 3).await;
        let renewed = async {
            let mut connection = MySqlConnection::connect_with(options).await?;
            let held = hold(&mut connection, holder, term).await?;
            connection.close().await?;
            Ok::<_, sqlx::Error>(held)
        };
        match tokio::time::timeout(term / 3, renewed).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return MigrationError::LeaseLost,
            Ok(Err(_)) | Err(_) => tracing::warn!("the lease of this migration could not be renewed"),
        }
    }
}

async fn run_both(connection: &mut MySqlConnection, subgraph: &Migrator) -> Result<(), MigrationError> {
    run(connection, &MIGRATOR).await?;
    run(connection, subgraph).await
}

async fn run(connection: &mut MySqlConnection, migrator: &Migrator) -> Result<(), MigrationError> {
    let table = &*migrator.table_name;
    connection.ensure_migrations_table(table).await?;
    let dirty = connection.dirty_version(table).await?;
    let applied = connection.list_applied_migrations(table).await?;
    if let Some(unknown) = applied
        .iter()
        .find(|applied| !migrator.version_exists(applied.version))
    {
        let newest = migrator.iter().map(|migration| migration.version).max();
        if newest.is_some_and(|newest| unknown.version < newest) {
            return Err(MigrateError::VersionMissing(unknown.version).into());
        }
        // During a rollback of an upgrade, the newer changes stay and do not disturb this program.
        tracing::info!(
            table,
            version = unknown.version,
            "the schema is newer than this program"
        );
    }
    for migration in migrator.iter() {
        match applied
            .iter()
            .find(|applied| applied.version == migration.version)
        {
            Some(applied) if applied.checksum != migration.checksum => {
                return Err(MigrateError::VersionMismatch(migration.version).into());
            }
            Some(_) if dirty == Some(migration.version) => {
                tracing::warn!(version = migration.version, "continuing an unfinished migration");
                apply(connection, table, migration).await?;
            }
            Some(_) => {}
            None => apply(connection, table, migration).await?,
        }
    }
    Ok(())
}

/// Runs the remaining statements of `migration`. At the end its row in sqlx's table gets `success`.
async fn apply(
    connection: &mut MySqlConnection,
    table: &str,
    migration: &Migration,
) -> Result<(), MigrationError> {
    sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO {table} (version, description, success, checksum, execution_time) VALUES (?, ?, FALSE, ?, -1)
         ON DUPLICATE KEY UPDATE version = version"
    )))
    .bind(migration.version)
    .bind(&*migration.description)
    .bind(&*migration.checksum)
    .execute(&mut *connection)
    .await?;
    let begun: Option<u32> =
        sqlx::query_scalar("SELECT statements FROM _migration_progress WHERE migrations = ? AND version = ?")
            .bind(table)
            .bind(migration.version)
            .fetch_optional(&mut *connection)
            .await?;
    record_progress(connection, table, migration.version, begun.unwrap_or(0)).await?;
    let done = usize::try_from(begun.unwrap_or(0)).unwrap_or(usize::MAX);
    for (index, statement) in statements(migration.sql.as_str())
        .into_iter()
        .enumerate()
        .skip(done)
    {
        match connection.execute(AssertSqlSafe(statement.to_owned())).await {
            Ok(_) => {}
            Err(error) if begun.is_some() && index == done && is_already_applied(&error) => {}
            Err(source) => {
                return Err(MigrationError::Statement {
                    version: migration.version,
                    statement: index + 1,
                    source,
                });
            }
        }
        let done = u32::try_from(index + 1).unwrap_or(u32::MAX);
        record_progress(connection, table, migration.version, done).await?;
    }
    sqlx::query(AssertSqlSafe(format!(
        "UPDATE {table} SET success = TRUE WHERE version = ?"
    )))
    .bind(migration.version)
    .execute(connection)
    .await?;
    Ok(())
}

async fn record_progress(
    connection: &mut MySqlConnection,
    table: &str,
    version: i64,
    done: u32,
) -> Result<(), sqlx::Error> {
    sqlx::query("REPLACE INTO _migration_progress (migrations, version, statements) VALUES (?, ?, ?)")
        .bind(table)
        .bind(version)
        .bind(done)
        .execute(connection)
        .await
        .map(drop)
}

/// Table, column, key or constraint exists; table, column or key does not exist; row exists.
fn is_already_applied(error: &sqlx::Error) -> bool {
    matches!(
        number(error),
        Some(1050 | 1060 | 1061 | 1826 | 1051 | 1091 | 1062)
    )
}

/// Splits a script into statements: at semicolons outside of quotes and comments.
fn statements(script: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut start, mut has_code) = (0, false);
    let mut rest = script.char_indices().peekable();
    while let Some((at, character)) = rest.next() {
        let after = &script[at + character.len_utf8()..];
        match character {
            '\'' | '"' | '`' => {
                has_code = true;
                while let Some((_, inner)) = rest.next() {
                    if inner == '\\' && character != '`' {
                        rest.next();
                    } else if inner == character {
                        break;
                    }
                }
            }
            '-' if after.starts_with('-') => while rest.next_if(|(_, next)| *next != '\n').is_some() {},
            '#' => while rest.next_if(|(_, next)| *next != '\n').is_some() {},
            '/' if after.starts_with('*') => {
                let end = after[1..].find("*/").map_or(script.len(), |end| at + 2 + end + 2);
                while rest.next_if(|(next, _)| *next < end).is_some() {}
            }
            ';' => {
                if has_code {
                    found.push(script[start..at].trim());
                }
                (start, has_code) = (at + 1, false);
            }
            other => has_code |= !other.is_whitespace(),
        }
    }
    if has_code {
        found.push(script[start..].trim());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::statements;

    #[test]
    fn semicolons_separate_statements() {
        assert_eq!(
            statements("CREATE TABLE a (b INT);\n\nDROP TABLE c"),
            ["CREATE TABLE a (b INT)", "DROP TABLE c"]
        );
        assert_eq!(statements("  ;\n; -- nothing\n"), Vec::<&str>::new());
    }

    #[test]
    fn quotes_and_comments_hide_semicolons() {
        let script = "-- one; two\nINSERT INTO a VALUES ('x;''y', \"z\\\";\", `q;`); /* a; b */ # c; d\nDELETE FROM a;";
        let found = statements(script);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].ends_with("`q;`)"), "{found:?}");
        assert!(found[1].ends_with("DELETE FROM a"), "{found:?}");
    }
}
