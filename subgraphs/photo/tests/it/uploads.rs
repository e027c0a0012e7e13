//! `POST /media/uploads`.

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use chassis::deleted_accounts;
use chrono::TimeDelta;
use futures::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use testkit::Issuer;
use uuid::Uuid;

use crate::support::{TestService, answer_of, jpeg, new_user_id, picture, png, request};

#[tokio::test]
async fn an_upload_returns_when_its_files_are_stored() {
    let site = TestService::new().await;
    let (status, mut answer) = site
        .upload(new_user_id(), "image/jpeg", jpeg(&picture(500, 300)))
        .await;
    assert_eq!(status, StatusCode::CREATED);
    let folder = site.folder_of(answer["uploadId"].as_str().unwrap()).await;
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 5);
    answer["uploadId"] = "…".into();
    let placeholder = answer["placeholder"].take();
    assert!(
        placeholder
            .as_str()
            .is_some_and(|hash| (20..40).contains(&hash.len())),
        "{placeholder}"
    );
    assert_eq!(
        answer,
        json!({ "uploadId": "…", "width": 500, "height": 300, "placeholder": null })
    );
}

#[tokio::test]
async fn anonymous_and_deleted_users_are_refused() {
    let site = TestService::new().await;
    let signed_out = site
        .client
        .post("/media/uploads", "text/plain", "not even a picture")
        .await;
    let (status, answer) = answer_of(signed_out).await;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::UNAUTHORIZED, &"UNAUTHENTICATED".into())
    );
    let forged = site
        .client
        .with_token("forged".to_owned())
        .post("/media/uploads", "image/png", png(&picture(9, 9)))
        .await;
    assert_eq!(forged.status(), StatusCode::UNAUTHORIZED);

    let user = new_user_id();
    deleted_accounts::record(&site.db.pool, user, site.clock.now())
        .await
        .unwrap();
    let (status, answer) = site.upload(user, "image/png", png(&picture(9, 9))).await;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::UNAUTHORIZED, &"UNAUTHENTICATED".into())
    );
    let session = Uuid::new_v4();
    let ended = testkit::event(
        "session.ended",
        json!({ "sessionIds": [session] }),
        site.clock.now(),
    );
    assert_eq!(site.client.deliver(&ended).await, StatusCode::NO_CONTENT);
    let client = site
        .client
        .with_token(Issuer::session_token(new_user_id(), session));
    let upload = client
        .post("/media/uploads", "image/png", png(&picture(9, 9)))
        .await;
    let (status, answer) = answer_of(upload).await;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::UNAUTHORIZED, &"UNAUTHENTICATED".into())
    );
    assert_eq!(site.count("upload").await, 0);
}

#[tokio::test]
async fn the_format_is_detected_by_the_bytes() {
    let site = TestService::new().await;
    let user = new_user_id();
    let picture = png(&picture(20, 20));
    for media_type in [
        "image/png",
        "image/jpeg",
        "image/webp",
        "image/jpg",
        "image/pjpeg",
        "image/gif",
        "application/octet-stream",
        "text/plain",
        "nonsense",
        "",
    ] {
        let (status, answer) = site.upload(user, media_type, picture.clone()).await;
        assert_eq!(status, StatusCode::CREATED, "{media_type}: {answer}");
    }
    let without = request("POST", "/media/uploads", Some(user)).body(Body::from(picture.clone()));
    assert_eq!(
        site.client.send(without.unwrap()).await.status(),
        StatusCode::CREATED
    );
    assert_eq!(site.count("upload").await, 1);

    for bytes in [b"MZ\x90\0 a program".as_slice(), b"A letter, and no picture."] {
        let (status, answer) = site.upload(user, "image/jpeg", bytes.to_vec()).await;
        assert_eq!(
            (status, &answer["code"], &answer["reason"]),
            (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                &"INVALID_INPUT".into(),
                &"not_a_picture".into()
            )
        );
    }
    let form = "--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n";
    let (status, _) = site.upload(user, "Multipart/Form-Data; boundary=x", form).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(site.count("upload").await, 1);
}

