use chrono::TimeDelta;
use vote::reconcile::Repaired;

use crate::support::{List, TestService, announced, new_user, photo, strings, walk};

async fn reconcile(app: &TestService) -> Repaired {
    vote::reconcile::run(&app.state).await.unwrap()
}

#[tokio::test]
async fn missed_photos_are_listed() {
    let app = TestService::new().await;
    let mut all = Vec::new();
    for _ in 0..7 {
        let photo = photo(new_user(), app.clock.now(), "2026-11-22".parse().unwrap());
        app.neighbours.publish(announced(&photo));
        all.push(photo);
        app.clock.advance(TimeDelta::milliseconds(1));
    }
    for heard in &all[2..4] {
        app.deliver_published(heard).await;
    }
    assert_eq!(
        reconcile(&app).await,
        Repaired {
            published: 5,
            ..Repaired::default()
        }
    );
    assert_eq!(reconcile(&app).await, Repaired::default());
    app.fold().await;
    assert_eq!(
        walk(&app.client, List::Hot, 3).await,
        strings(all.iter().rev().map(|photo| photo.photo_id))
    );
}

#[tokio::test]
async fn missed_deletions_of_photos_are_applied() {
    let app = TestService::new().await;
    let make = async || {
        let photo = photo(new_user(), app.clock.now(), "2026-11-22".parse().unwrap());
        app.deliver_published(&photo).await;
        photo
    };
    let (old_unknown, old_deleted, old_there) = (make().await, make().await, make().await);
    app.clock.advance(TimeDelta::minutes(20));
    let (young_unknown, young_deleted) = (make().await, make().await);
    app.neighbours.publish(announced(&old_there));
    for deleted in [&old_deleted, &young_deleted] {
        app.neighbours.truth().photos.insert(deleted.photo_id.0, None);
    }
    let voter = new_user();
    app.vote(voter, young_deleted.photo_id, "UP").await.data();
    assert_eq!(
        reconcile(&app).await,
        Repaired {
            deleted: 3,
            ..Repaired::default()
        }
    );
    app.fold().await;
    let mut left = walk(&app.client, List::Hot, 24).await;
    left.sort();
    let mut expected = strings([old_there.photo_id, young_unknown.photo_id]);
    expected.sort();
    assert_eq!(
        left, expected,
        "young unknown photos may be about to be published"
    );
    assert_eq!(app.count("SELECT COUNT(*) FROM vote").await, 0);

    app.clock.advance(TimeDelta::minutes(16));
    assert_eq!(
        reconcile(&app).await,
        Repaired {
            deleted: 1,
            ..Repaired::default()
        }
    );
    assert_eq!(
        app.vote(voter, old_unknown.photo_id, "UP").await.error(),
        "NOT_FOUND"
    );
}

#[tokio::test]
async fn missed_deletions_of_accounts_are_applied() {
    let app = TestService::new().await;
    let photo = photo(new_user(), app.clock.now(), "2026-11-22".parse().unwrap());
    app.neighbours.publish(announced(&photo));
    app.deliver_published(&photo).await;
    let (deleted_user, remaining_user) = (new_user(), new_user());
    for voter in [deleted_user, remaining_user] {
        app.vote(voter, photo.photo_id, "UP").await.data();
    }
    app.neighbours.truth().gone_accounts.insert(deleted_user.0);
    assert_eq!(
        reconcile(&app).await,
        Repaired {
            deleted_accounts: 1,
            ..Repaired::default()
        }
    );
    assert_eq!(app.tally(remaining_user, photo.photo_id).await, "1/0/1 UP");
    assert_eq!(
        app.vote(deleted_user, photo.photo_id, "UP").await.error(),
        "UNAUTHENTICATED"
    );
    assert_eq!(reconcile(&app).await, Repaired::default());
}

#[tokio::test]
async fn manually_deleted_rows_are_restored() {
    let app = TestService::new().await;
    let photo = photo(new_user(), app.clock.now(), "2026-11-22".parse().unwrap());
    app.neighbours.publish(announced(&photo));
    app.deliver_published(&photo).await;
    let voter = new_user();
    app.vote(voter, photo.photo_id, "UP").await.data();
    app.fold().await;
    app.sql("DELETE FROM photo_score").await;
    assert_eq!(
        reconcile(&app).await,
        Repaired {
            published: 1,
            tallies: 1,
            ..Repaired::default()
        }
    );
    assert_eq!(app.tally(voter, photo.photo_id).await, "1/0/1 UP");
    assert_eq!(
        walk(&app.client, List::Trending, 24).await,
        strings([photo.photo_id])
    );
}

#[tokio::test]
async fn reconciliation_fails_without_changes_if_other_services_are_down() {
    let app = TestService::new().await;
    let photo = app.publish(new_user()).await;
    let alone = vote::State {
        photos: testkit::absent_peer(),
        accounts: None,
        ..app.state.clone()
    };
    assert!(vote::reconcile::run(&alone).await.is_err());
    app.fold().await;
    assert_eq!(walk(&app.client, List::Hot, 24).await, strings([photo]));
}
