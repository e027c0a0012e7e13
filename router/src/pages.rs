//! Renders the app's pages with their content, so that the first photos do not wait for WebAssembly, and visitors
//! without scripts and link previews see them too.
//!
//! A page shows the responses to the operations that the app would send first, as an anonymous visitor. So a page is
//! the same for all readers of a language: it is rendered at most once a second, for any number of requests. When the
//! graph does not answer in time, the app is served without content, with status 503 where only the graph knows whether
//! the page exists.

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

use crate::document::{Document, HTML};
use crate::graph_client::{GraphClient, QueryError};
use crate::graph_types::{Connection, HotDay, Photo, UserSummary};
use crate::language::{Language, PageLanguage as _};
use head::Head;
use markup::{Day, TimelinePage};
use style::Style;
use template::Template;
use ui::geometry::stage_sizes;
use ui::graphql::Date;
use ui::route::{Route, Timeline};
use ui::{PAGE_SIZE, PODIUM_SIZE};

/// Only the site's own files run, and no site may frame it. The app is WebAssembly. A page adds its style element.
pub(crate) const APP_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
    img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; \
    base-uri 'none'; frame-ancestors 'none'";

/// After this time the app is served without content, and queries the photos itself.
const GRAPH_TIMEOUT: Duration = Duration::from_millis(800);
/// When a page that could not be rendered can be requested again.
const PAGE_RETRY_SECONDS: u32 = 2;
/// Lifetime of a cached page.
const CACHE_TTL: Duration = Duration::from_secs(1);
/// Maximum memory of cached pages, in bytes.
const MAX_CACHE_SIZE: u64 = 64 * 1024 * 1024;

/// The pages of the app.
pub(crate) struct Pages {
    localized: [LocalizedPage; Language::ALL.len()],
    base: String,
    /// The time zone of the site, in which days begin.
    time_zone: Tz,
    graph: Arc<GraphClient>,
    cache: Cache<(Route, PageCursor, Language), Arc<Document>>,
}

/// The cursor after which a timeline continues, for browsers without scripts.
pub(crate) type PageCursor = Option<String>;

/// The app's page in one language.
struct LocalizedPage {
    page: String,
    template: Option<Template>,
}

/// The state of a page while it is rendered.
struct RenderState {
    language: Language,
    style: Style,
}

/// The content of a page.
struct Content {
    status: StatusCode,
    head: Head,
    main: Markup,
    state: RenderState,
    responses: Vec<PrefetchedResponse>,
}

/// An operation of the app and its response, as `frontend/src/first_page.rs` reads it.
#[derive(Serialize)]
struct PrefetchedResponse {
    operation: &'static str,
    variables: Value,
    data: Box<RawValue>,
}

#[derive(Deserialize)]
struct TimelineData {
    #[serde(alias = "latestPhotos", alias = "hotPhotos", alias = "trendingPhotos")]
    photos: Option<Connection<Photo>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DaysData {
    hot_days: Option<Connection<HotDay>>,
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
    person: UserSummary,
    bio: Option<String>,
    joined_at: DateTime<Utc>,
}

#[derive(Deserialize)]
struct Photographer {
    photos: Option<Connection<Photo>>,
}

impl Pages {
    /// `index` is the app's page, `base` the public URL without a slash at its end, and `time_zone` the site's.
    pub(crate) fn new(index: &str, base: String, time_zone: Tz, graph: Arc<GraphClient>) -> Self {
        let index = index.replace(
            "<meta name=\"time-zone\" content=\"UTC\">",
            &format!("<meta name=\"time-zone\" content=\"{time_zone}\">"),
        );
        let localized = Language::ALL.map(|language| {
            let page = language.fill_in(&index);
            let template = Template::parse(&page);
            LocalizedPage { page, template }
        });
        if localized
            .iter()
            .any(|localized_page| localized_page.template.is_none())
        {
            tracing::warn!("index.html has no placeholders, so pages are served without content");
        }
        let cache = Cache::builder()
            .time_to_live(CACHE_TTL)
            .weigher(|_, page: &Arc<Document>| u32::try_from(page.size()).unwrap_or(u32::MAX))
            .max_capacity(MAX_CACHE_SIZE)
            .build();
        Self {
            localized,
            base,
            time_zone,
            graph,
            cache,
        }
    }

    /// Returns the page at `path`. Concurrent requests for the same page are rendered once.
    pub(crate) async fn page(&self, path: &str, after: PageCursor, language: Language) -> Arc<Document> {
        self.render_cached(Route::from_decoded(path, ""), after, language)
            .await
    }

