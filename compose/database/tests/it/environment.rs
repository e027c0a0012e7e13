//! Faults of the environment: a full disk, unresolvable names, foreign agents on the network, wrong clocks.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use harness::disk::SmallDisk;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::cluster::{TEST_TIMEOUT, Writer, blocking, every_node_has, make_table, three_nodes};
use crate::lab::{Lab, wait_until};

/// Name resolution of each slot: a `hosts` file, and a name server that never responds.
struct Names {
    folders: Vec<PathBuf>,
}

impl Names {
    fn new(lab: &Lab, slots: &[u32]) -> Self {
        let folders = slots.iter().map(|slot| lab.names(*slot)).collect();
        let names = Self { folders };
        for folder in &names.folders {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join("resolv.conf"), "nameserver 10.99.0.250\n").unwrap();
        }
        names.resolve_to(lab, slots);
        names
    }

    /// Makes `db.test` resolve to these slots, or to none.
    fn resolve_to(&self, lab: &Lab, slots: &[u32]) {
        let mut lines = String::new();
        for slot in slots {
            let _ = writeln!(lines, "{} db.test", lab.address(*slot));
        }
        for folder in &self.folders {
            fs::write(folder.join("hosts"), format!("127.0.0.1 localhost\n{lines}")).unwrap();
        }
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        for folder in &self.folders {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// Connects as a service.
async fn connect_as_service(lab: &Lab, slot: u32) -> Result<MySqlConnection, sqlx::Error> {
    MySqlConnectOptions::new()
        .socket(lab.volume(slot).join("mariadb.sock"))
        .username("vote")
        .password("vote-has-a-password")
        .database("vote")
        .connect()
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: ./dev test --long"]
async fn a_node_with_a_full_disk_leaves_and_returns() {
    let mut lab = Lab::new(3);
    let disk = SmallDisk::mount(lab.volume(3), 700).unwrap();
    let small = ["--reserve", "100M"];
    lab.start(1);
    lab.start(2);
    lab.start_with(3, &small);
    blocking(|| lab.wait_in_sync(&[1, 2, 3], TEST_TIMEOUT));
    make_table(&lab).await;

    let writer = Writer::start(&lab, &[1, 2], 0);
    tokio::time::sleep(Duration::from_secs(1)).await;
    blocking(|| disk.fill(u64::MAX)).unwrap();
    let full = |lab: &Lab| {
        lab.message(3)
            .starts_with("refusing to start: no space left on the volume")
    };
    blocking(|| wait_until("slot 3 misses space", TEST_TIMEOUT, || full(&lab)));
    println!("a full disk: {}", lab.message(3));
    blocking(|| lab.wait_in_sync(&[1, 2], TEST_TIMEOUT));
    assert!(lab.is_healthy(3), "an agent that waits is alive");
    tokio::time::sleep(Duration::from_secs(3)).await;
    disk.clear().unwrap();
    let took = blocking(|| lab.wait_in_sync(&[1, 2, 3], TEST_TIMEOUT));
    let written = writer.finish().await;
    println!(
        "space again → three in sync: {:.1} s, longest gap between acknowledged writes {:.1} s, {} rows",
        took.as_secs_f32(),
        written.longest_gap.as_secs_f32(),
        written.rows.len()
    );
    assert!(
        written.longest_gap < Duration::from_secs(15),
        "writes stalled for {:?}",
        written.longest_gap
    );
    every_node_has(&lab, &[1, 2, 3], &written.rows).await;

    // No other node can continue, so the node serves reads and refuses writes.
    blocking(|| lab.stop(&[1, 2]));
    blocking(|| lab.wait_in_sync(&[3], TEST_TIMEOUT));
    disk.fill(lab.free(3) - (60 << 20)).unwrap();
    blocking(|| {
        wait_until("slot 3 refuses writes", TEST_TIMEOUT, || {
            lab.said(3).contains("writes are refused, reads work")
        })
    });
    let mut service = connect_as_service(&lab, 3).await.unwrap();
    let insert = "INSERT INTO kept (id) VALUES (-1)";
    let refused = sqlx::query(insert).execute(&mut service).await.unwrap_err();
    assert!(refused.to_string().contains("read-only"), "{refused}");
    sqlx::query("SELECT count(*) FROM kept")
        .execute(&mut service)
        .await
        .unwrap();
    disk.clear().unwrap();
    blocking(|| {
        wait_until("slot 3 takes writes", TEST_TIMEOUT, || {
            lab.said(3).contains("there is space on the volume again")
        })
    });
    sqlx::query(insert).execute(&mut service).await.unwrap();
    service.close().await.unwrap();
    lab.start(1);
    lab.start(2);
    blocking(|| lab.wait_in_sync(&[1, 2, 3], TEST_TIMEOUT));
    let mut kept = written.rows;
    kept.insert(-1);
    every_node_has(&lab, &[1, 2, 3], &kept).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: ./dev test --long"]
async fn unresolvable_names_do_not_stop_running_nodes() {
    let mut lab = Lab::new(3);
    let names = Names::new(&lab, &[1, 2, 3]);
    let by_name = ["--peers", "db.test"];
    for slot in 1..=3 {
        lab.start_with(slot, &by_name);
    }
    blocking(|| lab.wait_in_sync(&[1, 2, 3], TEST_TIMEOUT));
    make_table(&lab).await;
    lab.kill(3);
    blocking(|| lab.wait_in_sync(&[1, 2], TEST_TIMEOUT));

    names.resolve_to(&lab, &[]);
    let writer = Writer::start(&lab, &[1, 2], 0);
    // A node with data that finds no peers never starts the cluster.
    lab.start_with(3, &by_name);
    blocking(|| {
        wait_until("slot 3 misses the name", TEST_TIMEOUT, || {
            lab.said(3).contains("db.test cannot be resolved")
        })
    });
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(
            blocking(|| lab.in_sync(1, 2) && lab.in_sync(2, 2)),
            "those that run went down"
        );
        let stage = blocking(|| lab.status(3)).expect("slot 3 runs")["stage"].clone();
        assert!(stage["deciding"].is_object(), "slot 3 does {stage}");
    }
    // A MariaDB that is restarted by its agent finds the others at their last addresses.
    let pid = fs::read_to_string(lab.volume(2).join("mariadb.pid")).unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid.trim().parse().unwrap()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    blocking(|| lab.wait_in_sync(&[1, 2], TEST_TIMEOUT));

    names.resolve_to(&lab, &[1, 2, 3]);
    let took = blocking(|| lab.wait_in_sync(&[1, 2, 3], TEST_TIMEOUT));
    let written = writer.finish().await;
    println!(
        "names again after a minute → three in sync: {:.1} s, {} rows",
        took.as_secs_f32(),
        written.rows.len()
    );
    every_node_has(&lab, &[1, 2, 3], &written.rows).await;
}

/// Swarm removes the address of a node from DNS when it stops the node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: ./dev test --long"]
async fn unlisted_nodes_leave_one_after_another() {
    let mut lab = Lab::new(3);
    let names = Names::new(&lab, &[1, 2, 3]);
    let by_name = ["--peers", "db.test"];
    lab.start_with(1, &by_name);
    for _ in 0..5 {
        names.resolve_to(&lab, &[1, 2, 3]);
        lab.start_with(2, &by_name);
        lab.start_with(3, &by_name);
        blocking(|| lab.wait_in_sync(&[1, 2, 3], TEST_TIMEOUT));
        names.resolve_to(&lab, &[1]);
        blocking(|| lab.stop(&[2, 3]));
        blocking(|| lab.wait_in_sync(&[1], TEST_TIMEOUT));
        let stopped = |slot| {
            let said = lab.said(slot);
            let line = said.lines().rfind(|line| line.contains("MariaDB has stopped"));
            line.expect("MariaDB has stopped")[..40].to_owned()
        };
        assert!(stopped(3) < stopped(2), "the lower slot left first");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: ./dev test --long"]
async fn two_clusters_share_a_network() {
    let mut lab = Lab::new(3);
    // The same secret and the same addresses; only the names differ.
    let other = ["--cluster", "other", "--slot", "1", "--nodes", "1"];
    for slot in 1..=2 {
        lab.start_with(slot, &["--nodes", "2"]);
    }
    lab.start_with(3, &other);
    blocking(|| lab.wait_in_sync(&[1, 2], TEST_TIMEOUT));
    blocking(|| lab.wait_in_sync(&[3], TEST_TIMEOUT));
    assert!(
        lab.said(3)
            .contains("belongs to the cluster named proofsheet, this node to other"),
        "the stranger is not mentioned"
    );
    lab.kill(2);
    lab.kill(3);
    lab.start_with(2, &["--nodes", "2"]);
    lab.start_with(3, &other);
    blocking(|| lab.wait_in_sync(&[1, 2], TEST_TIMEOUT));
    blocking(|| lab.wait_in_sync(&[3], TEST_TIMEOUT));
    let cluster = |slot| lab.status(slot).unwrap()["memory"]["cluster"].clone();
    assert_eq!(cluster(1), cluster(2));
    assert_ne!(cluster(1), cluster(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: ./dev test --long"]
async fn wrong_clocks_do_no_harm() {
    let mut lab = three_nodes().await;
    let writer = Writer::start(&lab, &[1, 2, 3], 0);
    tokio::time::sleep(Duration::from_secs(1)).await;
    lab.kill(3);
    blocking(|| lab.wait_in_sync(&[1, 2], TEST_TIMEOUT));
    // Both the agent and MariaDB use it.
    lab.start_with_clock(3, "-400d");
    let took = blocking(|| lab.wait_in_sync(&[1, 2, 3], TEST_TIMEOUT));
    let theirs: i64 = sqlx::query_scalar("SELECT UNIX_TIMESTAMP()")
        .fetch_one(&lab.pool(3))
        .await
        .unwrap();
    let ours = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let days = (i64::try_from(ours.as_secs()).unwrap() - theirs) / 86_400;
    assert_eq!(days, 400, "slot 3 has the right time");
    println!(
        "a clock that is 400 days slow → three in sync: {:.1} s",
        took.as_secs_f32()
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    for slot in 1..=3 {
        lab.kill(slot);
    }
    let mut kept: BTreeSet<i64> = writer.finish().await.rows;
    lab.start_with_clock(1, "+400d");
    lab.start(2);
    lab.start_with_clock(3, "-400d");
    let took = blocking(|| lab.wait_in_sync(&[1, 2, 3], TEST_TIMEOUT));
    println!(
        "three clocks 400 days apart, all killed → three in sync: {:.1} s",
        took.as_secs_f32()
    );
    let writer = Writer::start(&lab, &[1, 2, 3], 1_000_000);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let written = writer.finish().await;
    assert!(!written.rows.is_empty());
    kept.extend(written.rows);
    every_node_has(&lab, &[1, 2, 3], &kept).await;
}

/// A joiner that was disconnected during its copy returns to a group that no longer knows that it was joining: Galera
/// rejects its JOIN message, and never marks it as synced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: ./dev test --long"]
async fn a_stuck_joiner_joins_again() {
    let mut lab = three_nodes().await;
    // Enough data that the copy takes longer than cutting the link.
    sqlx::raw_sql("CREATE TABLE vote.ballast (id INT PRIMARY KEY, weight LONGBLOB NOT NULL)")
        .execute(&lab.pool(1))
        .await
        .unwrap();
    for number in 0..32_u8 {
        sqlx::query("INSERT INTO vote.ballast (id, weight) VALUES (?, ?)")
            .bind(number)
            .bind(vec![number; 1 << 20])
            .execute(&lab.pool(1))
            .await
            .unwrap();
    }
    lab.kill(3);
    blocking(|| lab.wait_in_sync(&[1, 2], TEST_TIMEOUT));
    fs::remove_dir_all(lab.volume(3)).unwrap();
    let before = lab.said(3).len();
    let has_logged = |lab: &Lab, what: &str| lab.said(3)[before..].contains(what);

    lab.start(3);
    blocking(|| {
        wait_until("slot 3 is copied to", TEST_TIMEOUT, || {
            has_logged(&lab, "Proceeding with SST")
        })
    });
    // Shortly, so that the copy continues afterwards.
    lab.cut(3, true);
    let size = || lab.status(1).unwrap_or_default()["wsrep"]["cluster_size"].clone();
    blocking(|| {
        wait_until("the others continue without slot 3", TEST_TIMEOUT, || {
            size() == "2"
        })
    });
    lab.cut(3, false);
    let writer = Writer::start(&lab, &[1, 2], 0);
    let forgotten = || has_logged(&lab, "has all data and is not marked as synced");
    let found = blocking(|| wait_until("the agent of slot 3 finds out", TEST_TIMEOUT, forgotten));
    assert!(
        has_logged(&lab, "Rejecting JOIN message"),
        "it was something else"
    );
    let took = blocking(|| lab.wait_in_sync(&[1, 2, 3], TEST_TIMEOUT));
    let written = writer.finish().await;
    println!(
        "cut off while it was copied to, and forgotten: found out after {:.1} s, three in sync {:.1} s later, {} rows",
        found.as_secs_f32(),
        took.as_secs_f32(),
        written.rows.len()
    );
    every_node_has(&lab, &[1, 2, 3], &written.rows).await;
}
