//! Atom feeds of the timelines and of each user's photos (RFC 4287).

use std::collections::{BTreeMap, HashMap};
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use atom_syndication as atom;
use chrono::{DateTime, Utc};
use contracts::Code;
use futures::{StreamExt as _, stream};
use hive_router::ntex::http::StatusCode;
use hive_router::ntex::web::{HttpRequest, HttpResponse};
use maud::html;
use moka::future::Cache;
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use crate::document::Document;
use crate::error_response::ErrorResponse;
use crate::graph_client::{GraphClient, QueryError};
use crate::graph_types::{Connection, Photo, UserSummary};
use crate::media::PhotoService;
use ui::bidi::isolated;
use ui::path::is_name;

const ATOM: &str = "application/atom+xml; charset=utf-8";
const MAX_ENTRIES: u32 = 50;
/// Maximum width of images in feeds, in pixels.
const IMAGE_WIDTH: u32 = 1280;
/// Lifetime of cached feeds, and their maximum number.
const CACHE_TTL: Duration = Duration::from_secs(5);
const MAX_CACHED_FEEDS: u64 = 500;
/// Maximum number of cached file sizes, and how long a feed waits for missing ones.
const MAX_CACHED_LENGTHS: u64 = 50_000;
const LENGTHS_TIMEOUT: Duration = Duration::from_secs(2);

const NOT_FOUND: ErrorResponse =
    ErrorResponse::new(StatusCode::NOT_FOUND, Code::NotFound, "There is no such feed.");
pub(crate) const UNAVAILABLE: ErrorResponse = ErrorResponse {
    retry_after_seconds: Some(10),
    ..ErrorResponse::new(
        StatusCode::SERVICE_UNAVAILABLE,
        Code::Unavailable,
        "This feed is unavailable right now. Try again in a minute.",
    )
};

/// Renders and caches feeds.
pub(crate) struct AtomFeeds {
    base: String,
    graph: Arc<GraphClient>,
    photos: Arc<PhotoService>,
    /// `None` for a feed that does not exist.
    cache: Cache<FeedName, Option<Arc<Document>>>,
    /// File sizes in bytes by path. They never expire, because files are immutable.
    lengths: Cache<String, u64>,
}

/// The name of a feed: `latest`, `hot`, `trending` or `@username`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum FeedName {
    Latest,
    Hot,
    Trending,
    Person(String),
}

/// The content of a feed.
struct Channel {
    title: String,
    subtitle: Option<String>,
    /// The page and the feed, as paths on this site.
    page: String,
    feed: String,
    photos: Vec<Photo>,
    /// The `updated` time of a feed without entries.
    updated: DateTime<Utc>,
}

#[derive(Deserialize)]
struct TimelineData {
    #[serde(alias = "latestPhotos", alias = "hotPhotos", alias = "trendingPhotos")]
    photos: Option<Connection<Photo>>,
}

#[derive(Deserialize)]
struct UserData {
    user: Option<Photographer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Photographer {
    #[serde(flatten)]
    person: UserSummary,
    bio: Option<String>,
    joined_at: DateTime<Utc>,
    photos: Option<Connection<Photo>>,
}

impl FeedName {
    fn parse(file: &str) -> Option<Self> {
        let name = file.strip_suffix(".atom")?;
        match name {
            "latest" => Some(Self::Latest),
            "hot" => Some(Self::Hot),
            "trending" => Some(Self::Trending),
            _ => {
                let person = name.strip_prefix('@')?;
                is_name(person).then(|| Self::Person(person.to_owned()))
            }
        }
    }
}

impl AtomFeeds {
    /// `base` is the public URL without a slash at its end.
    pub(crate) fn new(base: String, graph: Arc<GraphClient>, photos: Arc<PhotoService>) -> Self {
        let cache = Cache::builder()
            .time_to_live(CACHE_TTL)
            .max_capacity(MAX_CACHED_FEEDS)
            .build();
        Self {
            base,
            graph,
            photos,
            cache,
            lengths: Cache::new(MAX_CACHED_LENGTHS),
        }
    }

    /// Responds with the feed named by `file`, such as `latest.atom`.
    pub(crate) async fn answer(&self, request: &HttpRequest, file: &str) -> HttpResponse {
        let Some(name) = FeedName::parse(file) else {
            return NOT_FOUND.as_json();
        };
        match self.cached(name).await {
            Ok(feed) => feed.answer(request),
            Err(QueryError::NotFound) => NOT_FOUND.as_json(),
            Err(QueryError::Unavailable) => UNAVAILABLE.as_json(),
        }
    }