    /// Returns the 404 page.
    pub(crate) async fn not_found_page(&self, language: Language) -> Arc<Document> {
        self.render_cached(Route::NotFound, None, language).await
    }

    async fn render_cached(&self, route: Route, after: PageCursor, language: Language) -> Arc<Document> {
        let key = (route.clone(), after.clone(), language);
        self.cache
            .get_with(key, async {
                Arc::new(
                    self.render(&route, after.as_deref(), language)
                        .await
                        .vary_by_language(),
                )
            })
            .await
    }

    async fn render(&self, route: &Route, after: Option<&str>, language: Language) -> Document {
        let LocalizedPage { page, template } = &self.localized[language as usize];
        let Some(template) = template else {
            let status = match route {
                Route::NotFound => StatusCode::NOT_FOUND,
                _ => StatusCode::OK,
            };
            return Document::new(HTML, page.clone())
                .with_policy(APP_POLICY.to_owned())
                .with_status(status);
        };
        let content = async {
            let _permit = match route {
                Route::Timeline(_) | Route::Photo(_) => Some(self.graph.acquire().await?),
                _ => None,
            };
            let content = self.content(route, after, RenderState::new(language));
            timeout(GRAPH_TIMEOUT, content)
                .await
                .unwrap_or(Err(QueryError::Unavailable))
        };
        match content.await {
            Ok(content) => self.fill_template(template, route, &content),
            Err(QueryError::NotFound) => self.fill_template(
                template,
                route,
                &not_found_content(route, RenderState::new(language)),
            ),
            Err(QueryError::Unavailable) => {
                metrics::counter!("proofsheet_router_page_queries_failed_total", "reason" => "unavailable")
                    .increment(1);
                let main = markup::app_only(language).into_string();
                let page = template.fill(None, highlighted(route), &main, "");
                let page = Document::new(HTML, page).with_policy(APP_POLICY.to_owned());
                if is_known(route) && after.is_none() {
                    page
                } else {
                    page.with_retry_after(PAGE_RETRY_SECONDS)
                }
            }
        }
    }

    fn fill_template(&self, template: &Template, route: &Route, content: &Content) -> Document {
        let Content {
            status,
            head,
            main,
            state: RenderState { style, .. },
            responses,
        } = content;
        let head = head.markup(&self.base, style).into_string();
        let data = prefetched_data(responses).into_string();
        let page = template.fill(Some(&head), highlighted(route), &main.0, &data);
        let styles = format!("style-src 'self' {}", style.csp_source());
        Document::new(HTML, page)
            .with_policy(APP_POLICY.replace("style-src 'self'", &styles))
            .with_status(*status)
    }

    async fn content(
        &self,
        route: &Route,
        after: Option<&str>,
        state: RenderState,
    ) -> Result<Content, QueryError> {
        let mut content = self.first_content(route, after, state).await?;
        if after.is_some() {
            // The app starts with the first page. Later pages are not indexed.
            content.responses.clear();
            content.head = content.head.without_path();
        }
        Ok(content)
    }

    async fn first_content(
        &self,
        route: &Route,
        after: Option<&str>,
        state: RenderState,
    ) -> Result<Content, QueryError> {
        let text = |key| state.language.text(key);
        match route {
            Route::Timeline(Timeline::Hot(day)) => self.hot(day.as_ref(), after, state).await,
            Route::Timeline(Timeline::Person(username)) => self.person(username, after, state).await,
            Route::Timeline(timeline) => self.timeline(timeline, after, state).await,
            Route::Photo(id) => self.photo(id, state).await,
            Route::AboutRanking => {
                let head = Head::new(text("app.how_ranking_works"), text("page.about_ranking_text"));
                let main = markup::app_only(state.language);
                Ok(Content::new(head.with_path(route.to_string()), main, state))
            }
            Route::Upload => Ok(app_page("upload.heading", state)),
            Route::Login { .. } => Ok(app_page("account.sign_in", state)),
            Route::Register { .. } => Ok(app_page("account.join", state)),
            Route::Welcome { .. } => Ok(app_page("username.welcome", state)),
            Route::Goodbye => Ok(app_page("settings.gone_title", state)),
            Route::Settings => Ok(app_page("settings.heading", state)),
            Route::NotFound => Err(QueryError::NotFound),
        }
    }

