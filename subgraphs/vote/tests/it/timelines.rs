use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use futures::future::join_all;
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::json;
use subgraph::pagination::Cursor as _;
use testkit::Client;
use vote::domain::{PhotoId, Position, RankedCursor};

use crate::support::{List, TestService, cast, cursor_key, new_user, strings, timeline_page, walk};

#[tokio::test]
async fn pages_return_each_photo_once() {
    let app = TestService::new().await;
    let photos = app.publish_many(new_user(), 23).await;
    for (votes, photo) in photos.iter().enumerate().take(6) {
        for _ in 0..votes {
            app.vote(new_user(), *photo, "UP").await.data();
        }
    }
    app.fold().await;
    for list in [List::Hot, List::Trending] {
        let whole = walk(&app.client, list, 100).await;
        assert_eq!(whole.len(), 23);
        assert_eq!(whole[0], photos[5].to_string());
        for first in [1, 2, 7, 22, 23, 24] {
            assert_eq!(walk(&app.client, list, first).await, whole, "{first} to a page");
        }
    }
}

/// Reads all pages, each from another replica.
async fn walk_with_several_replicas(clients: &[Client], list: List, first: usize) -> Vec<String> {
    let mut page = timeline_page(&clients[0], list, first, None).await;
    let mut ids = page.ids;
    for client in clients.iter().cycle().skip(1) {
        let Some(after) = page.next else { break };
        page = timeline_page(client, list, first, Some(&after)).await;
        ids.extend(page.ids);
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pages_are_stable_while_votes_and_photos_arrive() {
    let app = Arc::new(TestService::new().await);
    let before = app.publish_many(new_user(), 40).await;
    app.fold().await;
    let there: HashSet<String> = strings(before.iter().copied()).into_iter().collect();
    let (other, second) = app.replica(8);
    let clients = [app.client.clone(), second];

    let moving = Arc::new(AtomicBool::new(true));
    let voters = (0..2).map(|seed| {
        let (app, photos, moving) = (Arc::clone(&app), before.clone(), Arc::clone(&moving));
        tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(seed);
            while moving.load(Ordering::Relaxed) {
                let photo = photos[random.random_range(0..photos.len())];
                cast(
                    &app.client.of(new_user()),
                    photo,
                    ["UP", "DOWN"][random.random_range(0..2)],
                )
                .await
                .data();
                if random.random_bool(0.2) {
                    app.publish(new_user()).await;
                }
            }
        })
    });
    let folding = {
        let (moving, pools) = (Arc::clone(&moving), [app.state.pool.clone(), other.pool]);
        tokio::spawn(async move {
            for pool in pools.iter().cycle() {
                vote::fold::run(pool).await.unwrap();
                tokio::time::sleep(Duration::from_millis(3)).await;
                if !moving.load(Ordering::Relaxed) {
                    break;
                }
            }
        })
    };
    let moving_parts: Vec<_> = voters.chain([folding]).collect();

    for round in 0..12 {
        let list = if round % 2 == 0 { List::Hot } else { List::Trending };
        let read = walk_with_several_replicas(&clients, list, 3 + round).await;
        let once: HashSet<String> = read.iter().cloned().collect();
        assert_eq!(once.len(), read.len(), "a photo was seen twice");
        assert!(
            there.is_subset(&once),
            "a photo that was there at the start was missed"
        );
    }
    moving.store(false, Ordering::Relaxed);
    for part in join_all(moving_parts).await {
        part.unwrap();
    }
}

