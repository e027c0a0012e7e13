use chassis::deleted_accounts;
use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{TestService, jpeg, new_user_id, picture};

const LATEST: &str = "query ($first: Int, $after: String) {
    latestPhotos(first: $first, after: $after) {
        nodes { title }
        pageInfo { hasNextPage hasPreviousPage endCursor }
    }
}";

async fn latest(site: &TestService, first: i32, after: Option<&str>) -> testkit::Answer {
    site.client
        .graphql(LATEST, json!({ "first": first, "after": after }))
        .await
}

fn titles(connection: &Value) -> Vec<&str> {
    connection["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["title"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_photo_has_all_its_fields() {
    let site = TestService::new().await;
    let user = new_user_id();
    let (_, upload) = site.upload(user, "image/jpeg", jpeg(&picture(500, 300))).await;
    let upload = upload["uploadId"].as_str().unwrap();
    site.publish(user, upload, "Am Meer").await.data();
    let query = "query ($id: ID!) { photo(id: $id) {
        title altText width height placeholder publishedAt
        sources { __typename mediaType srcset }
        renditions { ...size kind: mediaType ... on Rendition { url } }
        author { __typename }
    } } fragment size on Rendition { width height }";
    let answer = site.client.graphql(query, json!({ "id": upload })).await;
    insta::with_settings!({ filters => vec![("/media/[0-9a-f]{32}/", "/media/…/")], sort_maps => true }, {
        insta::assert_json_snapshot!(answer.data()["photo"], { ".placeholder" => "(ThumbHash)" }, @r#"
        {
          "altText": null,
          "author": {
            "__typename": "User"
          },
          "height": 300,
          "placeholder": "(ThumbHash)",
          "publishedAt": "2026-11-22T12:00:00+00:00",
          "renditions": [
            {
              "height": 192,
              "kind": "image/avif",
              "url": "/media/…/320.avif",
              "width": 320
            },
            {
              "height": 192,
              "kind": "image/jpeg",
              "url": "/media/…/320.jpg",
              "width": 320
            },
            {
              "height": 300,
              "kind": "image/avif",
              "url": "/media/…/500.avif",
              "width": 500
            },
            {
              "height": 300,
              "kind": "image/jpeg",
              "url": "/media/…/500.jpg",
              "width": 500
            }
          ],
          "sources": [
            {
              "__typename": "ImageSource",
              "mediaType": "image/avif",
              "srcset": "/media/…/320.avif 320w, /media/…/500.avif 500w"
            },
            {
              "__typename": "ImageSource",
              "mediaType": "image/jpeg",
              "srcset": "/media/…/320.jpg 320w, /media/…/500.jpg 500w"
            }
          ],
          "title": "Am Meer",
          "width": 500
        }
        "#);
    });
    // Ids are case-insensitive.
    let answer = site
        .client
        .graphql(
            "query ($id: ID!) { photo(id: $id) { id } }",
            json!({ "id": upload.to_uppercase() }),
        )
        .await;
    assert_eq!(answer.data()["photo"]["id"], upload);
}

#[tokio::test]
async fn missing_photos_are_null_and_invalid_ids_are_errors() {
    let site = TestService::new().await;
    let query = "query ($id: ID!) { photo(id: $id) { id } }";
    let unknown = site.client.graphql(query, json!({ "id": Uuid::now_v7() })).await;
    assert_eq!(unknown.data()["photo"], Value::Null);
    for id in [
        "",
        "1",
        "0199a3c87a107cc398c4dc0c0c07398f",
        "0199a3c8-7a10-7cc3-98c4-dc0c0c07398\u{202E}",
    ] {
        assert_eq!(
            site.client.graphql(query, json!({ "id": id })).await.error(),
            "INVALID_INPUT id",
            "{id}"
        );
    }
}