    async fn timeline(
        &self,
        timeline: &Timeline,
        after: Option<&str>,
        mut state: RenderState,
    ) -> Result<Content, QueryError> {
        let (operation, title, description, path, feed) = match timeline {
            Timeline::Trending => (
                "TrendingPhotos",
                "timeline.trending",
                "timeline.trending_text",
                "/trending",
                "/feeds/trending.atom",
            ),
            _ => (
                "LatestPhotos",
                "timeline.latest",
                "timeline.latest_text",
                "/",
                "/feeds/latest.atom",
            ),
        };
        let [title, description] = [title, description].map(|key| state.language.text(key));
        let (page, prefetched) = self
            .photos(operation, json!({ "first": PAGE_SIZE, "after": after }))
            .await?;
        let main = markup::timeline(
            &mut state,
            &TimelinePage {
                title,
                description,
                // Ranks are known on the first page only.
                ranked: operation == "TrendingPhotos" && after.is_none(),
                day: None,
                page: &page,
                path,
                archive: &[],
                podium: None,
            },
        );
        let head = Head::new(title, description)
            .with_path(path.to_owned())
            .with_photos(&page.into_present(), false)
            .with_feed(title.to_owned(), feed.to_owned());
        Ok(Content::new(head, main, state).with([prefetched]))
    }

