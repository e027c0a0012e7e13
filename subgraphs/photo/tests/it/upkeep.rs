//! Reconciliation, and a sweep that is killed.

use std::path::Path;
use std::time::SystemTime;

use chassis::deleted_accounts;
use chrono::TimeDelta;
use photo::domain::FileKey;
use photo::{State, reconcile};
use serde_json::json;
use testkit::Neighbours;

use crate::support::{TestService, new_user_id, picture, png};

/// Sets the modification time of a folder and its files.
fn touch(folder: &Path, at: chrono::DateTime<chrono::Utc>) {
    let at = SystemTime::from(at);
    for file in std::fs::read_dir(folder).unwrap() {
        std::fs::File::options()
            .append(true)
            .open(file.unwrap().path())
            .unwrap()
            .set_modified(at)
            .unwrap();
    }
    std::fs::File::open(folder).unwrap().set_modified(at).unwrap();
}

#[tokio::test]
async fn files_without_a_row_are_deleted_after_ten_minutes() {
    let site = TestService::new().await;
    let kept = site.folder_of(site.published(new_user_id(), 0).await).await;
    let waiting = site.folder_of(site.uploaded(new_user_id(), 1).await).await;
    let orphan = |name: &str, minutes: i64| {
        let folder = site.folder_of_key(FileKey::random());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), "x").unwrap();
        touch(&folder, site.clock.now() - TimeDelta::minutes(minutes));
        folder
    };
    let old = [
        orphan("320.jpg", 11),
        orphan("320.avif#1", 11),
        orphan("unknown", 11),
    ];
    let young = orphan("320.jpg", 9);
    touch(&kept, site.clock.now() - TimeDelta::days(1));
    touch(&waiting, site.clock.now() - TimeDelta::hours(1));

    let report = reconcile::run(&site.state).await.unwrap();
    assert_eq!((report.orphaned_folders, report.missing_files), (3, 0));
    assert!(old.iter().all(|folder| !folder.exists()));
    assert!(young.exists() && kept.exists() && waiting.exists());
}

#[tokio::test]
async fn no_files_are_deleted_if_the_database_is_empty() {
    let site = TestService::new().await;
    let folder = site.folder_of_key(FileKey::random());
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("320.jpg"), "x").unwrap();
    touch(&folder, site.clock.now() - TimeDelta::days(9));
    reconcile::run(&site.state).await.unwrap();
    assert!(folder.exists());
}

#[tokio::test]
async fn lost_files_are_restored_from_the_remaining_ones() {
    let site = TestService::new().await;
    let user = new_user_id();
    let (_, answer) = site.upload(user, "image/png", png(&picture(400, 300))).await;
    let id = answer["uploadId"].as_str().unwrap();
    site.publish(user, id, "Photo").await.data();
    let folder = site.folder_of(id).await;
    let names = || {
        let mut names: Vec<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let all = names();
    assert_eq!(all, ["320.avif", "320.jpg", "400.avif", "400.jpg", "master.jpg"]);

    // Without the master the largest JPEG is used.
    for lost in ["master.jpg", "320.jpg", "400.avif"] {
        std::fs::remove_file(folder.join(lost)).unwrap();
    }
    let report = reconcile::run(&site.state).await.unwrap();
    assert_eq!((report.missing_files, report.beyond_repair.len()), (3, 0));
    assert_eq!(names(), all);
    assert_eq!(
        reconcile::run(&site.state).await.unwrap(),
        reconcile::Repaired::default()
    );

    // Without both the photo cannot be restored, and is reported.
    std::fs::remove_file(folder.join("master.jpg")).unwrap();
    std::fs::remove_file(folder.join("400.jpg")).unwrap();
    let report = reconcile::run(&site.state).await.unwrap();
    assert_eq!(
        report.to_json(),
        json!({
            "repaired": {
                "orphanedFolders": 0, "missingFiles": 0, "expiredUploads": 0, "departedAuthors": 0, "returnedPhotos": 0,
            },
            "beyondRepair": [id],
        })
    );
    assert_eq!(site.count("photo").await, 1);
}

#[tokio::test]
async fn a_missed_account_deletion_is_found() {
    let site = TestService::new().await;
    let (leaver, stayer) = (new_user_id(), new_user_id());
    site.published(leaver, 0).await;
    site.published(stayer, 1).await;
    let neighbours = Neighbours::start().await;
    neighbours.truth().accounts.insert(stayer.0, site.clock.now());
    let with_accounts = State {
        accounts: Some(neighbours.client()),
        ..site.state.clone()
    };

    // Too young to distinguish a deleted account from a new one.
    let report = reconcile::run(&with_accounts).await.unwrap();
    assert_eq!((report.departed_authors, site.count("photo").await), (0, 2));
    site.clock.advance(TimeDelta::minutes(16));
    let report = reconcile::run(&with_accounts).await.unwrap();
    assert_eq!((report.departed_authors, site.count("photo").await), (1, 1));
    assert!(deleted_accounts::is_deleted(&site.db.pool, leaver).await.unwrap());
}

#[tokio::test]
async fn files_are_compared_if_authentication_is_down() {
    let site = TestService::new().await;
    let photo = site.published(new_user_id(), 0).await;
    std::fs::remove_file(site.folder_of(photo).await.join("24.jpg")).unwrap();
    site.clock.advance(TimeDelta::minutes(16));
    let alone = State {
        accounts: Some(testkit::absent_peer()),
        ..site.state.clone()
    };
    let report = reconcile::run(&alone).await.unwrap();
    assert_eq!((report.missing_files, site.count("photo").await), (1, 1));
}

#[tokio::test]
async fn a_photo_published_after_the_deletion_of_its_author_is_deleted() {
    let site = TestService::new().await;
    let user = new_user_id();
    let photo = site.published(user, 0).await;
    deleted_accounts::record(&site.db.pool, user, site.clock.now())
        .await
        .unwrap();
    deleted_accounts::mark_swept(&site.db.pool, user, site.clock.now())
        .await
        .unwrap();
    let folder = site.folder_of(photo).await;
    let report = reconcile::run(&site.state).await.unwrap();
    assert_eq!(report.returned_photos, 1);
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_killed_sweep_is_continued() {
    let site = TestService::new().await;
    let user = new_user_id();
    let photo = site.published(user, 0).await;
    let folder = site.folder_of(photo).await;
    site.delete(user, photo).await.data();
    // Killed after deleting some files.
    std::fs::remove_file(folder.join("24.jpg")).unwrap();
    site.sweep().await;
    assert!(!folder.exists());
    assert_eq!(site.count("garbage").await, 0);
}
