//! The app's pages, with what they show already in them: nobody waits for WebAssembly to see the first photos, and
//! those who run no scripts, or only fetch the page to link to it, see them too.
//!
//! What a page shows is the answer to the operations that the app would send first, given to nobody in particular. So a
//! page is the same for everybody: it is written once a second at most, however many people ask for it. When the
//! graph does not answer soon, the app comes without.

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

pub(crate) use address::{Shown, day_of, is_name};

use crate::document::{Document, HTML};
use crate::graph::{Graph, NoAnswer};
use crate::photos::{HotDay, Nodes, Person, Photo};
use head::Head;
use markup::{Day, PHOTO_SIZES, Timeline, day_in_words};
use style::Style;
use template::Template;

/// Nothing but our own files runs, and nobody may frame us. The app is WebAssembly. A page adds its style element.
pub(crate) const APP_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
    img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; \
    base-uri 'none'; frame-ancestors 'none'";

/// The description of a page that has none of its own.
const OF_THE_SITE: &str = "Photos, and what people think of them: latest, hot today, and trending.";

/// As many photos as the app asks for at once: `PAGE_SIZE` in `frontend/src/feed.rs`.
const PAGE_SIZE: u32 = 24;
const PODIUM: u32 = 3;
/// Who waits longer than this for the photos gets the app, which asks for them itself.
const DEADLINE: Duration = Duration::from_millis(800);
/// How long a page is the answer for everybody.
const KEPT: Duration = Duration::from_secs(1);
/// The pages that are kept take up no more than this, in bytes.
const MOST_KEPT: u64 = 64 * 1024 * 1024;

/// The pages of the app.
pub(crate) struct Pages {
    /// As the bundle has it.
    index: String,
    template: Option<Template>,
    base: String,
    /// Where the days of Hot begin and end.
    time_zone: Tz,
    graph: Arc<Graph>,
    kept: Cache<Shown, Arc<Document>>,
}

/// What one page says.
struct Content {
    status: StatusCode,
    head: Head,
    main: Markup,
    style: Style,
    answers: Vec<Answered>,
}

