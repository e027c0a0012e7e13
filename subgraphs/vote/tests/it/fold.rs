use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use vote::recount::Recount;

use crate::support::{TestService, cast, format_votes, new_user};

/// Checks that all stored and returned tallies are the sum of the votes.
async fn assert_tallies_are_correct(app: &TestService) {
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
async fn the_fold_is_correct_with_concurrent_voters() {
    const VOTERS: u64 = 8;
    const VOTES: usize = 40;
    let app = TestService::new().await;
    let photos = app.publish_many(new_user(), 3).await;
    let voting = Arc::new(AtomicBool::new(true));

    // Two concurrent workers, as with an expired lease, and a recount that must find no differences.
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
            // The users of a task are not shared, so that each task knows their votes.
            let people: Vec<_> = (0..4).map(|_| new_user()).collect();
            let mut expected = HashMap::new();
            for _ in 0..VOTES {
                let person = people[random.random_range(0..people.len())];
                let photo = photos[random.random_range(0..photos.len())];
                let choice = ["UP", "DOWN", "NONE"][random.random_range(0..3)];
                let answer = cast(&client.of(person), photo, choice).await;
                let format_votes = format_votes(&answer.data()["castVote"]);
                let own = format_votes.split(' ').nth(1).unwrap().to_owned();
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
            app.tally(new_user(), photo).await,
            format!("{up}/{down}/{score} -")
        );
    }
    app.fold().await;
    assert_tallies_are_correct(&app).await;
}

#[tokio::test]
async fn two_workers_do_not_fold_a_delta_twice() {
    let app = TestService::new().await;
    let photo = app.publish(new_user()).await;
    for _ in 0..40 {
        app.vote(new_user(), photo, "UP").await.data();
    }
    let (other, _) = app.replica(4);
    let (one, two) = tokio::join!(vote::fold::run(&app.state.pool), vote::fold::run(&other.pool));
    // Forty votes, and the empty delta of the new photo.
    assert_eq!(one.unwrap() + two.unwrap(), 41);
    assert_eq!(app.tally(new_user(), photo).await, "40/0/40 -");
    assert_tallies_are_correct(&app).await;
}

#[tokio::test]
async fn more_deltas_than_one_batch_are_folded_in_one_run() {
    let app = TestService::new().await;
    let photo = app.publish(new_user()).await;
    app.sql(
        "INSERT INTO vote_delta (id, photo_id, up, down)
         SELECT UNHEX(MD5(seq)), (SELECT photo_id FROM photo_score), 1, 0 FROM seq_1_to_1200",
    )
    .await;
    assert_eq!(vote::fold::run(&app.state.pool).await.unwrap(), 1201);
    assert_eq!(app.tally(new_user(), photo).await, "1200/0/1200 -");
}

#[tokio::test]
async fn a_recount_corrects_wrong_tallies() {
    let app = TestService::new().await;
    let photos = app.publish_many(new_user(), 4).await;
    let voter = new_user();
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

    app.vote(new_user(), photos[0], "DOWN").await.data();
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
    assert_tallies_are_correct(&app).await;
}

#[tokio::test]
async fn concurrent_recounts_correct_once() {
    let app = TestService::new().await;
    let photo = app.publish(new_user()).await;
    app.vote(new_user(), photo, "UP").await.data();
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
        // A recount leaves deltas to a concurrent fold.
        app.fold().await;
        assert_tallies_are_correct(&app).await;
    }
}
