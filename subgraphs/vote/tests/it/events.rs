use axum::http::StatusCode;
use chassis::ended_sessions::EndedSessions;
use chrono::TimeDelta;
use serde_json::{Value, json};
use subgraph::Base;
use testkit::{Client, Issuer};
use uuid::Uuid;

use crate::support::{List, TestService, announced, cast, leaf, photo, someone};

#[tokio::test]
async fn a_repeated_event_does_nothing() {
    let app = TestService::new().await;
    let published = photo(someone(), app.clock.now(), "2026-11-22".parse().unwrap());
    let event = testkit::event(
        "photo.published",
        serde_json::to_value(announced(&published)).unwrap(),
        app.clock.now(),
    );
    for _ in 0..3 {
        assert_eq!(app.client.deliver(&event).await, StatusCode::NO_CONTENT);
    }
    // Another event that says the same, as the reconciler's is.
    app.deliver_published(&published).await;
    app.fold().await;
    assert_eq!(app.count("SELECT COUNT(*) FROM photo_score").await, 1);
    assert_eq!(
        leaf(&app.client, List::Hot, 24, None).await.ids,
        [published.photo_id.to_string()]
    );
}

#[tokio::test]
async fn the_token_of_an_ended_session_casts_and_shows_no_vote() {
    let app = TestService::new().await;
    let (photo, voter, session) = (app.publish(someone()).await, someone(), Uuid::new_v4());
    let ended = EndedSessions::default();
    let verifier = Issuer::verifier().without_sessions(ended.clone());
    ended.reload(&app.state.pool).await.unwrap();
    let base = Base {
        verifier,
        ..testkit::base(&app.state.pool, &app.clock)
    };
    let routes = vote::service(&app.state, &base).into_routes();
    let client = Client::new(routes).with_token(Issuer::session_token(voter, session));
    let viewer_vote = async || {
        let answer = client.entities("Photo", &[photo], "viewerVote").await;
        answer.data()["_entities"][0]["viewerVote"].clone()
    };
    cast(&client, photo, "UP").await.data();
    assert_eq!(viewer_vote().await, "UP");

    app.deliver("session.ended", json!({ "sessionIds": [session] }))
        .await;
    assert_eq!(cast(&client, photo, "DOWN").await.error(), "UNAUTHENTICATED");
    ended.reload(&app.state.pool).await.unwrap();
    assert_eq!(cast(&client, photo, "DOWN").await.error(), "UNAUTHENTICATED");
    assert_eq!(viewer_vote().await, Value::Null);
    assert_eq!(app.tally(voter, photo).await, "1/0/1 UP");
}

