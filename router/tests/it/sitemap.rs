//! `robots.txt` and sitemaps.

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::fakes::{Fakes, PHOTO};
use crate::gateway::{Gateway, header};

const BASE: &str = "https://photos.example";

/// Parses a sitemap into its root element and its addresses.
pub(crate) fn read(text: &str) -> (String, Vec<String>) {
    let mut reader = Reader::from_str(text);
    let (mut root, mut path, mut addresses) = (String::new(), Vec::new(), Vec::new());
    loop {
        match reader.read_event().unwrap() {
            Event::Start(element) => {
                let name = String::from_utf8(element.name().as_ref().to_vec()).unwrap();
                if root.is_empty() {
                    let namespace = element.try_get_attribute("xmlns").unwrap().unwrap();
                    assert_eq!(&*namespace.value, b"http://www.sitemaps.org/schemas/sitemap/0.9");
                    root.clone_from(&name);
                }
                path.push(name);
            }
            Event::End(_) => {
                path.pop();
            }
            Event::Text(text) if path.last().is_some_and(|name| name == "loc") => {
                addresses.push(text.decode().unwrap().into_owned());
            }
            Event::Eof => return (root, addresses),
            _ => {}
        }
    }
}

async fn sitemap(gateway: &Gateway, path: &str) -> (String, Vec<String>) {
    let answer = gateway.get(path).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    assert_eq!(
        header(&answer, "content-type"),
        Some("application/xml; charset=utf-8")
    );
    read(&answer.text().await.unwrap())
}

#[tokio::test]
async fn crawlers_find_every_photo_from_robots_txt() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start_with(&fakes, &[("--public-url", BASE)]).await;
    let robots = gateway.get("/robots.txt").send().await.unwrap();
    assert_eq!(header(&robots, "content-type"), Some("text/plain; charset=utf-8"));
    let robots = robots.text().await.unwrap();
    assert!(
        robots.contains(&format!("\nSitemap: {BASE}/sitemap.xml\n")),
        "{robots}"
    );
    for closed in ["/graphql", "/media/uploads", "/login"] {
        assert!(robots.contains(&format!("\nDisallow: {closed}\n")), "{robots}");
    }

    let (root, parts) = sitemap(&gateway, "/sitemap.xml").await;
    assert_eq!(root, "sitemapindex");
    assert_eq!(
        parts,
        [
            "https://photos.example/sitemaps/pages.xml",
            "https://photos.example/sitemaps/2026-11-22.xml",
            "https://photos.example/sitemaps/2026-11-21.xml",
        ],
        "the days of both pages"
    );
    let (root, pages) = sitemap(&gateway, "/sitemaps/pages.xml").await;
    assert_eq!(root, "urlset");
    assert!(pages.contains(&format!("{BASE}/trending")), "{pages:?}");
    let (root, photos) = sitemap(&gateway, "/sitemaps/2026-11-22.xml").await;
    assert_eq!(root, "urlset");
    let photo = format!("{BASE}/p/{PHOTO}");
    assert_eq!(photos, [photo.clone(), photo], "the photos of both pages");

    for none in ["/sitemaps/2026-02-31.xml", "/sitemaps/nothing.xml"] {
        assert_eq!(gateway.get(none).send().await.unwrap().status(), 404, "{none}");
    }
}

#[tokio::test]
async fn a_sitemap_is_cached_for_a_minute() {
    let fakes = Fakes::start().await;
    let gateway = Gateway::start(&fakes).await;
    for _ in 0..5 {
        sitemap(&gateway, "/sitemap.xml").await;
    }
    assert_eq!(fakes["vote"].take_seen().len(), 2, "two pages of days");
}
