//! Renders the app's pages with their content, so that the first photos do not wait for WebAssembly, and visitors
//! without scripts and link previews see them too.
//!
//! A page shows the responses to the operations that the app would send first, as an anonymous visitor. So a page is
//! the same for all readers of a language: it is rendered at most once a second, for any number of requests. When the
//! graph does not answer in time, the app is served without content.

mod address;
mod head;
mod markup;
mod style;
mod template;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use futures::future::join;
use hive_router::ntex::http::StatusCode;
use maud::{Markup, PreEscaped, html};
use moka::future::Cache;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

pub(crate) use address::{Shown, day_of};

use crate::document::{Document, HTML};
use crate::graph::{Graph, NoAnswer};
use crate::language::Language;
use crate::photos::{HotDay, Nodes, Person, Photo};
use head::Head;
use markup::{Day, Timeline, photo_sizes};
use style::Style;
use template::Template;

/// Only the site's own files run, and no site may frame it. The app is WebAssembly. A page adds its style element.
pub(crate) const APP_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
    img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; \
    base-uri 'none'; frame-ancestors 'none'";

/// As many photos as the app asks for at once: `PAGE_SIZE` in `frontend/src/feed.rs`.
const PAGE_SIZE: u32 = 24;
const PODIUM: u32 = 3;
/// After this time the app is served without content, and queries the photos itself.
const GRAPH_TIMEOUT: Duration = Duration::from_millis(800);
/// How long a page is the answer for everybody.
const CACHE_TTL: Duration = Duration::from_secs(1);
/// The pages that are kept take up no more than this, in bytes.
const MAX_CACHE_SIZE: u64 = 64 * 1024 * 1024;

/// The pages of the app.
pub(crate) struct Pages {
    editions: [Edition; Language::ALL.len()],
    base: String,
    /// Where the days of Hot begin and end.
    time_zone: Tz,
    graph: Arc<Graph>,
    kept: Cache<(Shown, After, Language), Arc<Document>>,
}

/// The cursor after which a timeline goes on, for those who run no scripts.
pub(crate) type After = Option<String>;

/// The app's page in one language.
struct Edition {
    page: String,
    template: Option<Template>,
}

/// The state of a page while it is rendered.
struct Draft {
    language: Language,
    style: Style,
}

/// The content of a page.
struct Content {
    status: StatusCode,
    head: Head,
    main: Markup,
    draft: Draft,
    answers: Vec<Answered>,
}

/// An operation of the app and its response, as `frontend/src/first_page.rs` reads it.
#[derive(Serialize)]
struct Answered {
    operation: &'static str,
    variables: Value,
    data: Box<RawValue>,
}

#[derive(Deserialize)]
struct TimelineData {
    #[serde(alias = "latestPhotos", alias = "hotPhotos", alias = "trendingPhotos")]
    photos: Option<Nodes<Photo>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DaysData {
    hot_days: Option<Nodes<HotDay>>,
}

#[derive(Deserialize)]
struct PhotoData {
    photo: Option<Photo>,
}

#[derive(Deserialize)]
struct UserData<T> {
    user: Option<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    #[serde(flatten)]
    person: Person,
    bio: Option<String>,
    joined_at: DateTime<Utc>,
}

#[derive(Deserialize)]
struct Photographer {
    photos: Option<Nodes<Photo>>,
}

impl Pages {
    /// `index` is the app's page, `base` the public URL without a slash at its end, and `time_zone` the site's.
    pub(crate) fn new(index: &str, base: String, time_zone: Tz, graph: Arc<Graph>) -> Self {
        let index = index.replace(
            "<meta name=\"time-zone\" content=\"UTC\">",
            &format!("<meta name=\"time-zone\" content=\"{time_zone}\">"),
        );
        let editions = Language::ALL.map(|language| {
            let page = language.fill_in(&index);
            let template = Template::parse(&page);
            Edition { page, template }
        });
        if editions.iter().any(|edition| edition.template.is_none()) {
            tracing::warn!("the app's page has no place for content: it is served as it is");
        }
        let kept = Cache::builder()
            .time_to_live(CACHE_TTL)
            .weigher(|_, page: &Arc<Document>| u32::try_from(page.size()).unwrap_or(u32::MAX))
            .max_capacity(MAX_CACHE_SIZE)
            .build();
        Self {
            editions,
            base,
            time_zone,
            graph,
            kept,
        }
    }

    /// The page at this path. Those who ask for the same one at the same time wait for the same answer.
    pub(crate) async fn at(&self, path: &str, after: After, language: Language) -> Arc<Document> {
        self.shown(Shown::at(path), after, language).await
    }

