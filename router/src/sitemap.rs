//! `robots.txt` and sitemaps for crawlers. One sitemap lists the static pages, and one for each day the photos of that
//! day.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use contracts::Code;
use hive_router::ntex::http::StatusCode;
use hive_router::ntex::web::{HttpRequest, HttpResponse};
use maud::{Markup, PreEscaped, html};
use moka::future::Cache;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

use crate::document::Document;
use crate::error_response::ErrorResponse;
use crate::feeds::UNAVAILABLE;
use crate::graph_client::{GraphClient, QueryError};
use crate::graph_types::Connection;
use ui::route::parse_day;

/// Maximum number of URLs in one file, by the sitemap protocol.
const MAX_URLS: usize = 50_000;
/// Timeout of rendering a sitemap. A day of 50,000 photos takes hundreds of queries.
const RENDER_TIMEOUT: Duration = Duration::from_secs(25);
const CACHE_TTL: Duration = Duration::from_secs(60);
/// Maximum number of cached sitemaps.
const MAX_CACHED_SITEMAPS: u64 = 100;

const XML: &str = "application/xml; charset=utf-8";
const XML_DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
const SITEMAP_NAMESPACE: &str = "http://www.sitemaps.org/schemas/sitemap/0.9";

/// Pages without parameters.
const STATIC_PAGES: [&str; 4] = ["/", "/hot", "/trending", "/about/ranking"];
/// Paths that crawlers must not visit.
const DISALLOWED_PATHS: [&str; 9] = [
    "/graphql",
    "/login",
    "/media/uploads",
    "/playground",
    "/readiness",
    "/register",
    "/settings",
    "/upload",
    "/welcome",
];

const NOT_FOUND: ErrorResponse =
    ErrorResponse::new(StatusCode::NOT_FOUND, Code::NotFound, "There is no such sitemap.");

/// Renders and caches sitemaps.
pub(crate) struct Sitemaps {
    base: String,
    graph: Arc<GraphClient>,
    robots: Document,
    cache: Cache<SitemapName, Arc<Document>>,
}

/// The name of a sitemap file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum SitemapName {
    /// Responds with the sitemap index.
    Index,
    Pages,
    Day(NaiveDate),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Days {
    hot_days: Option<Connection<Day>>,
}

