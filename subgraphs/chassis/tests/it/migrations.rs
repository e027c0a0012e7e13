use std::borrow::Cow;
use std::time::Duration;

use chassis::config::Secret;
use chassis::database::{MigrationError, SchemaState, migrate, migrate_with, schema_state};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr as _};
use testkit::{Loss, Proxy, TestDatabase};

const TERM: Duration = Duration::from_millis(1500);

fn migrator(scripts: &[&'static str]) -> Migrator {
    let migrations = (1..).zip(scripts).map(|(version, script)| {
        Migration::new(
            version,
            "test".into(),
            MigrationType::Simple,
            script.into_sql_str(),
            false,
        )
    });
    Migrator {
        migrations: Cow::Owned(migrations.collect()),
        ..Migrator::DEFAULT
    }
}

const TABLES: &str = "CREATE TABLE first (id INT PRIMARY KEY);
CREATE TABLE second (id INT PRIMARY KEY); -- with a comment; and a semicolon
INSERT INTO second VALUES (1);
ALTER TABLE first ADD COLUMN more INT;";

async fn rows(database: &TestDatabase, from: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT COUNT(*) FROM {from}")))
        .fetch_one(&database.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn concurrent_migrations_run_once() {
    let database = super::database().await;
    let url = database.url();
    let runs = (0..5).map(|_| {
        let url: Secret = url.clone();
        tokio::spawn(async move {
            migrate(
                &url,
                &migrator(&[TABLES, "CREATE TABLE third (id INT PRIMARY KEY)"]),
            )
            .await
        })
    });
    for run in futures::future::join_all(runs).await {
        run.unwrap().unwrap();
    }
    assert_eq!(rows(&database, "second").await, 1);
    assert_eq!(rows(&database, "_sqlx_migrations WHERE success").await, 2);
    assert_eq!(rows(&database, "_migration_lease").await, 0);
}

#[tokio::test]
async fn a_migration_killed_at_any_statement_is_continued() {
    let statements = [
        "CREATE TABLE first",
        "CREATE TABLE second",
        "INSERT INTO second",
        "ALTER TABLE first",
        "SET success",
    ];
    for statement in statements {
        for loss in [Loss::Statement, Loss::Response] {
            let database = super::database().await;
            let proxy = Proxy::new("127.0.0.1").await;
            proxy.lose(loss, statement, 0);
            let killed = migrate_with(&database.url_through(&proxy), &migrator(&[TABLES]), TERM).await;
            assert!(proxy.has_lost() && killed.is_err(), "{statement} {loss:?}");
            migrate_with(&database.url(), &migrator(&[TABLES]), TERM)
                .await
                .unwrap_or_else(|error| panic!("{statement} {loss:?}: {error}"));
            assert_eq!(rows(&database, "second").await, 1, "{statement} {loss:?}");
            assert_eq!(rows(&database, "first WHERE more IS NULL").await, 0);
            assert_eq!(rows(&database, "_sqlx_migrations WHERE success").await, 1);
        }
    }
}

#[tokio::test]
async fn the_error_of_a_failed_statement_says_what_to_do() {
    let database = super::database().await;
    let script = "CREATE TABLE first (id INT PRIMARY KEY); CREATE TABLE second (id INT PRIMARY KEY)";
    sqlx::query("CREATE TABLE second (other INT PRIMARY KEY)")
        .execute(&database.pool)
        .await
        .unwrap();
    let failed = migrate(&database.url(), &migrator(&[script])).await.unwrap_err();
    assert!(matches!(
        failed,
        MigrationError::Statement {
            version: 1,
            statement: 2,
            ..
        }
    ));
    assert!(
        failed.to_string().contains("goes on with this statement"),
        "{failed}"
    );
}

#[tokio::test]
async fn a_schema_of_another_program_is_left_alone() {
    let database = super::database().await;
    migrate(&database.url(), &migrator(&[TABLES])).await.unwrap();
    let changed = migrate(
        &database.url(),
        &migrator(&["CREATE TABLE first (id INT PRIMARY KEY)"]),
    )
    .await;
    assert!(matches!(changed, Err(MigrationError::Mismatch(_))), "{changed:?}");
    // Version 1 is unknown to a program that begins with version 2.
    let mut another = migrator(&["", "CREATE TABLE third (id INT PRIMARY KEY)"]);
    another.migrations.to_mut().remove(0);
    let unknown = migrate(&database.url(), &another).await;
    assert!(matches!(unknown, Err(MigrationError::Mismatch(_))), "{unknown:?}");
}

#[tokio::test]
async fn a_schema_of_the_next_release_is_current() {
    let database = super::database().await;
    let state = async |migrator: &Migrator| schema_state(&database.pool, migrator).await.unwrap();
    let old = migrator(&[TABLES]);
    let new = migrator(&[TABLES, "CREATE TABLE third (id INT PRIMARY KEY)"]);
    // The test database has the tables of the chassis.
    assert_eq!(state(&old).await, SchemaState::Older);

    migrate(&database.url(), &old).await.unwrap();
    assert_eq!(state(&old).await, SchemaState::Current);
    assert_eq!(state(&new).await, SchemaState::Older);

    migrate(&database.url(), &new).await.unwrap();
    migrate(&database.url(), &old).await.unwrap();
    assert_eq!(state(&old).await, SchemaState::Current);
    assert_eq!(state(&new).await, SchemaState::Current);
    assert_eq!(rows(&database, "third").await, 0);

    sqlx::query("DROP TABLE _sqlx_migrations, _chassis_migrations")
        .execute(&database.pool)
        .await
        .unwrap();
    assert_eq!(state(&old).await, SchemaState::Empty);
}

#[tokio::test]
async fn a_wrong_password_is_distinguished_from_an_unavailable_database() {
    let database = super::database().await;
    let mut url: url::Url = database.url().expose().parse().unwrap();
    url.set_username("nobody").unwrap();
    url.set_password(Some("wrong")).unwrap();
    let pool = chassis::database::Pool::new(&Secret::new(url.as_str()), 1).unwrap();
    let state = schema_state(&pool, &migrator(&[TABLES])).await;
    assert_eq!(state.unwrap(), SchemaState::Refused);

    url.set_port(Some(1)).unwrap();
    let pool = chassis::database::Pool::new(&Secret::new(url.as_str()), 1).unwrap();
    assert!(schema_state(&pool, &migrator(&[TABLES])).await.is_err());
}

#[tokio::test]
async fn a_slow_migration_keeps_its_lease() {
    let database = super::database().await;
    let url = database.url();
    let slow =
        migrator(&["CREATE TABLE first (id INT PRIMARY KEY); DO SLEEP(4); INSERT INTO first VALUES (1)"]);
    let (one, two) = tokio::join!(migrate_with(&url, &slow, TERM), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        migrate_with(&url, &slow, TERM).await
    });
    one.unwrap();
    two.unwrap();
    assert_eq!(rows(&database, "first").await, 1);
}
