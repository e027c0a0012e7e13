//! `GET /media/…`.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;

use crate::support::{TestService, jpeg, new_user_id, picture, request};

async fn send(
    site: &TestService,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, HeaderMap, Vec<u8>) {
    let mut request = request(method, path, None);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = site.client.send(request.body(Body::empty()).unwrap()).await;
    let (parts, body) = response.into_parts();
    (
        parts.status,
        parts.headers,
        body.collect().await.unwrap().to_bytes().to_vec(),
    )
}

async fn uploaded(site: &TestService) -> (String, std::path::PathBuf) {
    let (_, answer) = site
        .upload(new_user_id(), "image/jpeg", jpeg(&picture(500, 300)))
        .await;
    let folder = site.folder_of(answer["uploadId"].as_str().unwrap()).await;
    (
        format!("/media/{}", folder.file_name().unwrap().to_str().unwrap()),
        folder,
    )
}

#[tokio::test]
async fn renditions_are_cached_and_only_shown_as_pictures() {
    let site = TestService::new().await;
    let (base, folder) = uploaded(&site).await;
    for (name, media_type) in [("320.avif", "image/avif"), ("500.jpg", "image/jpeg")] {
        let (status, headers, body) = send(&site, "GET", &format!("{base}/{name}"), &[]).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(body, std::fs::read(folder.join(name)).unwrap());
        assert_eq!(headers[header::CONTENT_TYPE], media_type);
        assert_eq!(headers[header::CONTENT_LENGTH], body.len().to_string());
        assert_eq!(
            headers[header::CACHE_CONTROL],
            "public, max-age=31536000, immutable"
        );
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(
            headers[header::CONTENT_SECURITY_POLICY],
            "sandbox; default-src 'none'"
        );

        let (status, only_headers, nothing) = send(&site, "HEAD", &format!("{base}/{name}"), &[]).await;
        assert_eq!((status, nothing.len()), (StatusCode::OK, 0));
        assert_eq!(only_headers[header::CONTENT_LENGTH], body.len().to_string());
        let etag = headers[header::ETAG].to_str().unwrap();
        let (status, _, nothing) = send(
            &site,
            "GET",
            &format!("{base}/{name}"),
            &[("if-none-match", etag)],
        )
        .await;
        assert_eq!((status, nothing.len()), (StatusCode::NOT_MODIFIED, 0));
    }
}

#[tokio::test]
async fn each_format_has_a_separate_etag() {
    let site = TestService::new().await;
    let (base, _) = uploaded(&site).await;
    let (avif, jpeg) = (format!("{base}/320.avif"), format!("{base}/320.jpg"));
    let tag = async |path: &str| {
        let (_, headers, _) = send(&site, "HEAD", path, &[]).await;
        headers[header::ETAG].to_str().unwrap().to_owned()
    };
    let (of_avif, of_jpeg) = (tag(&avif).await, tag(&jpeg).await);
    assert_ne!(of_avif, of_jpeg);

    let (fresh, stale) = (StatusCode::NOT_MODIFIED, StatusCode::OK);
    let weak = format!("\"x\", W/{of_jpeg}");
    for (method, headers, expected) in [
        ("GET", &[("if-none-match", "*")][..], fresh),
        ("HEAD", &[("if-none-match", "*")], fresh),
        ("GET", &[("if-none-match", &weak)], fresh),
        (
            "GET",
            &[("if-none-match", "\"x\""), ("if-none-match", &of_jpeg)],
            fresh,
        ),
        (
            "GET",
            &[("if-none-match", &of_jpeg), ("range", "bytes=0-9")],
            fresh,
        ),
        ("GET", &[("if-none-match", &of_avif)], stale),
        ("GET", &[("if-none-match", "\"*\"")], stale),
        ("HEAD", &[("range", "bytes=0-9")], stale),
        // Ranges need a strong tag.
        (
            "GET",
            &[("range", "bytes=0-9"), ("if-range", &format!("W/{of_jpeg}"))],
            stale,
        ),
    ] {
        let (status, answered, body) = send(&site, method, &jpeg, headers).await;
        assert_eq!(status, expected, "{method} {headers:?}");
        assert_eq!(answered[header::ETAG], of_jpeg);
        assert_eq!(body.is_empty(), expected == fresh || method == "HEAD");
    }
    // A missing file is not "not modified".
    let (status, _, _) = send(&site, "GET", &format!("{base}/1.jpg"), &[("if-none-match", "*")]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, headers, _) = send(&site, "GET", &jpeg, &[("range", "bytes=99999999-")]).await;
    assert_eq!(status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
}

#[tokio::test]
async fn other_methods_return_the_allowed_ones() {
    let site = TestService::new().await;
    let (base, _) = uploaded(&site).await;
    for (path, allowed) in [
        (format!("{base}/320.jpg"), "GET,HEAD"),
        ("/media/uploads".to_owned(), "POST"),
    ] {
        for method in ["PUT", "PATCH", "DELETE", "OPTIONS"] {
            let (status, headers, _) = send(&site, method, &path, &[]).await;
            assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_eq!(headers[header::ALLOW], allowed, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn ranges_are_served() {
    let site = TestService::new().await;
    let (base, _) = uploaded(&site).await;
    let path = format!("{base}/500.jpg");
    let (_, headers, whole) = send(&site, "GET", &path, &[]).await;
    let (status, part_headers, part) = send(&site, "GET", &path, &[("range", "bytes=10-19")]).await;
    assert_eq!((status, &*part), (StatusCode::PARTIAL_CONTENT, &whole[10..20]));
    assert_eq!(
        part_headers[header::CONTENT_RANGE],
        format!("bytes 10-19/{}", whole.len())
    );
    let (status, _, _) = send(&site, "GET", &path, &[("range", "bytes=99999999-")]).await;
    assert_eq!(status, StatusCode::RANGE_NOT_SATISFIABLE);
    let etag = headers[header::ETAG].to_str().unwrap();
    let (status, _, _) = send(&site, "GET", &path, &[("range", "bytes=0-0"), ("if-range", etag)]).await;
    assert_eq!(status, StatusCode::PARTIAL_CONTENT);
    let (status, _, _) = send(
        &site,
        "GET",
        &path,
        &[("range", "bytes=0-0"), ("if-range", "\"another\"")],
    )
    .await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn other_paths_are_not_found() {
    let site = TestService::new().await;
    let (base, folder) = uploaded(&site).await;
    std::fs::write(folder.join("secret.txt"), "x").unwrap();
    let unknown = format!("/media/{}/320.jpg", "0".repeat(32));
    for path in [
        format!("{base}/master.jpg"),
        format!("{base}/640.jpg"),
        format!("{base}/0320.jpg"),
        format!("{base}/secret.txt"),
        format!("{base}/..%2F..%2Fsecret.txt"),
        format!("{base}/%2e%2e"),
        format!("{}/320.jpg", base.to_uppercase().replace("/MEDIA", "/media")),
        format!("{base}/"),
        unknown,
        "/media/".to_owned(),
    ] {
        let (status, headers, body) = send(&site, "GET", &path, &[]).await;
        assert_eq!((status, body.len()), (StatusCode::NOT_FOUND, 0), "{path}");
        assert_ne!(
            headers
                .get(header::CACHE_CONTROL)
                .map(axum::http::HeaderValue::as_bytes),
            Some(&b"public, max-age=31536000, immutable"[..])
        );
    }
}
