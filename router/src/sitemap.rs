//! For those who index the web: what they may read, and where everything is. One sitemap lists the pages that are
//! always there, and one for each day the photos of that day.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
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
use crate::error_response::Refusal;
use crate::feeds::UNAVAILABLE;
use crate::graph::{Graph, NoAnswer};
use crate::pages::day_of;
use crate::photos::Nodes;

/// The protocol allows no more addresses in one file.
const MAX_URLS: usize = 50_000;
/// A day of so many photos takes hundreds of questions; who crawls is patient.
const DEADLINE: Duration = Duration::from_secs(25);
const CACHE_TTL: Duration = Duration::from_secs(60);
/// So many days are kept.
const MAX_CACHED_SITEMAPS: u64 = 100;

const XML: &str = "application/xml; charset=utf-8";
const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
const PROTOCOL: &str = "http://www.sitemaps.org/schemas/sitemap/0.9";

/// The pages that are always there.
const PAGES: [&str; 4] = ["/", "/hot", "/trending", "/about/ranking"];
/// Paths without anything to index.
const NOT_TO_BE_READ: [&str; 9] = [
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

const NOT_FOUND: Refusal = Refusal::new(StatusCode::NOT_FOUND, "NOT_FOUND", "There is no such sitemap.");

/// Writes sitemaps.
pub(crate) struct Sitemaps {
    base: String,
    graph: Arc<Graph>,
    robots: Document,
    kept: Cache<Name, Arc<Document>>,
}

/// Which sitemap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Name {
    /// Of the others.
    Index,
    Pages,
    Day(NaiveDate),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Days {
    hot_days: Option<Nodes<Day>>,
}

#[derive(Deserialize)]
struct Day {
    day: NaiveDate,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Photos {
    hot_photos: Option<Nodes<Photo>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Photo {
    id: Uuid,
    updated_at: Option<DateTime<Utc>>,
}

impl Name {
    fn parse(file: &str) -> Option<Self> {
        match file.strip_suffix(".xml")? {
            "pages" => Some(Self::Pages),
            day => day_of(day).map(Self::Day),
        }
    }
}

impl Sitemaps {
    /// `base` is the public URL without a slash at its end.
    pub(crate) fn new(base: String, graph: Arc<Graph>) -> Self {
        let kept = Cache::builder()
            .time_to_live(CACHE_TTL)
            .max_capacity(MAX_CACHED_SITEMAPS)
            .build();
        Self {
            robots: Document::new("text/plain; charset=utf-8", robots_text(&base)),
            base,
            graph,
            kept,
        }
    }

    /// Renders `robots.txt`.
    pub(crate) fn robots(&self, request: &HttpRequest) -> HttpResponse {
        self.robots.answer(request)
    }

    /// The list of all sitemaps.
    pub(crate) async fn index(&self, request: &HttpRequest) -> HttpResponse {
        self.answer(request, Name::Index).await
    }

    /// The sitemap in this file.
    pub(crate) async fn file(&self, request: &HttpRequest, file: &str) -> HttpResponse {
        match Name::parse(file) {
            Some(name) => self.answer(request, name).await,
            None => NOT_FOUND.as_json(),
        }
    }

    async fn answer(&self, request: &HttpRequest, name: Name) -> HttpResponse {
        match self.named(name).await {
            Ok(sitemap) => sitemap.answer(request),
            Err(NoAnswer::NotThere) => NOT_FOUND.as_json(),
            Err(NoAnswer::Unavailable) => UNAVAILABLE.as_json(),
        }
    }

    /// A failure is not cached: the next request tries again.
    async fn named(&self, name: Name) -> Result<Arc<Document>, NoAnswer> {
        let written = async {
            let text = timeout(DEADLINE, self.write(name)).await;
            let text = text.unwrap_or(Err(NoAnswer::Unavailable))?;
            Ok(Arc::new(Document::new(XML, text)))
        };
        let kept = self.kept.try_get_with(name, written).await;
        kept.map_err(|error: Arc<NoAnswer>| *error)
    }

    async fn write(&self, name: Name) -> Result<String, NoAnswer> {
        match name {
            Name::Index => {
                let root = |data: Days| data.hot_days;
                let days = self.walk("SitemapDays", json!({}), root).await?;
                let days = days.into_iter().map(|day| format!("/sitemaps/{}.xml", day.day));
                Ok(self.index_text(["/sitemaps/pages.xml".to_owned()].into_iter().chain(days)))
            }
            Name::Pages => Ok(self.urls(PAGES.into_iter().map(|path| (path.to_owned(), None)))),
            Name::Day(day) => {
                let root = |data: Photos| data.hot_photos;
                let photos = self.walk("SitemapDay", json!({ "day": day }), root).await?;
                if photos.is_empty() {
                    return Err(NoAnswer::NotThere);
                }
                let photos = photos
                    .into_iter()
                    .map(|photo| (format!("/p/{}", photo.id), photo.updated_at));
                Ok(self.urls(photos))
            }
        }
    }

    /// All items of a connection, page by page, as far as one file may go.
    async fn walk<D: DeserializeOwned, T>(
        &self,
        operation: &str,
        mut variables: Value,
        root: impl Fn(D) -> Option<Nodes<T>>,
    ) -> Result<Vec<T>, NoAnswer> {
        let mut items = Vec::new();
        while items.len() < MAX_URLS {
            let page = self.graph.ask(operation, &variables).await?.read(&root)?;
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
            sitemapindex xmlns=(PROTOCOL) {
                @for path in paths.take(MAX_URLS) {
                    sitemap { loc { (self.base) (path) } }
                }
            }
        })
    }

    fn urls(&self, pages: impl Iterator<Item = (String, Option<DateTime<Utc>>)>) -> String {
        document(&html! {
            urlset xmlns=(PROTOCOL) {
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
    html! { (PreEscaped(DECLARATION)) (root) }.into_string()
}

fn robots_text(base: &str) -> String {
    let mut text = "User-agent: *\n".to_owned();
    for path in NOT_TO_BE_READ {
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
    fn sitemaps_are_told_apart() {
        assert_eq!(Name::parse("pages.xml"), Some(Name::Pages));
        assert_eq!(
            Name::parse("2026-11-22.xml"),
            NaiveDate::from_ymd_opt(2026, 11, 22).map(Name::Day)
        );
        for none in ["pages", "2026-11-22", "2026-02-31.xml", "today.xml", ".xml"] {
            assert_eq!(Name::parse(none), None, "{none}");
        }
    }

    #[test]
    fn robots_find_the_sitemap_and_keep_out_of_the_rest() {
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
