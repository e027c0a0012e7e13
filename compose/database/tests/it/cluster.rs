//! Tests with three real nodes.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::{MySqlPool, Row};
use tokio::task::JoinHandle;

use crate::lab::{Lab, wait_until};

/// Timeout of waiting in tests, long enough for a busy machine.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(300);

/// Inserts rows at alternating nodes, and stores the ids of acknowledged ones.
pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Acknowledged>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
pub(crate) struct Acknowledged {
    pub(crate) rows: BTreeSet<i64>,
    last: Option<Instant>,
    pub(crate) longest_gap: Duration,
}

impl Writer {
    pub(crate) fn start(lab: &Lab, slots: &[u32], from: i64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(Mutex::new(Acknowledged::default()));
        let pools: Vec<MySqlPool> = slots.iter().map(|slot| lab.pool(*slot)).collect();
        let (stopped, rows) = (Arc::clone(&stop), Arc::clone(&acknowledged));
        let task = tokio::spawn(async move {
            let mut number = from;
            while !stopped.load(Ordering::Relaxed) {
                for pool in &pools {
                    number += 1;
                    let insert = sqlx::query("INSERT INTO vote.kept (id) VALUES (?)").bind(number);
                    let written = tokio::time::timeout(Duration::from_secs(1), insert.execute(pool)).await;
                    if matches!(written, Ok(Ok(_))) {
                        let mut rows = rows.lock().unwrap();
                        let now = Instant::now();
                        let gap = rows.last.map_or(Duration::ZERO, |last| now - last);
                        rows.longest_gap = rows.longest_gap.max(gap);
                        rows.last = Some(now);
                        rows.rows.insert(number);
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        });
        Self {
            stop,
            acknowledged,
            task,
        }
    }

    pub(crate) async fn finish(self) -> Acknowledged {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        std::mem::take(&mut self.acknowledged.lock().unwrap())
    }
}

async fn rows(pool: &MySqlPool) -> BTreeSet<i64> {
    // The first statement on a connection from before a restart fails.
    for attempt in 0.. {
        match all_rows(pool).await {
            Ok(rows) => return rows,
            Err(error) => assert!(attempt < 20, "the rows cannot be read: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    unreachable!("it returns or fails")
}

/// The rows of a node after it has applied everything that it received.
async fn all_rows(pool: &MySqlPool) -> Result<BTreeSet<i64>, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    sqlx::raw_sql("SET SESSION wsrep_sync_wait = 1")
        .execute(&mut *connection)
        .await?;
    let rows = sqlx::query("SELECT id FROM vote.kept")
        .fetch_all(&mut *connection)
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

pub(crate) async fn every_node_has(lab: &Lab, slots: &[u32], acknowledged: &BTreeSet<i64>) {
    for slot in slots {
        let there = rows(&lab.pool(*slot)).await;
        let lost: Vec<_> = acknowledged.difference(&there).collect();
        assert!(
            lost.is_empty(),
            "slot {slot} lost {} of {} rows: {lost:?}",
            lost.len(),
            acknowledged.len()
        );
    }
}

pub(crate) async fn make_table(lab: &Lab) {
    let pool = lab.pool(1);
    for attempt in 0.. {
        match sqlx::raw_sql("CREATE TABLE IF NOT EXISTS vote.kept (id BIGINT PRIMARY KEY)")
            .execute(&pool)
            .await
        {
            Ok(_) => return,
            // The accounts and schemas are made right after the node is in sync.
            Err(error) => assert!(attempt < 50, "the table cannot be made: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Runs blocking work without blocking the other tasks.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

pub(crate) async fn three_nodes() -> Lab {
    let mut lab = Lab::new(3);
    lab.start_all();
    let took = blocking(|| lab.wait_in_sync(&[1, 2, 3], TEST_TIMEOUT));
    println!("three empty volumes → three in sync: {:.1} s", took.as_secs_f32());
    make_table(&lab).await;
    lab
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cluster_recovers_from_kills_and_from_a_full_stop() {
    let mut lab = three_nodes().await;
    let mut kept = BTreeSet::new();

    let writer = Writer::start(&lab, &[1, 2, 3], 0);
    tokio::time::sleep(Duration::from_secs(1)).await;
    lab.kill(3);
    let dropped = blocking(|| lab.wait_in_sync(&[1, 2], TEST_TIMEOUT));
    lab.start(3);
    let back = blocking(|| lab.wait_in_sync(&[1, 2, 3], TEST_TIMEOUT));
    let written = writer.finish().await;
    println!(
        "one killed: the others went on after {:.1} s (longest gap between acknowledged writes {:.1} s), \
         three in sync again {:.1} s after its restart, {} rows",
        dropped.as_secs_f32(),
        written.longest_gap.as_secs_f32(),
        back.as_secs_f32(),
        written.rows.len()
    );
    assert!(
        written.longest_gap < Duration::from_secs(10),
        "writes stalled for {:?}",
        written.longest_gap
    );
    kept.extend(written.rows);
    every_node_has(&lab, &[1, 2, 3], &kept).await;

    let writer = Writer::start(&lab, &[1, 2, 3], 1_000_000);
    tokio::time::sleep(Duration::from_secs(1)).await;
    for slot in 1..=3 {
        lab.kill(slot);
    }
    let written = writer.finish().await;
    assert!(!written.rows.is_empty());
    kept.extend(written.rows);
    lab.start_all();
    let took = blocking(|| lab.wait_in_sync(&[1, 2, 3], TEST_TIMEOUT));
    println!(
        "all three killed → three in sync: {:.1} s, {} rows",
        took.as_secs_f32(),
        kept.len()
    );
    every_node_has(&lab, &[1, 2, 3], &kept).await;

    let writer = Writer::start(&lab, &[1, 2, 3], 2_000_000);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let started = Instant::now();
    blocking(|| lab.stop(&[1, 2, 3]));
    let stopping = started.elapsed();
    kept.extend(writer.finish().await.rows);
    lab.start_all();
    let took = blocking(|| lab.wait_in_sync(&[1, 2, 3], TEST_TIMEOUT));
    println!(
        "all three stopped in {:.1} s, started again → three in sync: {:.1} s, {} rows",
        stopping.as_secs_f32(),
        took.as_secs_f32(),
        kept.len()
    );
    every_node_has(&lab, &[1, 2, 3], &kept).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: ./dev test --long"]
async fn the_cluster_scales_to_one_node_and_back() {
    let mut lab = three_nodes().await;
    blocking(|| lab.stop(&[2, 3]));
    let took = blocking(|| lab.wait_in_sync(&[1], TEST_TIMEOUT));
    println!(
        "three → one: {:.1} s after the others had stopped",
        took.as_secs_f32()
    );
    sqlx::raw_sql("INSERT INTO vote.kept (id) VALUES (1)")
        .execute(&lab.pool(1))
        .await
        .unwrap();

    // The record of the node contains only itself, so the node can start alone.
    lab.kill(1);
    lab.start(1);
    let took = blocking(|| lab.wait_in_sync(&[1], TEST_TIMEOUT));
    println!("the one killed → in sync: {:.1} s", took.as_secs_f32());

    // Two empty volumes at once, which both copy from the only node with data.
    for slot in [2, 3] {
        fs::remove_dir_all(lab.volume(slot)).unwrap();
    }
    let writer = Writer::start(&lab, &[1], 1000);
    tokio::time::sleep(Duration::from_secs(1)).await;
    lab.start(2);
    lab.start(3);
    let took = blocking(|| lab.wait_in_sync(&[1, 2, 3], TEST_TIMEOUT));
    let mut written = writer.finish().await;
    println!(
        "one → three: {:.1} s, longest gap between acknowledged writes {:.1} s, {} rows",
        took.as_secs_f32(),
        written.longest_gap.as_secs_f32(),
        written.rows.len()
    );
    written.rows.insert(1);
    every_node_has(&lab, &[1, 2, 3], &written.rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: ./dev test --long"]
async fn the_cluster_recovers_from_partitions_and_two_failures_at_once() {
    let mut lab = three_nodes().await;
    let mut kept = BTreeSet::new();

    let writer = Writer::start(&lab, &[1, 2, 3], 0);
    tokio::time::sleep(Duration::from_secs(1)).await;
    lab.cut(3, true);
    blocking(|| {
        wait_until("slot 3 refuses work", TEST_TIMEOUT, || {
            lab.stage(3) == "non_primary"
        })
    });
    blocking(|| lab.wait_in_sync(&[1, 2], TEST_TIMEOUT));
    lab.cut(3, false);
    let took = blocking(|| lab.wait_in_sync(&[1, 2, 3], TEST_TIMEOUT));
    println!(
        "one disconnected and reconnected → three in sync: {:.1} s",
        took.as_secs_f32()
    );

    for slot in 1..=3 {
        lab.cut(slot, true);
    }
    let no_majority = || (1..=3).all(|slot| lab.stage(slot) == "non_primary");
    blocking(|| wait_until("no node has a majority", TEST_TIMEOUT, no_majority));
    tokio::time::sleep(Duration::from_secs(5)).await;
    for slot in 1..=3 {
        lab.cut(slot, false);
    }
    let took = blocking(|| lab.wait_in_sync(&[1, 2, 3], TEST_TIMEOUT));
    println!(
        "all three disconnected and reconnected → three in sync: {:.1} s",
        took.as_secs_f32()
    );

    lab.kill(1);
    lab.kill(2);
    tokio::time::sleep(Duration::from_secs(1)).await;
    kept.extend(writer.finish().await.rows);
    // The third has no majority, and must stop and restart with the others.
    blocking(|| {
        wait_until("slot 3 refuses work", TEST_TIMEOUT, || {
            lab.stage(3) == "non_primary"
        })
    });
    lab.start(1);
    lab.start(2);
    let took = blocking(|| lab.wait_in_sync(&[1, 2, 3], TEST_TIMEOUT));
    println!(
        "two killed at once → three in sync: {:.1} s, {} rows",
        took.as_secs_f32(),
        kept.len()
    );
    every_node_has(&lab, &[1, 2, 3], &kept).await;

    // MariaDB is killed, and its agent restarts it.
    let pid = fs::read_to_string(lab.volume(2).join("mariadb.pid")).unwrap();
    kill(Pid::from_raw(pid.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let took = blocking(|| lab.wait_in_sync(&[1, 2, 3], TEST_TIMEOUT));
    println!(
        "one MariaDB killed under its agent → three in sync: {:.1} s",
        took.as_secs_f32()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: ./dev test --long"]
async fn two_nodes_wait_for_the_third_until_an_operator_forces_a_start() {
    let mut lab = three_nodes().await;
    sqlx::raw_sql("INSERT INTO vote.kept (id) VALUES (1)")
        .execute(&lab.pool(1))
        .await
        .unwrap();
    for slot in 1..=3 {
        lab.kill(slot);
    }
    lab.start(2);
    lab.start(3);
    let refused = |lab: &Lab| {
        lab.message(2)
            .starts_with("refusing to start: no node runs, and the node in slot 1")
    };
    let took = blocking(|| wait_until("slot 2 refuses", TEST_TIMEOUT, || refused(&lab)));
    println!(
        "two of three came back: refused after {:.1} s: {}",
        took.as_secs_f32(),
        lab.message(2)
    );
    assert!(lab.is_healthy(2), "an agent that refuses is alive");

    // The flag is set on both nodes: the one with older data refuses it, the other one uses it.
    for slot in [2, 3] {
        fs::write(lab.volume(slot).join("force-bootstrap"), "").unwrap();
    }
    let took = blocking(|| lab.wait_in_sync(&[2, 3], TEST_TIMEOUT));
    println!("forced → two in sync: {:.1} s", took.as_secs_f32());
    for slot in [2, 3] {
        assert!(
            !lab.volume(slot).join("force-bootstrap").exists(),
            "slot {slot} kept the flag"
        );
    }
    every_node_has(&lab, &[2, 3], &BTreeSet::from([1])).await;

    // The third has no other writes, so it can return.
    lab.start(1);
    let took = blocking(|| lab.wait_in_sync(&[1, 2, 3], TEST_TIMEOUT));
    println!(
        "the third came back after all → three in sync: {:.1} s",
        took.as_secs_f32()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: ./dev test --long"]
async fn discarded_writes_do_not_return() {
    let mut lab = three_nodes().await;
    blocking(|| lab.stop(&[2, 3]));
    blocking(|| lab.wait_in_sync(&[1], TEST_TIMEOUT));
    // Only slot 1 has this write.
    sqlx::raw_sql("INSERT INTO vote.kept (id) VALUES (1)")
        .execute(&lab.pool(1))
        .await
        .unwrap();
    lab.kill(1);
    lab.start(2);
    lab.start(3);
    blocking(|| {
        wait_until("slot 2 refuses", TEST_TIMEOUT, || {
            lab.message(2).starts_with("refusing")
        })
    });
    fs::write(lab.volume(2).join("force-bootstrap"), "").unwrap();
    fs::write(lab.volume(3).join("force-bootstrap"), "").unwrap();
    blocking(|| lab.wait_in_sync(&[2, 3], TEST_TIMEOUT));
    for number in 2..20 {
        sqlx::query("INSERT INTO vote.kept (id) VALUES (?)")
            .bind(number)
            .execute(&lab.pool(2))
            .await
            .unwrap();
    }
    lab.start(1);
    blocking(|| {
        wait_until("slot 1 refuses", TEST_TIMEOUT, || {
            lab.message(1).contains("were discarded")
        })
    });
    println!("the third has a write that the others lack: {}", lab.message(1));
    assert!(lab.in_sync(2, 2) && lab.in_sync(3, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: ./dev test --long"]
async fn foreign_nodes_cannot_join() {
    let mut lab = three_nodes().await;
    lab.kill(3);
    blocking(|| lab.wait_in_sync(&[1, 2], TEST_TIMEOUT));

    // The same volume with another secret.
    let stranger = lab.folder.path().join("secrets/stranger").display().to_string();
    lab.start_with(3, &["--database-cluster-secret-file", &stranger]);
    blocking(|| {
        wait_until("slot 1 notices", TEST_TIMEOUT, || {
            lab.said(3).contains("does not share this node's cluster secret")
        })
    });
    std::thread::sleep(Duration::from_secs(3));
    assert!(lab.in_sync(1, 2) && lab.in_sync(2, 2), "a stranger was let in");
    let complaints = lab.said(3).matches("does not share").count();
    assert_eq!(complaints, 2, "each peer is complained about once");
    blocking(|| lab.stop(&[3]));

    // The volume of another cluster.
    fs::rename(lab.volume(3), lab.folder.path().join("away")).unwrap();
    blocking(|| lab.stop(&[1, 2]));
    for slot in [1, 2] {
        fs::rename(lab.volume(slot), lab.folder.path().join(format!("kept-{slot}"))).unwrap();
    }
    lab.start_with(1, &["--nodes", "1"]);
    // An unreachable node may have data, so no cluster is founded.
    std::thread::sleep(Duration::from_secs(4));
    assert!(
        lab.message(1).starts_with("a new cluster needs"),
        "{}",
        lab.message(1)
    );
    lab.start(2);
    lab.start(3);
    blocking(|| lab.wait_in_sync(&[1, 2, 3], TEST_TIMEOUT));
    blocking(|| lab.stop(&[1, 2, 3]));
    for slot in [1, 2] {
        fs::remove_dir_all(lab.volume(slot)).unwrap();
        fs::rename(lab.folder.path().join(format!("kept-{slot}")), lab.volume(slot)).unwrap();
    }
    lab.start(1);
    lab.start(2);
    blocking(|| lab.wait_in_sync(&[1, 2], TEST_TIMEOUT));
    lab.start(3);
    let took = blocking(|| {
        wait_until("slot 3 refuses", TEST_TIMEOUT, || {
            lab.message(3).contains("belongs to cluster")
        })
    });
    println!(
        "another cluster's volume: refused after {:.1} s: {}",
        took.as_secs_f32(),
        lab.message(3)
    );
    assert!(
        lab.in_sync(1, 2) && lab.in_sync(2, 2),
        "a foreign volume was let in"
    );
}
