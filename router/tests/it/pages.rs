//! Server-rendered pages.

use std::fs;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::fakes::{Fakes, PHOTO, Token, photo};
use crate::gateway::{Gateway, code, header};

/// The app's page with placeholders.
pub(crate) fn bundle() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let index = concat!(env!("CARGO_MANIFEST_DIR"), "/../frontend/index.html");
    fs::copy(index, folder.path().join("index.html")).unwrap();
    folder
}

async fn gateway(fakes: &Fakes, app: &TempDir, flags: &[(&str, &str)]) -> Gateway {
    let app = [("--app-dir", app.path().to_str().unwrap())];
    Gateway::start_with(fakes, &[&app, flags].concat()).await
}

/// Downloads a page after the cached one has expired.
async fn fresh(gateway: &Gateway, path: &str) -> (u16, String) {
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let answer = gateway.get(path).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    let (_, rest) = text
        .split_once(start)
        .unwrap_or_else(|| panic!("no {start} in {text}"));
    rest.split_once(end).expect(end).0
}

/// The embedded responses.
fn answered(page: &str) -> Value {
    let json = between(
        page,
        "<script type=\"application/json\" id=\"first-page\">",
        "</script>",
    );
    serde_json::from_str(json).unwrap()
}

#[tokio::test]
async fn each_page_embeds_the_first_responses() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let gateway = gateway(&fakes, &app, &[("--public-url", "https://photos.example")]).await;
    let page = json!({ "first": 24, "after": null });
    let of_day = |day: Value| json!({ "day": day, "first": 24, "after": null });
    let of_ada = json!({ "username": "ada", "first": 24, "after": null });
    for (path, title, operations) in [
        ("/", "Latest", vec![("LatestPhotos", page.clone())]),
        ("/trending", "Trending", vec![("TrendingPhotos", page)]),
        (
            "/hot",
            "Hot",
            vec![("HotPhotos", of_day(Value::Null)), ("HotDays", json!({}))],
        ),
        (
            "/hot/2026-11-21",
            "Hot, November 21, 2026",
            vec![("HotPhotos", of_day("2026-11-21".into())), ("HotDays", json!({}))],
        ),
        (
            "/@ada",
            "Ada",
            vec![
                ("ProfileByUsername", json!({ "username": "ada" })),
                ("PhotosOf", of_ada),
            ],
        ),
        (
            &format!("/p/{PHOTO}"),
            "A heron",
            vec![("PhotoById", json!({ "id": PHOTO }))],
        ),
    ] {
        let answer = gateway.get(path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(header(&answer, "cache-control"), Some("no-cache"));
        let page = answer.text().await.unwrap();
        let found = answered(&page);
        let found: Vec<_> = found
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["operation"].as_str().unwrap(), one["variables"].clone()))
            .collect();
        assert_eq!(found, operations, "{path}");
        assert!(
            page.contains(&format!("<title>{title} · Proofsheet</title>")),
            "{path}: {page}"
        );
        let canonical = format!("<link rel=\"canonical\" href=\"https://photos.example{path}\">");
        assert!(page.contains(&canonical), "{path}: {page}");
        assert!(
            page.contains("A grey bird in shallow water") && page.contains(" dir=\"auto\">Ada</a>"),
            "{path}"
        );
        assert!(
            page.contains("rel=\"preload\" as=\"image\" type=\"image/avif\""),
            "{path}"
        );
        assert!(page.contains("type=\"application/atom+xml\""), "{path}");
        assert!(!page.contains("<!--head") && !page.contains("<!--main"), "{path}");
    }
    let page = gateway.get("/").send().await.unwrap().text().await.unwrap();
    assert_eq!(
        answered(&page)[0]["data"]["latestPhotos"]["nodes"][0]["votes"]["score"],
        1
    );
}

