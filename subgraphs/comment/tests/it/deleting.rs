//! Permissions to delete, and the effects of deletions.

use chrono::TimeDelta;
use serde_json::json;
use uuid::Uuid;

use crate::{DELETE, service};

#[tokio::test]
async fn authors_and_moderators_can_delete() {
    let service = service().await;
    let (ada, bob, eve) = (service.new_user(), service.new_user(), service.new_user());
    let photo = service.photo(bob).await;
    for who in [ada, bob] {
        let id = service.add(ada, photo, "x").await;
        assert_eq!(service.delete(eve, id).await.error(), "FORBIDDEN");
        assert_eq!(
            service.client.graphql(DELETE, json!({ "id": id })).await.error(),
            "UNAUTHENTICATED"
        );
        assert_eq!(service.delete(who, id).await.data()["deleteComment"], json!(id));
        assert_eq!(service.delete(who, id).await.error(), "NOT_FOUND");
    }
    let id = service.add(ada, photo, "x").await;
    service
        .client
        .moderator(eve)
        .graphql(DELETE, json!({ "id": id }))
        .await
        .data();
    assert_eq!(service.texts(photo).await, (vec![], 0, 0));
    let by_bad_id = service.client.of(ada).graphql(DELETE, json!({ "id": "7" })).await;
    assert_eq!(by_bad_id.error(), "INVALID_INPUT id");
    let by_unknown = service
        .client
        .of(ada)
        .graphql(DELETE, json!({ "id": Uuid::nil() }))
        .await;
    assert_eq!(by_unknown.error(), "NOT_FOUND");
}

#[tokio::test]
async fn a_tombstone_is_deleted_with_its_last_reply() {
    let service = service().await;
    let (ada, bob) = (service.new_user(), service.new_user());
    let photo = service.photo(bob).await;
    let top = service.add(ada, photo, "top").await;
    let (one, two) = (
        service.reply(bob, photo, top, "one").await,
        service.reply(ada, photo, top, "two").await,
    );
    service.add(bob, photo, "other").await;

    service.delete(ada, top).await.data();
    insta::assert_json_snapshot!(service.read(photo).await["comments"]["nodes"][1], @r#"
    {
      "body": "",
      "deleted": true,
      "author": null,
      "replies": {
        "nodes": [
          {
            "body": "one"
          },
          {
            "body": "two"
          }
        ],
        "totalCount": 2
      }
    }
    "#);
    assert_eq!(
        (service.texts(photo).await.1, service.texts(photo).await.2),
        (2, 3)
    );

    service.delete(bob, one).await.data();
    assert_eq!(
        service.texts(photo).await.0[1],
        (String::new(), vec!["two".to_owned()])
    );
    // The sweep keeps a tombstone with replies.
    service.clock.advance(TimeDelta::minutes(2));
    comment::sweep::run(&service.state).await.unwrap();
    service.delete(ada, two).await.data();
    assert_eq!(
        service.texts(photo).await,
        (vec![("other".to_owned(), vec![])], 1, 1)
    );
    assert_eq!(service.rows("comment").await, 2);
    comment::sweep::run(&service.state).await.unwrap();
    assert_eq!(service.rows("comment").await, 1);
}
