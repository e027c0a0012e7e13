//! `GET /media/…`.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;

use crate::support::{Site, jpeg, picture, request, somebody};

async fn send(
    site: &Site,
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

async fn uploaded(site: &Site) -> (String, std::path::PathBuf) {
    let (_, answer) = site
        .upload(somebody(), "image/jpeg", jpeg(&picture(500, 300)))
        .await;
    let folder = site.folder_of(answer["uploadId"].as_str().unwrap()).await;
    (
        format!("/media/{}", folder.file_name().unwrap().to_str().unwrap()),
        folder,
    )
}

#[tokio::test]
async fn renditions_are_served_for_ever_and_as_pictures_only() {
    let site = Site::new().await;
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
async fn a_part_can_be_had() {
    let site = Site::new().await;
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
async fn nothing_else_is_served() {
    let site = Site::new().await;
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
