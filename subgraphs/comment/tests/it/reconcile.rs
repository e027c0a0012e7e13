//! The comparison with the other services.

use chrono::TimeDelta;
use comment::State;
use comment::reconcile::{Repaired, run};

use crate::service;

#[tokio::test]
async fn lost_events_are_repaired_and_young_rows_are_skipped() {
    let service = service().await;
    let (ada, bob) = (service.new_user(), service.new_user());
    let kept = service.photo(bob).await;
    let (lost, by_departed) = (service.photo(bob).await, service.photo(ada).await);
    for _ in 0..3 {
        service.unknown_photo(bob);
    }
    service.add(bob, lost, "goes with the photo").await;
    service.add(ada, kept, "goes with its author").await;
    service.add(bob, kept, "stays").await;
    // Changes in other services whose events were lost.
    {
        let mut truth = service.neighbours.truth();
        truth
            .photos
            .retain(|photo, _| *photo != lost.0 && *photo != by_departed.0);
        truth.gone_accounts.insert(ada.0);
    }
    let pool = &service.state.pool;
    let other_issuer = State {
        accounts: None,
        ..service.state.clone()
    };
    let repaired = run(&service.state).await.unwrap();
    assert_eq!(
        repaired,
        Repaired {
            photos: 3,
            deleted_photos: 0,
            deleted_accounts: 0
        }
    );

    service.clock.advance(TimeDelta::minutes(16));
    let repaired = run(&service.state).await.unwrap();
    assert_eq!(
        repaired,
        Repaired {
            photos: 0,
            deleted_photos: 2,
            deleted_accounts: 1
        }
    );
    assert_eq!(
        service.texts(kept).await,
        (vec![("stays".to_owned(), vec![])], 1, 1)
    );
    assert_eq!(service.texts(lost).await, (vec![], 0, 0));

    // Rows deleted by hand are restored; comments on a photo that does not exist are deleted.
    sqlx::query("DELETE FROM known_photo")
        .execute(pool)
        .await
        .unwrap();
    let repaired = run(&other_issuer).await.unwrap();
    assert_eq!(
        repaired,
        Repaired {
            photos: 4,
            deleted_photos: 0,
            deleted_accounts: 0
        }
    );
    service
        .neighbours
        .truth()
        .photos
        .retain(|photo, _| *photo != kept.0);
    sqlx::query("DELETE FROM known_photo")
        .execute(pool)
        .await
        .unwrap();
    service.clock.advance(TimeDelta::minutes(16));
    let repaired = run(&other_issuer).await.unwrap();
    assert_eq!(
        repaired,
        Repaired {
            photos: 3,
            deleted_photos: 1,
            deleted_accounts: 0
        }
    );
    assert_eq!(service.texts(kept).await, (vec![], 0, 0));
}