    /// The page of an address that is none.
    pub(crate) async fn nowhere(&self, language: Language) -> Arc<Document> {
        self.shown(Shown::Nothing, None, language).await
    }

    async fn shown(&self, shown: Shown, after: After, language: Language) -> Arc<Document> {
        let key = (shown.clone(), after.clone(), language);
        self.kept
            .get_with(key, async {
                Arc::new(
                    self.write(&shown, after.as_deref(), language)
                        .await
                        .in_a_language(),
                )
            })
            .await
    }

    async fn write(&self, shown: &Shown, after: Option<&str>, language: Language) -> Document {
        let Edition { page, template } = &self.editions[language as usize];
        let Some(template) = template else {
            let status = match shown {
                Shown::Nothing => StatusCode::NOT_FOUND,
                _ => StatusCode::OK,
            };
            return Document::new(HTML, page.clone())
                .with_policy(APP_POLICY.to_owned())
                .with_status(status);
        };
        let content = timeout(GRAPH_TIMEOUT, self.content(shown, after, Draft::new(language))).await;
        match content.unwrap_or(Err(NoAnswer::Unavailable)) {
            Ok(content) => self.filled(template, shown, &content),
            Err(NoAnswer::NotThere) => self.filled(template, shown, &not_there(shown, Draft::new(language))),
            Err(NoAnswer::Unavailable) => {
                metrics::counter!("proofsheet_router_pages_without_answer_total", "why" => "unavailable")
                    .increment(1);
                let main = markup::app_only(language).into_string();
                let page = template.fill(None, shown.timeline(), &main, "");
                Document::new(HTML, page).with_policy(APP_POLICY.to_owned())
            }
        }
    }

    fn filled(&self, template: &Template, shown: &Shown, content: &Content) -> Document {
        let Content {
            status,
            head,
            main,
            draft: Draft { style, .. },
            answers,
        } = content;
        let head = head.markup(&self.base, style).into_string();
        let data = data(answers).into_string();
        let page = template.fill(Some(&head), shown.timeline(), &main.0, &data);
        let styles = format!("style-src 'self' {}", style.source());
        Document::new(HTML, page)
            .with_policy(APP_POLICY.replace("style-src 'self'", &styles))
            .with_status(*status)
    }

    async fn content(&self, shown: &Shown, after: Option<&str>, draft: Draft) -> Result<Content, NoAnswer> {
        let mut content = self.first_content(shown, after, draft).await?;
        if after.is_some() {
            // The app begins at the beginning, and those who look for pages find them one by one.
            content.answers.clear();
            content.head = content.head.unlisted();
        }
        Ok(content)
    }

    async fn first_content(
        &self,
        shown: &Shown,
        after: Option<&str>,
        draft: Draft,
    ) -> Result<Content, NoAnswer> {
        let text = |key| draft.language.text(key);
        match shown {
            Shown::Latest | Shown::Trending => self.timeline(shown, after, draft).await,
            Shown::Hot(day) => self.hot(*day, after, draft).await,
            Shown::Photo(id) => self.photo(*id, draft).await,
            Shown::Person(username) => self.person(username, after, draft).await,
            Shown::AboutRanking => {
                let head = Head::new(text("app.how_ranking_works"), text("page.about_ranking_words"));
                Ok(app_page(head.at("/about/ranking".to_owned()), draft))
            }
            Shown::App(title) => {
                let head = Head::new(text(title), text("page.of_the_site"));
                Ok(app_page(head, draft))
            }
            Shown::Nothing => Err(NoAnswer::NotThere),
        }
    }

    async fn timeline(
        &self,
        shown: &Shown,
        after: Option<&str>,
        mut draft: Draft,
    ) -> Result<Content, NoAnswer> {
        let (operation, title, words, path, feed) = match shown {
            Shown::Trending => (
                "TrendingPhotos",
                "timeline.trending",
                "timeline.trending_words",
                "/trending",
                "/feeds/trending.atom",
            ),
            _ => (
                "LatestPhotos",
                "timeline.latest",
                "timeline.latest_words",
                "/",
                "/feeds/latest.atom",
            ),
        };
        let [title, words] = [title, words].map(|key| draft.language.text(key));
        let (page, answered) = self
            .photos(operation, json!({ "first": PAGE_SIZE, "after": after }))
            .await?;
        let main = markup::timeline(
            &mut draft,
            &Timeline {
                title,
                words,
                // Further on, the first is not the first.
                ranked: operation == "TrendingPhotos" && after.is_none(),
                day: None,
                page: &page,
                path,
                archive: &[],
                podium: None,
            },
        );
        let head = Head::new(title, words)
            .at(path.to_owned())
            .with_photos(&page.into_present(), false)
            .with_feed(title.to_owned(), feed.to_owned());
        Ok(Content::new(head, main, draft).with([answered]))
    }

