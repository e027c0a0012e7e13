//! Paths: escapes are decoded once, for limits, origins, caching and routing alike; unknown paths are not found.

use serde_json::json;

use crate::fakes::{Fakes, PHOTO, Token};
use crate::gateway::Gateway;
use crate::http::{QUERY, get, post};
use crate::pages::bundle;

#[tokio::test]
async fn escapes_do_not_bypass_the_rules_of_a_path() {
    let fakes = Fakes::start().await;
    let flags = [("--rate-limit-graphql", "12"), ("--rate-limit-uploads", "3")];
    let gateway = Gateway::start_with(&fakes, &flags).await;
    let json = "Content-Type: application/json\r\n";
    let foreign = format!("{json}Origin: https://evil.example\r\n");
    let token = Token::good().signed();
    let upload = format!("Authorization: Bearer {token}\r\nContent-Type: image/jpeg\r\n");

    for target in ["/graphql", "/%67raphql", "/graph%71l", "/%67%72%61%70%68%71%6c"] {
        let (status, answer) = post(&gateway, target, json, QUERY).await;
        assert_eq!(status, 200, "{target}: {answer}");
        assert!(answer.contains("ada@example.org"), "{target}: {answer}");
        assert!(
            answer.to_lowercase().contains("cache-control: no-store"),
            "{target}: {answer}"
        );
        assert_eq!(post(&gateway, target, &foreign, QUERY).await.0, 403, "{target}");
        let (status, _) = post(&gateway, target, "Content-Type: text/plain\r\n", QUERY).await;
        assert_eq!(status, 403, "{target}");
    }
    for target in ["/media/uploads", "/media/%75ploads", "/%6dedia/uploads"] {
        assert_eq!(post(&gateway, target, "", "a photo").await.0, 401, "{target}");
        let foreign = format!("{upload}Origin: https://evil.example\r\n");
        assert_eq!(
            post(&gateway, target, &foreign, "a photo").await.0,
            403,
            "{target}"
        );
    }
    assert!(fakes["photo"].take_seen().is_empty());
    // These were three uploads, and four operations are left.
    let (status, _) = post(&gateway, "/media/%75ploads", &upload, "a photo").await;
    assert_eq!(status, 429);
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(post(&gateway, "/graph%71l", json, QUERY).await.0);
    }
    assert!(statuses.contains(&429), "{statuses:?}");

    for target in [
        "//graphql",
        "/graphql/",
        "/graphql/x",
        "/GraphQL",
        "/graphql;x",
        "/%2567raphql",
        "/media%2fuploads",
        "/x/../graphql",
        "/./graphql",
        "/media/../graphql",
        "/graphql%2f",
        "/%2e%2e/graphql",
        "/graphql%3f",
    ] {
        let (status, answer) = post(&gateway, target, json, QUERY).await;
        assert!(matches!(status, 404 | 405), "{target}: {answer}");
        assert_eq!(get(&gateway, target).await.0, 404, "{target}");
    }
    for target in [
        "/%",
        "/%zz",
        "/graphql%f",
        "/%ff",
        "/%c0%af",
        "/%00",
        "/a%0d%0ab",
        "*",
        "graphql",
    ] {
        let (status, answer) = post(&gateway, target, json, QUERY).await;
        assert_eq!(status, 400, "{target}: {answer}");
    }
}

#[tokio::test]
async fn escapes_do_not_change_a_photo() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    for target in [
        "/media/a/640.avif",
        "/media/%61/640%2eavif",
        "/m%65dia/a/640.avif",
    ] {
        let (status, answer) = get(&gateway, target).await;
        assert_eq!(status, 200, "{target}");
        assert!(answer.ends_with("0123456789"), "{target}: {answer}");
    }
    for target in [
        "/media/",
        "/media//a",
        "/media/a%20b",
        "/media/a?b",
        "/media/%2561",
    ] {
        let (status, answer) = get(&gateway, target).await;
        let is_query = target.contains('?');
        assert_eq!(status, if is_query { 200 } else { 404 }, "{target}: {answer}");
    }
}

#[tokio::test]
async fn escapes_do_not_change_a_page() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let gateway = Gateway::start_with(&fakes, &[("--app-dir", app.path().to_str().unwrap())]).await;
    for target in ["/@ada", "/%40ada", "/@%61da", "/%40%61%64%61", "/@ada/"] {
        let (status, answer) = get(&gateway, target).await;
        assert_eq!(status, 200, "{target}");
        assert!(
            answer.contains("<title>Ada ") && answer.contains("/@ada\">"),
            "{target}: {answer}"
        );
    }
    for target in [
        "/feeds/%40ada.atom",
        "/feeds/@%61da.atom",
        "/f%65eds/@ada.atom",
        "/%73itemap.xml",
        "/robots%2etxt",
    ] {
        assert_eq!(get(&gateway, target).await.0, 200, "{target}");
    }
    assert_eq!(get(&gateway, &format!("/%70/{PHOTO}")).await.0, 200);
    assert_eq!(get(&gateway, "/h%6ft/2026%2d11-22").await.0, 200);
    let (status, answer) = get(&gateway, "/nothing%2fhere").await;
    assert_eq!(status, 404);
    assert!(answer.contains("text/html"), "a page for people: {answer}");
}

#[tokio::test]
async fn unknown_paths_are_not_found() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let gateway = Gateway::start_with(&fakes, &[("--app-dir", app.path().to_str().unwrap())]).await;
    let nothing = json!({ "data": { "photo": null, "user": null, "hotPhotos": { "nodes": [], "pageInfo": { "hasNextPage": false, "endCursor": null } } } });
    for fake in [&fakes["photo"], &fakes["profile"], &fakes["vote"]] {
        fake.answer_with(nothing.clone());
    }
    for path in [
        "/@nobody",
        "/@guest-00000000000000000000000007",
        "/@",
        "/@a.b",
        "/@a/b",
        "/p/heron",
        "/p/",
        &format!("/p/{PHOTO}"),
        &format!("/p/{PHOTO}/x"),
        &format!("/p/{}", PHOTO.replace('-', "")),
        &format!("/p/{{{PHOTO}}}"),
        &format!("/p/urn:uuid:{PHOTO}"),
        "/hot/2026-02-31",
        "/hot/2026-13-01",
        "/hot/0000-00-00",
        "/hot/yesterday",
        "/hot/2026-11-22/x",
        "/trending/x",
        "/about",
        "/nowhere",
        "/index.html",
        "/feeds/nothing.atom",
        "/feeds/@nobody.atom",
        "/feeds/@guest-00000000000000000000000007.atom",
        "/feeds/",
        "/feeds/latest",
        "/sitemaps/2026-02-31.xml",
        "/sitemaps/2026-11-22.xml",
        "/sitemaps/nothing.xml",
        "/media/missing",
        "/assets/nothing.js",
        "/playground/nothing",
        "/metrics",
    ] {
        let answer = gateway.get(path).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
        let head = gateway.http.head(gateway.url(path)).send().await.unwrap();
        assert_eq!(head.status(), 404, "HEAD {path}");
    }
}
