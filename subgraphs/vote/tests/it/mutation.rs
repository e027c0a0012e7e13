use futures::future::join_all;
use serde_json::json;

use crate::support::{TestService, announced, cast, format_votes, new_user, photo};

#[tokio::test]
async fn a_vote_is_absolute_and_counted_immediately() {
    let app = TestService::new().await;
    let (author, voter, other) = (new_user(), new_user(), new_user());
    let photo = app.publish(author).await;
    let mut said = Vec::new();
    for choice in ["UP", "UP", "DOWN", "DOWN", "NONE", "NONE", "DOWN", "UP"] {
        said.push(format_votes(
            &app.vote(voter, photo, choice).await.data()["castVote"],
        ));
        // The fold has no visible effect on tallies.
        if said.len() % 3 == 0 {
            app.fold().await;
        }
        assert_eq!(&app.tally(voter, photo).await, said.last().unwrap());
    }
    insta::assert_debug_snapshot!(said, @r#"
    [
        "1/0/1 UP",
        "1/0/1 UP",
        "0/1/-1 DOWN",
        "0/1/-1 DOWN",
        "0/0/0 -",
        "0/0/0 -",
        "0/1/-1 DOWN",
        "1/0/1 UP",
    ]
    "#);
    app.vote(other, photo, "UP").await.data();
    assert_eq!(app.tally(other, photo).await, "2/0/2 UP");
    assert_eq!(app.tally(author, photo).await, "2/0/2 -");
}

#[tokio::test]
async fn removing_a_vote_that_was_not_cast_changes_nothing() {
    let app = TestService::new().await;
    let photo = app.publish(new_user()).await;
    assert_eq!(
        format_votes(&app.vote(new_user(), photo, "NONE").await.data()["castVote"]),
        "0/0/0 -"
    );
    assert_eq!(app.count("SELECT COUNT(*) FROM vote WHERE value <> 0").await, 0);
    // Only the empty delta of the photo.
    let before = app.count("SELECT COUNT(*) FROM vote_delta").await;
    app.vote(new_user(), photo, "NONE").await.data();
    assert_eq!(app.count("SELECT COUNT(*) FROM vote_delta").await, before);
    // A repeated vote is written once.
    let voter = new_user();
    app.vote(voter, photo, "UP").await.data();
    app.vote(voter, photo, "NONE").await.data();
    let taken_back = app.count("SELECT COUNT(*) FROM vote_delta").await;
    assert!(taken_back > before);
    app.vote(voter, photo, "NONE").await.data();
    assert_eq!(app.count("SELECT COUNT(*) FROM vote_delta").await, taken_back);
}

#[tokio::test]
async fn anonymous_users_are_refused_before_other_checks() {
    let app = TestService::new().await;
    let id = app.publish(new_user()).await;
    let mutation = "mutation ($id: ID!) { castVote(photoId: $id, vote: UP) { id } }";
    for client in [
        app.client.clone(),
        app.client.with_token("forged.token.here".to_owned()),
    ] {
        assert_eq!(
            client.graphql(mutation, json!({ "id": id })).await.error(),
            "UNAUTHENTICATED"
        );
        assert_eq!(
            client
                .graphql(mutation, json!({ "id": "malformed" }))
                .await
                .error(),
            "UNAUTHENTICATED"
        );
    }
}

#[tokio::test]
async fn malformed_ids_and_choices_are_refused() {
    let app = TestService::new().await;
    let client = app.client.of(new_user());
    let mutation = "mutation ($id: ID!) { castVote(photoId: $id, vote: UP) { id } }";
    let long = "0".repeat(100_000);
    for id in [
        "",
        "1",
        "🙂",
        "\u{202e}אבג",
        "\0\u{7}",
        "0199a3c8-7a10-7cc3-98c4-dc0c0c07398",
        "{0199a3c8-7a10-7cc3-98c4-dc0c0c073}",
        "' OR 1=1 -- ",
        &long,
    ] {
        assert_eq!(
            client.graphql(mutation, json!({ "id": id })).await.error(),
            "INVALID_INPUT photoId",
            "{id:.40}"
        );
    }
    let photo = app.publish(new_user()).await;
    for choice in ["SIDEWAYS", "up", ""] {
        assert_eq!(
            cast(&client, photo, choice).await.error(),
            "INVALID_INPUT",
            "{choice}"
        );
    }
    assert_eq!(app.count("SELECT COUNT(*) FROM vote").await, 0);
}

#[tokio::test]
async fn users_cannot_vote_on_their_own_photo() {
    let app = TestService::new().await;
    let author = new_user();
    let photo = app.publish(author).await;
    for choice in ["UP", "DOWN", "NONE"] {
        assert_eq!(app.vote(author, photo, choice).await.error(), "FORBIDDEN");
    }
    assert_eq!(app.tally(author, photo).await, "0/0/0 -");
}

#[tokio::test]
async fn missing_and_deleted_photos_are_not_found() {
    let app = TestService::new().await;
    let (author, voter) = (new_user(), new_user());
    let never = photo(author, app.clock.now(), "2026-11-22".parse().unwrap());
    assert_eq!(app.vote(voter, never.photo_id, "UP").await.error(), "NOT_FOUND");

    let gone = app.publish(author).await;
    app.vote(voter, gone, "UP").await.data();
    app.delete(gone).await;
    assert_eq!(app.vote(voter, gone, "DOWN").await.error(), "NOT_FOUND");
    assert_eq!(
        app.vote(author, gone, "DOWN").await.error(),
        "NOT_FOUND",
        "existence comes before permission"
    );
    assert_eq!(
        app.neighbours.truth().look_ups,
        1,
        "a known deletion needs no look-up"
    );
}

#[tokio::test]
async fn an_unknown_photo_is_looked_up_once() {
    let app = TestService::new().await;
    let (author, voter) = (new_user(), new_user());
    let unheard = photo(author, app.clock.now(), "2026-11-22".parse().unwrap());
    app.neighbours.publish(announced(&unheard));
    assert_eq!(
        app.vote(author, unheard.photo_id, "UP").await.error(),
        "FORBIDDEN"
    );
    assert_eq!(
        format_votes(&app.vote(voter, unheard.photo_id, "UP").await.data()["castVote"]),
        "1/0/1 UP"
    );
    assert_eq!(app.neighbours.truth().look_ups, 1);
    // The late event changes nothing.
    app.deliver_published(&unheard).await;
    assert_eq!(app.tally(voter, unheard.photo_id).await, "1/0/1 UP");
}

#[tokio::test]
async fn a_photo_whose_deletion_arrives_first_stays_deleted() {
    let app = TestService::new().await;
    let unheard = photo(new_user(), app.clock.now(), "2026-11-22".parse().unwrap());
    app.neighbours.truth().photos.insert(unheard.photo_id.0, None);
    for _ in 0..2 {
        assert_eq!(
            app.vote(new_user(), unheard.photo_id, "UP").await.error(),
            "NOT_FOUND"
        );
    }
    assert_eq!(app.neighbours.truth().look_ups, 1);
    app.deliver_published(&unheard).await;
    assert_eq!(
        app.vote(new_user(), unheard.photo_id, "UP").await.error(),
        "NOT_FOUND"
    );
}

#[tokio::test]
async fn only_unknown_photos_need_the_photo_service() {
    let app = TestService::new().await;
    let heard = app.publish(new_user()).await;
    app.neighbours.truth().down = true;
    let unheard = photo(new_user(), app.clock.now(), "2026-11-22".parse().unwrap());
    assert_eq!(
        app.vote(new_user(), unheard.photo_id, "UP").await.error(),
        "UNAVAILABLE"
    );
    app.vote(new_user(), heard, "UP").await.data();
}

#[tokio::test]
async fn the_token_of_a_deleted_account_is_refused() {
    let app = TestService::new().await;
    let (voter, photo) = (new_user(), app.publish(new_user()).await);
    app.vote(voter, photo, "UP").await.data();
    app.delete_account(voter).await;
    assert_eq!(app.vote(voter, photo, "DOWN").await.error(), "UNAUTHENTICATED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_concurrent_votes_of_a_user_leave_one_vote() {
    let app = TestService::new().await;
    let (voter, photo) = (new_user(), app.publish(new_user()).await);
    let client = app.client.of(voter);
    for round in ["UP", "DOWN", "NONE", "UP"] {
        let clicks = (0..12).map(|click| {
            let client = client.clone();
            let choice = ["UP", "DOWN", round][click % 3];
            tokio::spawn(async move { cast(&client, photo, choice).await })
        });
        for answer in join_all(clicks).await {
            answer.unwrap().data();
        }
        // The tally is the last vote.
        let after = app.tally(voter, photo).await;
        assert!(
            ["1/0/1 UP", "0/1/-1 DOWN", "0/0/0 -"].contains(&after.as_str()),
            "{after}"
        );
    }
    let clicks = (0..12).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { format_votes(&cast(&client, photo, "DOWN").await.data()["castVote"]) })
    });
    for answer in join_all(clicks).await {
        assert_eq!(answer.unwrap(), "0/1/-1 DOWN");
    }
}