    async fn hot(
        &self,
        named: Option<NaiveDate>,
        after: Option<&str>,
        mut draft: Draft,
    ) -> Result<Content, NoAnswer> {
        let of_day = |day: Option<NaiveDate>, first: u32, after: Option<&str>| json!({ "day": day, "first": first, "after": after });
        let (photos, days) = join(
            self.photos("HotPhotos", of_day(named, PAGE_SIZE, after)),
            self.graph.ask("HotDays", &json!({})),
        )
        .await;
        let (page, answered) = photos?;
        let mut answers = vec![answered];
        let mut archive = Vec::new();
        // While there is no archive, the day is shown without.
        if let Ok(days) = days
            && let Ok(past) = days.read(|data: DaysData| data.hot_days)
        {
            archive = past.into_present();
            answers.push(Answered {
                operation: "HotDays",
                variables: json!({}),
                data: days.data,
            });
        }
        let mut podium = None;
        if named.is_none()
            && page.nodes.iter().flatten().next().is_none()
            && let Some(last) = archive.iter().find(|day| day.winner.is_some())
            && let Ok((best, answered)) = self
                .photos("HotPhotos", of_day(Some(last.day), PODIUM, None))
                .await
        {
            podium = Some((last.day, best.into_present()));
            answers.push(answered);
        }

        let language = draft.language;
        let hot = language.text("timeline.hot");
        let title = named.map_or_else(
            || hot.to_owned(),
            |day| language.filled("timeline.hot_day", &language.day(day)),
        );
        let words = match named {
            None => language.filled("timeline.hot_words", self.time_zone.name()),
            Some(_) => language.text("timeline.hot_day_words").to_owned(),
        };
        let path = named.map_or_else(|| "/hot".to_owned(), |day| format!("/hot/{day}"));
        let today = Utc::now().with_timezone(&self.time_zone).date_naive();
        let main = markup::timeline(
            &mut draft,
            &Timeline {
                title: &title,
                words: &words,
                ranked: after.is_none(),
                day: Some(Day {
                    shown: named.unwrap_or(today),
                    today,
                    time_zone: self.time_zone,
                    is_named: named.is_some(),
                }),
                page: &page,
                path: &path,
                archive: &archive,
                podium: podium.as_ref().map(|(day, photos)| (*day, photos.as_slice())),
            },
        );
        let photos = page.into_present();
        let mut head = Head::new(&title, &words)
            .with_photos(&photos, true)
            .with_feed(hot.to_owned(), "/feeds/hot.atom".to_owned());
        // Every day leads to the one before: who follows all links must find an end.
        if named.is_none() || !photos.is_empty() {
            head = head.at(path);
        }
        Ok(Content::new(head, main, draft).with(answers))
    }

    async fn photo(&self, id: Uuid, mut draft: Draft) -> Result<Content, NoAnswer> {
        let variables = json!({ "id": id });
        let answer = self.graph.ask("PhotoById", &variables).await?;
        let photo = answer.read(|data: PhotoData| data.photo)?;
        let language = draft.language;
        let main = markup::photo(&mut draft, &photo);
        let author = photo.author.as_ref();
        let description = match (&photo.print.alt_text, author) {
            (Some(alt), _) => alt.clone(),
            (None, Some(author)) => language.filled("page.photo_by", &author.display_name),
            (None, None) => language.text("page.photo").to_owned(),
        };
        let mut head = Head::new(&photo.print.title, &description)
            .at(photo.path())
            .of_kind("article")
            .with_picture(&photo.print, &photo_sizes(&photo.print));
        if let Some(author) = author {
            head = head.with_feed(photos_by(language, author), feed_of(author));
        }
        Ok(Content::new(head, main, draft).with([Answered {
            operation: "PhotoById",
            variables,
            data: answer.data,
        }]))
    }

