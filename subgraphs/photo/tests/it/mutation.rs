use chassis::deleted_accounts;
use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{TestService, new_user_id};

const PUBLISH: &str =
    "mutation ($input: PublishPhotoInput!) { publishPhoto(input: $input) { id title altText publishedAt } }";
const UPDATE: &str = "mutation ($input: UpdatePhotoInput!) { updatePhoto(input: $input) { title altText } }";

#[tokio::test]
async fn publishing_again_returns_the_same_photo() {
    let site = TestService::new().await;
    let user = new_user_id();
    let upload = site.uploaded(user, 0).await;
    let first = site.publish(user, &upload, "First").await;
    assert_eq!(
        first.data()["publishPhoto"]["id"],
        upload.as_str(),
        "a photo has its upload's id"
    );
    assert_eq!(first.data()["publishPhoto"]["author"]["id"], user.to_string());
    let second = site.publish(user, &upload, "First").await;
    assert_eq!(second.data()["publishPhoto"], first.data()["publishPhoto"]);
    // Repeating after an edit returns the current photo.
    let edit = json!({ "input": { "id": upload, "title": "Edited" } });
    site.client.of(user).graphql(UPDATE, edit).await.data();
    let third = site.publish(user, &upload, " First ").await;
    assert_eq!(third.data()["publishPhoto"]["title"], "Edited");
    assert_eq!(site.outbox().await.len(), 1, "and it is published once");
    assert_eq!((site.count("photo").await, site.count("upload").await), (1, 0));
}

#[tokio::test]
async fn publishing_again_with_another_input_is_a_conflict() {
    let site = TestService::new().await;
    let (user, other) = (new_user_id(), new_user_id());
    let upload = site.uploaded(user, 0).await;
    let input = |title: &str, alt_text: Option<&str>| json!({ "input": { "uploadId": upload, "title": title, "altText": alt_text } });
    let publish = async |user, title, alt_text| {
        let client = site.client.of(user);
        client.graphql(PUBLISH, input(title, alt_text)).await
    };
    let first = publish(user, "First", Some("A wall")).await;
    assert_eq!(first.data()["publishPhoto"]["altText"], "A wall");
    for (title, alt_text) in [
        ("Second", Some("A wall")),
        ("First", None),
        ("First", Some("Another")),
        ("FirstA wall", None),
    ] {
        let answer = publish(user, title, alt_text).await;
        assert_eq!(answer.error(), "CONFLICT uploadId", "{title} {alt_text:?}");
        assert_eq!(publish(other, title, alt_text).await.error(), "NOT_FOUND");
    }
    let again = publish(user, "First", Some("A wall")).await;
    assert_eq!(again.data()["publishPhoto"], first.data()["publishPhoto"]);
    // Photos of the previous release have no hash, so any input is accepted.
    sqlx::query("UPDATE photo SET input_hash = NULL")
        .execute(&site.db.pool)
        .await
        .unwrap();
    let old = publish(user, "Second", None).await;
    assert_eq!(old.data()["publishPhoto"], first.data()["publishPhoto"]);
}

#[tokio::test]
async fn updated_at_changes_only_with_the_texts() {
    let site = TestService::new().await;
    let user = new_user_id();
    let photo = site.published(user, 0).await.to_string();
    let times = async || {
        let query = "query ($id: ID!) { photo(id: $id) { publishedAt updatedAt } }";
        let answer = site.client.graphql(query, json!({ "id": photo })).await;
        answer.data()["photo"].clone()
    };
    let update = async |mut input: Value| {
        site.clock.advance(TimeDelta::minutes(1));
        input["id"] = photo.as_str().into();
        let client = site.client.of(user);
        client.graphql(UPDATE, json!({ "input": input })).await.data();
        times().await["updatedAt"].clone()
    };
    let published = times().await;
    assert_eq!(published["updatedAt"], published["publishedAt"]);
    let title = update(json!({ "title": "New" })).await;
    assert_ne!(title, published["updatedAt"]);
    for same in [json!({}), json!({ "title": " New " }), json!({ "altText": null })] {
        assert_eq!(update(same.clone()).await, title, "{same}");
    }
    let alt_text = update(json!({ "altText": "A wall" })).await;
    assert!(alt_text.as_str() > title.as_str());
    assert_eq!(times().await["publishedAt"], published["publishedAt"]);
    // A replica with a slow clock does not decrease the time.
    site.clock.advance(TimeDelta::minutes(-60));
    assert_eq!(update(json!({ "title": "Newer" })).await, alt_text);
}

#[tokio::test]
async fn concurrent_publishing_creates_one_photo() {
    let site = TestService::new().await;
    let user = new_user_id();
    let upload = site.uploaded(user, 0).await;
    let answers = futures::future::join_all((0..5).map(|_| site.publish(user, &upload, "One"))).await;
    for answer in &answers {
        assert_eq!(answer.data()["publishPhoto"]["id"], upload.as_str());
    }
    assert_eq!((site.count("photo").await, site.outbox().await.len()), (1, 1));
}