    /// Failures are not cached.
    async fn cached(&self, name: FeedName) -> Result<Arc<Document>, QueryError> {
        let written = async {
            let permit = self.graph.acquire().await?;
            let channel = match self.channel(&name).await {
                Err(QueryError::NotFound) => return Ok(None),
                channel => channel?,
            };
            drop(permit);
            let lengths = timeout(LENGTHS_TIMEOUT, self.lengths(&channel.photos));
            let lengths = lengths.await.unwrap_or_default();
            let feed = Document::new(ATOM, render_feed(&channel, &self.base, &lengths));
            Ok(Some(Arc::new(feed)))
        };
        let kept = self.cache.try_get_with(name.clone(), written).await;
        let kept = kept.map_err(|error: Arc<QueryError>| *error)?;
        kept.ok_or(QueryError::NotFound)
    }

    /// The sizes of the enclosures, in bytes by path. Unavailable ones are missing.
    async fn lengths(&self, photos: &[Photo]) -> HashMap<String, u64> {
        let paths = photos
            .iter()
            .filter_map(|photo| Some(photo.image.jpeg_up_to(IMAGE_WIDTH)?.path.to_owned()));
        let found = stream::iter(paths).map(|path| async move {
            if let Some(length) = self.lengths.get(&path).await {
                return Some((path, length));
            }
            let length = self.photos.length(&path).await?;
            self.lengths.insert(path.clone(), length).await;
            Some((path, length))
        });
        found.buffer_unordered(8).filter_map(ready).collect().await
    }

    async fn channel(&self, name: &FeedName) -> Result<Channel, QueryError> {
        match name {
            FeedName::Latest => {
                self.timeline(
                    "LatestFeed",
                    "Latest",
                    "Every photo, the newest first.",
                    "/",
                    "latest",
                )
                .await
            }
            FeedName::Hot => {
                self.timeline(
                    "HotFeed",
                    "Hot",
                    "Today’s photos, best votes first.",
                    "/hot",
                    "hot",
                )
                .await
            }
            FeedName::Trending => {
                let description = "All photos of all time, best votes first.";
                self.timeline("TrendingFeed", "Trending", description, "/trending", "trending")
                    .await
            }
            FeedName::Person(username) => self.person(username).await,
        }
    }

    async fn timeline(
        &self,
        operation: &str,
        title: &str,
        description: &str,
        page: &str,
        file: &str,
    ) -> Result<Channel, QueryError> {
        let answer = self
            .graph
            .query(operation, &json!({ "first": MAX_ENTRIES }))
            .await?;
        let photos = answer.read(|data: TimelineData| data.photos)?;
        Ok(Channel {
            title: format!("{title} · Proofsheet"),
            subtitle: Some(description.to_owned()),
            page: page.to_owned(),
            feed: format!("/feeds/{file}.atom"),
            photos: photos.into_present(),
            updated: DateTime::UNIX_EPOCH,
        })
    }