#[tokio::test]
async fn a_day_without_photos_shows_the_last_podium() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let gateway = gateway(&fakes, &app, &[]).await;
    let empty = json!({ "nodes": [], "pageInfo": { "hasNextPage": false, "endCursor": null } });
    let day =
        json!({ "day": "2026-11-20", "photoCount": 1, "winner": { "__typename": "Photo", "id": PHOTO } });
    fakes["vote"].answer_with(json!({ "data": { "hotPhotos": empty, "hotDays": { "nodes": [day] } } }));
    let (status, page) = fresh(&gateway, "/hot").await;
    assert_eq!(status, 200);
    assert!(
        page.contains("No photos yet today") && page.contains("The podium of November 20, 2026"),
        "{page}"
    );
    let asked = &answered(&page)[2];
    assert_eq!(
        (&asked["operation"], &asked["variables"]),
        (
            &json!("HotPhotos"),
            &json!({ "day": "2026-11-20", "first": 3, "after": null })
        )
    );
    let (status, page) = fresh(&gateway, "/hot/1926-11-20").await;
    assert_eq!(status, 200);
    assert!(
        page.contains("No photos were published on that day.") && page.contains("nofollow"),
        "an endless way for who follows every link: {page}"
    );
}

#[tokio::test]
async fn a_shared_photo_is_described_to_other_sites() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let gateway = gateway(&fakes, &app, &[("--public-url", "https://photos.example")]).await;
    let page = gateway
        .get(&format!("/p/{PHOTO}"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    for (name, content) in [
        ("property=\"og:type\"", "article"),
        ("property=\"og:title\"", "A heron"),
        ("property=\"og:description\"", "A grey bird in shallow water"),
        ("property=\"og:image\"", "https://photos.example/media/a/1280.jpg"),
        ("property=\"og:image:width\"", "1280"),
        ("property=\"og:image:height\"", "853"),
        ("name=\"twitter:card\"", "summary_large_image"),
    ] {
        let tag = format!("<meta {name} content=\"{content}\">");
        assert!(page.contains(&tag), "{tag}: {page}");
    }
    assert!(
        page.contains("What a bird.") && page.contains("Is it not?"),
        "its first comments: {page}"
    );
}

#[tokio::test]
async fn user_input_does_not_affect_other_text() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let gateway = gateway(&fakes, &app, &[]).await;
    let turned = "a\u{202e}b";
    let mut bad = photo();
    bad["title"] = turned.into();
    bad["altText"] = turned.into();
    let photos = json!({ "nodes": [bad], "pageInfo": { "hasNextPage": false, "endCursor": null } });
    let data = json!({ "photo": bad, "latestPhotos": photos });
    fakes["photo"].answer_with(json!({ "data": data }));
    let page = gateway
        .get(&format!("/p/{PHOTO}"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let isolated = format!("\u{2068}{turned}\u{2069}");
    assert!(
        page.contains(&format!("<title>{isolated} · Proofsheet</title>")),
        "{page}"
    );
    for tag in [
        "property=\"og:title\"",
        "name=\"description\"",
        "name=\"twitter:title\"",
        "property=\"og:image:alt\"",
    ] {
        assert!(
            page.contains(&format!("<meta {tag} content=\"{isolated}\">")),
            "{tag}: {page}"
        );
    }
    assert!(
        page.contains(&format!("<span id=\"photo-title\" dir=\"auto\">{turned}</span>")),
        "{page}"
    );
    let page = gateway.get("/").send().await.unwrap().text().await.unwrap();
    assert!(page.contains(&format!(" dir=\"auto\">{turned}</a>")), "{page}");
    assert!(page.contains(&format!("alt=\"{isolated}\"")), "{page}");
    let feed = gateway
        .get("/feeds/latest.atom")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(feed.contains(&format!("<title>{isolated}</title>")), "{feed}");
    assert!(
        feed.contains("length=\"10\""),
        "the size of the enclosure: {feed}"
    );
}

#[tokio::test]
async fn titles_are_escaped_everywhere() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let gateway = gateway(&fakes, &app, &[]).await;
    let mut bad = photo();
    let title = "\"></title></style></script><!--<script>alert(1)</script>";
    bad["title"] = title.into();
    bad["altText"] = title.into();
    let photos = json!({ "nodes": [bad], "pageInfo": { "hasNextPage": false, "endCursor": null } });
    let data = json!({ "photo": bad, "latestPhotos": photos });
    fakes["photo"].answer_with(json!({ "data": data }));
    for path in ["/".to_owned(), format!("/p/{PHOTO}")] {
        let page = gateway.get(&path).send().await.unwrap().text().await.unwrap();
        // The only scripts are the two of the app and the data.
        assert_eq!(page.matches("<script").count(), 3, "{page}");
        for end in ["</script>", "</title>", "</style>", "<!--"] {
            let own = if end == "</script>" { 3 } else { 1 };
            assert_eq!(page.matches(end).count(), own, "{end}: {page}");
        }
        assert!(!page.contains("\"\">"), "{page}");
        let found = answered(&page).to_string();
        assert!(
            found.contains(&serde_json::to_string(title).unwrap()),
            "the app reads what was written: {found}"
        );
    }
}

#[tokio::test]
async fn days_begin_in_the_sites_time_zone() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let gateway = gateway(&fakes, &app, &[("--time-zone", "Pacific/Kiritimati")]).await;
    let (_, page) = fresh(&gateway, "/hot").await;
    assert!(
        page.contains("A new day begins at 00:00 Pacific/Kiritimati."),
        "{page}"
    );
    // The app reads the time zone there.
    assert!(
        page.contains("<meta name=\"time-zone\" content=\"Pacific/Kiritimati\">"),
        "{page}"
    );
}

