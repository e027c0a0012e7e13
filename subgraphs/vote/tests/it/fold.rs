use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use vote::recount::Recount;

use crate::support::{TestService, cast, shown, someone};

/// Every tally that is stored, and every one that is shown, is the sum of the ledger.
async fn assert_agrees(app: &TestService) {
    let wrong = app
        .count(
            "SELECT COUNT(*) FROM photo_score p
             WHERE p.up <> (SELECT COALESCE(SUM(value = 1), 0) FROM vote v WHERE v.photo_id = p.photo_id)
                OR p.down <> (SELECT COALESCE(SUM(value = -1), 0) FROM vote v WHERE v.photo_id = p.photo_id)",
        )
        .await;
    assert_eq!(
        wrong, 0,
        "photos whose folded tally is not the sum of their votes"
    );
    assert_eq!(app.count("SELECT COUNT(*) FROM vote_delta").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_fold_agrees_with_the_ledger_under_concurrent_voters() {
    const VOTERS: u64 = 8;
    const VOTES: usize = 40;
    let app = TestService::new().await;
    let photos = app.publish_many(someone(), 3).await;
    let voting = Arc::new(AtomicBool::new(true));

    // Two workers at once, as when a lease is believed for too long, and a recount that must find nothing.
    let (other, _) = app.replica(4);
    let workers: Vec<_> = [app.state.clone(), other]
        .into_iter()
        .map(|service| {
            let voting = Arc::clone(&voting);
            tokio::spawn(async move {
                while voting.load(Ordering::Relaxed) {
                    vote::fold::run(&service.pool).await.unwrap();
                    assert_eq!(
                        vote::recount::run(&service.pool, &service.clock)
                            .await
                            .unwrap()
                            .differed,
                        0
                    );
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
        })
        .collect();

    let voters = (0..VOTERS).map(|seed| {
        let (client, photos) = (app.client.clone(), photos.clone());
        tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(seed);
            // A few people per task, and tasks share none: each knows what its people's votes must be.
            let people: Vec<_> = (0..4).map(|_| someone()).collect();
            let mut expected = HashMap::new();
            for _ in 0..VOTES {
                let person = people[random.random_range(0..people.len())];
                let photo = photos[random.random_range(0..photos.len())];
                let choice = ["UP", "DOWN", "NONE"][random.random_range(0..3)];
                let answer = cast(&client.of(person), photo, choice).await;
                let shown = shown(&answer.data()["castVote"]);
                let own = shown.split(' ').nth(1).unwrap().to_owned();
                assert_eq!(own, if choice == "NONE" { "-" } else { choice });
                expected.insert((person, photo), choice);
            }
            expected
        })
    });
    let mut expected = HashMap::new();
    for voter in join_all(voters).await {
        expected.extend(voter.unwrap());
    }
    voting.store(false, Ordering::Relaxed);
    for worker in workers {
        worker.await.unwrap();
    }

    for photo in photos {
        let of = |wanted: &str| {
            expected
                .iter()
                .filter(|((_, on), choice)| *on == photo && **choice == wanted)
                .count()
        };
        let (up, down) = (of("UP"), of("DOWN"));
        let score = i64::try_from(up).unwrap() - i64::try_from(down).unwrap();
        assert_eq!(
            app.tally(someone(), photo).await,
            format!("{up}/{down}/{score} -")
        );
    }
    app.fold().await;
    assert_agrees(&app).await;
}

#[tokio::test]
async fn two_workers_never_fold_a_delta_twice() {
    let app = TestService::new().await;
    let photo = app.publish(someone()).await;
    for _ in 0..40 {
        app.vote(someone(), photo, "UP").await.data();
    }
    let (other, _) = app.replica(4);
    let (one, two) = tokio::join!(vote::fold::run(&app.state.pool), vote::fold::run(&other.pool));
    // Forty votes, and the delta of nothing by which the photo announced itself.
    assert_eq!(one.unwrap() + two.unwrap(), 41);
    assert_eq!(app.tally(someone(), photo).await, "40/0/40 -");
    assert_agrees(&app).await;
}

#[tokio::test]
async fn more_deltas_than_one_batch_are_folded_in_one_run() {
    let app = TestService::new().await;
    let photo = app.publish(someone()).await;
    app.sql(
        "INSERT INTO vote_delta (id, photo_id, up, down)
         SELECT UNHEX(MD5(seq)), (SELECT photo_id FROM photo_score), 1, 0 FROM seq_1_to_1200",
    )
    .await;
    assert_eq!(vote::fold::run(&app.state.pool).await.unwrap(), 1201);
    assert_eq!(app.tally(someone(), photo).await, "1200/0/1200 -");
}

#[tokio::test]
async fn a_recount_repairs_what_does_not_agree() {
    let app = TestService::new().await;
    let photos = app.publish_many(someone(), 4).await;
    let voter = someone();
    for photo in &photos {
        app.vote(voter, *photo, "UP").await.data();
    }
    let recount = async || {
        vote::recount::run(&app.state.pool, &app.state.clock)
            .await
            .unwrap()
    };
    assert_eq!(
        recount().await,
        Recount {
            photos: 4,
            differed: 0
        }
    );

    app.vote(someone(), photos[0], "DOWN").await.data();
    app.sql("UPDATE photo_score SET up = 98, down = 7 ORDER BY published_at LIMIT 2")
        .await;
    app.sql("DELETE FROM vote_delta").await;
    assert_eq!(
        recount().await,
        Recount {
            photos: 4,
            differed: 2
        }
    );
    assert_eq!(
        recount().await,
        Recount {
            photos: 4,
            differed: 0
        }
    );
    assert_eq!(app.tally(voter, photos[0]).await, "1/1/0 UP");
    assert_eq!(app.tally(voter, photos[1]).await, "1/0/1 UP");
    assert_agrees(&app).await;
}

#[tokio::test]
async fn recounts_at_once_repair_once() {
    let app = TestService::new().await;
    let photo = app.publish(someone()).await;
    app.vote(someone(), photo, "UP").await.data();
    app.fold().await;
    let services = [app.replica(1).0, app.replica(1).0, app.replica(1).0];
    for round in 0..12 {
        app.sql("UPDATE photo_score SET up = 50").await;
        let recounts = services
            .iter()
            .map(|service| vote::recount::run(&service.pool, &service.clock));
        let repaired: u64 = join_all(recounts)
            .await
            .into_iter()
            .map(|recount| recount.unwrap().differed)
            .sum();
        assert_eq!(repaired, 1, "in round {round}");
        // A recount that finds the fold at work leaves its own deltas to it.
        app.fold().await;
        assert_agrees(&app).await;
    }
}