#[tokio::test]
async fn pages_have_the_order_of_the_first_page() {
    let app = TestService::new().await;
    let photos = app.publish_many(new_user(), 9).await;
    app.fold().await;
    let started = walk(&app.client, List::Hot, 100).await;
    let first = timeline_page(&app.client, List::Hot, 3, None).await;
    // The last photo becomes the first, and a new one is published. A reader who began before sees neither.
    app.vote(new_user(), photos[0], "UP").await.data();
    let new = app.publish(new_user()).await;
    app.fold().await;
    let mut seen = first.ids;
    let mut next = first.next;
    while let Some(after) = next {
        let page = timeline_page(&app.client, List::Hot, 3, Some(&after)).await;
        seen.extend(page.ids);
        next = page.next;
    }
    assert_eq!(seen, started);
    let anew = walk(&app.client, List::Hot, 3).await;
    assert_eq!(anew[..2], strings([photos[0], new]));
    assert_eq!(anew.len(), 10);
}

#[tokio::test]
async fn deleted_photos_are_skipped() {
    let app = TestService::new().await;
    let photos = app.publish_many(new_user(), 60).await;
    app.fold().await;
    let first = timeline_page(&app.client, List::Hot, 5, None).await;
    let order = walk(&app.client, List::Hot, 100).await;
    // Deletes all but the first five and the last three, including one that was already read.
    let (keep, gone): (Vec<PhotoId>, Vec<PhotoId>) = photos.iter().copied().partition(|photo| {
        let at = order.iter().position(|id| *id == photo.to_string()).unwrap();
        !(5..57).contains(&at) && at != 2
    });
    for photo in &gone {
        app.delete(*photo).await;
    }
    let rest = timeline_page(&app.client, List::Hot, 5, first.next.as_deref()).await;
    assert_eq!(rest.ids, order[57..]);
    assert!(rest.next.is_none());
    // Deleted photos are hidden from new readers before and after the fold.
    assert_eq!(walk(&app.client, List::Hot, 2).await.len(), keep.len());
    app.fold().await;
    assert_eq!(walk(&app.client, List::Trending, 3).await.len(), keep.len());
}

#[tokio::test]
async fn a_page_is_full_while_photos_are_deleted() {
    let app = TestService::new().await;
    let photos = app.publish_many(new_user(), 20).await;
    app.fold().await;
    let first = timeline_page(&app.client, List::Hot, 4, None).await;
    let order = strings(photos.iter().rev().copied());
    app.delete(photos[14]).await;
    let second = timeline_page(&app.client, List::Hot, 4, first.next.as_deref()).await;
    assert_eq!(second.ids, [&order[4..5], &order[6..9]].concat());
    assert!(second.next.is_some());
}

#[tokio::test]
async fn readers_of_an_unchanged_order_share_a_snapshot() {
    let app = TestService::new().await;
    let photos = app.publish_many(new_user(), 3).await;
    app.fold().await;
    let (_, second) = app.replica(4);
    for client in [&app.client, &second, &app.client] {
        timeline_page(client, List::Hot, 1, None).await;
    }
    join_all((0..20).map(|_| timeline_page(&app.client, List::Trending, 1, None))).await;
    assert_eq!(app.count("SELECT COUNT(*) FROM snapshot").await, 2);
    // Votes alone create no snapshot; a fold and a reader do.
    app.vote(new_user(), photos[0], "UP").await.data();
    timeline_page(&app.client, List::Hot, 1, None).await;
    assert_eq!(app.count("SELECT COUNT(*) FROM snapshot").await, 2);
    app.fold().await;
    assert_eq!(app.count("SELECT COUNT(*) FROM snapshot").await, 2);
    timeline_page(&app.client, List::Hot, 1, None).await;
    assert_eq!(app.count("SELECT COUNT(*) FROM snapshot").await, 3);
}

