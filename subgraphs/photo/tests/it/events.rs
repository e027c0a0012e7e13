//! Events from other services, and the internal API.

use axum::http::StatusCode;
use chrono::TimeDelta;
use contracts::headers;
use serde_json::{Value, json};
use testkit::INTERNAL_SECRET;
use uuid::Uuid;

use crate::support::{TestService, answer_of, new_user_id};

#[tokio::test]
async fn photos_of_a_deleted_account_are_deleted() {
    let site = TestService::new().await;
    let (leaver, stayer) = (new_user_id(), new_user_id());
    let mut folders = Vec::new();
    for seed in 0..3 {
        folders.push(site.folder_of(site.published(leaver, seed).await).await);
    }
    folders.push(site.folder_of(site.uploaded(leaver, 3).await).await);
    let kept = site.folder_of(site.published(stayer, 4).await).await;

    let event = testkit::event(
        "account.deleted",
        json!({ "accountId": leaver }),
        site.clock.now(),
    );
    assert_eq!(site.client.deliver(&event).await, StatusCode::NO_CONTENT);
    assert_eq!(
        site.client.deliver(&event).await,
        StatusCode::NO_CONTENT,
        "a repeat is acknowledged"
    );
    site.sweep().await;

    assert!(folders.iter().all(|folder| !folder.exists()));
    assert!(kept.exists());
    assert_eq!(
        (
            site.count("photo").await,
            site.count("upload").await,
            site.count("deleted_photo").await
        ),
        (1, 0, 3)
    );
    let deleted = site
        .outbox()
        .await
        .into_iter()
        .filter(|(kind, _)| kind == "photo.deleted")
        .count();
    assert_eq!(deleted, 3);
    let unswept = async || {
        let first = chassis::UserId(Uuid::nil());
        chassis::deleted_accounts::unswept(&site.db.pool, first)
            .await
            .unwrap()
    };
    // On another database node a photo may have been published at the same time.
    assert_eq!(unswept().await.len(), 1);
    site.clock.advance(chrono::TimeDelta::seconds(61));
    site.sweep().await;
    assert_eq!(unswept().await, []);
    assert_eq!(site.outbox().await.len(), 4 + 3, "and no event is repeated");
}

#[tokio::test]
async fn the_order_of_events_does_not_matter() {
    let site = TestService::new().await;
    let user = new_user_id();
    let deleted = testkit::event("account.deleted", json!({ "accountId": user }), site.clock.now());
    let created = testkit::event(
        "account.created",
        json!({ "accountId": user, "createdAt": site.clock.now() }),
        site.clock.now(),
    );
    assert_eq!(site.client.deliver(&deleted).await, StatusCode::NO_CONTENT);
    assert_eq!(site.client.deliver(&created).await, StatusCode::NO_CONTENT);
    let (status, _) = site
        .upload(
            user,
            "image/png",
            crate::support::png(&crate::support::picture(9, 9)),
        )
        .await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn events_need_the_secret_and_valid_data() {
    let site = TestService::new().await;
    let event = json!({ "id": Uuid::now_v7(), "kind": "account.deleted", "occurredAt": site.clock.now(), "data": {} });
    let stranger = site
        .client
        .post("/events", "application/json", event.to_string())
        .await;
    assert_eq!(stranger.status(), StatusCode::FORBIDDEN);
    assert_eq!(
        site.client.get("/internal/photos").await.status(),
        StatusCode::FORBIDDEN
    );
    let service = site.client.with_header(headers::SECRET, INTERNAL_SECRET);
    let malformed = service
        .post("/events", "application/json", event.to_string())
        .await;
    assert_eq!(malformed.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        site.count("inbox").await,
        0,
        "so that a later release can handle it"
    );
}

#[tokio::test]
async fn other_services_look_up_photos() {
    let site = TestService::new().await;
    let service = site.client.with_header(headers::SECRET, INTERNAL_SECRET);
    let user = new_user_id();
    let mut ids = Vec::new();
    for seed in 0..5 {
        ids.push(site.published(user, seed).await.to_string());
    }
    ids.sort();
    site.delete(user, &ids[2]).await.data();

    let (_, first) = answer_of(service.get("/internal/photos?limit=3").await).await;
    let listed = |page: &Value| {
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["photoId"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(&first), [&*ids[0], &ids[1], &ids[3]]);
    assert_eq!(first["items"][0]["authorId"], user.to_string());
    assert_eq!(first["items"][0]["hotDay"], "2026-11-22");
    let (_, rest) = answer_of(
        service
            .get(&format!(
                "/internal/photos?after={}",
                first["next"].as_str().unwrap()
            ))
            .await,
    )
    .await;
    assert_eq!(listed(&rest), [&*ids[4]]);
    assert_eq!(rest["next"], Value::Null);

    let (status, item) = answer_of(service.get(&format!("/internal/photos/{}", ids[0])).await).await;
    assert_eq!((status, &item), (StatusCode::OK, &first["items"][0]));
    assert_eq!(
        service
            .get(&format!("/internal/photos/{}", ids[2]))
            .await
            .status(),
        StatusCode::GONE
    );
    assert_eq!(
        service
            .get(&format!("/internal/photos/{}", Uuid::now_v7()))
            .await
            .status(),
        StatusCode::NOT_FOUND
    );

    let stranger = Uuid::now_v7().to_string();
    let asked = json!({ "ids": [ids[0], ids[2], stranger] }).to_string();
    let (_, gone) = answer_of(
        service
            .post("/internal/photos/gone", "application/json", asked)
            .await,
    )
    .await;
    assert_eq!(gone, json!({ "ids": [ids[2], stranger] }));

    // Photos of a deleted account are gone for other services too.
    chassis::deleted_accounts::record(&site.db.pool, user, site.clock.now() + TimeDelta::seconds(1))
        .await
        .unwrap();
    assert_eq!(
        service
            .get(&format!("/internal/photos/{}", ids[0]))
            .await
            .status(),
        StatusCode::GONE
    );
    let (_, none) = answer_of(service.get("/internal/photos").await).await;
    assert_eq!(none["items"], json!([]));
}