#[tokio::test]
async fn pages_return_each_photo_once_while_others_are_published() {
    let site = TestService::new().await;
    let user = new_user_id();
    // Two have the same time, so that the id decides.
    for seed in 0..5 {
        site.published(user, seed).await;
        site.clock
            .advance(TimeDelta::seconds(if seed % 2 == 0 { -1 } else { 5 }));
    }
    let mut seen = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let answer = latest(&site, 2, after.as_deref()).await;
        let connection = &answer.data()["latestPhotos"];
        assert_eq!(connection["pageInfo"]["hasPreviousPage"], after.is_some());
        seen.extend(titles(connection).into_iter().map(str::to_owned));
        if connection["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = connection["pageInfo"]["endCursor"].as_str().map(str::to_owned);
        site.clock.advance(TimeDelta::minutes(1));
        site.published(user, 100 + u32::try_from(seen.len()).unwrap())
            .await;
    }
    seen.sort();
    assert_eq!(seen, ["Photo 0", "Photo 1", "Photo 2", "Photo 3", "Photo 4"]);
}

#[tokio::test]
async fn invalid_page_arguments_are_refused() {
    let site = TestService::new().await;
    for first in [0, -1, 101] {
        assert_eq!(latest(&site, first, None).await.error(), "INVALID_INPUT first");
    }
    for after in ["", "x", "bGF0ZXN0Ont9", "💥"] {
        assert_eq!(
            latest(&site, 10, Some(after)).await.error(),
            "INVALID_INPUT after"
        );
    }
    assert_eq!(
        latest(&site, 100, None).await.data()["latestPhotos"]["nodes"],
        json!([])
    );
}

#[tokio::test]
async fn a_cursor_without_a_valid_signature_is_refused() {
    use base64::Engine as _;
    let site = TestService::new().await;
    site.published(new_user_id(), 0).await;
    for at in [i64::MIN, i64::MAX, 0] {
        let text = format!("latest:{{\"at\":{at},\"id\":\"{}\"}}", Uuid::nil());
        let cursor = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        let answer = latest(&site, 10, Some(&cursor)).await;
        assert_eq!(answer.error(), "INVALID_INPUT after");
    }
}

#[tokio::test]
async fn a_cursor_is_valid_for_one_list() {
    let site = TestService::new().await;
    let (one, two) = (new_user_id(), new_user_id());
    for seed in 0..4 {
        site.published(if seed < 2 { one } else { two }, seed).await;
    }
    let of_latest = latest(&site, 1, None).await.data()["latestPhotos"]["pageInfo"]["endCursor"].clone();
    let photos_of = async |user, after: &serde_json::Value| {
        let page =
            format!("photos(first: 1, after: {after}) {{ nodes {{ title }} pageInfo {{ endCursor }} }}");
        site.client.entities("User", &[user], &page).await
    };
    let first = photos_of(one, &serde_json::Value::Null).await;
    let of_one = &first.data()["_entities"][0]["photos"]["pageInfo"]["endCursor"];
    photos_of(one, of_one).await.data();
    for (user, after) in [(two, of_one), (one, &of_latest)] {
        assert_eq!(photos_of(user, after).await.error(), "INVALID_INPUT after");
    }
    assert_eq!(
        latest(&site, 1, of_one.as_str()).await.error(),
        "INVALID_INPUT after"
    );
}

#[tokio::test]
async fn photos_of_a_user() {
    let site = TestService::new().await;
    let (one, two, three) = (new_user_id(), new_user_id(), new_user_id());
    for seed in 0..3 {
        site.published(one, seed).await;
    }
    site.published(two, 3).await;
    let answer = site
        .client
        .entities("User", &[one, two, three], "photos(first: 2) { nodes { title } pageInfo { hasNextPage endCursor } } all: photos { nodes { title } }")
        .await;
    let people = answer.data()["_entities"].as_array().unwrap();
    assert_eq!(titles(&people[0]["photos"]), ["Photo 2", "Photo 1"]);
    assert_eq!(titles(&people[0]["all"]), ["Photo 2", "Photo 1", "Photo 0"]);
    assert_eq!(people[0]["photos"]["pageInfo"]["hasNextPage"], true);
    assert_eq!(titles(&people[1]["photos"]), ["Photo 3"]);
    assert_eq!(people[2]["photos"]["nodes"], json!([]));

    let after = people[0]["photos"]["pageInfo"]["endCursor"].as_str().unwrap();
    let rest = site
        .client
        .entities(
            "User",
            &[one],
            &format!("photos(after: {after:?}) {{ nodes {{ title }} }}"),
        )
        .await;
    assert_eq!(titles(&rest.data()["_entities"][0]["photos"]), ["Photo 0"]);
    let refused = site
        .client
        .entities("User", &[one], "photos(first: 0) { nodes { id } }")
        .await;
    assert_eq!(refused.error(), "INVALID_INPUT first");
}