    async fn person(
        &self,
        username: &str,
        after: Option<&str>,
        mut draft: Draft,
    ) -> Result<Content, NoAnswer> {
        let who = json!({ "username": username });
        let which = json!({ "username": username, "first": PAGE_SIZE, "after": after });
        let (profile, photos) = join(
            self.graph.ask("Profile", &who),
            self.graph.ask("PhotosOf", &which),
        )
        .await;
        let (profile, photos) = (profile?, photos?);
        let Profile {
            person,
            bio,
            joined_at,
        } = profile.read(|data: UserData<Profile>| data.user)?;
        let page = photos.read(|data: UserData<Photographer>| data.user?.photos)?;
        let language = draft.language;
        let main = markup::profile(&mut draft, &person, bio.as_deref(), joined_at, &page);
        let description = bio.unwrap_or_else(|| language.filled("page.person", &person.display_name));
        let head = Head::new(&person.display_name, &description)
            .at(person.path())
            .of_kind("profile")
            .with_photos(&page.into_present(), false)
            .with_feed(photos_by(language, &person), feed_of(&person));
        Ok(Content::new(head, main, draft).with([
            Answered {
                operation: "Profile",
                variables: who,
                data: profile.data,
            },
            Answered {
                operation: "PhotosOf",
                variables: which,
                data: photos.data,
            },
        ]))
    }

    async fn photos(
        &self,
        operation: &'static str,
        variables: Value,
    ) -> Result<(Nodes<Photo>, Answered), NoAnswer> {
        let answer = self.graph.ask(operation, &variables).await?;
        let page = answer.read(|data: TimelineData| data.photos)?;
        let answered = Answered {
            operation,
            variables,
            data: answer.data,
        };
        Ok((page, answered))
    }
}

impl Draft {
    fn new(language: Language) -> Self {
        Self {
            language,
            style: Style::new(),
        }
    }
}

impl Content {
    fn new(head: Head, main: Markup, draft: Draft) -> Self {
        Self {
            status: StatusCode::OK,
            head,
            main,
            draft,
            answers: Vec::new(),
        }
    }

    fn with(mut self, answers: impl IntoIterator<Item = Answered>) -> Self {
        self.answers.extend(answers);
        self
    }
}

/// A page that only the app can render.
fn app_page(head: Head, draft: Draft) -> Content {
    Content::new(head, markup::app_only(draft.language), draft)
}

fn not_there(shown: &Shown, draft: Draft) -> Content {
    let keys = match shown {
        Shown::Photo(_) => [
            "photo.removed_title",
            "photo.removed_heading",
            "photo.removed_words",
        ],
        Shown::Person(_) => ["profile.not_found", "profile.nobody", "profile.nobody_words"],
        _ => ["lost.title", "lost.heading", "lost.words"],
    };
    let [title, heading, words] = keys.map(|key| draft.language.text(key));
    let main = markup::nothing(draft.language, heading, words);
    Content {
        status: StatusCode::NOT_FOUND,
        ..Content::new(Head::new(title, words), main, draft)
    }
}

fn photos_by(language: Language, person: &Person) -> String {
    language.filled("profile.photos_by", &person.display_name)
}

fn feed_of(person: &Person) -> String {
    format!("/feeds/@{}.atom", person.username)
}

/// The answers, for the app. No text in them can end the element, because none has a `<` left.
fn data(answers: &[Answered]) -> Markup {
    match serde_json::to_string(answers) {
        Ok(json) if !answers.is_empty() => html! {
            script type="application/json" id="first-page" { (PreEscaped(json.replace('<', "\\u003c"))) }
        },
        _ => html! {},
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_cannot_leave_their_element_and_stay_what_they_were() {
        let title = "</script><!--<script>\"><\u{2028}";
        let data_of_photo = serde_json::value::to_raw_value(&json!({ "title": title })).unwrap();
        let markup = data(&[Answered {
            operation: "PhotoById",
            variables: json!({ "id": "<" }),
            data: data_of_photo,
        }]);
        let text = markup.into_string();
        let json = text
            .strip_prefix("<script type=\"application/json\" id=\"first-page\">")
            .unwrap()
            .strip_suffix("</script>")
            .unwrap();
        assert!(!json.contains('<'), "{json}");
        let read: Value = serde_json::from_str(json).unwrap();
        assert_eq!(
            read,
            json!([{ "operation": "PhotoById", "variables": { "id": "<" }, "data": { "title": title } }])
        );
        assert_eq!(data(&[]).into_string(), "");
    }

    #[test]
    fn as_many_photos_are_asked_for_as_the_app_asks_for() {
        let feed = include_str!("../../frontend/src/feed.rs");
        assert!(feed.contains(&format!("PAGE_SIZE: i32 = {PAGE_SIZE};")));
    }
}