#[derive(Deserialize)]
struct Day {
    day: NaiveDate,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Photos {
    hot_photos: Option<Connection<Photo>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Photo {
    id: Uuid,
    updated_at: Option<DateTime<Utc>>,
}

impl SitemapName {
    fn parse(file: &str) -> Option<Self> {
        match file.strip_suffix(".xml")? {
            "pages" => Some(Self::Pages),
            day => parse_day(day).and_then(|day| day.0.parse().ok()).map(Self::Day),
        }
    }
}

impl Sitemaps {
    /// `base` is the public URL without a slash at its end.
    pub(crate) fn new(base: String, graph: Arc<GraphClient>) -> Self {
        let cache = Cache::builder()
            .time_to_live(CACHE_TTL)
            .max_capacity(MAX_CACHED_SITEMAPS)
            .build();
        Self {
            robots: Document::new("text/plain; charset=utf-8", robots_text(&base)),
            base,
            graph,
            cache,
        }
    }

    /// Renders `robots.txt`.
    pub(crate) fn robots(&self, request: &HttpRequest) -> HttpResponse {
        self.robots.answer(request)
    }

    /// The list of all sitemaps.
    pub(crate) async fn index(&self, request: &HttpRequest) -> HttpResponse {
        self.answer(request, SitemapName::Index).await
    }

    /// Responds with the sitemap named by `file`.
    pub(crate) async fn file(&self, request: &HttpRequest, file: &str) -> HttpResponse {
        match SitemapName::parse(file) {
            Some(name) => self.answer(request, name).await,
            None => NOT_FOUND.as_json(),
        }
    }

    async fn answer(&self, request: &HttpRequest, name: SitemapName) -> HttpResponse {
        match self.cached(name).await {
            Ok(sitemap) => sitemap.answer(request),
            Err(QueryError::NotFound) => NOT_FOUND.as_json(),
            Err(QueryError::Unavailable) => UNAVAILABLE.as_json(),
        }
    }

    /// Failures are not cached.
    async fn cached(&self, name: SitemapName) -> Result<Arc<Document>, QueryError> {
        let written = async {
            let text = timeout(RENDER_TIMEOUT, self.render(name)).await;
            let text = text.unwrap_or(Err(QueryError::Unavailable))?;
            Ok(Arc::new(Document::new(XML, text)))
        };
        let kept = self.cache.try_get_with(name, written).await;
        kept.map_err(|error: Arc<QueryError>| *error)
    }

    async fn render(&self, name: SitemapName) -> Result<String, QueryError> {
        match name {
            SitemapName::Index => {
                let root = |data: Days| data.hot_days;
                let days = self.walk("SitemapDays", json!({}), root).await?;
                let days = days.into_iter().map(|day| format!("/sitemaps/{}.xml", day.day));
                Ok(self.index_text(["/sitemaps/pages.xml".to_owned()].into_iter().chain(days)))
            }
            SitemapName::Pages => Ok(self.urls(STATIC_PAGES.into_iter().map(|path| (path.to_owned(), None)))),
            SitemapName::Day(day) => {
                let root = |data: Photos| data.hot_photos;
                let photos = self.walk("SitemapDay", json!({ "day": day }), root).await?;
                if photos.is_empty() {
                    return Err(QueryError::NotFound);
                }
                let photos = photos
                    .into_iter()
                    .map(|photo| (format!("/p/{}", photo.id), photo.updated_at));
                Ok(self.urls(photos))
            }
        }
    }

    /// Fetches all items of a connection page by page, up to [`MAX_URLS`].
    async fn walk<D: DeserializeOwned, T>(
        &self,
        operation: &str,
        mut variables: Value,
        root: impl Fn(D) -> Option<Connection<T>>,
    ) -> Result<Vec<T>, QueryError> {
        let mut items = Vec::new();
        while items.len() < MAX_URLS {
            let page = {
                let _permit = self.graph.acquire().await?;
                self.graph.query(operation, &variables).await?.read(&root)?
            };
            let next = page
                .page_info
                .end_cursor
                .clone()
                .filter(|_| page.page_info.has_next_page);
            items.extend(page.into_present());
            match next {
                Some(cursor) => variables["after"] = cursor.into(),
                None => break,
            }
        }
        Ok(items)
    }

    fn index_text(&self, paths: impl Iterator<Item = String>) -> String {
        document(&html! {
            sitemapindex xmlns=(SITEMAP_NAMESPACE) {
                @for path in paths.take(MAX_URLS) {
                    sitemap { loc { (self.base) (path) } }
                }
            }
        })
    }

    fn urls(&self, pages: impl Iterator<Item = (String, Option<DateTime<Utc>>)>) -> String {
        document(&html! {
            urlset xmlns=(SITEMAP_NAMESPACE) {
                @for (path, changed) in pages.take(MAX_URLS) {
                    url {
                        loc { (self.base) (path) }
                        @if let Some(changed) = changed { lastmod { (changed.format("%Y-%m-%dT%H:%M:%SZ")) } }
                    }
                }
            }
        })
    }
}

fn document(root: &Markup) -> String {
    html! { (PreEscaped(XML_DECLARATION)) (root) }.into_string()
}

fn robots_text(base: &str) -> String {
    let mut text = "User-agent: *\n".to_owned();
    for path in DISALLOWED_PATHS {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "Disallow: {path}");
    }
    let _ = writeln!(text, "\nSitemap: {base}/sitemap.xml");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_parsed() {
        assert_eq!(SitemapName::parse("pages.xml"), Some(SitemapName::Pages));
        assert_eq!(
            SitemapName::parse("2026-11-22.xml"),
            NaiveDate::from_ymd_opt(2026, 11, 22).map(SitemapName::Day)
        );
        for none in ["pages", "2026-11-22", "2026-02-31.xml", "today.xml", ".xml"] {
            assert_eq!(SitemapName::parse(none), None, "{none}");
        }
    }

    #[test]
    fn robots_txt_names_the_sitemap_and_disallowed_paths() {
        let text = robots_text("https://photos.example");
        assert!(text.starts_with("User-agent: *\nDisallow: /graphql\n"), "{text}");
        assert!(
            text.ends_with("\n\nSitemap: https://photos.example/sitemap.xml\n"),
            "{text}"
        );
        assert!(
            !text.contains("Disallow: /\n") && !text.contains("/media\n"),
            "{text}"
        );
    }
}
