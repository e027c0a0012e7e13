//! Tests of the backup program with real nodes: backup under load, restore, and failures.

mod site;
mod failures;

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, Utc};
use sqlx::{MySqlPool, Row};

use site::{Site, wait_until};

/// Inserts rows as fast as it can, and returns those that were acknowledged, with the moment before each.
async fn write(pool: MySqlPool, stop: Arc<AtomicBool>) -> Vec<(i64, DateTime<Utc>)> {
    let mut written = Vec::new();
    for number in 1.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let before = Utc::now();
        let insert = sqlx::query("INSERT INTO vote.kept (id) VALUES (?)").bind(number);
        if insert.execute(&pool).await.is_ok() {
            written.push((number, before));
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    written
}

pub(crate) async fn rows(pool: &MySqlPool) -> BTreeSet<i64> {
    let rows = sqlx::query("SELECT id FROM vote.kept")
        .fetch_all(pool)
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_backed_up_comes_back_as_of_a_moment() {
    let mut site = Site::new(1);
    site.start_alone("volume");
    let pool = site.pool("volume");
    site.make_table(&pool).await;
    site.put_file("00/one/master.jpg", b"the first picture");

    // A backup of a node that is written to.
    let stop = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn(write(pool.clone(), Arc::clone(&stop)));
    site.run_service();
    wait_until("a full backup is there", || site.backup(&["list"]).is_ok());
    site.put_file("01/two/master.jpg", b"the second picture");
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let moment = Utc::now().trunc_subsecs(0);
    tokio::time::sleep(Duration::from_millis(2500)).await;
    stop.store(true, Ordering::Relaxed);
    let written = writing.await.unwrap();
    let (newest, _) = *written.last().unwrap();
    assert!(written.len() > 200, "only {} rows were written", written.len());
    assert!(
        !site.is_desynced("volume").await,
        "the node is still out of sync on purpose"
    );
    assert_eq!(site.service_health(), 200);

    // So much later, everything is in the backup.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let metrics = site.service_metrics();
    assert!(
        metrics.contains("proofsheet_backup_last_success_timestamp_seconds"),
        "{metrics}"
    );
    assert!(
        metrics.contains("proofsheet_backup_last_log_shipped_timestamp_seconds"),
        "{metrics}"
    );
    pool.close().await;
    site.lose_everything();
    let verified = site.backup(&["verify"]).unwrap();
    assert!(verified.contains("without a gap"), "{verified}");

    // Refusals.
    let refused = site.restore("latest", "secrets").unwrap_err();
    assert!(refused.contains("is not empty"), "{refused}");
    let refused = site.restore_with_another_key().unwrap_err();
    assert!(refused.contains("another key"), "{refused}");
    let refused = site.restore("2020-01-01T00:00:00Z", "past").unwrap_err();
    assert!(refused.contains("no full backup"), "{refused}");

    // Everything that was acknowledged.
    site.restore("latest", "latest").unwrap();
    site.start_alone("latest");
    let there = rows(&site.pool("latest")).await;
    let lost: Vec<_> = written.iter().filter(|(id, _)| !there.contains(id)).collect();
    assert!(
        lost.is_empty(),
        "{} of {} rows are lost: {lost:?}",
        lost.len(),
        written.len()
    );
    assert!(there.contains(&newest));
    assert_eq!(site.file("00/one/master.jpg"), b"the first picture");
    assert_eq!(site.file("01/two/master.jpg"), b"the second picture");
    site.stop(1);

    // Everything until a moment, and nothing that came after that second.
    site.restore(&moment.to_rfc3339(), "earlier").unwrap();
    site.start_alone("earlier");
    let there = rows(&site.pool("earlier")).await;
    let second = Duration::from_secs(1);
    for (id, at) in &written {
        if *at < moment {
            assert!(
                there.contains(id),
                "row {id} of {at} is lost, which was before {moment}"
            );
        } else if *at > moment + second {
            assert!(
                !there.contains(id),
                "row {id} of {at} is there, which was after {moment}"
            );
        }
    }
    site.stop(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_takes_nothing_is_said_at_once() {
    let site = Site::new(1);
    // A file where the folder should be.
    fs::write(site.store(), "in the way").unwrap();
    let output = site.backup(&["list"]).unwrap_err();
    assert!(output.contains("BACKUP_STORE"), "{output}");
    let output = site.run_service_once();
    assert!(output.contains("BACKUP_STORE"), "{output}");
}
