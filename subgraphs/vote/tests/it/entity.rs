use chassis::database::Pool;
use serde_json::json;
use sqlx::Row as _;

use crate::support::{List, TestService, cast, leaf, photo, shown, someone};

#[tokio::test]
async fn a_photo_not_heard_of_here_has_no_votes_rather_than_none() {
    let app = TestService::new().await;
    let unheard = photo(someone(), app.clock.now(), "2026-11-22".parse().unwrap());
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
async fn a_malformed_id_is_null_and_spares_the_others() {
    let app = TestService::new().await;
    let id = app.publish(someone()).await.to_string();
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
async fn the_viewers_vote_is_the_viewers() {
    let app = TestService::new().await;
    let (up, down) = (someone(), someone());
    let photo = app.publish(someone()).await;
    app.vote(up, photo, "UP").await.data();
    app.vote(down, photo, "DOWN").await.data();
    assert_eq!(app.tally(up, photo).await, "1/1/0 UP");
    assert_eq!(app.tally(down, photo).await, "1/1/0 DOWN");
    let signed_out = app
        .client
        .entities("Photo", &[photo], "votes { up down score } viewerVote")
        .await;
    assert_eq!(shown(&signed_out.data()["_entities"][0]), "1/1/0 -");
}

/// Statements that the only connection of `pool` has run.
async fn statements(pool: &Pool) -> i64 {
    let row = sqlx::raw_sql("SHOW SESSION STATUS LIKE 'Com_stmt_execute'")
        .fetch_one(pool)
        .await
        .unwrap();
    row.get::<String, _>(1).parse().unwrap()
}

#[tokio::test]
async fn a_page_costs_a_fixed_number_of_statements() {
    let app = TestService::new().await;
    let voter = someone();
    let photos = app.publish_many(someone(), 30).await;
    for photo in &photos {
        cast(&app.client.of(voter), *photo, "UP").await.data();
    }
    app.fold().await;
    leaf(&app.client, List::Hot, 24, None).await;

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
