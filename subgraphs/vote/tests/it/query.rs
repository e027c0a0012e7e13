use serde_json::json;
use subgraph::pagination::Cursor as _;
use uuid::Uuid;
use vote::domain::{DayCursor, Position, RankedCursor, Timeline};

use crate::support::{List, TestService, cursor_key, new_user, strings, timeline_page};

#[tokio::test]
async fn pages_have_one_to_a_hundred_photos() {
    let app = TestService::new().await;
    for field in ["hotPhotos", "trendingPhotos", "hotDays"] {
        for first in [-1, 0, 101, i32::MAX] {
            let answer = app
                .client
                .graphql(
                    &format!("{{ {field}(first: {first}) {{ edges {{ cursor }} }} }}"),
                    json!({}),
                )
                .await;
            assert_eq!(answer.error(), "INVALID_INPUT first", "{field} {first}");
        }
        app.client
            .graphql(
                &format!("{{ {field}(first: 100) {{ edges {{ cursor }} }} }}"),
                json!({}),
            )
            .await
            .data();
    }
}

#[tokio::test]
async fn invalid_cursors_are_refused() {
    let app = TestService::new().await;
    app.publish_many(new_user(), 5).await;
    app.fold().await;
    let hot = timeline_page(&app.client, List::Hot, 2, None).await.next.unwrap();
    let trending = timeline_page(&app.client, List::Trending, 2, None)
        .await
        .next
        .unwrap();
    let list = cursor_key();
    let issued = RankedCursor::decode(&trending, &list).unwrap();
    let beyond_the_end = RankedCursor {
        position: Position::Index(5),
        ..issued
    }
    .encode(&list);
    let far = RankedCursor {
        position: Position::Index(u32::MAX),
        ..issued
    }
    .encode(&list);
    let unknown = RankedCursor {
        snapshot: Uuid::new_v4(),
        ..issued
    }
    .encode(&list);
    let below_nothing = RankedCursor {
        position: Position::AfterSnapshot(vote::domain::Rank {
            score: 0,
            wilson: 0,
            published_at: app.clock.now(),
            photo_id: vote::domain::PhotoId(Uuid::nil()),
        }),
        ..issued
    }
    .encode(&list);
    let day = DayCursor(app.clock.now().date_naive()).encode(&list);
    let query = "query ($after: String) { trendingPhotos(after: $after) { nodes { id } } }";
    for after in [
        "",
        "nonsense",
        "🙂",
        "\0",
        &"A".repeat(10_000),
        &hot,
        &beyond_the_end,
        &far,
        &unknown,
        &below_nothing,
        &day,
    ] {
        let answer = app.client.graphql(query, json!({ "after": after })).await;
        assert_eq!(answer.error(), "INVALID_INPUT after", "{after:.60}");
    }
    app.client
        .graphql(query, json!({ "after": trending }))
        .await
        .data();

    let other_day =
        "query ($after: String) { hotPhotos(day: \"2026-11-21\", after: $after) { nodes { id } } }";
    let no_day = "query ($after: String) { hotPhotos(after: $after) { nodes { id } } }";
    assert_eq!(
        app.client
            .graphql(other_day, json!({ "after": hot }))
            .await
            .error(),
        "INVALID_INPUT after"
    );
    assert_eq!(
        app.client
            .graphql(no_day, json!({ "after": trending }))
            .await
            .error(),
        "INVALID_INPUT after"
    );
    let archive = "query ($after: String) { hotDays(after: $after) { nodes { day } } }";
    assert_eq!(
        app.client.graphql(archive, json!({ "after": hot })).await.error(),
        "INVALID_INPUT after"
    );
}

/// Cursors of the release before signatures, and forged cursors in their format.
#[tokio::test]
async fn a_cursor_without_a_valid_signature_is_refused() {
    use base64::Engine as _;
    let app = TestService::new().await;
    app.publish_many(new_user(), 5).await;
    app.fold().await;
    let archive = "query ($after: String) { hotDays(after: $after) { nodes { day } } }";
    for day in ["-0001-01-01", "+262142-12-31", "2026-11-22", "9999-12-31"] {
        let text = format!("day:\"{day}\"");
        let after = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        let answer = app.client.graphql(archive, json!({ "after": after })).await;
        assert_eq!(answer.error(), "INVALID_INPUT after", "{day}");
    }
}

#[tokio::test]
async fn a_cursor_without_a_day_is_of_today_or_of_yesterday_around_midnight() {
    let app = TestService::new().await;
    app.publish_many(new_user(), 5).await;
    app.fold().await;
    app.clock.set("2026-11-24T23:50:00Z".parse().unwrap());
    app.publish_many(new_user(), 5).await;
    app.fold().await;
    let read = "query ($after: String) { hotPhotos(after: $after) { nodes { id } } }";
    let of = async |day: &str| {
        let query = format!("{{ hotPhotos(day: \"{day}\", first: 2) {{ pageInfo {{ endCursor }} }} }}");
        let answer = app.client.graphql(&query, json!({})).await;
        answer.data()["hotPhotos"]["pageInfo"]["endCursor"].clone()
    };
    let (earlier, today) = (of("2026-11-22").await, of("2026-11-24").await);
    for (time, after, valid) in [
        ("2026-11-24T23:51:00Z", &today, true),
        ("2026-11-24T23:51:00Z", &earlier, false),
        ("2026-11-25T00:30:00Z", &today, true),
        ("2026-11-25T00:30:00Z", &earlier, false),
    ] {
        app.clock.set(time.parse().unwrap());
        let answer = app.client.graphql(read, json!({ "after": after })).await;
        if valid {
            assert_eq!(answer.data()["hotPhotos"]["nodes"].as_array().unwrap().len(), 3);
        } else {
            assert_eq!(answer.error(), "INVALID_INPUT after", "{time}");
        }
    }
}