/// What the app would ask, and the answer, as `frontend/src/first_page.rs` reads it.
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
        let template = Template::parse(&index);
        if template.is_none() {
            tracing::warn!("the app's page has no place for content: it is served as it is");
        }
        let kept = Cache::builder()
            .time_to_live(KEPT)
            .weigher(|_, page: &Arc<Document>| u32::try_from(page.size()).unwrap_or(u32::MAX))
            .max_capacity(MOST_KEPT)
            .build();
        Self {
            index,
            template,
            base,
            time_zone,
            graph,
            kept,
        }
    }

    /// The page at this path. Those who ask for the same one at the same time wait for the same answer.
    pub(crate) async fn at(&self, path: &str) -> Arc<Document> {
        let shown = Shown::at(path);
        self.kept
            .get_with(shown.clone(), async { Arc::new(self.write(&shown).await) })
            .await
    }

    async fn write(&self, shown: &Shown) -> Document {
        let Some(template) = &self.template else {
            let status = match shown {
                Shown::Nothing => StatusCode::NOT_FOUND,
                _ => StatusCode::OK,
            };
            return Document::new(HTML, self.index.clone())
                .with_policy(APP_POLICY.to_owned())
                .with_status(status);
        };
        let content = timeout(DEADLINE, self.content(shown)).await;
        match content.unwrap_or(Err(NoAnswer::Unavailable)) {
            Ok(content) => self.filled(template, shown, &content),
            Err(NoAnswer::NotThere) => self.filled(template, shown, &not_there(shown)),
            Err(NoAnswer::Unavailable) => {
                metrics::counter!("proofsheet_router_pages_without_answer_total", "why" => "unavailable")
                    .increment(1);
                let page = template.fill(None, shown.timeline(), &markup::app_only().into_string(), "");
                Document::new(HTML, page).with_policy(APP_POLICY.to_owned())
            }
        }
    }

    fn filled(&self, template: &Template, shown: &Shown, content: &Content) -> Document {
        let Content {
            status,
            head,
            main,
            style,
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

    async fn content(&self, shown: &Shown) -> Result<Content, NoAnswer> {
        match shown {
            Shown::Latest | Shown::Trending => self.timeline(shown).await,
            Shown::Hot(day) => self.hot(*day).await,
            Shown::Photo(id) => self.photo(*id).await,
            Shown::Person(username) => self.person(username).await,
            Shown::AboutRanking => Ok(app_page(
                Head::new(
                    "How ranking works",
                    "How Hot and Trending order photos, in plain words and with the formula.",
                )
                .at("/about/ranking".to_owned()),
            )),
            Shown::App(title) => Ok(app_page(Head::new(title, OF_THE_SITE))),
            Shown::Nothing => Err(NoAnswer::NotThere),
        }
    }

    async fn timeline(&self, shown: &Shown) -> Result<Content, NoAnswer> {
        let (operation, title, words, path, feed) = match shown {
            Shown::Trending => (
                "TrendingPhotos",
                "Trending",
                "All photos of all time, best votes first.",
                "/trending",
                "/feeds/trending.atom",
            ),
            _ => (
                "LatestPhotos",
                "Latest",
                "Every photo, the newest first.",
                "/",
                "/feeds/latest.atom",
            ),
        };
        let (page, answered) = self
            .photos(operation, json!({ "first": PAGE_SIZE, "after": null }))
            .await?;
        let mut style = Style::new();
        let main = markup::timeline(
            &mut style,
            &Timeline {
                title,
                words,
                ranked: operation == "TrendingPhotos",
                day: None,
                page: &page,
                archive: &[],
                podium: None,
            },
        );
        let head = Head::new(title, words)
            .at(path.to_owned())
            .with_photos(&page.into_present(), false)
            .with_feed(title.to_owned(), feed.to_owned());
        Ok(Content::new(head, main, style).with([answered]))
    }

    async fn hot(&self, named: Option<NaiveDate>) -> Result<Content, NoAnswer> {
        let of_day =
            |day: Option<NaiveDate>, first: u32| json!({ "day": day, "first": first, "after": null });
        let (photos, days) = join(
            self.photos("HotPhotos", of_day(named, PAGE_SIZE)),
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
            && let Ok((best, answered)) = self.photos("HotPhotos", of_day(Some(last.day), PODIUM)).await
        {
            podium = Some((last.day, best.into_present()));
            answers.push(answered);
        }

        let title = named.map_or_else(|| "Hot".to_owned(), |day| format!("Hot, {}", day_in_words(day)));
        let words = match named {
            None => format!(
                "Today’s photos, best votes first. A new day begins at 00:00 {}.",
                self.time_zone
            ),
            Some(_) => "That day’s photos, best votes first.".to_owned(),
        };
        let today = Utc::now().with_timezone(&self.time_zone).date_naive();
        let mut style = Style::new();
        let main = markup::timeline(
            &mut style,
            &Timeline {
                title: &title,
                words: &words,
                ranked: true,
                day: Some(Day {
                    shown: named.unwrap_or(today),
                    today,
                    time_zone: self.time_zone,
                    is_named: named.is_some(),
                }),
                page: &page,
                archive: &archive,
                podium: podium.as_ref().map(|(day, photos)| (*day, photos.as_slice())),
            },
        );
        let path = named.map_or_else(|| "/hot".to_owned(), |day| format!("/hot/{day}"));
        let photos = page.into_present();
        let mut head = Head::new(&title, &words)
            .with_photos(&photos, true)
            .with_feed("Hot".to_owned(), "/feeds/hot.atom".to_owned());
        // Every day leads to the one before: who follows all links must find an end.
        if named.is_none() || !photos.is_empty() {
            head = head.at(path);
        }
        Ok(Content::new(head, main, style).with(answers))
    }

    async fn photo(&self, id: Uuid) -> Result<Content, NoAnswer> {
        let variables = json!({ "id": id });
        let answer = self.graph.ask("PhotoById", &variables).await?;
        let photo = answer.read(|data: PhotoData| data.photo)?;
        let mut style = Style::new();
        let main = markup::photo(&mut style, &photo);
        let author = photo.author.as_ref();
        let description = match (&photo.print.alt_text, author) {
            (Some(alt), _) => alt.clone(),
            (None, Some(author)) => format!("A photo by {} on Proofsheet.", author.display_name),
            (None, None) => "A photo on Proofsheet.".to_owned(),
        };
        let mut head = Head::new(&photo.print.title, &description)
            .at(photo.path())
            .of_kind("article")
            .with_picture(&photo.print, PHOTO_SIZES);
        if let Some(author) = author {
            head = head.with_feed(photos_by(author), feed_of(author));
        }
        Ok(Content::new(head, main, style).with([Answered {
            operation: "PhotoById",
            variables,
            data: answer.data,
        }]))
    }

    async fn person(&self, username: &str) -> Result<Content, NoAnswer> {
        let who = json!({ "username": username });
        let which = json!({ "username": username, "first": PAGE_SIZE, "after": null });
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
        let mut style = Style::new();
        let main = markup::profile(&mut style, &person, bio.as_deref(), joined_at, &page);
        let description = bio.unwrap_or_else(|| format!("Photos by {} on Proofsheet.", person.display_name));
        let head = Head::new(&person.display_name, &description)
            .at(person.path())
            .of_kind("profile")
            .with_photos(&page.into_present(), false)
            .with_feed(photos_by(&person), feed_of(&person));
        Ok(Content::new(head, main, style).with([
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

impl Content {
    fn new(head: Head, main: Markup, style: Style) -> Self {
        Self {
            status: StatusCode::OK,
            head,
            main,
            style,
            answers: Vec::new(),
        }
    }

    fn with(mut self, answers: impl IntoIterator<Item = Answered>) -> Self {
        self.answers.extend(answers);
        self
    }
}

/// What only the app can show.
fn app_page(head: Head) -> Content {
    Content::new(head, markup::app_only(), Style::new())
}

fn not_there(shown: &Shown) -> Content {
    let (title, heading, words) = match shown {
        Shown::Photo(_) => (
            "Removed",
            "This photo is not here",
            "It was removed, with its votes and comments, or it never existed.",
        ),
        Shown::Person(_) => (
            "Not found",
            "Nobody here has that name",
            "They may have chosen another one since, or left.",
        ),
        _ => (
            "Not found",
            "There is nothing here",
            "The address may be mistyped, or what was here has moved.",
        ),
    };
    let head = Head::new(title, words);
    Content {
        status: StatusCode::NOT_FOUND,
        ..Content::new(head, markup::nothing(heading, words), Style::new())
    }
}

fn photos_by(person: &Person) -> String {
    format!("Photos by {}", person.display_name)
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