#[tokio::test]
async fn many_entities_need_one_statement() {
    let site = TestService::new().await;
    let user = new_user_id();
    let mut ids = Vec::new();
    for seed in 0..4 {
        ids.push(site.published(user, seed).await.to_string());
    }
    ids.push(Uuid::now_v7().to_string());
    ids.push("not an id".to_owned());

    // On a single connection, whose statements the server counts.
    let pool = chassis::database::Pool::new(&site.db.url(), 1).unwrap();
    let state = photo::State {
        pool: pool.clone(),
        ..site.state.clone()
    };
    let base = testkit::base(&pool, &site.clock);
    let client = testkit::Client::new(photo::service(&state, &base).into_routes());
    let statements = || async {
        let sql = "SELECT CAST(VARIABLE_VALUE AS SIGNED) FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'COM_STMT_EXECUTE'";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&pool).await.unwrap()
    };
    let before = statements().await;
    let answer = client
        .entities(
            "Photo",
            &ids,
            "id title author { id photos(first: 1) { nodes { id } } }",
        )
        .await;
    let photos = answer.data()["_entities"].as_array().unwrap();
    assert_eq!(photos[1]["title"], "Photo 1");
    assert_eq!(photos[4], Value::Null);
    assert_eq!(photos[5], Value::Null);
    // Photos, their authors' photos, and this count.
    assert_eq!(statements().await - before, 3);
}

#[tokio::test]
async fn photos_of_a_deleted_account_are_hidden_before_they_are_swept() {
    let site = TestService::new().await;
    let (leaver, stayer) = (new_user_id(), new_user_id());
    let photo = site.published(leaver, 0).await;
    site.published(stayer, 1).await;
    deleted_accounts::record(&site.db.pool, leaver, site.clock.now())
        .await
        .unwrap();

    assert_eq!(
        titles(&latest(&site, 10, None).await.data()["latestPhotos"]),
        ["Photo 1"]
    );
    let query = "query ($id: ID!) { photo(id: $id) { id } }";
    assert_eq!(
        site.client
            .graphql(query, json!({ "id": photo.to_string() }))
            .await
            .data()["photo"],
        Value::Null
    );
    let entities = site
        .client
        .entities("User", &[leaver], "photos { nodes { title } }")
        .await;
    assert_eq!(entities.data()["_entities"][0]["photos"]["nodes"], json!([]));
    let entities = site.client.entities("Photo", &[photo], "title").await;
    assert_eq!(entities.data()["_entities"][0], Value::Null);
}

#[test]
fn the_schema_matches_the_contract() {
    let sdl = (photo::PROGRAM.sdl)();
    for line in [
        "photo(id: ID!): Photo\n",
        "latestPhotos(after: String, first: Int! = 24): PhotoConnection!",
        "publishPhoto(input: PublishPhotoInput!): Photo!",
        "updatePhoto(input: UpdatePhotoInput!): Photo!",
        "deletePhoto(id: ID!): ID!",
        "photos(after: String, first: Int! = 24): PhotoConnection\n",
        "sources: [ImageSource!]!",
        "renditions: [Rendition!]!",
        "author: User\n",
        "nodes: [Photo]!",
        "type Photo @key(fields: \"id\")",
        "type User @key(fields: \"id\")",
    ] {
        assert!(sdl.contains(line), "{line} is missing of:\n{sdl}");
    }
}
