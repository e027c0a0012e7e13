use chrono::TimeDelta;
use serde_json::{Value, json};
use vote::archive::close_days;

use crate::support::{List, TestService, new_user, photo, strings, timeline_page};

async fn archive(app: &TestService) -> Vec<String> {
    let answer = app
        .client
        .graphql(
            "{ hotDays { nodes { day photoCount winner { id } } } }",
            json!({}),
        )
        .await;
    let nodes = answer.data()["hotDays"]["nodes"].as_array().unwrap().clone();
    let line = |node: &Value| {
        format!(
            "{} {} {}",
            node["day"].as_str().unwrap(),
            node["photoCount"],
            node["winner"]["id"].as_str().unwrap_or("-")
        )
    };
    nodes.iter().map(line).collect()
}

async fn close(app: &TestService) {
    close_days(&app.state, None).await.unwrap();
}

#[tokio::test]
async fn the_winner_is_recorded_when_the_day_ends() {
    let app = TestService::new().await;
    let photos = app.publish_many(new_user(), 3).await;
    app.fold().await;
    app.vote(new_user(), photos[1], "UP").await.data();
    close(&app).await;
    assert_eq!(archive(&app).await, ["2026-11-22 3 -"]);

    // The last vote of the day is not folded when the day ends, and counts.
    app.clock.set("2026-11-22T23:59:59Z".parse().unwrap());
    for _ in 0..2 {
        app.vote(new_user(), photos[0], "UP").await.data();
    }
    close(&app).await;
    assert_eq!(archive(&app).await, ["2026-11-22 3 -"]);
    app.clock.set("2026-11-23T00:00:00Z".parse().unwrap());
    close(&app).await;
    assert_eq!(archive(&app).await, [format!("2026-11-22 3 {}", photos[0])]);

    // Later votes change the order of the day, but not its winner.
    for _ in 0..5 {
        app.vote(new_user(), photos[2], "UP").await.data();
    }
    app.fold().await;
    close(&app).await;
    let today = app.publish(new_user()).await;
    app.fold().await;
    assert_eq!(
        archive(&app).await,
        ["2026-11-23 1 -".to_owned(), format!("2026-11-22 3 {}", photos[0])]
    );
    assert_eq!(
        timeline_page(&app.client, List::Hot, 24, None).await.ids,
        strings([today])
    );
}

#[tokio::test]
async fn deleting_the_winner_promotes_the_next() {
    let app = TestService::new().await;
    let photos = app.publish_many(new_user(), 3).await;
    for (votes, photo) in photos.iter().enumerate() {
        for _ in 0..votes {
            app.vote(new_user(), *photo, "UP").await.data();
        }
    }
    app.clock.advance(TimeDelta::days(1));
    app.fold().await;
    close(&app).await;
    for expected in [2, 1, 0] {
        assert_eq!(
            archive(&app).await,
            [format!("2026-11-22 {} {}", expected + 1, photos[expected])]
        );
        app.delete(photos[expected]).await;
    }
    assert_eq!(
        archive(&app).await,
        Vec::<String>::new(),
        "a day without photos is not in the archive"
    );

    // A photo of that day is announced late, and wins.
    let late = photo(
        new_user(),
        app.clock.now() - TimeDelta::days(1),
        "2026-11-22".parse().unwrap(),
    );
    app.deliver_published(&late).await;
    app.fold().await;
    close(&app).await;
    assert_eq!(archive(&app).await, [format!("2026-11-22 1 {}", late.photo_id)]);
}

#[tokio::test]
async fn deleting_another_photo_keeps_the_winner() {
    let app = TestService::new().await;
    let photos = app.publish_many(new_user(), 2).await;
    app.vote(new_user(), photos[0], "UP").await.data();
    app.clock.advance(TimeDelta::days(1));
    app.fold().await;
    close(&app).await;
    app.delete(photos[1]).await;
    assert_eq!(archive(&app).await, [format!("2026-11-22 1 {}", photos[0])]);
}

#[tokio::test]
async fn a_winner_deleted_while_the_day_ends_is_replaced_by_the_sweep() {
    let app = TestService::new().await;
    let photos = app.publish_many(new_user(), 2).await;
    app.clock.advance(TimeDelta::days(1));
    app.fold().await;
    app.delete(photos[1]).await;
    // The state that two concurrent transactions can leave.
    sqlx::query("UPDATE hot_day SET winner_id = ?, closed_at = UTC_TIMESTAMP(6)")
        .bind(photos[1])
        .execute(&mut app.admin().await)
        .await
        .unwrap();
    assert_eq!(archive(&app).await, ["2026-11-22 1 -"]);
    app.sweep().await;
    assert_eq!(archive(&app).await, [format!("2026-11-22 1 {}", photos[0])]);
}

#[tokio::test]
async fn a_day_begins_at_midnight_in_the_time_zone_of_the_site() {
    let app = TestService::in_zone(chrono_tz::Pacific::Auckland).await;
    // In November, Auckland is thirteen hours ahead: its 23rd begins at 11:00 UTC of the 22nd.
    app.clock.set("2026-11-22T10:59:59Z".parse().unwrap());
    let old = app.publish(new_user()).await;
    app.fold().await;
    assert_eq!(
        timeline_page(&app.client, List::Hot, 24, None).await.ids,
        strings([old])
    );
    close(&app).await;
    assert_eq!(archive(&app).await, ["2026-11-22 1 -"]);

    app.clock.set("2026-11-22T11:00:00Z".parse().unwrap());
    let new = app.publish(new_user()).await;
    app.fold().await;
    assert_eq!(
        timeline_page(&app.client, List::Hot, 24, None).await.ids,
        strings([new])
    );
    close(&app).await;
    assert_eq!(
        archive(&app).await,
        ["2026-11-23 1 -".to_owned(), format!("2026-11-22 1 {old}")]
    );
}

#[tokio::test]
async fn readers_of_today_continue_with_that_day_after_midnight() {
    let app = TestService::new().await;
    let photos = app.publish_many(new_user(), 4).await;
    app.fold().await;
    app.clock.set("2026-11-22T23:59:59Z".parse().unwrap());
    let first = timeline_page(&app.client, List::Hot, 2, None).await;
    app.clock.set("2026-11-23T00:00:01Z".parse().unwrap());
    let second = timeline_page(&app.client, List::Hot, 2, first.next.as_deref()).await;
    assert_eq!(second.ids, strings([photos[1], photos[0]]));
    assert_eq!(
        timeline_page(&app.client, List::Hot, 2, None).await.ids,
        strings([])
    );
}

#[tokio::test]
async fn the_archive_has_pages() {
    let app = TestService::new().await;
    for _ in 0..7 {
        app.publish(new_user()).await;
        app.clock.advance(TimeDelta::days(1));
    }
    app.fold().await;
    let mut days = Vec::new();
    let mut after = Value::Null;
    loop {
        let query = "query ($after: String) { hotDays(first: 3, after: $after) { nodes { day } pageInfo { hasNextPage endCursor } } }";
        let answer = app.client.graphql(query, json!({ "after": after })).await;
        let page = &answer.data()["hotDays"];
        days.extend(
            page["nodes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|node| node["day"].as_str().unwrap().to_owned()),
        );
        after = page["pageInfo"]["endCursor"].clone();
        if page["pageInfo"]["hasNextPage"] == json!(false) {
            break;
        }
    }
    let expected: Vec<_> = (22..29).rev().map(|day| format!("2026-11-{day}")).collect();
    assert_eq!(days, expected);
}
