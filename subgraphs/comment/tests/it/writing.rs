//! Adding and editing comments.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::service;

const EDIT: &str = "mutation ($id: ID!, $body: String!) { editComment(id: $id, body: $body) { body editedAt author { id } } }";

#[tokio::test]
async fn comments_are_stored_as_written() {
    let service = service().await;
    let (ada, bob) = (service.new_user(), service.new_user());
    let photo = service.photo(bob).await;
    let query = "mutation ($input: AddCommentInput!) { addComment(input: $input) {
        body deleted editedAt createdAt author { id } photo { id commentCount } replyTo { id } replies { totalCount nodes { id } } } }";
    let input = json!({ "photoId": photo, "body": " Schön!\r\n\r\n👩‍👩‍👧 \u{202B}שלום\u{202C} <b>&amp;</b> " });
    let answer = service
        .client
        .of(ada)
        .graphql(query, json!({ "input": input }))
        .await;
    assert_eq!(
        answer.data()["addComment"],
        json!({
            "body": "Schön!\n\n👩‍👩‍👧 \u{202B}שלום\u{202C} <b>&amp;</b>", "deleted": false, "editedAt": null,
            "createdAt": "2026-11-22T12:00:00+00:00", "author": { "id": ada }, "photo": { "id": photo, "commentCount": 1 },
            "replyTo": null, "replies": { "totalCount": 0, "nodes": [] },
        })
    );
    let longest = "🎞".repeat(2000);
    service.add(ada, photo, &longest).await;
    assert_eq!(service.texts(photo).await.0[0].0, longest);
}

#[tokio::test]
async fn errors_name_the_invalid_input() {
    let service = service().await;
    let ada = service.new_user();
    let photo = service.photo(ada).await;
    for body in [
        "",
        "  \n ",
        "\u{200B}",
        "a\u{0}b",
        "\u{1b}[31m",
        &"x".repeat(2001),
    ] {
        let answer = service
            .try_add(ada, json!({ "photoId": photo, "body": body }))
            .await;
        assert_eq!(answer.error(), "INVALID_INPUT body", "{body:?}");
    }
    for (input, error) in [
        (json!({ "photoId": "7", "body": "x" }), "INVALID_INPUT photoId"),
        (
            json!({ "photoId": photo, "body": "x", "replyToId": "ünsinn" }),
            "INVALID_INPUT replyToId",
        ),
        (
            json!({ "photoId": photo, "body": "x", "idempotencyKey": "" }),
            "INVALID_INPUT idempotencyKey",
        ),
        (
            json!({ "photoId": photo, "body": "x", "idempotencyKey": "k".repeat(65) }),
            "INVALID_INPUT idempotencyKey",
        ),
        (json!({ "photoId": Uuid::nil(), "body": "x" }), "NOT_FOUND"),
        (
            json!({ "photoId": photo, "body": "x", "replyToId": Uuid::nil() }),
            "NOT_FOUND",
        ),
        (json!({ "photoId": photo }), "INVALID_INPUT"),
    ] {
        assert_eq!(
            service.try_add(ada, input.clone()).await.error(),
            error,
            "{input}"
        );
    }
    let signed_out = service
        .client
        .graphql(crate::ADD, json!({ "input": { "photoId": "7", "body": "" } }))
        .await;
    assert_eq!(signed_out.error(), "UNAUTHENTICATED");
    assert_eq!(
        service.rows("comment").await + service.rows("comment_key").await,
        0
    );
}

#[tokio::test]
async fn replies_to_replies_are_refused() {
    let service = service().await;
    let ada = service.new_user();
    let (photo, other) = (service.photo(ada).await, service.photo(ada).await);
    let top = service.add(ada, photo, "top").await;
    let reply = service.reply(ada, photo, top, "reply").await;

    let to_reply = service
        .try_add(ada, json!({ "photoId": photo, "body": "x", "replyToId": reply }))
        .await;
    assert_eq!(to_reply.error(), "INVALID_INPUT replyToId");
    let elsewhere = service
        .try_add(ada, json!({ "photoId": other, "body": "x", "replyToId": top }))
        .await;
    assert_eq!(elsewhere.error(), "INVALID_INPUT replyToId");
    service.delete(ada, top).await.data();
    let to_tombstone = service
        .try_add(ada, json!({ "photoId": photo, "body": "x", "replyToId": top }))
        .await;
    assert_eq!(to_tombstone.error(), "NOT_FOUND");
    assert_eq!(
        service.texts(photo).await,
        (vec![(String::new(), vec!["reply".to_owned()])], 1, 1)
    );
}

