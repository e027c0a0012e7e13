use chassis::database::Pool;
use serde_json::json;
use sqlx::Row as _;

use crate::support::{List, TestService, cast, format_votes, new_user, photo, timeline_page};

#[tokio::test]
async fn an_unknown_photo_has_zero_votes_and_not_null() {
    let app = TestService::new().await;
    let unheard = photo(new_user(), app.clock.now(), "2026-11-22".parse().unwrap());
    let answer = app
        .client
        .entities(
            "Photo",
            &[unheard.photo_id],
            "id votes { up down score } viewerVote",
        )
        .await;
    assert_eq!(
        answer.data()["_entities"],
        json!([{ "id": unheard.photo_id, "votes": { "up": 0, "down": 0, "score": 0 }, "viewerVote": null }])
    );
}

#[tokio::test]
async fn a_malformed_id_does_not_affect_other_entities() {
    let app = TestService::new().await;
    let id = app.publish(new_user()).await.to_string();
    let answer = app
        .client
        .entities("Photo", &["nonsense", &id, "🙂", ""], "id")
        .await;
    assert_eq!(
        answer.data()["_entities"],
        json!([null, { "id": id }, null, null])
    );
}

#[tokio::test]
async fn viewer_vote_is_the_vote_of_the_viewer() {
    let app = TestService::new().await;
    let (up, down) = (new_user(), new_user());
    let photo = app.publish(new_user()).await;
    app.vote(up, photo, "UP").await.data();
    app.vote(down, photo, "DOWN").await.data();
    assert_eq!(app.tally(up, photo).await, "1/1/0 UP");
    assert_eq!(app.tally(down, photo).await, "1/1/0 DOWN");
    let signed_out = app
        .client
        .entities("Photo", &[photo], "votes { up down score } viewerVote")
        .await;
    assert_eq!(format_votes(&signed_out.data()["_entities"][0]), "1/1/0 -");
}

/// Returns the number of statements of the only connection of `pool`.
async fn statements(pool: &Pool) -> i64 {
    let row = sqlx::raw_sql("SHOW SESSION STATUS LIKE 'Com_stmt_execute'")
        .fetch_one(pool)
        .await
        .unwrap();
    row.get::<String, _>(1).parse().unwrap()
}

#[tokio::test]
async fn a_page_needs_a_fixed_number_of_statements() {
    let app = TestService::new().await;
    let voter = new_user();
    let photos = app.publish_many(new_user(), 30).await;
    for photo in &photos {
        cast(&app.client.of(voter), *photo, "UP").await.data();
    }
    app.fold().await;
    timeline_page(&app.client, List::Hot, 24, None).await;

    let (alone, client) = app.replica(1);
    let page = "nodes { id votes { up down score } viewerVote } pageInfo { endCursor }";
    let hot = format!("{{ hotPhotos {{ {page} }} }}");
    for (client, expected) in [(client.clone(), 2), (client.of(voter), 3)] {
        let before = statements(&alone.pool).await;
        client.graphql(&hot, json!({})).await.data();
        assert_eq!(
            statements(&alone.pool).await - before,
            expected,
            "of the first page"
        );
    }

    let before = statements(&alone.pool).await;
    client
        .of(voter)
        .entities("Photo", &photos, "votes { up down score } viewerVote")
        .await
        .data();
    assert_eq!(statements(&alone.pool).await - before, 2, "of thirty entities");
}
