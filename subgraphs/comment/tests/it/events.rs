//! Events of other services: repeated, in any order, and interrupted.

use axum::http::StatusCode;
use chrono::TimeDelta;
use serde_json::{Value, json};
use testkit::Issuer;
use uuid::Uuid;

use crate::{ADD, DELETE, item, service};

#[tokio::test]
async fn comments_of_a_deleted_photo_are_deleted() {
    let service = service().await;
    let (ada, bob) = (service.new_user(), service.new_user());
    let (photo, other) = (service.photo(bob).await, service.photo(bob).await);
    let top = service.add(ada, photo, "top").await;
    service.reply(bob, photo, top, "reply").await;
    service.add(ada, other, "stays").await;
    let deleted = service.event("photo.deleted", json!({ "photoId": photo, "authorId": bob }));
    for _ in 0..2 {
        assert_eq!(service.client.deliver(&deleted).await, StatusCode::NO_CONTENT);
    }
    assert_eq!(service.texts(photo).await, (vec![], 0, 0));
    assert_eq!(service.texts(other).await.2, 1);
    let answer = service
        .client
        .entities("User", &[ada], "comments { totalCount nodes { body } }")
        .await;
    assert_eq!(
        answer.data()["_entities"][0]["comments"],
        json!({ "totalCount": 1, "nodes": [{ "body": "stays" }] })
    );
    assert_eq!(
        service
            .try_add(ada, json!({ "photoId": photo, "body": "late" }))
            .await
            .error(),
        "NOT_FOUND"
    );
    assert_eq!(service.delete(ada, top).await.error(), "NOT_FOUND");
}

#[tokio::test]
async fn the_token_of_an_ended_session_is_refused() {
    let service = service().await;
    let (ada, session) = (service.new_user(), Uuid::new_v4());
    let photo = service.photo(service.new_user()).await;
    let comment = service.add(ada, photo, "stays").await;
    service
        .deliver("session.ended", json!({ "sessionIds": [session] }))
        .await;
    let client = service.client.with_token(Issuer::session_token(ada, session));
    let input = json!({ "input": { "photoId": photo, "body": "late" } });
    assert_eq!(client.graphql(ADD, input).await.error(), "UNAUTHENTICATED");
    let input = json!({ "id": comment });
    assert_eq!(client.graphql(DELETE, input).await.error(), "UNAUTHENTICATED");
    assert_eq!(service.texts(photo).await.2, 1);
}

#[tokio::test]
async fn a_late_publication_does_not_undo_a_deletion() {
    let service = service().await;
    let bob = service.new_user();
    let photo = service.unknown_photo(bob);
    service
        .deliver("photo.deleted", json!({ "photoId": photo, "authorId": bob }))
        .await;
    service.deliver("photo.published", item(photo, bob)).await;
    assert_eq!(service.rows("known_photo").await, 0);
    // The deletion is recorded, so the photo service is not called.
    assert_eq!(
        service
            .try_add(bob, json!({ "photoId": photo, "body": "late" }))
            .await
            .error(),
        "NOT_FOUND"
    );
    assert_eq!(service.neighbours.truth().look_ups, 0);
}