#[tokio::test]
async fn a_repeated_call_returns_the_first_comment() {
    let service = service().await;
    let (ada, bob) = (service.new_user(), service.new_user());
    let photo = service.photo(ada).await;
    let input = |body: &str| json!({ "photoId": photo, "body": body, "idempotencyKey": "one" });
    let first = service.try_add(ada, input("first")).await;
    let again = service.try_add(ada, input(" first ")).await;
    assert_eq!(again.data(), first.data());
    // Keys of other users are independent.
    let others = service.try_add(bob, input("bob's")).await;
    assert_eq!(others.data()["addComment"]["body"], json!("bob's"));
    // Repeating after a deletion does not restore the comment.
    let id = serde_json::from_value(first.data()["addComment"]["id"].clone()).unwrap();
    service.delete(ada, id).await.data();
    let late = service.try_add(ada, input("first")).await;
    assert_eq!(late.data()["addComment"]["body"], json!(""));
    assert_eq!(service.read(photo).await["commentCount"], json!(1));
    // A failed call does not use its key.
    let nowhere = json!({ "photoId": photo, "body": "x", "replyToId": Uuid::nil(), "idempotencyKey": "two" });
    assert_eq!(service.try_add(ada, nowhere).await.error(), "NOT_FOUND");
    service
        .try_add(
            ada,
            json!({ "photoId": photo, "body": "x", "idempotencyKey": "two" }),
        )
        .await
        .data();
    assert_eq!(service.read(photo).await["commentCount"], json!(2));
}

#[tokio::test]
async fn a_key_is_bound_to_its_input() {
    let service = service().await;
    let ada = service.new_user();
    let (photo, other) = (service.photo(ada).await, service.photo(ada).await);
    let top = service.add(ada, photo, "top").await;
    let input = json!({ "photoId": photo, "body": "first", "idempotencyKey": "one" });
    let first = service.try_add(ada, input.clone()).await;
    for (field, value) in [
        ("photoId", json!(other)),
        ("body", json!("second")),
        ("replyToId", json!(top)),
    ] {
        let mut changed = input.clone();
        changed[field] = value;
        let answer = service.try_add(ada, changed.clone()).await;
        assert_eq!(answer.error(), "CONFLICT idempotencyKey", "{field}");
        // With another key it is written.
        changed["idempotencyKey"] = json!(format!("one with another {field}"));
        service.try_add(ada, changed).await.data();
    }
    assert_eq!(service.try_add(ada, input.clone()).await.data(), first.data());
    assert_eq!(service.read(photo).await["commentCount"], json!(4));
    assert_eq!(service.read(other).await["commentCount"], json!(1));
    // An edit of the first comment does not affect its key.
    let edit = "mutation ($id: ID!) { editComment(id: $id, body: \"edited\") { id } }";
    let id = first.data()["addComment"]["id"].clone();
    service
        .client
        .of(ada)
        .graphql(edit, json!({ "id": id }))
        .await
        .data();
    let again = service.try_add(ada, input.clone()).await;
    assert_eq!(again.data()["addComment"], json!({ "id": id, "body": "edited" }));
    // Keys of the previous release match any input.
    sqlx::query("UPDATE comment_key SET input_hash = NULL WHERE client_key = 'one'")
        .execute(&service.state.pool)
        .await
        .unwrap();
    let mut old = input.clone();
    old["body"] = json!("other");
    let answer = service.try_add(ada, old).await;
    assert_eq!(answer.data()["addComment"]["id"], id);
}

