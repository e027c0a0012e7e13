//! Atom feeds, checked against RFC 4287.

use std::collections::HashSet;

use atom_syndication::Feed;
use serde_json::json;
use url::Url;

use crate::fakes::{Fakes, PHOTO, photo};
use crate::gateway::{Gateway, header};

const BASE: &str = "https://photos.example";

async fn gateway(fakes: &Fakes) -> Gateway {
    Gateway::start_with(fakes, &[("--public-url", BASE)]).await
}

/// Downloads a feed and checks it.
async fn feed(gateway: &Gateway, name: &str) -> Feed {
    let answer = gateway.get(&format!("/feeds/{name}")).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{name}");
    assert_eq!(
        header(&answer, "content-type"),
        Some("application/atom+xml; charset=utf-8")
    );
    assert!(header(&answer, "etag").is_some());
    let text = answer.text().await.unwrap();
    let feed: Feed = text.parse().unwrap_or_else(|error| panic!("{error}: {text}"));
    check(&feed, &format!("{BASE}/feeds/{name}"));
    feed
}

/// Checks the requirements of RFC 4287, section 4, and its recommendations that affect readers.
pub(crate) fn check(feed: &Feed, itself: &str) {
    assert!(Url::parse(&feed.id).is_ok(), "an id is an IRI: {}", feed.id);
    assert_ne!(feed.title.value, "");
    let of_rel = |links: &[atom_syndication::Link], rel: &str| -> Vec<String> {
        let hrefs = links.iter().filter(|link| link.rel == rel);
        hrefs.map(|link| link.href.clone()).collect()
    };
    assert_eq!(of_rel(&feed.links, "self"), [itself]);
    assert_eq!(of_rel(&feed.links, "alternate").len(), 1);
    let mut ids = HashSet::new();
    for entry in &feed.entries {
        assert!(
            entry.id.starts_with("urn:uuid:") && ids.insert(&entry.id),
            "unique and for ever: {}",
            entry.id
        );
        assert_ne!(entry.title.value, "");
        assert!(feed.updated >= entry.updated);
        assert!(
            !entry.authors.is_empty() && entry.authors.iter().all(|author| !author.name.is_empty()),
            "each entry has its author, as the feed has none"
        );
        assert_eq!(of_rel(&entry.links, "alternate").len(), 1);
        for link in &entry.links {
            assert!(Url::parse(&link.href).is_ok(), "absolute: {}", link.href);
        }
        let enclosures = entry.links.iter().filter(|link| link.rel == "enclosure");
        for enclosure in enclosures {
            assert_eq!(enclosure.mime_type.as_deref(), Some("image/jpeg"));
        }
        let content = entry.content.as_ref().unwrap();
        assert_eq!(content.content_type.as_deref(), Some("html"));
        assert_eq!(content.src, None);
    }
}

#[tokio::test]
async fn every_timeline_and_user_has_a_feed() {
    let fakes = Fakes::start().await;
    let gateway = gateway(&fakes).await;
    for (name, title, page) in [
        ("latest.atom", "Latest · Proofsheet", "/"),
        ("hot.atom", "Hot · Proofsheet", "/hot"),
        ("trending.atom", "Trending · Proofsheet", "/trending"),
        ("@ada.atom", "Photos by Ada · Proofsheet", "/@ada"),
    ] {
        let feed = feed(&gateway, name).await;
        assert_eq!(feed.title.value, title);
        assert!(feed.links.iter().any(|link| link.href == format!("{BASE}{page}")));
        let [entry] = feed.entries.as_slice() else {
            panic!("{name} has one photo")
        };
        assert_eq!(entry.id, format!("urn:uuid:{PHOTO}"));
        assert_eq!(entry.title.value, "A heron");
        assert_eq!(entry.authors[0].name, "Ada");
        let published = entry.published.unwrap().to_rfc3339();
        assert_eq!(published, "2026-11-22T10:00:00+00:00");
        // The title was changed later.
        assert_eq!(entry.updated.to_rfc3339(), "2026-11-22T11:30:00+00:00");
        assert_eq!(feed.updated, entry.updated);
        let content = entry.content.as_ref().unwrap().value.as_deref().unwrap();
        assert!(
            content.contains("src=\"https://photos.example/media/a/1280.jpg\""),
            "{content}"
        );
    }
}

#[tokio::test]
async fn titles_are_escaped_and_unknown_users_have_no_feed() {
    let fakes = Fakes::start().await;
    let gateway = gateway(&fakes).await;
    let mut bad = photo();
    bad["title"] = "\"><script> & ]]>".into();
    let photos = json!({ "nodes": [bad], "pageInfo": { "hasNextPage": false } });
    fakes["photo"].answer_with(json!({ "data": { "latestPhotos": photos } }));
    let feed = feed(&gateway, "latest.atom").await;
    assert_eq!(feed.entries[0].title.value, "\"><script> & ]]>");

    fakes["profile"].answer_with(json!({ "data": { "user": null } }));
    for name in ["@nobody.atom", "latest.rss", "nothing.atom", "@.atom"] {
        let answer = gateway.get(&format!("/feeds/{name}")).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{name}");
    }
}

#[tokio::test]
async fn unchanged_feeds_are_not_modified() {
    let fakes = Fakes::start().await;
    let gateway = gateway(&fakes).await;
    let first = gateway.get("/feeds/latest.atom").send().await.unwrap();
    let again = gateway
        .get("/feeds/latest.atom")
        .header("if-none-match", header(&first, "etag").unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), 304);
    // The size of the enclosure was requested too, but not from the graph.
    let seen = fakes["photo"].take_seen();
    let questions = seen.iter().filter(|seen| seen.size > 0).count();
    assert_eq!((questions, seen.len()), (1, 2), "and nothing is asked again");
    let failed = json!({ "message": "away", "extensions": { "code": "UNAVAILABLE" } });
    fakes["vote"].answer_with(json!({ "data": null, "errors": [failed] }));
    let away = gateway.get("/feeds/hot.atom").send().await.unwrap();
    assert_eq!(away.status(), 503);
    assert!(header(&away, "retry-after").is_some());
}
