//! Failures: a full store, a node that dies during the copy; and an S3 store.

use harness::disk::SmallDisk;
use rand::RngExt as _;
use serde_json::Value;
use sqlx::MySqlPool;

use crate::rows;
use crate::site::{Site, wait_until};

/// Inserts rows of one megabyte each that cannot be compressed.
async fn insert_megabytes(pool: &MySqlPool, megabytes: i64) {
    for id in -megabytes..0 {
        let mut weight = vec![0; 1 << 20];
        rand::rng().fill(weight.as_mut_slice());
        sqlx::query("INSERT INTO vote.kept (id, weight) VALUES (?, ?)")
            .bind(id)
            .bind(weight)
            .execute(pool)
            .await
            .unwrap();
    }
}

/// The names of the full backups, newest last.
fn full_backups(site: &Site) -> Vec<String> {
    let list = site.backup(&["list"]).unwrap();
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    let names = names.filter(|name| name.len() == "20261122T030000Z".len() && name.ends_with('Z'));
    names.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_in_a_bucket_can_be_restored() {
    let mut site = Site::new(1);
    site.use_buckets();
    site.start_alone("volume");
    let pool = site.pool("volume");
    site.make_table(&pool).await;
    // Large enough for a multipart upload.
    insert_megabytes(&pool, 24).await;
    site.put_file("00/one/master.jpg", b"the first picture");
    site.run_service();
    wait_until("a full backup is there", || site.backup(&["list"]).is_ok());

    for id in 1..=100 {
        let insert = sqlx::query("INSERT INTO vote.kept (id) VALUES (?)").bind(id);
        insert.execute(&pool).await.unwrap();
    }
    site.put_file("01/two/master.jpg", b"the second picture");
    // The backup stores files before logs, so the file is in the store once the log is.
    let newest = site.last_transaction(&pool).await;
    wait_until("the last row is in the store", || {
        let list = site.backup(&["list"]).unwrap();
        let shipped = list.lines().last().and_then(|line| line.rsplit(' ').next());
        shipped.and_then(|number| number.parse().ok()) >= Some(newest)
    });
    assert_eq!(site.service_health(), 200);
    pool.close().await;
    site.lose_everything();
    assert_eq!(full_backups(&site).len(), 1);
    let verified = site.backup(&["verify"]).unwrap();
    assert!(verified.contains("without a gap"), "{verified}");

    site.restore("latest", "latest").unwrap();
    site.start_alone("latest");
    let there = rows(&site.pool("latest")).await;
    assert_eq!(there, (-24..0).chain(1..=100).collect());
    assert_eq!(site.file("00/one/master.jpg"), b"the first picture");
    assert_eq!(site.file("01/two/master.jpg"), b"the second picture");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: ./dev test --long"]
async fn a_full_store_fails_the_backup_and_keeps_the_earlier_ones() {
    let mut site = Site::new(1);
    let disk = SmallDisk::mount(site.store(), 8).unwrap();
    site.start_alone("volume");
    let pool = site.pool("volume");
    site.make_table(&pool).await;
    site.put_file("00/one/master.jpg", b"a picture");
    site.backup(&["now"]).unwrap();
    let before = full_backups(&site);
    assert_eq!(before.len(), 1);

    insert_megabytes(&pool, 48).await;
    let output = site.backup(&["now"]).unwrap_err();
    println!("full half-way: {output}");
    assert!(
        output.contains("the backup store is full: make room there"),
        "{output}"
    );
    wait_until("the copy has ended", || {
        site.node_log(1)
            .matches("the copy for a backup has ended")
            .count()
            == 2
    });
    assert!(
        site.node_log(1)
            .contains("the client of the copy closed the connection"),
        "it was not half-way"
    );
    assert!(!site.is_desynced("volume").await, "the node is left desynced");
    assert_eq!(full_backups(&site), before, "there is half a backup");
    site.backup(&["verify"]).unwrap();
    let folders = std::fs::read_dir(site.store().join("full")).unwrap();
    assert_eq!(folders.count(), 1, "something is left of the half backup");

    disk.resize(300).unwrap();
    site.backup(&["now"]).unwrap();
    assert_eq!(full_backups(&site).len(), 2);
    site.backup(&["verify"]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: ./dev test --long"]
async fn an_interrupted_copy_leaves_no_backup() {
    let mut site = Site::new(1);
    site.start_alone("volume");
    let pool = site.pool("volume");
    site.make_table(&pool).await;
    insert_megabytes(&pool, 64).await;

    // The copying program is killed.
    let halfway = site.begin_backup();
    site.kill_copy_program(1);
    let output = halfway.resume().unwrap_err();
    println!("the copying program was killed: {output}");
    assert!(output.contains("mariadb-backup failed"), "{output}");
    let ended = |site: &Site| {
        site.node_log(1)
            .matches("the copy for a backup has ended")
            .count()
    };
    wait_until("the agent has noticed", || ended(&site) == 1);
    assert!(!site.is_desynced("volume").await, "the node is left desynced");
    let output = site.backup(&["list"]).unwrap_err();
    assert!(output.contains("there is no full backup"), "{output}");

    // The client of the copy is killed.
    let halfway = site.begin_backup();
    halfway.kill();
    wait_until("the agent has noticed", || ended(&site) == 2);
    assert!(!site.is_desynced("volume").await, "the node is left desynced");

    site.backup(&["now"]).unwrap();
    assert_eq!(full_backups(&site).len(), 1);
    site.backup(&["verify"]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: ./dev test --long"]
async fn another_node_is_copied_when_the_first_one_dies() {
    let mut site = Site::new(3);
    for slot in 1..=3 {
        site.start(slot, &format!("volume-{slot}"));
    }
    site.wait_in_sync(&[1, 2, 3]);
    let pool = site.pool("volume-1");
    site.make_table(&pool).await;
    insert_megabytes(&pool, 64).await;

    let halfway = site.begin_backup();
    assert!(
        site.node_log(3).contains("this node is being copied"),
        "it is another node"
    );
    site.kill(3);
    let output = halfway.resume().unwrap();
    println!("a node died half-way: {output}");
    assert!(output.contains("the node in slot 3 was not copied"), "{output}");
    site.wait_in_sync(&[1, 2]);
    assert!(
        site.node_log(2).contains("this node is being copied"),
        "it is another node"
    );
    wait_until("the second node has been copied", || {
        site.node_log(2).contains("the copy for a backup has ended")
    });
    assert!(!site.is_desynced("volume-2").await, "the node is left desynced");
    let [name] = full_backups(&site).try_into().unwrap();
    let manifest = std::fs::read(site.store().join("full").join(name).join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert!(manifest["transaction"].as_u64() > Some(64), "{manifest}");
    site.backup(&["verify"]).unwrap();

    // The killed node joins again.
    site.start(3, "volume-3");
    site.wait_in_sync(&[1, 2, 3]);
    assert!(!site.is_desynced("volume-3").await, "the node is left desynced");
}