#[tokio::test]
async fn what_means_nothing_here_is_acknowledged_and_nonsense_is_not() {
    let app = TestService::new().await;
    app.deliver(
        "account.created",
        json!({ "accountId": someone(), "createdAt": app.clock.now() }),
    )
    .await;
    app.deliver("comment.added", json!({})).await;
    for (kind, data) in [
        ("photo.published", json!({})),
        ("photo.deleted", json!({ "photoId": "x" })),
        ("account.deleted", Value::Null),
    ] {
        let status = app
            .client
            .deliver(&testkit::event(kind, data, app.clock.now()))
            .await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{kind}");
    }
    let without_secret = app.client.post("/events", "application/json", "{}").await;
    assert_eq!(without_secret.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_deletion_hides_at_once_and_sweeps_the_votes() {
    let app = TestService::new().await;
    let (gone, stays) = (app.publish(someone()).await, app.publish(someone()).await);
    let voter = someone();
    for photo in [gone, stays] {
        app.vote(voter, photo, "UP").await.data();
    }
    sqlx::query("INSERT INTO vote (photo_id, user_id, value, cast_at) SELECT ?, UNHEX(MD5(seq)), 1, UTC_TIMESTAMP(6) FROM seq_1_to_2500")
        .bind(gone)
        .execute(&mut app.admin().await)
        .await
        .unwrap();
    app.fold().await;
    leaf(&app.client, List::Hot, 24, None).await;
    app.delete(gone).await;
    assert_eq!(
        leaf(&app.client, List::Hot, 24, None).await.ids,
        [stays.to_string()]
    );
    assert_eq!(
        leaf(&app.client, List::Trending, 24, None).await.ids,
        [stays.to_string()]
    );
    app.sweep().await;
    assert_eq!(app.count("SELECT COUNT(*) FROM vote").await, 1);
    assert_eq!(
        app.count("SELECT COUNT(*) FROM photo_sweep").await,
        1,
        "a vote in flight may still arrive"
    );
    app.clock.advance(TimeDelta::seconds(61));
    app.sweep().await;
    assert_eq!(app.count("SELECT COUNT(*) FROM photo_sweep").await, 0);
    assert_eq!(app.tally(voter, stays).await, "1/0/1 UP");
}

#[tokio::test]
async fn an_account_takes_its_votes_along() {
    let app = TestService::new().await;
    let (leaves, stays) = (someone(), someone());
    let photos = app.publish_many(someone(), 3).await;
    for (photo, choice) in photos.iter().zip(["UP", "DOWN", "NONE"]) {
        app.vote(leaves, *photo, choice).await.data();
        app.vote(stays, *photo, "UP").await.data();
    }
    app.fold().await;
    // One more that the fold has not seen.
    app.vote(leaves, photos[0], "DOWN").await.data();
    app.depart(leaves).await;
    app.sweep().await;
    for photo in &photos {
        assert_eq!(app.tally(stays, *photo).await, "1/0/1 UP");
    }
    app.fold().await;
    for photo in &photos {
        assert_eq!(app.tally(stays, *photo).await, "1/0/1 UP");
    }
    assert_eq!(
        vote::recount::run(&app.state.pool, &app.state.clock)
            .await
            .unwrap()
            .differed,
        0
    );
    assert_eq!(
        app.count("SELECT COUNT(*) FROM departed_account WHERE swept_at IS NULL")
            .await,
        1
    );
    app.clock.advance(TimeDelta::seconds(61));
    app.sweep().await;
    assert_eq!(
        app.count("SELECT COUNT(*) FROM departed_account WHERE swept_at IS NULL")
            .await,
        0
    );
}

#[tokio::test]
async fn an_account_with_more_votes_than_a_batch_loses_them_all() {
    let app = TestService::new().await;
    let leaves = someone();
    app.sql(
        "INSERT INTO photo_score (photo_id, author_id, published_at, hot_day, up)
         SELECT UNHEX(MD5(seq)), UNHEX(MD5(0)), '2026-11-22', '2026-11-22', 1 FROM seq_1_to_1300",
    )
    .await;
    sqlx::query("INSERT INTO vote (photo_id, user_id, value, cast_at) SELECT photo_id, ?, 1, UTC_TIMESTAMP(6) FROM photo_score")
        .bind(leaves)
        .execute(&mut app.admin().await)
        .await
        .unwrap();
    app.depart(leaves).await;
    app.sweep().await;
    app.fold().await;
    assert_eq!(app.count("SELECT COUNT(*) FROM vote").await, 0);
    assert_eq!(
        app.count("SELECT COUNT(*) FROM photo_score WHERE score <> 0")
            .await,
        0
    );
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Published,
    Deleted,
    VoterLeaves,
    VoterVotes,
    OtherVotes,
}

fn permutations(steps: &[Step]) -> Vec<Vec<Step>> {
    if steps.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let mut rest = steps.to_vec();
        rest.remove(at);
        all.extend(permutations(&rest).into_iter().map(|mut order| {
            order.insert(0, *step);
            order
        }));
    }
    all
}

/// Runs every order of `steps`, each with a photo and people of its own, and checks what is left in the end.
async fn in_every_order(steps: &[Step], left: &str) {
    let app = TestService::new().await;
    let mut photos = Vec::new();
    for order in permutations(steps) {
        let photo = photo(someone(), app.clock.now(), "2026-11-22".parse().unwrap());
        // The photo service may be behind as well: it always says that the photo is there.
        app.neighbours.publish(announced(&photo));
        let (voter, other) = (someone(), someone());
        let mut done = Vec::new();
        for step in &order {
            match step {
                Step::Published => app.deliver_published(&photo).await,
                Step::Deleted => app.delete(photo.photo_id).await,
                Step::VoterLeaves => app.depart(voter).await,
                Step::VoterVotes | Step::OtherVotes => {
                    let departed = *step == Step::VoterVotes && done.contains(&Step::VoterLeaves);
                    let user = if *step == Step::VoterVotes { voter } else { other };
                    let answer = app.vote(user, photo.photo_id, "UP").await;
                    if departed {
                        assert_eq!(answer.error(), "UNAUTHENTICATED", "{order:?}");
                    } else if done.contains(&Step::Deleted) {
                        assert_eq!(answer.error(), "NOT_FOUND", "{order:?}");
                    } else {
                        answer.data();
                    }
                }
            }
            done.push(*step);
        }
        photos.push((order, photo.photo_id, other));
    }
    app.sweep().await;
    app.clock.advance(TimeDelta::seconds(61));
    app.sweep().await;
    app.fold().await;
    assert_eq!(
        vote::recount::run(&app.state.pool, &app.state.clock)
            .await
            .unwrap()
            .differed,
        0
    );
    let deleted = steps.contains(&Step::Deleted);
    for (order, photo, other) in &photos {
        let shown = if deleted {
            let votes: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM vote WHERE photo_id = ?")
                .bind(photo)
                .fetch_one(&mut app.admin().await)
                .await
                .unwrap();
            format!("{votes} votes")
        } else {
            app.tally(*other, *photo).await
        };
        assert_eq!(shown, left, "{order:?}");
    }
    let listed = app
        .count("SELECT COUNT(*) FROM photo_score WHERE listed = 1")
        .await;
    assert_eq!(
        listed,
        if deleted {
            0
        } else {
            i64::try_from(photos.len()).unwrap()
        }
    );
}

#[tokio::test]
async fn in_every_order_a_deleted_photo_and_its_votes_are_gone() {
    use Step::{Deleted, OtherVotes, Published, VoterLeaves, VoterVotes};
    in_every_order(
        &[Published, Deleted, VoterLeaves, VoterVotes, OtherVotes],
        "0 votes",
    )
    .await;
}

#[tokio::test]
async fn in_every_order_the_votes_of_who_stays_are_left() {
    use Step::{OtherVotes, Published, VoterLeaves, VoterVotes};
    in_every_order(&[Published, VoterLeaves, VoterVotes, OtherVotes], "1/0/1 UP").await;
}
