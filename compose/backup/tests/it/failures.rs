//! Failures: a full store, a node that dies during the copy; and an S3 store.

use harness::disk::SmallDisk;
use rand::RngExt as _;
use serde_json::Value;
use sqlx::MySqlPool;

use crate::rows;
use crate::site::{Site, wait_until};

/// Rows of a megabyte that nothing can compress.
async fn weigh_down(pool: &MySqlPool, megabytes: i64) {
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

/// The full backups that are there, newest last.
fn listed(site: &Site) -> Vec<String> {
    let list = site.backup(&["list"]).unwrap();
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    let names = names.filter(|name| name.len() == "20261122T030000Z".len() && name.ends_with('Z'));
    names.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_keeps_what_a_folder_keeps() {
    let mut site = Site::new(1);
    site.keep_in_buckets();
    site.start_alone("volume");
    let pool = site.pool("volume");
    site.make_table(&pool).await;
    // So much that it is uploaded in parts.
    weigh_down(&pool, 24).await;
    site.put_file("00/one/master.jpg", b"the first picture");
    site.run_service();
    wait_until("a full backup is there", || site.backup(&["list"]).is_ok());

    for id in 1..=100 {
        let insert = sqlx::query("INSERT INTO vote.kept (id) VALUES (?)").bind(id);
        insert.execute(&pool).await.unwrap();
    }
    site.put_file("01/two/master.jpg", b"the second picture");
    // The files go before the logs.
    let newest = site.last_transaction(&pool).await;
    wait_until("the last row is in the store", || {
        let list = site.backup(&["list"]).unwrap();
        let shipped = list.lines().last().and_then(|line| line.rsplit(' ').next());
        shipped.and_then(|number| number.parse().ok()) >= Some(newest)
    });
    assert_eq!(site.service_health(), 200);
    pool.close().await;
    site.lose_everything();
    assert_eq!(listed(&site).len(), 1);
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
async fn a_store_that_fills_up_half_way_keeps_what_it_had() {
    let mut site = Site::new(1);
    let disk = SmallDisk::mount(site.store(), 8).unwrap();
    site.start_alone("volume");
    let pool = site.pool("volume");
    site.make_table(&pool).await;
    site.put_file("00/one/master.jpg", b"a picture");
    site.backup(&["now"]).unwrap();
    let before = listed(&site);
    assert_eq!(before.len(), 1);

    weigh_down(&pool, 48).await;
    let said = site.backup(&["now"]).unwrap_err();
    println!("full half-way: {said}");
    assert!(
        said.contains("the backup store is full: make room there"),
        "{said}"
    );
    wait_until("the copy is given up", || {
        site.said(1).matches("the copy for a backup has ended").count() == 2
    });
    assert!(
        site.said(1).contains("whoever wanted the copy went away"),
        "it was not half-way"
    );
    assert!(!site.is_desynced("volume").await, "the node is left out of step");
    assert_eq!(listed(&site), before, "there is half a backup");
    site.backup(&["verify"]).unwrap();
    let folders = std::fs::read_dir(site.store().join("full")).unwrap();
    assert_eq!(folders.count(), 1, "something is left of the half backup");

    disk.resize(300).unwrap();
    site.backup(&["now"]).unwrap();
    assert_eq!(listed(&site).len(), 2);
    site.backup(&["verify"]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: ./dev test --long"]
async fn a_copy_that_breaks_off_leaves_nothing_behind() {
    let mut site = Site::new(1);
    site.start_alone("volume");
    let pool = site.pool("volume");
    site.make_table(&pool).await;
    weigh_down(&pool, 64).await;

    // The program that copies dies.
    let halfway = site.begin_backup();
    site.kill_copying(1);
    let said = halfway.go_on().unwrap_err();
    println!("nobody copies any more: {said}");
    assert!(said.contains("mariadb-backup failed"), "{said}");
    let ended = |site: &Site| site.said(1).matches("the copy for a backup has ended").count();
    wait_until("the agent has noticed", || ended(&site) == 1);
    assert!(!site.is_desynced("volume").await, "the node is left out of step");
    let said = site.backup(&["list"]).unwrap_err();
    assert!(said.contains("there is no full backup"), "{said}");

    // The client of the copy is killed.
    let halfway = site.begin_backup();
    halfway.kill();
    wait_until("the agent has noticed", || ended(&site) == 2);
    assert!(!site.is_desynced("volume").await, "the node is left out of step");

    site.backup(&["now"]).unwrap();
    assert_eq!(listed(&site).len(), 1);
    site.backup(&["verify"]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: ./dev test --long"]
async fn another_node_is_copied_when_one_dies_half_way() {
    let mut site = Site::new(3);
    for slot in 1..=3 {
        site.start(slot, &format!("volume-{slot}"));
    }
    site.wait_in_step(&[1, 2, 3]);
    let pool = site.pool("volume-1");
    site.make_table(&pool).await;
    weigh_down(&pool, 64).await;

    let halfway = site.begin_backup();
    assert!(
        site.said(3).contains("this node is being copied"),
        "it is another node"
    );
    site.kill(3);
    let said = halfway.go_on().unwrap();
    println!("a node died half-way: {said}");
    assert!(said.contains("the node in slot 3 was not copied"), "{said}");
    site.wait_in_step(&[1, 2]);
    assert!(
        site.said(2).contains("this node is being copied"),
        "it is another node"
    );
    wait_until("the second node has been copied", || {
        site.said(2).contains("the copy for a backup has ended")
    });
    assert!(
        !site.is_desynced("volume-2").await,
        "the node is left out of step"
    );
    let [name] = listed(&site).try_into().unwrap();
    let manifest = std::fs::read(site.store().join("full").join(name).join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert!(manifest["transaction"].as_u64() > Some(64), "{manifest}");
    site.backup(&["verify"]).unwrap();

    // The one that died is a node like the others again.
    site.start(3, "volume-3");
    site.wait_in_step(&[1, 2, 3]);
    assert!(
        !site.is_desynced("volume-3").await,
        "the node is left out of step"
    );
}