    async fn person(&self, username: &str) -> Result<Channel, QueryError> {
        let variables = json!({ "username": username, "first": MAX_ENTRIES });
        let answer = self.graph.query("PersonFeed", &variables).await?;
        let Photographer {
            person,
            bio,
            joined_at,
            photos,
        } = answer.read(|data: UserData| data.user)?;
        Ok(Channel {
            title: format!("Photos by {} · Proofsheet", isolated(&person.display_name)),
            subtitle: bio.as_deref().map(isolated),
            page: person.path(),
            feed: format!("/feeds/@{}.atom", person.username),
            photos: photos.ok_or(QueryError::Unavailable)?.into_present(),
            updated: joined_at,
        })
    }
}

fn render_feed(channel: &Channel, base: &str, lengths: &HashMap<String, u64>) -> String {
    let entries: Vec<atom::Entry> = channel
        .photos
        .iter()
        .map(|photo| entry(photo, base, lengths, channel.updated))
        .collect();
    let itself = format!("{base}{}", channel.feed);
    let feed = atom::Feed {
        title: atom::Text::plain(&channel.title),
        id: itself.clone(),
        updated: entries
            .iter()
            .map(|entry| entry.updated)
            .max()
            .unwrap_or_else(|| channel.updated.fixed_offset()),
        subtitle: channel.subtitle.as_deref().map(atom::Text::plain),
        icon: Some(format!("{base}/favicon.svg")),
        links: vec![
            link("self", itself, "application/atom+xml"),
            link("alternate", format!("{base}{}", channel.page), "text/html"),
        ],
        entries,
        lang: Some("en".to_owned()),
        namespaces: BTreeMap::new(),
        ..atom::Feed::default()
    };
    let mut text = feed.to_string();
    text.retain(is_xml_char);
    text
}

fn entry(
    photo: &Photo,
    base: &str,
    lengths: &HashMap<String, u64>,
    unless_known: DateTime<Utc>,
) -> atom::Entry {
    let page = format!("{base}{}", photo.path());
    let published = photo.published_at.unwrap_or(unless_known).fixed_offset();
    let image = photo.image.jpeg_up_to(IMAGE_WIDTH);
    let content = html! {
        @if let Some(image) = &image {
            p {
                a href=(page) {
                    img src={ (base) (image.path) } width=(image.width) height=(image.height) alt=(isolated(photo.image.alt()));
                }
            }
        }
        @if let Some(alt) = &photo.image.alt_text { p dir="auto" { (alt) } }
    };
    let enclosure = image.as_ref().map(|image| atom::Link {
        length: lengths.get(image.path).map(ToString::to_string),
        ..link("enclosure", format!("{base}{}", image.path), "image/jpeg")
    });
    atom::Entry {
        title: atom::Text::plain(isolated(&photo.image.title)),
        // The id of the photo, which does not depend on its URL.
        id: photo.id.urn().to_string(),
        updated: photo.updated_at.map_or(published, |at| at.fixed_offset()),
        published: Some(published),
        authors: vec![author(photo.author.as_ref(), base)],
        links: [link("alternate", page, "text/html")]
            .into_iter()
            .chain(enclosure)
            .collect(),
        content: Some(atom::Content {
            value: Some(content.into_string()),
            content_type: Some("html".to_owned()),
            ..atom::Content::default()
        }),
        ..atom::Entry::default()
    }
}

fn author(person: Option<&UserSummary>, base: &str) -> atom::Person {
    atom::Person {
        name: person.map_or_else(
            || "Unknown user".to_owned(),
            |person| isolated(&person.display_name),
        ),
        uri: person.map(|person| format!("{base}{}", person.path())),
        ..atom::Person::default()
    }
}

/// Whether XML 1.0 allows the character (section 2.2). Others may not occur even when escaped.
fn is_xml_char(char: char) -> bool {
    matches!(char, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

fn link(rel: &str, href: String, mime_type: &str) -> atom::Link {
    atom::Link {
        rel: rel.to_owned(),
        href,
        mime_type: Some(mime_type.to_owned()),
        ..atom::Link::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_parsed() {
        assert_eq!(FeedName::parse("hot.atom"), Some(FeedName::Hot));
        assert_eq!(
            FeedName::parse("@ada.atom"),
            Some(FeedName::Person("ada".to_owned()))
        );
        for none in ["hot", "hot.rss", "ada.atom", "@.atom", "@a/b.atom", "@<.atom"] {
            assert_eq!(FeedName::parse(none), None, "{none}");
        }
    }

    fn channel(photos: serde_json::Value) -> Channel {
        Channel {
            title: "Latest & \"greatest\"".to_owned(),
            subtitle: None,
            page: "/".to_owned(),
            feed: "/feeds/latest.atom".to_owned(),
            photos: serde_json::from_value(photos).unwrap(),
            updated: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn user_input_is_escaped() {
        let title = "\u{1}\"><script>]]>&amp;";
        let photo = json!({
            "id": "01936f5e-7c00-7000-8000-000000000001", "title": title, "altText": title,
            "width": 4, "height": 3, "publishedAt": "2026-11-22T10:00:00Z",
            "sources": [{ "mediaType": "image/jpeg", "srcset": "/media/a/4.jpg 4w" }],
            "author": { "username": "ada", "displayName": title },
        });
        let lengths = HashMap::from([("/media/a/4.jpg".to_owned(), 4321)]);
        let feed = render_feed(&channel(json!([photo])), "https://photos.example", &lengths);
        let read: atom::Feed = feed.parse().unwrap();
        assert_eq!(read.title.value, "Latest & \"greatest\"");
        let entry = &read.entries[0];
        assert_eq!(entry.title.value, "\"><script>]]>&amp;");
        assert_eq!(entry.authors[0].name, entry.title.value);
        let enclosure = entry.links.iter().find(|link| link.rel == "enclosure");
        assert_eq!(enclosure.unwrap().length.as_deref(), Some("4321"));
        let content = entry.content.as_ref().unwrap().value.as_deref().unwrap();
        assert!(
            !content.contains("<script") && content.contains("&lt;script"),
            "{content}"
        );
    }

    #[test]
    fn a_feed_without_entries_is_valid() {
        let feed = render_feed(&channel(json!([])), "https://photos.example", &HashMap::new());
        let read: atom::Feed = feed.parse().unwrap();
        assert_eq!(read.id, "https://photos.example/feeds/latest.atom");
        assert_eq!(read.updated, DateTime::UNIX_EPOCH.fixed_offset());
    }
}