#[tokio::test]
async fn empty_and_damaged_files_have_different_errors() {
    let site = TestService::new().await;
    let user = new_user_id();
    let picture = png(&picture(20, 20));
    let (status, answer) = site.upload(user, "image/jpeg", Vec::new()).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    insta::assert_json_snapshot!(answer, @r#"
    {
      "code": "INVALID_INPUT",
      "message": "The file is empty.",
      "reason": "empty"
    }
    "#);
    for damaged in [
        b"\xFF".to_vec(),
        b"a".to_vec(),
        picture[..8].to_vec(),
        // A valid signature followed by invalid data.
        [&picture[..8], &[7; 2000]].concat(),
        [b"\xFF\xD8\xFF\xE0".as_slice(), &[7; 2000], b"\xFF\xD9"].concat(),
        [b"RIFF\xD8\x07\0\0WEBPVP8 ".as_slice(), &[7; 2000]].concat(),
    ] {
        let (status, answer) = site.upload(user, "image/png", damaged).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    }
    assert_eq!(site.count("upload").await, 0);
}

#[tokio::test]
async fn refused_formats_are_named_with_advice() {
    let site = TestService::new().await;
    let user = new_user_id();
    let heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic\0\0\0\x08mdat";
    let (status, answer) = site.upload(user, "image/heic", heic.to_vec()).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    insta::assert_json_snapshot!(answer, @r#"
    {
      "code": "INVALID_INPUT",
      "message": "The format of this file is HEIC. Only JPEG, PNG and WebP can be uploaded. Export it as JPEG, then upload that. On an iPhone, Settings > Camera > Formats > Most Compatible makes the camera save JPEG.",
      "reason": "foreign_format",
      "format": "HEIC"
    }
    "#);
    for (format, bytes) in [
        ("AVIF", b"\0\0\0\x1Cftypavif\0\0\0\0mif1avifmiaf".as_slice()),
        ("JPEG XL", b"\xFF\x0A\xFA\x1F\x41\x91\x08\x06\x01\0\x48\0"),
        ("JPEG XL", b"\0\0\0\x0CJXL \r\n\x87\n\0\0\0\x14ftypjxl "),
        ("GIF", b"GIF89a\x01\0\x01\0\0\0\0;"),
        (
            "TIFF",
            b"II\x2A\0\x08\0\0\0\x01\0\0\x01\x03\0\x01\0\0\0\x01\0\0\0",
        ),
        ("Canon RAW (CR2)", b"II\x2A\0\x10\0\0\0CR\x02\0\0\0\0\0"),
        (
            "SVG",
            b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>",
        ),
        ("BMP", b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"),
        ("PDF", b"%PDF-1.7\n%\xE2\xE3\xCF\xD3"),
    ] {
        let (status, answer) = site.upload(user, "image/jpeg", bytes.to_vec()).await;
        assert_eq!(
            (status, &answer["reason"], &answer["format"]),
            (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                &"foreign_format".into(),
                &format.into()
            ),
        );
        let message = answer["message"].as_str().unwrap();
        assert!(
            message.contains(format) && message.contains("then upload"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let site = TestService::new().await;
    let user = new_user_id();
    // Chunked, without a length.
    let chunk = Bytes::from([b"\xFF\xD8\xFF\xE0".as_slice(), &[0; 16_000]].concat());
    let endless = Body::from_stream(stream::repeat(chunk).map(Ok::<_, std::io::Error>).take(4000));
    let (status, answer) = site.upload(user, "image/jpeg", endless).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    insta::assert_json_snapshot!(answer, @r#"
    {
      "code": "INVALID_INPUT",
      "message": "This file is too large: the limit is 25 MiB.",
      "reason": "too_many_bytes"
    }
    "#);
    // With a length: refused before the body is read.
    let announced = request("POST", "/media/uploads", Some(user))
        .header(header::CONTENT_TYPE, "image/jpeg")
        .header(header::CONTENT_LENGTH, 25 * 1024 * 1024 + 1)
        .body(Body::empty());
    let response = site.client.send(announced.unwrap()).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn an_aborted_upload_leaves_nothing() {
    let site = TestService::new().await;
    let user = new_user_id();
    let whole = png(&picture(60, 60));
    let half = Bytes::from(whole[..whole.len() / 2].to_vec());
    let broken = stream::iter([Ok(half), Err(std::io::Error::other("the connection is gone"))]);
    let (status, answer) = site.upload(user, "image/png", Body::from_stream(broken)).await;
    assert_eq!(
        (status, answer["message"].as_str()),
        (
            StatusCode::UNPROCESSABLE_ENTITY,
            Some("The upload was cut off. Try again.")
        )
    );
    assert_eq!(site.count("upload").await, 0);
    assert_eq!(site.stored_files(), 0);
    let (status, _) = site.upload(user, "image/png", whole).await;
    assert_eq!(status, StatusCode::CREATED);
    assert!(site.stored_files() > 0);
}

#[tokio::test]
async fn the_same_bytes_of_a_user_are_the_same_upload() {
    let site = TestService::new().await;
    let (user, other) = (new_user_id(), new_user_id());
    let bytes = png(&picture(40, 30));
    let first = site.upload(user, "image/png", bytes.clone()).await.1;
    assert_eq!(
        site.upload(user, "image/png", bytes.clone()).await,
        (StatusCode::CREATED, first.clone())
    );
    assert_ne!(
        site.upload(other, "image/png", bytes.clone()).await.1["uploadId"],
        first["uploadId"]
    );

    // After publishing, the same bytes are a new upload.
    site.publish(user, first["uploadId"].as_str().unwrap(), "One")
        .await
        .data();
    let again = site.upload(user, "image/png", bytes).await.1;
    assert_ne!(again["uploadId"], first["uploadId"]);
    assert_eq!(site.count("upload").await, 2);
}

#[tokio::test]
async fn concurrent_uploads_of_the_same_bytes_are_one_upload() {
    let site = TestService::new().await;
    let user = new_user_id();
    let bytes = png(&picture(50, 30));
    let all = futures::future::join_all((0..6).map(|_| site.upload(user, "image/png", bytes.clone()))).await;
    assert!(
        all.iter()
            .all(|(status, answer)| *status == StatusCode::CREATED && *answer == all[0].1),
        "{all:?}"
    );
    assert_eq!(site.count("upload").await, 1);
}

#[tokio::test]
async fn an_upload_expires_a_day_after_it_was_last_sent() {
    let site = TestService::new().await;
    let user = new_user_id();
    let bytes = png(&picture(40, 31));
    let first = site.upload(user, "image/png", bytes.clone()).await.1;
    site.clock.advance(TimeDelta::hours(23));
    assert_eq!(site.upload(user, "image/png", bytes.clone()).await.1, first);
    site.clock.advance(TimeDelta::hours(23));
    site.sweep().await;
    assert_eq!(site.count("upload").await, 1);

    site.clock.advance(TimeDelta::hours(2));
    let id = first["uploadId"].as_str().unwrap();
    let old = site.folder_of(id).await;
    assert_eq!(site.publish(user, id, "Too late").await.error(), "NOT_FOUND");
    // Expired but not swept: the same bytes replace it.
    let second = site.upload(user, "image/png", bytes).await.1;
    assert_ne!(second["uploadId"], first["uploadId"]);
    site.sweep().await;
    assert!(!old.exists());
    assert!(
        site.folder_of(second["uploadId"].as_str().unwrap())
            .await
            .exists()
    );
}

#[tokio::test]
async fn the_uploads_of_an_account_are_limited() {
    let site = TestService::new().await;
    let user = new_user_id();
    let begin = || {
        Body::from_stream(
            stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"\x89PNG")) })
                .chain(stream::pending()),
        )
    };
    let client = site.client.of(user);
    let mut waiting = Vec::new();
    // Refused uploads release their slots, so uploads are added until one is refused.
    let refused = loop {
        let response = client
            .post("/media/uploads", "image/png", png(&picture(30, 30)))
            .await;
        if response.status() != StatusCode::CREATED {
            break response;
        }
        let (client, body) = (client.clone(), begin());
        waiting.push(tokio::spawn(async move {
            client.post("/media/uploads", "image/png", body).await
        }));
    };
    assert_eq!(refused.headers()[header::RETRY_AFTER], "5");
    let (status, answer) = answer_of(refused).await;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &Value::from("UNAVAILABLE"))
    );
    // Other users are not affected.
    assert_eq!(
        site.upload(new_user_id(), "image/png", png(&picture(30, 31)))
            .await
            .0,
        StatusCode::CREATED
    );
    for upload in waiting {
        upload.abort();
        let _ = upload.await;
    }
    assert_eq!(
        site.upload(user, "image/png", png(&picture(30, 32))).await.0,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn slow_uploads_end_and_delay_no_others() {
    let site = TestService::new().await;
    let trickle = || {
        let bytes = stream::unfold(0_usize, |at| async move {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            let byte = Bytes::copy_from_slice(&[b"\xFF\xD8\xFF\xE0"[at.min(3)]]);
            Some((Ok::<_, std::io::Error>(byte), at + 1))
        });
        Body::from_stream(bytes)
    };
    let clients: Vec<_> = (0..4)
        .flat_map(|_| std::iter::repeat_n(site.client.of(new_user_id()), 8))
        .collect();
    let slow: Vec<_> = clients
        .into_iter()
        .map(|client| {
            tokio::spawn(async move { client.post("/media/uploads", "image/jpeg", trickle()).await })
        })
        .collect();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let (status, answer) = site
        .upload(new_user_id(), "image/png", png(&picture(30, 33)))
        .await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");

    let mut ended = 0;
    for response in slow {
        let (status, answer) = answer_of(response.await.unwrap()).await;
        // Of each account, six are received.
        if status == StatusCode::REQUEST_TIMEOUT {
            assert_eq!(answer["reason"], "too_slowly_sent");
            ended += 1;
        } else {
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
        }
    }
    assert_eq!(ended, 4 * 6);
    assert_eq!(site.count("upload").await, 1);
}

#[tokio::test]
async fn uploads_are_private() {
    let site = TestService::new().await;
    let (user, other) = (new_user_id(), new_user_id());
    let upload = site.uploaded(user, 1).await;
    assert_eq!(
        site.publish(other, &upload, "Mine now").await.error(),
        "NOT_FOUND"
    );
    let photo = site
        .client
        .graphql(
            "query ($id: ID!) { photo(id: $id) { id } }",
            json!({ "id": upload }),
        )
        .await;
    assert_eq!(photo.data()["photo"], Value::Null);
    site.publish(user, &upload, "Mine").await.data();
    assert_eq!(
        site.publish(other, &upload, "Mine now").await.error(),
        "NOT_FOUND"
    );
}
