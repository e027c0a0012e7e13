use axum::http::StatusCode;
use chassis::ended_sessions::EndedSessions;
use chrono::TimeDelta;
use serde_json::{Value, json};
use subgraph::Base;
use testkit::{Client, Issuer};
use uuid::Uuid;

use crate::support::{List, TestService, announced, cast, new_user, photo, timeline_page};

#[tokio::test]
async fn a_repeated_event_has_no_effect() {
    let app = TestService::new().await;
    let published = photo(new_user(), app.clock.now(), "2026-11-22".parse().unwrap());
    let event = testkit::event(
        "photo.published",
        serde_json::to_value(announced(&published)).unwrap(),
        app.clock.now(),
    );
    for _ in 0..3 {
        assert_eq!(app.client.deliver(&event).await, StatusCode::NO_CONTENT);
    }
    // Another event with the same data, like those of reconciliation.
    app.deliver_published(&published).await;
    app.fold().await;
    assert_eq!(app.count("SELECT COUNT(*) FROM photo_score").await, 1);
    assert_eq!(
        timeline_page(&app.client, List::Hot, 24, None).await.ids,
        [published.photo_id.to_string()]
    );
}

#[tokio::test]
async fn the_token_of_an_ended_session_is_refused() {
    let app = TestService::new().await;
    let (photo, voter, session) = (app.publish(new_user()).await, new_user(), Uuid::new_v4());
    let ended = EndedSessions::default();
    let verifier = Issuer::verifier().refusing_sessions(ended.clone());
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
async fn unknown_kinds_are_acknowledged_and_invalid_data_is_not() {
    let app = TestService::new().await;
    app.deliver(
        "account.created",
        json!({ "accountId": new_user(), "createdAt": app.clock.now() }),
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
async fn a_deleted_photo_is_hidden_and_its_votes_are_swept() {
    let app = TestService::new().await;
    let (gone, stays) = (app.publish(new_user()).await, app.publish(new_user()).await);
    let voter = new_user();
    for photo in [gone, stays] {
        app.vote(voter, photo, "UP").await.data();
    }
    sqlx::query("INSERT INTO vote (photo_id, user_id, value, cast_at) SELECT ?, UNHEX(MD5(seq)), 1, UTC_TIMESTAMP(6) FROM seq_1_to_2500")
        .bind(gone)
        .execute(&mut app.admin().await)
        .await
        .unwrap();
    app.fold().await;
    timeline_page(&app.client, List::Hot, 24, None).await;
    app.delete(gone).await;
    assert_eq!(
        timeline_page(&app.client, List::Hot, 24, None).await.ids,
        [stays.to_string()]
    );
    assert_eq!(
        timeline_page(&app.client, List::Trending, 24, None).await.ids,
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
async fn votes_of_a_deleted_account_are_deleted() {
    let app = TestService::new().await;
    let (leaves, stays) = (new_user(), new_user());
    let photos = app.publish_many(new_user(), 3).await;
    for (photo, choice) in photos.iter().zip(["UP", "DOWN", "NONE"]) {
        app.vote(leaves, *photo, choice).await.data();
        app.vote(stays, *photo, "UP").await.data();
    }
    app.fold().await;
    // Another vote that is not folded.
    app.vote(leaves, photos[0], "DOWN").await.data();
    app.delete_account(leaves).await;
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
async fn all_votes_of_a_deleted_account_are_deleted_in_batches() {
    let app = TestService::new().await;
    let leaves = new_user();
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
    app.delete_account(leaves).await;
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

/// Runs every order of `steps`, each with a new photo and new users, and checks the result.
async fn in_every_order(steps: &[Step], left: &str) {
    let app = TestService::new().await;
    let mut photos = Vec::new();
    for order in permutations(steps) {
        let photo = photo(new_user(), app.clock.now(), "2026-11-22".parse().unwrap());
        // The photo service may be behind too, and always returns the photo.
        app.neighbours.publish(announced(&photo));
        let (voter, other) = (new_user(), new_user());
        let mut done = Vec::new();
        for step in &order {
            match step {
                Step::Published => app.deliver_published(&photo).await,
                Step::Deleted => app.delete(photo.photo_id).await,
                Step::VoterLeaves => app.delete_account(voter).await,
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
        let format_votes = if deleted {
            let votes: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM vote WHERE photo_id = ?")
                .bind(photo)
                .fetch_one(&mut app.admin().await)
                .await
                .unwrap();
            format!("{votes} votes")
        } else {
            app.tally(*other, *photo).await
        };
        assert_eq!(format_votes, left, "{order:?}");
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
async fn deleted_photos_and_their_votes_are_gone_in_every_order() {
    use Step::{Deleted, OtherVotes, Published, VoterLeaves, VoterVotes};
    in_every_order(
        &[Published, Deleted, VoterLeaves, VoterVotes, OtherVotes],
        "0 votes",
    )
    .await;
}

#[tokio::test]
async fn votes_of_other_accounts_are_kept_in_every_order() {
    use Step::{OtherVotes, Published, VoterLeaves, VoterVotes};
    in_every_order(&[Published, VoterLeaves, VoterVotes, OtherVotes], "1/0/1 UP").await;
}