    async fn hot(
        &self,
        named: Option<&Date>,
        after: Option<&str>,
        mut state: RenderState,
    ) -> Result<Content, QueryError> {
        let named: Option<NaiveDate> = named.and_then(|day| day.0.parse().ok());
        let of_day = |day: Option<NaiveDate>, first: i32, after: Option<&str>| json!({ "day": day, "first": first, "after": after });
        let (photos, days) = join(
            self.photos("HotPhotos", of_day(named, PAGE_SIZE, after)),
            self.graph.query("HotDays", &json!({})),
        )
        .await;
        let (page, prefetched) = photos?;
        let mut responses = vec![prefetched];
        let mut archive = Vec::new();
        // Without an archive, the day is shown alone.
        if let Ok(days) = days
            && let Ok(past) = days.read(|data: DaysData| data.hot_days)
        {
            archive = past.into_present();
            responses.push(PrefetchedResponse {
                operation: "HotDays",
                variables: json!({}),
                data: days.data,
            });
        }
        let mut podium = None;
        if named.is_none()
            && page.nodes.iter().flatten().next().is_none()
            && let Some(last) = archive.iter().find(|day| day.winner.is_some())
            && let Ok((best, prefetched)) = self
                .photos("HotPhotos", of_day(Some(last.day), PODIUM_SIZE, None))
                .await
        {
            podium = Some((last.day, best.into_present()));
            responses.push(prefetched);
        }

        let language = state.language;
        let hot = language.text("timeline.hot");
        let title = named.map_or_else(
            || hot.to_owned(),
            |day| language.format("timeline.hot_day", &language.day(day)),
        );
        let description = match named {
            None => language.format("timeline.hot_text", self.time_zone.name()),
            Some(_) => language.text("timeline.hot_day_text").to_owned(),
        };
        let path = named.map_or_else(|| "/hot".to_owned(), |day| format!("/hot/{day}"));
        let today = Utc::now().with_timezone(&self.time_zone).date_naive();
        let main = markup::timeline(
            &mut state,
            &TimelinePage {
                title: &title,
                description: &description,
                ranked: after.is_none(),
                day: Some(Day {
                    date: named.unwrap_or(today),
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
        let mut head = Head::new(&title, &description)
            .with_photos(&photos, true)
            .with_feed(hot.to_owned(), "/feeds/hot.atom".to_owned());
        // Each day links to the previous one. Empty days are not indexed, so that crawlers find an end.
        if named.is_none() || !photos.is_empty() {
            head = head.with_path(path);
        }
        Ok(Content::new(head, main, state).with(responses))
    }

    async fn photo(&self, id: &str, mut state: RenderState) -> Result<Content, QueryError> {
        let variables = json!({ "id": id });
        let answer = self.graph.query("PhotoById", &variables).await?;
        let photo = answer.read(|data: PhotoData| data.photo)?;
        let language = state.language;
        let main = markup::photo(&mut state, &photo);
        let author = photo.author.as_ref();
        let description = match (&photo.image.alt_text, author) {
            (Some(alt), _) => alt.clone(),
            (None, Some(author)) => language.format("page.photo_by", &author.display_name),
            (None, None) => language.text("page.photo").to_owned(),
        };
        let mut head = Head::new(&photo.image.title, &description)
            .with_path(photo.path())
            .with_kind("article")
            .with_picture(&photo.image, &stage_sizes(photo.image.shape()));
        if let Some(author) = author {
            head = head.with_feed(photos_by(language, author), feed_of(author));
        }
        Ok(Content::new(head, main, state).with([PrefetchedResponse {
            operation: "PhotoById",
            variables,
            data: answer.data,
        }]))
    }

    async fn person(
        &self,
        username: &str,
        after: Option<&str>,
        mut state: RenderState,
    ) -> Result<Content, QueryError> {
        let who = json!({ "username": username });
        let which = json!({ "username": username, "first": PAGE_SIZE, "after": after });
        let (profile, photos) = join(
            self.graph.query("ProfileByUsername", &who),
            self.graph.query("PhotosOf", &which),
        )
        .await;
        let (profile, photos) = (profile?, photos?);
        let Profile {
            person,
            bio,
            joined_at,
        } = profile.read(|data: UserData<Profile>| data.user)?;
        let page = photos.read(|data: UserData<Photographer>| data.user?.photos)?;
        let language = state.language;
        let main = markup::profile(&mut state, &person, bio.as_deref(), joined_at, &page);
        let description = bio.unwrap_or_else(|| language.format("page.person", &person.display_name));
        let head = Head::new(&person.display_name, &description)
            .with_path(person.path())
            .with_kind("profile")
            .with_photos(&page.into_present(), false)
            .with_feed(photos_by(language, &person), feed_of(&person));
        Ok(Content::new(head, main, state).with([
            PrefetchedResponse {
                operation: "ProfileByUsername",
                variables: who,
                data: profile.data,
            },
            PrefetchedResponse {
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
    ) -> Result<(Connection<Photo>, PrefetchedResponse), QueryError> {
        let answer = self.graph.query(operation, &variables).await?;
        let page = answer.read(|data: TimelineData| data.photos)?;
        let prefetched = PrefetchedResponse {
            operation,
            variables,
            data: answer.data,
        };
        Ok((page, prefetched))
    }
}

impl RenderState {
    fn new(language: Language) -> Self {
        Self {
            language,
            style: Style::new(),
        }
    }
}

impl Content {
    fn new(head: Head, main: Markup, state: RenderState) -> Self {
        Self {
            status: StatusCode::OK,
            head,
            main,
            state,
            responses: Vec::new(),
        }
    }

    fn with(mut self, responses: impl IntoIterator<Item = PrefetchedResponse>) -> Self {
        self.responses.extend(responses);
        self
    }
}

/// Whether the route exists without asking the graph. Of others, the response must not claim that they do.
fn is_known(route: &Route) -> bool {
    !matches!(route, Route::Photo(_) | Route::Timeline(Timeline::Person(_)))
}

/// The path of the timeline that the app bar highlights. A day of the archive belongs to Hot.
fn highlighted(route: &Route) -> Option<&'static str> {
    match route {
        Route::Timeline(Timeline::Latest) => Some("/"),
        Route::Timeline(Timeline::Hot(_)) => Some("/hot"),
        Route::Timeline(Timeline::Trending) => Some("/trending"),
        _ => None,
    }
}

/// A page that only the app can render.
fn app_page(title: &'static str, state: RenderState) -> Content {
    let language = state.language;
    let head = Head::new(language.text(title), language.text("page.of_the_site"));
    Content::new(head, markup::app_only(language), state)
}

fn not_found_content(route: &Route, state: RenderState) -> Content {
    let keys = match route {
        Route::Photo(_) => [
            "photo.removed_title",
            "photo.removed_heading",
            "photo.removed_text",
        ],
        Route::Timeline(Timeline::Person(_)) => {
            ["profile.not_found", "profile.no_user", "profile.no_user_text"]
        }
        _ => ["lost.title", "lost.heading", "lost.text"],
    };
    let [title, heading, description] = keys.map(|key| state.language.text(key));
    let main = markup::not_found(state.language, heading, description);
    Content {
        status: StatusCode::NOT_FOUND,
        ..Content::new(Head::new(title, description), main, state)
    }
}

fn photos_by(language: Language, person: &UserSummary) -> String {
    language.format("profile.photos_by", &person.display_name)
}

fn feed_of(person: &UserSummary) -> String {
    format!("/feeds/@{}.atom", person.username)
}

/// The responses for the app, as JSON. `<` is escaped, so that no text can end the element.
fn prefetched_data(responses: &[PrefetchedResponse]) -> Markup {
    match serde_json::to_string(responses) {
        Ok(json) if !responses.is_empty() => html! {
            script type="application/json" id="first-page" { (PreEscaped(json.replace('<', "\\u003c"))) }
        },
        _ => html! {},
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_responses_are_escaped() {
        let title = "</script><!--<script>\"><\u{2028}";
        let data_of_photo = serde_json::value::to_raw_value(&json!({ "title": title })).unwrap();
        let markup = prefetched_data(&[PrefetchedResponse {
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
        assert_eq!(prefetched_data(&[]).into_string(), "");
    }
}
