//! The timelines, and everybody's photos, as Atom feeds.

use std::collections::{BTreeMap, HashMap};
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use atom_syndication as atom;
use chrono::{DateTime, Utc};
use futures::{StreamExt as _, stream};
use hive_router::ntex::http::StatusCode;
use hive_router::ntex::web::{HttpRequest, HttpResponse};
use maud::html;
use moka::future::Cache;
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use crate::bidi::isolated;
use crate::document::Document;
use crate::error_response::Refusal;
use crate::graph::{Graph, NoAnswer};
use crate::media::PhotoService;
use crate::path::is_name;
use crate::photos::{Nodes, Person, Photo};

const ATOM: &str = "application/atom+xml; charset=utf-8";
const ENTRIES: u32 = 50;
/// The widest picture in a feed: readers show it in a column, and some keep it.
const WIDTH: u32 = 1280;
/// How long a feed is the answer for everybody, and how many are kept.
const CACHE_TTL: Duration = Duration::from_secs(5);
const MAX_CACHED_FEEDS: u64 = 500;
/// How many sizes of files are cached, and how long a feed waits for those that are not.
const MAX_LENGTHS: u64 = 50_000;
const LENGTHS_TIMEOUT: Duration = Duration::from_secs(2);

const NOT_FOUND: Refusal = Refusal::new(StatusCode::NOT_FOUND, "NOT_FOUND", "There is no such feed.");
pub(crate) const UNAVAILABLE: Refusal = Refusal {
    retry_after_seconds: Some(10),
    ..Refusal::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "UNAVAILABLE",
        "This is unavailable right now. Try again in a minute.",
    )
};

/// Writes feeds.
pub(crate) struct Feeds {
    base: String,
    graph: Arc<Graph>,
    photos: Arc<PhotoService>,
    kept: Cache<Name, Result<Arc<Document>, NoAnswer>>,
    /// The sizes of files by path. The content of a path never changes.
    lengths: Cache<String, u64>,
}

/// Which feed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Name {
    Latest,
    Hot,
    Trending,
    Person(String),
}

/// The subject of a feed.
struct Channel {
    title: String,
    subtitle: Option<String>,
    /// The page and the feed, as paths on this site.
    page: String,
    feed: String,
    photos: Vec<Photo>,
    /// When there is no entry to tell.
    updated: DateTime<Utc>,
}

#[derive(Deserialize)]
struct TimelineData {
    #[serde(alias = "latestPhotos", alias = "hotPhotos", alias = "trendingPhotos")]
    photos: Option<Nodes<Photo>>,
}

#[derive(Deserialize)]
struct UserData {
    user: Option<Photographer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Photographer {
    #[serde(flatten)]
    person: Person,
    bio: Option<String>,
    joined_at: DateTime<Utc>,
    photos: Option<Nodes<Photo>>,
}

impl Name {
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

impl Feeds {
    /// `base` is the public URL without a slash at its end.
    pub(crate) fn new(base: String, graph: Arc<Graph>, photos: Arc<PhotoService>) -> Self {
        let kept = Cache::builder()
            .time_to_live(CACHE_TTL)
            .max_capacity(MAX_CACHED_FEEDS)
            .build();
        Self {
            base,
            graph,
            photos,
            kept,
            lengths: Cache::new(MAX_LENGTHS),
        }
    }

    /// The feed in this file.
    pub(crate) async fn answer(&self, request: &HttpRequest, file: &str) -> HttpResponse {
        let Some(name) = Name::parse(file) else {
            return NOT_FOUND.as_json();
        };
        match self.named(name).await {
            Ok(feed) => feed.answer(request),
            Err(NoAnswer::NotThere) => NOT_FOUND.as_json(),
            Err(NoAnswer::Unavailable) => UNAVAILABLE.as_json(),
        }
    }

    async fn named(&self, name: Name) -> Result<Arc<Document>, NoAnswer> {
        let written = async {
            let channel = self.channel(&name).await?;
            let lengths = timeout(LENGTHS_TIMEOUT, self.lengths(&channel.photos));
            let lengths = lengths.await.unwrap_or_default();
            Ok(Arc::new(Document::new(
                ATOM,
                written(&channel, &self.base, &lengths),
            )))
        };
        self.kept.get_with(name.clone(), written).await
    }