#[tokio::test]
async fn an_invalid_day_is_refused() {
    let app = TestService::new().await;
    let query = "query ($day: Date) { hotPhotos(day: $day) { nodes { id } } }";
    let days = [
        json!("2026-11-31"),
        json!("-2026-11-22"),
        json!("22.11.2026"),
        json!(""),
        json!("today"),
        json!("\u{202e}2026-11-22"),
        json!("📅"),
        json!("\0"),
        json!(20_261_122),
        json!(true),
        json!(["2026-11-22"]),
        json!("9".repeat(10_000)),
    ];
    for day in days {
        let answer = app.client.graphql(query, json!({ "day": day })).await;
        assert_eq!(answer.error(), "INVALID_INPUT day", "{day:.60}");
    }
    assert_eq!(
        app.client
            .graphql("{ hotPhotos(day: 7) { nodes { id } } }", json!({}))
            .await
            .error(),
        "INVALID_INPUT day"
    );
    for day in ["1970-01-01", "2026-11-22", "9999-12-31", "0000-01-01"] {
        let answer = app.client.graphql(query, json!({ "day": day })).await;
        assert_eq!(answer.data()["hotPhotos"]["nodes"], json!([]), "{day}");
    }
}

#[tokio::test]
async fn an_empty_site_has_empty_lists() {
    let app = TestService::new().await;
    let query =
        "{ hotPhotos { edges { cursor } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }
                   trendingPhotos { nodes { id } } hotDays { nodes { day } } }";
    let no_page =
        json!({ "hasNextPage": false, "hasPreviousPage": false, "startCursor": null, "endCursor": null });
    assert_eq!(
        app.client.graphql(query, json!({})).await.data(),
        &json!({ "hotPhotos": { "edges": [], "pageInfo": no_page }, "trendingPhotos": { "nodes": [] }, "hotDays": { "nodes": [] } })
    );
}

#[tokio::test]
async fn a_photo_without_votes_is_in_both_timelines() {
    let app = TestService::new().await;
    let photos = app.publish_many(new_user(), 3).await;
    app.fold().await;
    let newest_first: Vec<_> = strings(photos.iter().rev().copied());
    assert_eq!(
        timeline_page(&app.client, List::Hot, 24, None).await.ids,
        newest_first
    );
    assert_eq!(
        timeline_page(&app.client, List::Trending, 24, None).await.ids,
        newest_first
    );
}

#[tokio::test]
async fn hot_has_photos_of_a_day_and_trending_has_all() {
    let app = TestService::new().await;
    let yesterday = app.publish(new_user()).await;
    app.clock.advance(chrono::TimeDelta::days(1));
    let today = app.publish(new_user()).await;
    app.vote(new_user(), yesterday, "UP").await.data();
    app.fold().await;
    assert_eq!(
        timeline_page(&app.client, List::Hot, 24, None).await.ids,
        strings([today])
    );
    assert_eq!(
        timeline_page(&app.client, List::Trending, 24, None).await.ids,
        strings([yesterday, today])
    );
    let answer = app
        .client
        .graphql(
            "{ hotPhotos(day: \"2026-11-22\") { nodes { id votes { score } } } }",
            json!({}),
        )
        .await;
    assert_eq!(
        answer.data()["hotPhotos"]["nodes"],
        json!([{ "id": yesterday, "votes": { "score": 1 } }])
    );
}

#[tokio::test]
async fn every_cursor_starts_the_next_page() {
    let app = TestService::new().await;
    app.publish_many(new_user(), 6).await;
    app.fold().await;
    let answer = app
        .client
        .graphql("{ hotPhotos { edges { cursor node { id } } } }", json!({}))
        .await;
    let edges = answer.data()["hotPhotos"]["edges"].as_array().unwrap().clone();
    for (at, edge) in edges.iter().enumerate() {
        let rest: Vec<_> = edges[at + 1..]
            .iter()
            .map(|edge| edge["node"]["id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(
            timeline_page(&app.client, List::Hot, 24, edge["cursor"].as_str())
                .await
                .ids,
            rest
        );
        let cursor = RankedCursor::decode(edge["cursor"].as_str().unwrap(), &cursor_key()).unwrap();
        assert_eq!(cursor.timeline, Timeline::Hot("2026-11-22".parse().unwrap()));
    }
}

#[tokio::test]
async fn invalid_graphql_is_refused() {
    let app = TestService::new().await;
    for query in [
        "",
        "{",
        "{ nothing }",
        "mutation { hotPhotos { nodes { id } } }",
        "🙂",
        "query { hotPhotos(first: \"x\") { nodes { id } } }",
    ] {
        assert_eq!(
            app.client.graphql(query, json!({})).await.error(),
            "INVALID_INPUT",
            "{query}"
        );
    }
}
