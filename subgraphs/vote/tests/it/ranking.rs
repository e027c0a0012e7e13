use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sqlx::{MySql, QueryBuilder, Row as _};

use crate::support::{List, TestService, new_user, strings, timeline_page, walk};

/// The lower bound of the Wilson interval as in textbooks, unlike the schema.
fn wilson(up: u32, down: u32) -> f64 {
    let n = f64::from(up) + f64::from(down);
    if n == 0.0 {
        return 0.0;
    }
    let (share, z) = (f64::from(up) / n, 1.28);
    let centre = share + z * z / (2.0 * n);
    let margin = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    (centre - margin) / (1.0 + z * z / n)
}

#[tokio::test]
async fn the_score_decides_then_wilson_then_the_newer_photo() {
    let app = TestService::new().await;
    let photos = app.publish_many(new_user(), 6).await;
    // Numbers of up and down votes. For equal scores the photo with the higher bound comes first.
    for (photo, (up, down)) in photos
        .iter()
        .zip([(0, 0), (2, 2), (1, 0), (2, 1), (0, 0), (0, 1)])
    {
        for _ in 0..up {
            app.vote(new_user(), *photo, "UP").await.data();
        }
        for _ in 0..down {
            app.vote(new_user(), *photo, "DOWN").await.data();
        }
    }
    app.fold().await;
    // The bound of 1/0 is 0.38, that of 2/1 is 0.33; 2/2 comes before the photos without votes, of which the newer one
    // is first.
    let expected = strings([2, 3, 1, 4, 0, 5].map(|at| photos[at]));
    assert_eq!(walk(&app.client, List::Hot, 24).await, expected);
    assert_eq!(walk(&app.client, List::Trending, 2).await, expected);
}

#[tokio::test]
async fn a_vote_changes_the_order_after_the_next_fold() {
    let app = TestService::new().await;
    let photos = app.publish_many(new_user(), 3).await;
    app.fold().await;
    app.vote(new_user(), photos[0], "UP").await.data();
    assert_eq!(
        timeline_page(&app.client, List::Hot, 1, None).await.ids,
        strings([photos[2]])
    );
    app.fold().await;
    assert_eq!(
        timeline_page(&app.client, List::Hot, 1, None).await.ids,
        strings([photos[0]])
    );
}

#[test]
fn the_order_is_by_score_and_wilson() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let app = runtime.block_on(TestService::new());
    let few = 0_u32..30;
    let any = 0_u32..2_000_000;
    let votes = prop_oneof![(few.clone(), few), (any.clone(), any)];
    let mut runner = TestRunner::new(Config {
        cases: 24,
        ..Config::default()
    });
    let result = runner.run(&prop::collection::vec(votes, 1..80), |tallies| {
        let rows = runtime.block_on(async {
            app.sql("DELETE FROM photo_score").await;
            let mut insert = QueryBuilder::<MySql>::new(
                "INSERT INTO photo_score (photo_id, author_id, published_at, hot_day, up, down) ",
            );
            insert.push_values(&tallies, |mut row, (up, down)| {
                row.push("UNHEX(REPLACE(UUID(), '-', ''))")
                    .push_bind(new_user())
                    .push("UTC_TIMESTAMP(6)")
                    .push("'2026-11-22'");
                row.push_bind(*up).push_bind(*down);
            });
            insert.build().execute(&mut app.admin().await).await.unwrap();
            let query = "SELECT up, down, score, wilson FROM photo_score WHERE listed = 1
                         ORDER BY score DESC, wilson DESC, published_at DESC, photo_id DESC";
            sqlx::query(query)
                .fetch_all(&mut app.admin().await)
                .await
                .unwrap()
        });
        prop_assert_eq!(rows.len(), tallies.len());
        let mut before = (i32::MAX, f64::MAX);
        for row in rows {
            let (up, down): (i32, i32) = (row.get(0), row.get(1));
            let bound = wilson(up.cast_unsigned(), down.cast_unsigned());
            #[expect(clippy::cast_precision_loss, reason = "the stored bound is below 2^53")]
            let stored = row.get::<i64, _>(3) as f64 / 1e12;
            prop_assert!((0.0..=1.0).contains(&stored));
            prop_assert!(
                (stored - bound).abs() < 1e-9,
                "{up}/{down}: {stored} is not {bound}"
            );
            let rank = (row.get::<i32, _>(2), stored);
            prop_assert_eq!(rank.0, up - down);
            prop_assert!(rank <= before, "{:?} comes after {:?}", rank, before);
            before = rank;
        }
        Ok(())
    });
    runtime.block_on(async move { drop(app) });
    result.unwrap();
}