    /// The sizes of the enclosures, as far as they can be had.
    async fn lengths(&self, photos: &[Photo]) -> HashMap<String, u64> {
        let paths = photos
            .iter()
            .filter_map(|photo| Some(photo.print.jpeg_up_to(WIDTH)?.path.to_owned()));
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

    async fn channel(&self, name: &Name) -> Result<Channel, NoAnswer> {
        match name {
            Name::Latest => {
                self.timeline(
                    "LatestFeed",
                    "Latest",
                    "Every photo, the newest first.",
                    "/",
                    "latest",
                )
                .await
            }
            Name::Hot => {
                self.timeline(
                    "HotFeed",
                    "Hot",
                    "Today’s photos, best votes first.",
                    "/hot",
                    "hot",
                )
                .await
            }
            Name::Trending => {
                let words = "All photos of all time, best votes first.";
                self.timeline("TrendingFeed", "Trending", words, "/trending", "trending")
                    .await
            }
            Name::Person(username) => self.person(username).await,
        }
    }

    async fn timeline(
        &self,
        operation: &str,
        title: &str,
        words: &str,
        page: &str,
        file: &str,
    ) -> Result<Channel, NoAnswer> {
        let answer = self.graph.ask(operation, &json!({ "first": ENTRIES })).await?;
        let photos = answer.read(|data: TimelineData| data.photos)?;
        Ok(Channel {
            title: format!("{title} · Proofsheet"),
            subtitle: Some(words.to_owned()),
            page: page.to_owned(),
            feed: format!("/feeds/{file}.atom"),
            photos: photos.into_present(),
            updated: DateTime::UNIX_EPOCH,
        })
    }

    async fn person(&self, username: &str) -> Result<Channel, NoAnswer> {
        let variables = json!({ "username": username, "first": ENTRIES });
        let answer = self.graph.ask("PersonFeed", &variables).await?;
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
            photos: photos.ok_or(NoAnswer::Unavailable)?.into_present(),
            updated: joined_at,
        })
    }
}

fn written(channel: &Channel, base: &str, lengths: &HashMap<String, u64>) -> String {
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
    text.retain(is_xml);
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
    let image = photo.print.jpeg_up_to(WIDTH);
    let content = html! {
        @if let Some(image) = &image {
            p {
                a href=(page) {
                    img src={ (base) (image.path) } width=(image.width) height=(image.height) alt=(isolated(photo.print.alt()));
                }
            }
        }
        @if let Some(alt) = &photo.print.alt_text { p dir="auto" { (alt) } }
    };
    let enclosure = image.as_ref().map(|image| atom::Link {
        length: lengths.get(image.path).map(ToString::to_string),
        ..link("enclosure", format!("{base}{}", image.path), "image/jpeg")
    });
    atom::Entry {
        title: atom::Text::plain(isolated(&photo.print.title)),
        // The photo's own id, which outlives any address of it.
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

fn author(person: Option<&Person>, base: &str) -> atom::Person {
    atom::Person {
        name: person.map_or_else(|| "Somebody".to_owned(), |person| isolated(&person.display_name)),
        uri: person.map(|person| format!("{base}{}", person.path())),
        ..atom::Person::default()
    }
}

/// Some characters that people can type may stand in no XML at all, not even escaped.
fn is_xml(char: char) -> bool {
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
    fn feeds_are_told_apart() {
        assert_eq!(Name::parse("hot.atom"), Some(Name::Hot));
        assert_eq!(Name::parse("@ada.atom"), Some(Name::Person("ada".to_owned())));
        for none in ["hot", "hot.rss", "ada.atom", "@.atom", "@a/b.atom", "@<.atom"] {
            assert_eq!(Name::parse(none), None, "{none}");
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
    fn whatever_people_write_is_text() {
        let title = "\u{1}\"><script>]]>&amp;";
        let photo = json!({
            "id": "01936f5e-7c00-7000-8000-000000000001", "title": title, "altText": title,
            "width": 4, "height": 3, "publishedAt": "2026-11-22T10:00:00Z",
            "sources": [{ "mediaType": "image/jpeg", "srcset": "/media/a/4.jpg 4w" }],
            "author": { "username": "ada", "displayName": title },
        });
        let lengths = HashMap::from([("/media/a/4.jpg".to_owned(), 4321)]);
        let feed = written(&channel(json!([photo])), "https://photos.example", &lengths);
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
    fn a_feed_without_entries_is_whole() {
        let feed = written(&channel(json!([])), "https://photos.example", &HashMap::new());
        let read: atom::Feed = feed.parse().unwrap();
        assert_eq!(read.id, "https://photos.example/feeds/latest.atom");
        assert_eq!(read.updated, DateTime::UNIX_EPOCH.fixed_offset());
    }
}