#[tokio::test]
async fn a_deleted_account_leaves_tombstones_only_for_replies_of_others() {
    let service = service().await;
    let (ada, bob) = (service.new_user(), service.new_user());
    let photo = service.photo(bob).await;
    service.add(ada, photo, "alone").await;
    let answered = service.add(ada, photo, "answered").await;
    service.reply(bob, photo, answered, "bob's reply").await;
    let bobs = service.add(bob, photo, "bob's").await;
    service.reply(ada, photo, bobs, "ada's reply").await;
    service
        .try_add(
            ada,
            json!({ "photoId": photo, "body": "by key", "idempotencyKey": "k" }),
        )
        .await
        .data();

    let deleted = service.event("account.deleted", json!({ "accountId": ada }));
    for _ in 0..2 {
        assert_eq!(service.client.deliver(&deleted).await, StatusCode::NO_CONTENT);
    }
    let left = vec![
        ("bob's".to_owned(), vec![]),
        (String::new(), vec!["bob's reply".to_owned()]),
    ];
    assert_eq!(service.texts(photo).await, (left.clone(), 2, 2));
    let id = ada.0.simple().to_string();
    assert_eq!(
        service.rows(&format!("comment WHERE author_id = X'{id}'")).await,
        0
    );
    assert_eq!(service.rows("comment_key").await, 0);

    // The token is still valid; every write with it is refused.
    assert_eq!(
        service
            .try_add(ada, json!({ "photoId": "7", "body": "" }))
            .await
            .error(),
        "UNAUTHENTICATED"
    );
    assert_eq!(service.delete(ada, answered).await.error(), "UNAUTHENTICATED");
    let edit = "mutation ($id: ID!) { editComment(id: $id, body: \"x\") { id } }";
    assert_eq!(
        service
            .client
            .of(ada)
            .graphql(edit, json!({ "id": answered }))
            .await
            .error(),
        "UNAUTHENTICATED"
    );

    service.clock.advance(TimeDelta::seconds(61));
    comment::sweep::run(&service.state).await.unwrap();
    assert_eq!(service.texts(photo).await, (left, 2, 2));
    assert_eq!(service.rows("departed_account WHERE swept_at IS NULL").await, 0);
}

#[tokio::test]
async fn the_sweep_deletes_the_remaining_comments() {
    let service = service().await;
    let (ada, bob) = (service.new_user(), service.new_user());
    let (photo, other) = (service.photo(bob).await, service.photo(bob).await);
    // 2,500 comments on each of two photos.
    for photo in [photo, other] {
        sqlx::query(
            "INSERT INTO comment (id, photo_id, author_id, body, created_at)
             SELECT UNHEX(REPLACE(UUID(), '-', '')), ?, ?, 'x', UTC_TIMESTAMP(6) FROM seq_1_to_2500",
        )
        .bind(photo)
        .bind(ada)
        .execute(&service.state.pool)
        .await
        .unwrap();
    }
    service
        .deliver("photo.deleted", json!({ "photoId": photo, "authorId": bob }))
        .await;
    assert_eq!(service.rows("comment").await, 4000);
    // A sweep that is stopped after its first batch.
    let mut connection = service.state.pool.acquire().await.unwrap();
    assert!(
        !comment::store::remove_of_photo(&mut connection, photo)
            .await
            .unwrap()
    );
    drop(connection);
    comment::sweep::run(&service.state).await.unwrap();
    assert_eq!(service.rows("comment").await, 2500);
    service
        .deliver("account.deleted", json!({ "accountId": ada }))
        .await;
    comment::sweep::run(&service.state).await.unwrap();
    assert_eq!(service.texts(other).await, (vec![], 0, 0));
    service.clock.advance(TimeDelta::seconds(61));
    comment::sweep::run(&service.state).await.unwrap();
    assert_eq!(service.rows("comment").await, 0);
    assert_eq!(service.rows("deleted_photo WHERE swept_at IS NULL").await, 0);
}

#[tokio::test]
async fn events_need_the_secret_and_valid_data() {
    let service = service().await;
    let photo = service.photo(service.new_user()).await;
    let body = serde_json::to_string(&service.event("photo.deleted", json!({ "photoId": photo }))).unwrap();
    let answer = service.client.post("/events", "application/json", body).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    for senseless in [json!({}), json!({ "photoId": "7" }), Value::Null] {
        let event = service.event("photo.deleted", senseless);
        assert_eq!(
            service.client.deliver(&event).await,
            StatusCode::SERVICE_UNAVAILABLE
        );
    }
    service
        .deliver("account.created", json!({ "anything": true }))
        .await;
    assert_eq!(service.rows("known_photo").await, 1);
}

#[tokio::test]
async fn old_keys_are_deleted() {
    let service = service().await;
    let ada = service.new_user();
    let photo = service.photo(ada).await;
    service
        .try_add(
            ada,
            json!({ "photoId": photo, "body": "x", "idempotencyKey": "k" }),
        )
        .await
        .data();
    comment::sweep::delete_old_keys(&service.state).await.unwrap();
    assert_eq!(service.rows("comment_key").await, 1);
    service.clock.advance(TimeDelta::days(8));
    comment::sweep::delete_old_keys(&service.state).await.unwrap();
    assert_eq!(service.rows("comment_key").await, 0);
}
