//! An upgrade: programs of the current release work on the schema of the next release.
//!
//! The next release does not exist yet, so its migrations are the kind that is allowed: every table gets columns, in
//! front of all others too, a key, and there is a new table. Programs that name their columns are not affected.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use harness::system::{Options, SERVICES, System};
use harness::workspace::binaries;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, MySqlConnection};

const NEXT: i64 = 9999;

/// Seeds the site with generated pictures. Calls with another `word` publish other pictures.
async fn use_site(system: &System, word: &str) {
    let pictures = tempfile::tempdir().unwrap();
    for (number, shade) in [60, 180].into_iter().enumerate() {
        let picture = image::RgbImage::from_pixel(90, 60, image::Rgb([shade, shade, 90]));
        picture
            .save(pictures.path().join(format!("{word} {number}.png")))
            .unwrap();
    }
    let (url, folder) = (system.base_url(), pictures.path().to_path_buf());
    let output = tokio::task::spawn_blocking(move || seed(&url, &folder))
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{word}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn seed(url: &str, folder: &Path) -> Output {
    Command::new(binaries().join("seed"))
        .args(["--url", url, "--from"])
        .arg(folder)
        .output()
        .unwrap()
}

/// Changes the schema like the migrations of a next release.
async fn expand(connection: &mut MySqlConnection) {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT CAST(table_name AS CHAR) FROM information_schema.tables
         WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' AND table_name NOT LIKE '\\_%'",
    )
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    assert!(tables.len() > 3, "{tables:?}");
    for table in tables {
        let statement = format!(
            "ALTER TABLE {table}
                 ADD COLUMN next_note VARCHAR(20) NULL FIRST,
                 ADD COLUMN next_count INT NOT NULL DEFAULT 7,
                 ADD KEY next_key (next_count)"
        );
        connection.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    connection
        .execute("CREATE TABLE next_table (id BINARY(16) NOT NULL PRIMARY KEY)")
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (?, 'the next release', TRUE, '', 0)",
    )
    .bind(NEXT)
    .execute(connection)
    .await
    .unwrap();
}

#[tokio::test]
async fn programs_work_on_the_schema_of_the_next_release() {
    let system = System::start(Options::default()).await.unwrap();
    use_site(&system, "before").await;

    let schema = async |service: &str| {
        MySqlConnection::connect(&format!("{}/{service}", system.admin_database_url()))
            .await
            .unwrap()
    };
    for service in SERVICES.iter() {
        expand(&mut schema(service).await).await;
    }
    use_site(&system, "between").await;

    // A rollback runs the migrations of the old release, and restarts its programs.
    system.migrate().await.unwrap();
    for service in SERVICES.iter() {
        system.stop_service(service).await.unwrap();
        system.start_service(service).await.unwrap();
    }
    use_site(&system, "after").await;
    for service in SERVICES.iter() {
        let output = system.run(service, &["reconcile"]).await.unwrap();
        assert!(output.status.success(), "{service}: {output:?}");
    }
    system.stop().await;
}

#[tokio::test]
async fn a_program_waits_for_its_migrations() {
    let system = System::start(Options::default()).await.unwrap();
    system.stop_service("vote").await.unwrap();
    let mut vote = MySqlConnection::connect(&format!("{}/vote", system.admin_database_url()))
        .await
        .unwrap();
    let finished = "UPDATE _sqlx_migrations SET success = ?";
    sqlx::query(finished)
        .bind(false)
        .execute(&mut vote)
        .await
        .unwrap();

    let client = reqwest::Client::new();
    let status = async |path: &str| {
        let answer = client
            .get(format!("{}{path}", system.url("vote")))
            .send()
            .await
            .ok()?;
        Some(answer.status().as_u16())
    };
    let migrating = async {
        while status("/health").await != Some(503) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(status("/readiness").await, Some(503));
        assert!(
            system
                .log("vote")
                .contains("the schema is older than this program")
        );
        sqlx::query(finished).bind(true).execute(&mut vote).await.unwrap();
    };
    let (started, ()) = tokio::join!(system.start_service("vote"), migrating);
    started.unwrap();
    assert_eq!(status("/health").await, Some(200));
    system.stop().await;
}