#[tokio::test]
async fn pages_are_in_the_visitors_language() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let gateway = gateway(&fakes, &app, &[]).await;
    let page = async |header: &str, value: &str| {
        let answer = gateway.get("/").header(header, value).send().await.unwrap();
        answer.text().await.unwrap()
    };
    let german = page("accept-language", "de-CH,de;q=0.9,en;q=0.8").await;
    assert!(
        german.contains("<html lang=\"de\">") && german.contains("<title>Neu · Proofsheet</title>"),
        "{german}"
    );
    assert!(german.contains("Alle Fotos, die neuesten zuerst."), "{german}");
    let chosen = page("cookie", "a=b; proofsheet.language=de").await;
    assert_eq!(chosen, german);
    let english = page("accept-language", "fr").await;
    assert!(english.contains("<html lang=\"en\">") && english.contains("Every photo, the newest first."));
}

#[tokio::test]
async fn the_style_element_is_allowed_by_hash() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let gateway = gateway(&fakes, &app, &[]).await;
    let answer = gateway.get("/hot").send().await.unwrap();
    let policy = header(&answer, "content-security-policy").unwrap().to_owned();
    let page = answer.text().await.unwrap();
    let style = between(&page, "<style>", "</style>");
    let hash = STANDARD.encode(Sha256::digest(style));
    assert!(
        policy.contains(&format!("style-src 'self' 'sha256-{hash}';")),
        "{policy}"
    );
    assert!(!policy.contains("unsafe-inline"), "{policy}");
    assert!(!page.contains("style=\""), "{page}");
    assert!(
        style.contains("--r:3000 / 2000") && style.contains("background:#"),
        "{style}"
    );
}

#[tokio::test]
async fn pages_are_cached_and_compressed() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let gateway = gateway(&fakes, &app, &[]).await;
    let plain = gateway.get("/").send().await.unwrap();
    let etag = header(&plain, "etag").unwrap().to_owned();
    let plain = plain.text().await.unwrap();
    let again = gateway.get("/").header("if-none-match", &etag).send().await;
    assert_eq!(again.unwrap().status(), 304);
    for coding in ["br", "gzip"] {
        let answer = gateway.get("/").header("accept-encoding", coding).send().await;
        let answer = answer.unwrap();
        assert_eq!(header(&answer, "content-encoding"), Some(coding));
        assert_eq!(
            header(&answer, "vary"),
            Some("accept-encoding, accept-language, cookie")
        );
        let size = answer.bytes().await.unwrap().len();
        assert!(size * 2 < plain.len(), "{coding}: {size} of {}", plain.len());
    }
    // The same content has the same page one second later.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let again = gateway.get("/").header("if-none-match", etag).send().await;
    assert_eq!(again.unwrap().status(), 304);
}

