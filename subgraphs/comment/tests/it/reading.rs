//! Pages, counts, and the number of statements.

use chassis::UserId;
use comment::domain::PhotoId;
use serde_json::{Value, json};

use crate::{TestService, service, service_with};

/// Returns the bodies of all pages of an entity's list.
async fn walk(service: &TestService, entity: (&str, String), first: i32) -> Vec<String> {
    let mut bodies = Vec::new();
    let mut after = Value::Null;
    loop {
        let arguments = if after.is_null() {
            format!("first: {first}")
        } else {
            format!("first: {first}, after: {after}")
        };
        let selection = format!(
            "comments({arguments}) {{ edges {{ cursor node {{ body }} }} pageInfo {{ hasNextPage endCursor }} }}"
        );
        let answer = service
            .client
            .entities(entity.0, std::slice::from_ref(&entity.1), &selection)
            .await;
        let page = &answer.data()["_entities"][0]["comments"];
        bodies.extend(
            page["edges"]
                .as_array()
                .unwrap()
                .iter()
                .map(|edge| edge["node"]["body"].as_str().unwrap().to_owned()),
        );
        if page["pageInfo"]["hasNextPage"] == json!(false) {
            return bodies;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

async fn conversation(service: &TestService, ada: UserId, bob: UserId) -> PhotoId {
    let photo = service.photo(bob).await;
    for n in 0..5 {
        let top = service.add(ada, photo, &format!("top {n}")).await;
        for m in 0..n {
            service.reply(bob, photo, top, &format!("reply {n}.{m}")).await;
        }
    }
    photo
}

#[tokio::test]
async fn pages_return_each_comment_once_in_order() {
    let service = service().await;
    let (ada, bob) = (service.new_user(), service.new_user());
    let photo = conversation(&service, ada, bob).await;
    let tops: Vec<_> = (0..5).rev().map(|n| format!("top {n}")).collect();
    for first in [1, 2, 5, 100] {
        assert_eq!(
            walk(&service, ("Photo", photo.to_string()), first).await,
            tops,
            "{first}"
        );
        assert_eq!(
            walk(&service, ("User", ada.to_string()), first).await,
            tops,
            "{first}"
        );
    }
    let replies = walk(&service, ("User", bob.to_string()), 3).await;
    assert_eq!(
        (replies.len(), replies[0].as_str(), replies[9].as_str()),
        (10, "reply 4.3", "reply 1.0")
    );

    let selection = "commentCount comments(first: 1) { totalCount nodes { replies(first: 2) { totalCount nodes { body replyTo { body } replies { nodes { id } totalCount } } pageInfo { hasNextPage hasPreviousPage endCursor } } } }";
    let answer = service.client.entities("Photo", &[photo], selection).await;
    let read = &answer.data()["_entities"][0];
    assert_eq!(
        (&read["commentCount"], &read["comments"]["totalCount"]),
        (&json!(15), &json!(5))
    );
    let replies = &read["comments"]["nodes"][0]["replies"];
    assert_eq!(replies["totalCount"], json!(4));
    assert_eq!(
        replies["nodes"][1],
        json!({ "body": "reply 4.1", "replyTo": { "body": "top 4" }, "replies": { "nodes": [], "totalCount": 0 } })
    );
    let cursor = replies["pageInfo"]["endCursor"].as_str().unwrap();
    let selection = format!(
        "comments(first: 1) {{ nodes {{ replies(first: 2, after: \"{cursor}\") {{ nodes {{ body }} pageInfo {{ hasNextPage hasPreviousPage }} }} }} }}"
    );
    let answer = service.client.entities("Photo", &[photo], &selection).await;
    assert_eq!(
        answer.data()["_entities"][0]["comments"]["nodes"][0]["replies"],
        json!({ "nodes": [{ "body": "reply 4.2" }, { "body": "reply 4.3" }], "pageInfo": { "hasNextPage": false, "hasPreviousPage": true } })
    );
    // A cursor of one list is invalid for others.
    let selection = format!("comments(after: \"{cursor}\") {{ totalCount }}");
    let answer = service.client.entities("Photo", &[photo], &selection).await;
    assert_eq!(answer.error(), "INVALID_INPUT after");
    let selection = "comments(first: 1) { pageInfo { endCursor } }";
    let answer = service.client.entities("Photo", &[photo], selection).await;
    let cursor = &answer.data()["_entities"][0]["comments"]["pageInfo"]["endCursor"];
    let other = conversation(&service, ada, bob).await;
    let selection = format!("comments(after: {cursor}) {{ nodes {{ body }} }}");
    for (kind, id) in [("Photo", other.to_string()), ("User", ada.to_string())] {
        let answer = service.client.entities(kind, &[id], &selection).await;
        assert_eq!(answer.error(), "INVALID_INPUT after", "{kind}");
    }
    service
        .client
        .entities("Photo", &[photo], &selection)
        .await
        .data();
}

#[tokio::test]
async fn pages_are_stable_while_comments_are_written() {
    let service = service().await;
    let (ada, bob) = (service.new_user(), service.new_user());
    let photo = conversation(&service, ada, bob).await;
    let page = |after: Option<String>| {
        let after = after
            .map(|after| format!(", after: \"{after}\""))
            .unwrap_or_default();
        format!("comments(first: 3{after}) {{ nodes {{ body }} pageInfo {{ endCursor }} }}")
    };
    let first = service.client.entities("Photo", &[photo], &page(None)).await;
    service.add(bob, photo, "new").await;
    let cursor = first.data()["_entities"][0]["comments"]["pageInfo"]["endCursor"]
        .as_str()
        .unwrap()
        .to_owned();
    let second = service
        .client
        .entities("Photo", &[photo], &page(Some(cursor)))
        .await;
    assert_eq!(
        second.data()["_entities"][0]["comments"]["nodes"],
        json!([{ "body": "top 1" }, { "body": "top 0" }])
    );
}

#[tokio::test]
async fn invalid_page_arguments_are_refused() {
    let service = service().await;
    let photo = service.photo(service.new_user()).await;
    for (arguments, error) in [
        ("first: 0", "INVALID_INPUT first"),
        ("first: 101", "INVALID_INPUT first"),
        ("first: -1", "INVALID_INPUT first"),
        ("after: \"\"", "INVALID_INPUT after"),
        ("after: \"nonsense\"", "INVALID_INPUT after"),
        ("after: \"\\u0000🎞\"", "INVALID_INPUT after"),
    ] {
        for entity in ["Photo", "User"] {
            let answer = service
                .client
                .entities(
                    entity,
                    &[photo],
                    &format!("comments({arguments}) {{ totalCount }}"),
                )
                .await;
            assert_eq!(answer.error(), error, "{arguments}");
        }
    }
}

#[tokio::test]
async fn entities_without_comments_have_zero_and_not_null() {
    let service = service().await;
    let unknown = PhotoId::new(service.clock.now());
    assert_eq!(
        service.read(unknown).await,
        json!({ "commentCount": 0, "comments": { "totalCount": 0, "nodes": [] } })
    );
    let answer = service
        .client
        .entities("Photo", &["not an id"], "commentCount")
        .await;
    assert_eq!(answer.data()["_entities"], json!([null]));
}

#[tokio::test]
async fn a_page_needs_one_statement_for_each_kind_of_field() {
    // A single connection counts its statements.
    let service = service_with(1).await;
    let (ada, bob) = (service.new_user(), service.new_user());
    let mut photos = Vec::new();
    for _ in 0..3 {
        photos.push(conversation(&service, ada, bob).await);
    }
    let before = service.statements().await;
    service
        .client
        .entities("Photo", &photos, "id commentCount")
        .await
        .data();
    assert_eq!(
        service.statements().await - before,
        1,
        "the numbers of a timeline"
    );

    let selection = "commentCount comments { totalCount nodes { id body replies { totalCount nodes { id replyTo { id } } } } }";
    let before = service.statements().await;
    service.client.entities("Photo", &photos, selection).await.data();
    // Counts, pages, lengths; then pages and lengths of the replies of fifteen comments; then the parent comments.
    assert_eq!(
        service.statements().await - before,
        6,
        "the conversations of three photos"
    );
}

#[test]
fn nodes_of_lists_are_nullable() {
    let sdl = (comment::PROGRAM.sdl)();
    let connection = sdl
        .split_once("type CommentConnection")
        .unwrap()
        .1
        .split_once('}')
        .unwrap()
        .0;
    assert!(connection.contains("nodes: [Comment]!"), "{connection}");
    assert!(connection.contains("edges: [CommentEdge!]!"), "{connection}");
}
