//! The router in front of the real services.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::time::Duration;

use atom_syndication::Feed;
use harness::system::{Options, System};
use serde_json::{Value, json};

use crate::{feeds, pages, sitemap};

/// The operation of the app's start page, shortened.
const TIMELINE: &str = "query ($first: Int!) { latestPhotos(first: $first) {
    nodes {
      id title width height placeholder
      sources { mediaType srcset }
      author { id username displayName }
      votes { up down score } viewerVote commentCount
    }
    pageInfo { hasNextPage endCursor }
} }";

/// A browser that visits the site, with a cookie store.
pub(crate) struct Site {
    base: String,
    browser: reqwest::Client,
}

impl Site {
    pub(crate) fn visit(system: &System) -> Self {
        let browser = reqwest::Client::builder()
            .no_proxy()
            .cookie_store(true)
            .build()
            .unwrap();
        Self::visit_with(browser, system.base_url())
    }

    pub(crate) fn visit_with(browser: reqwest::Client, base: String) -> Self {
        Self { base, browser }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(crate) async fn send(&self, query: &str, variables: Value) -> Value {
        self.post(self.browser.post(self.url("/graphql")), query, variables)
            .await
    }

    /// Sends an operation with a bearer token and without cookies.
    pub(crate) async fn send_as(&self, token: &str, query: &str, variables: Value) -> Value {
        let request = reqwest::Client::new()
            .post(self.url("/graphql"))
            .bearer_auth(token);
        self.post(request, query, variables).await
    }

    async fn post(&self, request: reqwest::RequestBuilder, query: &str, variables: Value) -> Value {
        let operation = json!({ "query": query, "variables": variables });
        request
            .json(&operation)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    /// Downloads a file, which must exist.
    pub(crate) async fn bytes(&self, path: &str) -> Vec<u8> {
        let answer = self.browser.get(self.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.bytes().await.unwrap().to_vec()
    }

    /// Downloads a page or a feed, which must exist.
    async fn text(&self, path: &str) -> String {
        String::from_utf8(self.bytes(path).await).unwrap()
    }

    /// Runs an operation, which must succeed, and returns its data.
    pub(crate) async fn data(&self, query: &str, variables: Value) -> Value {
        let answer = self.send(query, variables).await;
        assert!(answer.get("errors").is_none(), "{query}: {answer:#}");
        answer["data"].clone()
    }

    pub(crate) async fn publish(&self, title: &str, shade: u8) -> String {
        let upload = self
            .browser
            .post(self.url("/media/uploads"))
            .header("x-proofsheet", "1");
        let answer = upload
            .header("content-type", "image/png")
            .body(picture(shade))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
        let upload: Value = answer.json().await.unwrap();
        let input = json!({ "uploadId": upload["uploadId"], "title": title });
        let data = self
            .data(
                "mutation ($input: PublishPhotoInput!) { publishPhoto(input: $input) { id } }",
                json!({ "input": input }),
            )
            .await;
        data["publishPhoto"]["id"].as_str().unwrap().to_owned()
    }

    /// Number of requests to each subgraph since the start of the router.
    async fn requests(&self, system: &System) -> BTreeMap<String, u64> {
        let metrics = format!("{}/metrics", system.router_internal_url());
        let metrics = self
            .browser
            .get(metrics)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        metrics
            .lines()
            .filter_map(|line| {
                line.strip_prefix("proofsheet_router_subgraph_requests_total{subgraph=\"")?
                    .split_once("\"} ")
            })
            .map(|(name, count)| (name.to_owned(), count.parse().unwrap()))
            .collect()
    }
}

pub(crate) fn picture(shade: u8) -> Vec<u8> {
    let mut png = Cursor::new(Vec::new());
    let light = |position: u32, step: u32| u8::try_from(position * step).unwrap_or(u8::MAX);
    let pixels = image::RgbImage::from_fn(64, 48, |x, y| image::Rgb([shade, light(x, 4), light(y, 5)]));
    pixels.write_to(&mut png, image::ImageFormat::Png).unwrap();
    png.into_inner()
}

/// One test for all checks, because starting a system takes seconds.
#[tokio::test]
async fn the_whole_system() {
    let app = pages::bundle();
    let app_dir = app.path().display().to_string();
    let options = Options {
        environment: vec![("router".to_owned(), "APP_DIR".to_owned(), app_dir)],
        ..Options::default()
    };
    let system = System::start(options).await.unwrap();
    let site = Site::visit(&system);
    check_empty_site(&site).await;
    check_cookies(&site).await;
    let mut photos = Vec::new();
    for number in 0..6 {
        photos.push(site.publish(&format!("Photo {number}"), number * 40).await);
    }
    check_subgraph_requests(&system, &site, photos.len()).await;
    check_rendition_headers(&site, &photos[0]).await;
    check_pages_feeds_and_sitemaps(&site, &photos).await;
    check_invalid_scalars(&site).await;
    check_absent_variables(&site, &photos[0]).await;
    check_partial_data(&system, &site, photos.len()).await;
    system.stop().await;
}

async fn check_cookies(site: &Site) {
    let operation = json!({
        "query": "mutation ($input: RegisterInput!) { register(input: $input) { viewer { id email } } }",
        "variables": { "input": { "email": "ada@example.org", "password": "correct horse battery staple" } },
    });
    let answer = site
        .browser
        .post(site.url("/graphql"))
        .json(&operation)
        .send()
        .await
        .unwrap();
    let cookies: Vec<String> = answer
        .headers()
        .get_all("set-cookie")
        .iter()
        .map(|cookie| cookie.to_str().unwrap().to_owned())
        .collect();
    for name in ["proofsheet_access=", "proofsheet_refresh="] {
        let cookie = cookies
            .iter()
            .find(|cookie| cookie.starts_with(name))
            .unwrap_or_else(|| panic!("{cookies:?}"));
        assert!(
            cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
            "{cookie}"
        );
    }
    let data = site
        .data("{ viewer { email user { username } } }", json!({}))
        .await;
    assert_eq!(data["viewer"]["email"], "ada@example.org");
    assert!(
        data["viewer"]["user"]["username"]
            .as_str()
            .unwrap()
            .starts_with("guest-")
    );
}

async fn check_subgraph_requests(system: &System, site: &Site, photos: usize) {
    let before = site.requests(system).await;
    let data = site.data(TIMELINE, json!({ "first": 24 })).await;
    let after = site.requests(system).await;
    assert_eq!(data["latestPhotos"]["nodes"].as_array().unwrap().len(), photos);
    for node in data["latestPhotos"]["nodes"].as_array().unwrap() {
        assert_eq!(node["votes"]["score"], 0);
        assert_eq!(node["commentCount"], 0);
        assert!(node["author"]["username"].is_string());
    }
    let requests: BTreeMap<&str, u64> = after
        .iter()
        .map(|(name, count)| (name.as_str(), count - before.get(name).copied().unwrap_or(0)))
        .filter(|(_, count)| *count > 0)
        .collect();
    assert_eq!(
        requests,
        BTreeMap::from([("photo", 1), ("profile", 1), ("vote", 1), ("comment", 1)])
    );
}

async fn check_empty_site(site: &Site) {
    for path in ["/", "/hot", "/trending"] {
        let page = site.text(path).await;
        assert!(page.contains("No photos yet"), "{path}: {page}");
    }
    for name in ["latest", "hot", "trending"] {
        let feed: Feed = site.text(&format!("/feeds/{name}.atom")).await.parse().unwrap();
        assert_eq!(feed.entries, []);
    }
    let (_, parts) = sitemap::read(&site.text("/sitemap.xml").await);
    assert_eq!(parts.len(), 1, "only the sitemap of the fixed pages: {parts:?}");
}

async fn check_pages_feeds_and_sitemaps(site: &Site, photos: &[String]) {
    // Wait until cached pages and feeds have expired.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let query = "{ viewer { user { username } } }";
    let data = site.data(query, json!({})).await;
    let username = data["viewer"]["user"]["username"].as_str().unwrap();
    let today = chrono::Utc::now().format("%Y-%m-%d").to_string();
    let pages = [
        "/",
        "/hot",
        "/trending",
        &format!("/hot/{today}"),
        &format!("/@{username}"),
    ];
    for path in pages {
        let page = site.text(path).await;
        for photo in photos {
            assert!(page.contains(&format!("href=\"/p/{photo}\"")), "{path}: {page}");
        }
        assert!(page.contains("id=\"first-page\""), "{path}");
    }
    let photo = &photos[0];
    let page = site.text(&format!("/p/{photo}")).await;
    assert!(page.contains("<title>Photo 0 · Proofsheet</title>"), "{page}");
    let image = page
        .split_once("property=\"og:image\" content=\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .unwrap()
        .0;
    let shared = site.browser.get(image).send().await.unwrap();
    assert_eq!(shared.status(), 200, "{image}");
    let gone = site
        .browser
        .get(site.url("/p/01936f5e-7c00-7000-8000-000000000001"));
    assert_eq!(gone.send().await.unwrap().status(), 404);

    for name in ["latest", "hot", "trending", &format!("@{username}")] {
        let path = format!("/feeds/{name}.atom");
        let feed: Feed = site.text(&path).await.parse().unwrap();
        feeds::check(&feed, &site.url(&path).replace("127.0.0.1", "localhost"));
        assert_eq!(feed.entries.len(), photos.len(), "{name}");
    }
    let (_, addresses) = sitemap::read(&site.text(&format!("/sitemaps/{today}.xml")).await);
    for photo in photos {
        assert!(
            addresses.iter().any(|address| address.ends_with(photo)),
            "{addresses:?}"
        );
    }
}

async fn check_rendition_headers(site: &Site, photo: &str) {
    let query = "query ($id: ID!) { photo(id: $id) { renditions { url mediaType } } }";
    let data = site.data(query, json!({ "id": photo })).await;
    for rendition in data["photo"]["renditions"].as_array().unwrap() {
        let answer = site
            .browser
            .get(site.url(rendition["url"].as_str().unwrap()))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        let header = |name: &str| answer.headers()[name].to_str().unwrap();
        assert_eq!(header("content-type"), rendition["mediaType"]);
        assert!(header("cache-control").contains("immutable"));
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert!(header("content-security-policy").contains("sandbox"));
        assert!(answer.headers().contains_key("etag") && answer.headers().contains_key("content-length"));
    }
}

/// The router library does not validate custom scalars, so the services must.
async fn check_invalid_scalars(site: &Site) {
    for query in [
        r#"{ hotPhotos(day: "2026-02-31") { nodes { id } } }"#,
        r#"{ hotPhotos(day: "yesterday") { nodes { id } } }"#,
        r#"{ photo(id: "nonsense") { id } }"#,
        "{ latestPhotos(first: 0) { nodes { id } } }",
        "{ latestPhotos(first: 101) { nodes { id } } }",
        r#"{ latestPhotos(after: "nonsense") { nodes { id } } }"#,
    ] {
        let answer = site.send(query, json!({})).await;
        let extensions = &answer["errors"][0]["extensions"];
        assert_eq!(extensions["code"], "INVALID_INPUT", "{query}: {answer:#}");
        assert!(extensions["field"].is_string(), "{query}: {answer:#}");
    }
}

/// An absent variable differs from null: the default applies, and an update leaves the field unchanged.
async fn check_absent_variables(site: &Site, photo: &str) {
    for list in ["latestPhotos", "trendingPhotos"] {
        let query = format!("query ($n: Int) {{ {list}(first: $n) {{ nodes {{ id }} }} }}");
        for (variables, expected) in [(json!({}), 6), (json!({ "n": 3 }), 3)] {
            let data = site.data(&query, variables.clone()).await;
            assert_eq!(
                data[list]["nodes"].as_array().unwrap().len(),
                expected,
                "{list} {variables}"
            );
        }
        let answer = site.send(&query, json!({ "n": null })).await;
        assert_eq!(
            answer["errors"][0]["extensions"]["code"], "INVALID_INPUT",
            "{answer}"
        );
    }
    let query = "query ($n: Int) { latestPhotos(first: $n) { nodes { id @include(if: true) ...P } } }
                 fragment P on Photo { comments(first: $n) { totalCount } author { photos(first: $n) { nodes { id } } } }";
    let data = site.data(query, json!({ "n": 2 })).await;
    let nodes = &data["latestPhotos"]["nodes"];
    assert_eq!(nodes.as_array().unwrap().len(), 2);
    assert_eq!(nodes[0]["author"]["photos"]["nodes"].as_array().unwrap().len(), 2);

    let change = "mutation ($i: ID!, $t: String, $x: String) {
        updatePhoto(input: { id: $i, title: $t, altText: $x }) { title altText } }";
    for (variables, title, description) in [
        (
            json!({ "i": photo, "t": "Heron", "x": "A grey heron" }),
            "Heron",
            json!("A grey heron"),
        ),
        (
            json!({ "i": photo, "t": "Egret" }),
            "Egret",
            json!("A grey heron"),
        ),
        (json!({ "i": photo }), "Egret", json!("A grey heron")),
        (
            json!({ "i": photo, "x": "A white heron" }),
            "Egret",
            json!("A white heron"),
        ),
        (
            json!({ "i": photo, "t": "Photo 0", "x": null }),
            "Photo 0",
            Value::Null,
        ),
    ] {
        let data = site.data(change, variables.clone()).await;
        let expected = json!({ "title": title, "altText": description });
        assert_eq!(data["updatePhoto"], expected, "{variables}");
    }

    let change = "mutation ($name: String, $bio: String) {
        updateProfile(input: { displayName: $name, bio: $bio }) { displayName bio } }";
    for (variables, name, bio) in [
        (
            json!({ "name": "Ada", "bio": "Herons." }),
            json!("Ada"),
            json!("Herons."),
        ),
        (json!({ "name": "Ada L." }), json!("Ada L."), json!("Herons.")),
        (json!({ "bio": "Egrets." }), json!("Ada L."), json!("Egrets.")),
        (json!({}), json!("Ada L."), json!("Egrets.")),
        (json!({ "bio": null }), json!("Ada L."), Value::Null),
    ] {
        let data = site.data(change, variables.clone()).await;
        let expected = json!({ "displayName": name, "bio": bio });
        assert_eq!(data["updateProfile"], expected, "{variables}");
    }
}

async fn check_partial_data(system: &System, site: &Site, photos: usize) {
    for (service, field) in [
        ("comment", "commentCount"),
        ("vote", "votes"),
        ("profile", "author"),
    ] {
        system.stop_service(service).await.unwrap();
        let answer = site.send(TIMELINE, json!({ "first": 24 })).await;
        let nodes = answer["data"]["latestPhotos"]["nodes"].as_array().unwrap();
        assert_eq!(nodes.len(), photos, "without {service}");
        for node in nodes {
            assert!(node["title"].is_string() && node["sources"][0]["srcset"].is_string());
            assert_eq!(node[field], Value::Null, "without {service}");
        }
        assert_eq!(
            answer["errors"][0]["extensions"],
            json!({ "code": "UNAVAILABLE" }),
            "without {service}"
        );
        system.start_service(service).await.unwrap();
        let answer = site.send(TIMELINE, json!({ "first": 24 })).await;
        assert!(answer.get("errors").is_none(), "{service} is back: {answer:#}");
    }
}