#[tokio::test]
async fn missing_pages_are_not_found() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let gateway = gateway(&fakes, &app, &[]).await;
    fakes["photo"].answer_with(json!({ "data": { "photo": null } }));
    fakes["profile"].answer_with(json!({ "data": { "user": null } }));
    for (path, words) in [
        (format!("/p/{PHOTO}").as_str(), "This photo does not exist"),
        ("/p/heron", "There is nothing here"),
        ("/@nobody", "No user has this name"),
        ("/nowhere", "There is nothing here"),
        ("/hot/2026-02-31", "There is nothing here"),
        ("/?after=%00", "There is nothing here"),
        ("/?after=%ff", "There is nothing here"),
        (&format!("/?after={}", "x".repeat(5_000)), "There is nothing here"),
    ] {
        let answer = gateway.get(path).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(header(&answer, "content-type"), Some("text/html; charset=utf-8"));
        let page = answer.text().await.unwrap();
        assert!(
            page.contains(words) && page.contains("\"robots\" content=\"noindex, nofollow\""),
            "{path}: {page}"
        );
    }
    let refused = json!({ "message": "no such id", "extensions": { "code": "INVALID_INPUT" } });
    let answer = json!({ "data": { "photo": null }, "errors": [refused] });
    fakes["photo"].answer_with(answer);
    assert_eq!(fresh(&gateway, &format!("/p/{PHOTO}")).await.0, 404);
}

#[tokio::test]
async fn without_a_response_the_app_is_served_without_content() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let gateway = gateway(&fakes, &app, &[]).await;
    let failed = json!({ "message": "away", "extensions": { "code": "UNAVAILABLE" } });
    fakes["photo"].answer_with(json!({ "data": null, "errors": [failed] }));
    let photo = format!("/p/{PHOTO}");
    // Whether a photo, a user or a cursor exists is unknown then.
    for (path, status) in [("/", 200), (&photo, 503), ("/@ada", 503), ("/?after=c", 503)] {
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let answer = gateway.get(path).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(header(&answer, "retry-after").is_some(), status == 503, "{path}");
        let page = answer.text().await.unwrap();
        assert!(
            page.contains("<title>Proofsheet</title>") && page.contains("needs JavaScript"),
            "{page}"
        );
        assert!(!page.contains("first-page"), "{page}");
    }
    fakes["photo"].delay(Duration::from_secs(4));
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let started = Instant::now();
    let status = gateway.get("/").send().await.unwrap().status();
    let took = started.elapsed();
    assert_eq!(status, 200);
    assert!(
        took > Duration::from_millis(700) && took < Duration::from_millis(1500),
        "{took:?}"
    );
}

#[tokio::test]
async fn pages_show_photos_if_a_service_is_down() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let gateway = gateway(&fakes, &app, &[("--comment-url", "http://127.0.0.1:1")]).await;
    let (status, page) = fresh(&gateway, "/").await;
    assert_eq!(status, 200);
    assert!(
        page.contains("A heron") && !page.contains("tile-comments"),
        "{page}"
    );
    let (status, page) = fresh(&gateway, &format!("/p/{PHOTO}")).await;
    assert_eq!(status, 200);
    assert!(
        page.contains("Comments are unavailable right now. Try again in a minute."),
        "{page}"
    );
}

#[tokio::test]
async fn concurrent_visitors_share_one_query_without_rate_limit() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let gateway = gateway(&fakes, &app, &[("--rate-limit-graphql", "1")]).await;
    fakes["photo"].delay(Duration::from_millis(200));
    let visits = (0..200).map(|_| gateway.get("/").send());
    for answer in futures::future::join_all(visits).await {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.text().await.unwrap().contains("A heron"));
    }
    let asked = fakes["photo"].take_seen().len();
    assert!((1..=3).contains(&asked), "{asked} questions");
    let own = gateway.query("{ viewer { email } }").await;
    assert!(own.get("errors").is_none(), "{own}");
}