#[tokio::test]
async fn concurrent_repeats_create_one_comment() {
    let service = service().await;
    let ada = service.new_user();
    let photo = service.photo(ada).await;
    for round in 0..5 {
        let input = json!({ "photoId": photo, "body": "once", "idempotencyKey": format!("key {round}") });
        let calls = (0..8).map(|_| {
            let (client, input) = (service.client.of(ada), input.clone());
            tokio::spawn(async move { client.graphql(crate::ADD, json!({ "input": input })).await })
        });
        let mut ids = Vec::new();
        for call in calls.collect::<Vec<_>>() {
            ids.push(
                call.await.unwrap().data()["addComment"]["id"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
            );
        }
        ids.dedup();
        assert_eq!(ids.len(), 1);
        assert_eq!(service.read(photo).await["commentCount"], json!(round + 1));
    }
}

#[tokio::test]
async fn an_unknown_photo_is_looked_up_once() {
    let service = service().await;
    let (ada, bob) = (service.new_user(), service.new_user());
    let photo = service.unknown_photo(bob);
    let id = service.add(ada, photo, "early").await;
    service.add(ada, photo, "later").await;
    assert_eq!(service.neighbours.truth().look_ups, 1);
    // The author of the photo is known from then on.
    service.delete(bob, id).await.data();

    let deleted = service.unknown_photo(bob);
    service.neighbours.truth().photos.insert(deleted.0, None);
    for _ in 0..2 {
        assert_eq!(
            service
                .try_add(ada, json!({ "photoId": deleted, "body": "x" }))
                .await
                .error(),
            "NOT_FOUND"
        );
    }
    assert_eq!(service.neighbours.truth().look_ups, 2);
}

#[tokio::test]
async fn only_an_unreachable_photo_service_makes_commenting_unavailable() {
    let mut service = service().await;
    let ada = service.new_user();
    let known = service.photo(ada).await;
    service.state.photos = testkit::absent_peer();
    let base = testkit::base(&service.state.pool, &service.clock);
    service.client = testkit::Client::new(comment::service(&service.state, &base).into_routes());
    assert_eq!(
        service
            .try_add(ada, json!({ "photoId": Uuid::new_v4(), "body": "x" }))
            .await
            .error(),
        "UNAVAILABLE"
    );
    service.add(ada, known, "known").await;
}

#[tokio::test]
async fn only_the_author_can_edit() {
    let service = service().await;
    let (ada, bob) = (service.new_user(), service.new_user());
    let photo = service.photo(bob).await;
    let id = service.add(ada, photo, "befor").await;
    let edit = async |who, body: &str| {
        service
            .client
            .of(who)
            .graphql(EDIT, json!({ "id": id, "body": body }))
            .await
    };

    assert_eq!(
        edit(ada, " befor ").await.data()["editComment"]["editedAt"],
        Value::Null
    );
    service.clock.advance(chrono::TimeDelta::seconds(5));
    let edited = edit(ada, "before").await;
    assert_eq!(
        edited.data()["editComment"],
        json!({ "body": "before", "editedAt": "2026-11-22T12:00:05.001+00:00", "author": { "id": ada } })
    );
    // Neither the photo's author nor a moderator can edit another author's comment.
    assert_eq!(edit(bob, "x").await.error(), "FORBIDDEN");
    let moderator = service
        .client
        .moderator(bob)
        .graphql(EDIT, json!({ "id": id, "body": "x" }))
        .await;
    assert_eq!(moderator.error(), "FORBIDDEN");
    assert_eq!(edit(ada, "").await.error(), "INVALID_INPUT body");
    assert_eq!(
        service
            .client
            .graphql(EDIT, json!({ "id": "7", "body": "" }))
            .await
            .error(),
        "UNAUTHENTICATED"
    );
    let of_bad_id = service
        .client
        .of(ada)
        .graphql(EDIT, json!({ "id": "7", "body": "x" }))
        .await;
    assert_eq!(of_bad_id.error(), "INVALID_INPUT id");
    let of_nothing = service
        .client
        .of(ada)
        .graphql(EDIT, json!({ "id": Uuid::nil(), "body": "x" }))
        .await;
    assert_eq!(of_nothing.error(), "NOT_FOUND");
    service.delete(ada, id).await.data();
    assert_eq!(edit(ada, "back").await.error(), "NOT_FOUND");
}