#[tokio::test]
async fn snapshots_expire_an_hour_after_their_last_first_page() {
    let app = TestService::new().await;
    app.publish_many(new_user(), 5).await;
    app.fold().await;
    let query = "query ($after: String) { hotPhotos(first: 2, after: $after) { nodes { id } } }";
    let early = timeline_page(&app.client, List::Hot, 2, None).await.next.unwrap();
    app.clock.advance(TimeDelta::minutes(5));
    let late = timeline_page(&app.client, List::Hot, 2, None).await.next.unwrap();
    assert_eq!(
        RankedCursor::decode(&early, &cursor_key()).unwrap().snapshot,
        RankedCursor::decode(&late, &cursor_key()).unwrap().snapshot
    );
    app.clock.advance(TimeDelta::minutes(59));
    app.client.graphql(query, json!({ "after": late })).await.data();
    // The next reader gets a snapshot that is valid for an hour.
    let fresh = timeline_page(&app.client, List::Hot, 2, None).await.next.unwrap();
    app.clock.advance(TimeDelta::minutes(1));
    for after in [early, late] {
        assert_eq!(
            app.client.graphql(query, json!({ "after": after })).await.error(),
            "INVALID_INPUT after"
        );
    }
    app.client.graphql(query, json!({ "after": fresh })).await.data();

    let mut connection = app.state.pool.acquire().await.unwrap();
    assert_eq!(
        vote::store::snapshots::delete_expired(&mut connection, app.clock.now())
            .await
            .unwrap(),
        1
    );
    drop(connection);
    assert_eq!(app.count("SELECT COUNT(*) FROM snapshot").await, 1);
    assert_eq!(
        app.count("SELECT COUNT(DISTINCT snapshot_id) FROM snapshot_chunk")
            .await,
        1
    );
    app.client.graphql(query, json!({ "after": fresh })).await.data();
}

#[tokio::test]
async fn trending_continues_after_its_snapshot() {
    let app = TestService::new().await;
    // 5,600 photos. Every seventh has another score, so that many are tied.
    app.sql(
        "INSERT INTO photo_score (photo_id, author_id, published_at, hot_day, up)
         SELECT UNHEX(MD5(seq)), UNHEX(MD5(0)), '2026-01-01' + INTERVAL seq SECOND, '2026-01-01', seq % 7 FROM seq_1_to_5600",
    )
    .await;
    app.publish(new_user()).await;
    app.fold().await;
    let order: Vec<PhotoId> = sqlx::query_scalar(
        "SELECT photo_id FROM photo_score ORDER BY score DESC, wilson DESC, published_at DESC, photo_id DESC",
    )
    .fetch_all(&mut app.admin().await)
    .await
    .unwrap();
    assert_eq!(order.len(), 5601);
    let order = strings(order);
    let (_, second) = app.replica(4);
    assert_eq!(
        walk_with_several_replicas(&[app.client.clone(), second], List::Trending, 97).await,
        order
    );

    // After the end of the snapshot, photos of the snapshot are not repeated.
    let first = timeline_page(&app.client, List::Trending, 1, None)
        .await
        .next
        .unwrap();
    let position = |at| {
        RankedCursor {
            position: Position::Index(at),
            ..RankedCursor::decode(&first, &cursor_key()).unwrap()
        }
        .encode(&cursor_key())
    };
    app.sql("UPDATE photo_score SET down = 100 WHERE up = 6 LIMIT 10")
        .await;
    app.fold().await;
    let mut page = timeline_page(&app.client, List::Trending, 100, Some(&position(4_990))).await;
    let mut rest = page.ids;
    while let Some(after) = page.next {
        page = timeline_page(&app.client, List::Trending, 100, Some(&after)).await;
        rest.extend(page.ids);
    }
    assert_eq!(rest, order[4_991..]);
}

#[tokio::test]
async fn a_whole_day_is_in_the_snapshot() {
    let app = TestService::new().await;
    app.sql(
        "INSERT INTO photo_score (photo_id, author_id, published_at, hot_day, up)
         SELECT UNHEX(MD5(seq)), UNHEX(MD5(0)), '2026-11-22' + INTERVAL seq SECOND, '2026-11-22', seq % 5 FROM seq_1_to_5200",
    )
    .await;
    app.publish(new_user()).await;
    app.fold().await;
    let read = walk(&app.client, List::Hot, 100).await;
    assert_eq!(read.len(), 5201);
    assert_eq!(read.iter().collect::<HashSet<_>>().len(), 5201);
}