#[tokio::test]
async fn the_day_is_in_the_time_zone_of_the_site() {
    let site = TestService::with(|state| state.time_zone = chrono_tz::Pacific::Auckland).await;
    let user = new_user_id();
    site.published(user, 0).await;
    let (kind, data) = site.outbox().await.remove(0);
    assert_eq!(kind, "photo.published");
    // Noon UTC is 1 am of the next day in Auckland.
    assert_eq!(
        (&data["hotDay"], &data["publishedAt"]),
        (&json!("2026-11-23"), &json!("2026-11-22T12:00:00Z"))
    );
    assert_eq!(data["authorId"], user.to_string());
}

#[tokio::test]
async fn texts_are_stored_as_written() {
    let site = TestService::new().await;
    let user = new_user_id();
    let upload = site.uploaded(user, 0).await;
    let input = json!({ "input": {
        "uploadId": upload,
        "title": "  \u{202B}שקיעה\u{202C} 👩‍👩‍👧 'x'; DROP TABLE photo; --  ",
        "altText": "Zwei Zeilen:\r\n<b>nicht fett</b>",
    } });
    let answer = site.client.of(user).graphql(PUBLISH, input).await;
    let photo = &answer.data()["publishPhoto"];
    assert_eq!(
        photo["title"],
        "\u{202B}שקיעה\u{202C} 👩‍👩‍👧 'x'; DROP TABLE photo; --"
    );
    assert_eq!(photo["altText"], "Zwei Zeilen:\n<b>nicht fett</b>");
    let longest =
        json!({ "input": { "id": upload, "title": "🌅".repeat(120), "altText": "🌊".repeat(1000) } });
    let answer = site.client.of(user).graphql(UPDATE, longest).await;
    assert_eq!(answer.data()["updatePhoto"]["altText"], "🌊".repeat(1000));
    let again = site
        .client
        .graphql(
            "query ($id: ID!) { photo(id: $id) { title } }",
            json!({ "id": upload }),
        )
        .await;
    assert_eq!(again.data()["photo"]["title"], "🌅".repeat(120));
}

#[tokio::test]
async fn errors_name_the_invalid_input() {
    let site = TestService::new().await;
    let user = new_user_id();
    let upload = site.uploaded(user, 0).await;
    let unknown = Uuid::now_v7().to_string();
    let too_long = "x".repeat(121);
    for (id, title, alt_text, expected) in [
        ("nonsense", "T", "", "INVALID_INPUT uploadId"),
        (&upload, "", "", "INVALID_INPUT title"),
        (&upload, " \u{200B} ", "", "INVALID_INPUT title"),
        (&upload, &too_long, "", "INVALID_INPUT title"),
        (&upload, "two\nlines", "", "INVALID_INPUT title"),
        (&upload, "a\u{0}b", "", "INVALID_INPUT title"),
        (&upload, "T", "bell \u{7}", "INVALID_INPUT altText"),
        (&upload, "T", &"x".repeat(1001), "INVALID_INPUT altText"),
        // Invalid input is reported before a missing photo.
        (&unknown, "", "", "INVALID_INPUT title"),
        (&unknown, "T", "", "NOT_FOUND"),
    ] {
        let input = json!({ "input": { "uploadId": id, "title": title, "altText": alt_text } });
        assert_eq!(
            site.client.of(user).graphql(PUBLISH, input.clone()).await.error(),
            expected,
            "{title:?}"
        );
        assert_eq!(
            site.client.graphql(PUBLISH, input).await.error(),
            "UNAUTHENTICATED"
        );
    }
    assert_eq!((site.count("photo").await, site.outbox().await.len()), (0, 0));
}

#[tokio::test]
async fn only_the_author_updates() {
    let site = TestService::new().await;
    let (user, other) = (new_user_id(), new_user_id());
    let photo = site.published(user, 0).await.to_string();
    let update = |client: testkit::Client, input: Value| async move {
        client.graphql(UPDATE, json!({ "input": input })).await
    };
    let both = json!({ "id": photo, "title": "New", "altText": "A wall" });
    assert_eq!(
        update(site.client.clone(), both.clone()).await.error(),
        "UNAUTHENTICATED"
    );
    assert_eq!(
        update(site.client.of(other), both.clone()).await.error(),
        "FORBIDDEN"
    );
    assert_eq!(
        update(site.client.moderator(other), both.clone()).await.error(),
        "FORBIDDEN"
    );
    assert_eq!(
        update(site.client.of(other), json!({ "id": Uuid::now_v7() }))
            .await
            .error(),
        "NOT_FOUND"
    );
    assert_eq!(
        update(site.client.of(user), json!({ "id": "x" })).await.error(),
        "INVALID_INPUT id"
    );
    assert_eq!(
        update(site.client.of(user), json!({ "id": photo, "title": "" }))
            .await
            .error(),
        "INVALID_INPUT title"
    );

    let mine = site.client.of(user);
    let expect = |title: &str, alt_text: Option<&str>| json!({ "title": title, "altText": alt_text });
    assert_eq!(
        update(mine.clone(), both).await.data()["updatePhoto"],
        expect("New", Some("A wall"))
    );
    assert_eq!(
        update(mine.clone(), json!({ "id": photo })).await.data()["updatePhoto"],
        expect("New", Some("A wall"))
    );
    let title = json!({ "id": photo, "title": "Newer" });
    assert_eq!(
        update(mine.clone(), title).await.data()["updatePhoto"],
        expect("Newer", Some("A wall"))
    );
    let no_text = json!({ "id": photo, "altText": null });
    assert_eq!(
        update(mine.clone(), no_text).await.data()["updatePhoto"],
        expect("Newer", None)
    );
}