#[tokio::test]
async fn pages_do_not_depend_on_the_viewer() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let gateway = gateway(&fakes, &app, &[]).await;
    let cookie = format!("proofsheet_access={}", Token::good().signed());
    let answer = gateway.get("/").header("cookie", cookie);
    let answer = answer.header("x-client-ip", "203.0.113.9").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "set-cookie"), None);
    for fake in [&fakes["photo"], &fakes["vote"], &fakes["profile"]] {
        for seen in fake.take_seen() {
            assert_eq!(seen.header("authorization"), None);
            assert_eq!(seen.header("x-client-ip"), None);
            let id = header(&answer, "x-request-id");
            assert_eq!(seen.header("x-request-id"), id, "its traces are found");
        }
    }
}

#[tokio::test]
async fn the_allowlist_executes_only_operations_of_the_app() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let flags = [("--app-dir", app.path().to_str().unwrap())];
    let gateway = Gateway::start_with(&fakes, &[("--operation-allowlist", ""), flags[0]]).await;
    for query in [
        "{ viewer { email } }",
        "query CurrentViewer { viewer { email } }",
        "{ __schema { types { name } } }",
    ] {
        let answer = gateway.query(query).await;
        assert_eq!(code(&answer), "FORBIDDEN", "{answer}");
        assert!(answer.get("data").is_none_or(Value::is_null), "{answer}");
    }
    let operations = include_str!("../../../frontend/operations.graphql");
    let newest = format!(
        "query NewestPhotos {}",
        between(operations, "query NewestPhotos ", "\n}\n")
    );
    for query in [
        format!("{newest}\n}}\n"),
        format!("{newest}}}").replace('\n', " "),
    ] {
        let answer = gateway.query(&query).await;
        assert!(answer.get("errors").is_none(), "{query}: {answer}");
    }
    let page = gateway.get("/").send().await.unwrap().text().await.unwrap();
    assert!(page.contains("A heron"), "the router's own questions are known");
    let feed = gateway.get("/feeds/latest.atom").send().await.unwrap();
    assert_eq!(feed.status(), 200);
}

/// Page views of one address are limited, and do not count as operations.
#[tokio::test]
async fn page_views_a_minute_from_one_address() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let gateway = gateway(&fakes, &app, &[("--rate-limit-pages", "3")]).await;
    for path in ["/", "/@ada", "/feeds/latest.atom"] {
        assert_eq!(gateway.get(path).send().await.unwrap().status(), 200, "{path}");
    }
    for path in ["/", "/hot", "/feeds/hot.atom", "/sitemap.xml"] {
        let answer = gateway.get(path).send().await.unwrap();
        assert_eq!(answer.status(), 429, "{path}");
        assert!(header(&answer, "retry-after").is_some(), "{path}");
    }
    for (path, status) in [
        ("/health", 200),
        ("/robots.txt", 200),
        ("/media/a", 200),
        ("/assets/x.js", 404),
    ] {
        assert_eq!(gateway.get(path).send().await.unwrap().status(), status, "{path}");
    }
    let own = gateway.query("{ viewer { email } }").await;
    assert!(own.get("errors").is_none(), "{own}");
}

/// A flood of names and photos that do not exist neither makes them exist nor empties other pages.
#[tokio::test]
async fn a_flood_of_missing_pages_leaves_others_intact() {
    let (fakes, app) = (Fakes::start().await, bundle());
    let gateway = gateway(&fakes, &app, &[]).await;
    fakes["profile"].answer_with(json!({ "data": { "user": null } }));
    fakes["profile"].delay(Duration::from_millis(20));
    let flood =
        futures::future::join_all((0..60).map(|number| gateway.get(&format!("/@nobody{number}")).send()));
    let others = async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        for (path, content) in [("/trending", "A heron"), ("/feeds/trending.atom", "A heron")] {
            let answer = gateway.get(path).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
            let page = answer.text().await.unwrap();
            assert!(page.contains(content), "{path}: {page}");
        }
    };
    let (answers, ()) = futures::future::join(flood, others).await;
    for answer in answers {
        let answer = answer.unwrap();
        let is_busy = answer.status() == 503 && header(&answer, "retry-after").is_some();
        assert!(is_busy || answer.status() == 404, "{answer:?}");
    }
}