#[tokio::test]
async fn deleting_a_photo_deletes_its_files() {
    let site = TestService::new().await;
    let (user, other) = (new_user_id(), new_user_id());
    let photo = site.published(user, 0).await;
    let folder = site.folder_of(photo).await;
    assert!(folder.join("master.jpg").exists());

    let query = "mutation ($id: ID!) { deletePhoto(id: $id) }";
    let id = json!({ "id": photo.to_string() });
    assert_eq!(
        site.client.graphql(query, id.clone()).await.error(),
        "UNAUTHENTICATED"
    );
    assert_eq!(
        site.client
            .of(user)
            .graphql(query, json!({ "id": "x" }))
            .await
            .error(),
        "INVALID_INPUT id"
    );
    assert_eq!(site.delete(other, photo).await.error(), "FORBIDDEN");
    assert_eq!(site.delete(other, Uuid::now_v7()).await.error(), "NOT_FOUND");
    assert_eq!(
        site.delete(user, photo).await.data()["deletePhoto"],
        photo.to_string()
    );

    assert_eq!(
        site.client
            .graphql("query ($id: ID!) { photo(id: $id) { id } }", id)
            .await
            .data()["photo"],
        Value::Null
    );
    assert_eq!(site.delete(user, photo).await.error(), "NOT_FOUND");
    assert_eq!(
        site.publish(user, &photo.to_string(), "Again").await.error(),
        "NOT_FOUND"
    );
    let events = site.outbox().await;
    assert_eq!(
        events[1],
        (
            "photo.deleted".to_owned(),
            json!({ "photoId": photo, "authorId": user })
        )
    );
    assert_eq!(events.len(), 2);

    site.sweep().await;
    assert!(!folder.exists());
    assert_eq!(site.count("garbage").await, 0);
}

#[tokio::test]
async fn moderators_can_delete_photos() {
    let site = TestService::new().await;
    let photo = site.published(new_user_id(), 0).await;
    let query = "mutation ($id: ID!) { deletePhoto(id: $id) }";
    let answer = site
        .client
        .moderator(new_user_id())
        .graphql(query, json!({ "id": photo.to_string() }))
        .await;
    assert_eq!(answer.data()["deletePhoto"], photo.to_string());
}

#[tokio::test]
async fn mutations_of_a_deleted_account_are_refused() {
    let site = TestService::new().await;
    let user = new_user_id();
    let photo = site.published(user, 0).await;
    let upload = site.uploaded(user, 1).await;
    deleted_accounts::record(&site.db.pool, user, site.clock.now())
        .await
        .unwrap();
    assert_eq!(
        site.publish(user, &upload, "Late").await.error(),
        "UNAUTHENTICATED"
    );
    assert_eq!(site.delete(user, photo).await.error(), "UNAUTHENTICATED");
    let input = json!({ "input": { "id": photo.to_string(), "title": "Late" } });
    assert_eq!(
        site.client.of(user).graphql(UPDATE, input).await.error(),
        "UNAUTHENTICATED"
    );
}

#[tokio::test]
async fn an_unresponsive_database_is_unavailable() {
    let site = TestService::with(|state| {
        let nowhere = chassis::config::Secret::new("mysql://root@127.0.0.1:9/photo");
        state.pool = chassis::database::Pool::new(&nowhere, 1).unwrap();
    })
    .await;
    let answer = site
        .client
        .graphql("{ latestPhotos { nodes { id } } }", json!({}))
        .await;
    assert_eq!(answer.error(), "UNAVAILABLE");
    assert!(!answer.0.to_string().contains("127.0.0.1"));
    assert_eq!(
        site.delete(new_user_id(), Uuid::now_v7()).await.error(),
        "UNAVAILABLE"
    );
    let (status, answer) = site.upload(new_user_id(), "image/png", "x").await;
    assert_eq!((status.as_u16(), &answer["code"]), (503, &json!("UNAVAILABLE")));
}
