//! The HTML of rendered pages. Elements and classes are those of the app's components (`frontend/src/components`,
//! `frontend/src/pages`), so that the layout does not shift when the app takes over.

use chrono::{DateTime, Days, NaiveDate, Utc};
use chrono_tz::Tz;
use maud::{Markup, html};

use super::RenderState;
use crate::graph_types::{Comment, Connection, HotDay, Photo, PhotoImage, UserSummary, VoteTally};
use crate::language::{Language, PageLanguage as _};
use ui::bidi::isolated;
use ui::components::icon::IconName;
use ui::geometry::{is_strip, stage_sizes, tile_shape, tile_sizes};

/// Number of photos that are loaded without waiting for scrolling.
pub(super) const EAGER_IMAGES: usize = 4;
const MAX_COMMENT_LENGTH: u32 = 2000;

/// A timeline's page.
pub(super) struct TimelinePage<'p> {
    pub(super) title: &'p str,
    pub(super) description: &'p str,
    pub(super) ranked: bool,
    /// The day of Hot; `None` on other timelines.
    pub(super) day: Option<Day>,
    pub(super) page: &'p Connection<Photo>,
    /// The path without a query string.
    pub(super) path: &'p str,
    pub(super) archive: &'p [HotDay],
    /// The best photos of the last day with photos, if today has none.
    pub(super) podium: Option<(NaiveDate, &'p [Photo])>,
}

/// A day of Hot.
#[derive(Clone, Copy)]
pub(super) struct Day {
    pub(super) date: NaiveDate,
    pub(super) today: NaiveDate,
    /// The time zone in which the day begins.
    pub(super) time_zone: Tz,
    /// Whether the path contains the day.
    pub(super) is_named: bool,
}

pub(super) fn timeline(state: &mut RenderState, timeline: &TimelinePage<'_>) -> Markup {
    let TimelinePage {
        title,
        description,
        ranked,
        day,
        page,
        path,
        archive,
        podium,
    } = timeline;
    let language = state.language;
    html! {
        div.timeline-head {
            h1.heading { (title) }
            p.quiet { (description) }
            @if let Some(day) = day { (day_links(language, *day)) }
        }
        (without_scripts(language))
        (grid(state, page, path, GridOptions { ranked: *ranked, first_leads: day.is_some() && *ranked }))
        @if page.nodes.iter().flatten().next().is_none() {
            @match day {
                Some(Day { is_named: false, time_zone, .. }) => {
                    p.empty {
                        (language.format("timeline.none_today", time_zone.name())) " " (upload_first(language))
                    }
                    @if let Some((day, photos)) = podium {
                        h2.podium-heading { (language.format("timeline.podium", &language.day(*day))) }
                        div.grid {
                            @for (at, photo) in photos.iter().enumerate() { (tile(state, photo, TilePosition { at, ranked: true, leads: false })) }
                        }
                    }
                }
                Some(Day { date, today, .. }) => {
                    p.empty {
                        (language.text(if date > today { "timeline.not_begun" } else { "timeline.none_that_day" }))
                        " " a href="/hot" { (language.text("timeline.see_today")) }
                    }
                }
                None => p.empty { (language.text("timeline.none")) " " (upload_first(language)) },
            }
        }
        (winners(state, archive))
    }
}

pub(super) fn profile(
    state: &mut RenderState,
    person: &UserSummary,
    bio: Option<&str>,
    joined_at: DateTime<Utc>,
    page: &Connection<Photo>,
) -> Markup {
    let language = state.language;
    html! {
        div.profile-head {
            h1.heading dir="auto" { (person.display_name) }
            p.quiet { "@" (person.username) " · " (language.text("profile.joined")) " " (time_element(language, joined_at)) }
            @if let Some(bio) = bio { p.profile-bio dir="auto" { (bio) } }
        }
        (without_scripts(language))
        (grid(state, page, &person.path(), GridOptions { ranked: false, first_leads: false }))
        @if page.nodes.iter().flatten().next().is_none() { p.empty { (language.text("timeline.none")) } }
    }
}

pub(super) fn photo(state: &mut RenderState, photo: &Photo) -> Markup {
    let Photo {
        image,
        author,
        votes,
        published_at,
        comments,
        comment_count,
        ..
    } = photo;
    let language = state.language;
    let frame = state.style.frame(image, image.shape());
    html! {
        div.photo-page {
            article.photo aria-labelledby="photo-title" {
                div class={ "photo-stage " (frame) } {
                    div.photo-area { div.photo-image { (picture(image, &stage_sizes(image.shape()), 0)) } }
                    div.photo-tools {
                        @if let Some(alt) = &image.alt_text {
                            details.photo-alt { summary { (language.text("photo.alt")) } p dir="auto" { (alt) } }
                        }
                    }
                }
                div.photo-side {
                    header.photo-head {
                        h1.heading { span #photo-title dir="auto" { (image.title) } }
                        p {
                            (byline(language, author.as_ref()))
                            @if let Some(at) = published_at { " · " (time_element(language, *at)) }
                        }
                        div.photo-votes { (score(language, votes.as_ref())) }
                    }
                    (without_scripts(language))
                    @if let Some(comments) = comments {
                        section.comments aria-labelledby="comments-heading" {
                            h2.comments-heading #comments-heading {
                                (language.text("comment.heading")) " " span.quiet { (comment_count.unwrap_or_default()) }
                            }
                            (composer(language))
                            @if comments.edges.is_empty() {
                                p.quiet { (language.text("comment.none")) }
                            }
                            ol.threads {
                                @for comment in comments.edges.iter().filter_map(|edge| edge.node.as_ref()) {
                                    (thread(language, comment))
                                }
                            }
                        }
                    } @else {
                        p.quiet { (language.text("photo.comments_away")) }
                    }
                }
            }
        }
    }
}

/// The content of a 404 page.
pub(super) fn not_found(language: Language, heading: &str, description: &str) -> Markup {
    html! {
        div.page {
            h1.heading { (heading) }
            p { (description) }
            p { a href="/" { (language.text("photo.see_latest")) } }
        }
    }
}

/// The content of a page that only the app can render.
pub(super) fn app_only(language: Language) -> Markup {
    html! { noscript { p.empty { (language.text("page.needs_scripts")) } } }
}

fn without_scripts(language: Language) -> Markup {
    html! { noscript { p.quiet { (language.text("page.without_scripts")) } } }
}

fn upload_first(language: Language) -> Markup {
    html! { a href="/upload" { (language.text("timeline.upload_first")) } }
}

/// Options of a grid.
#[derive(Clone, Copy)]
struct GridOptions {
    ranked: bool,
    first_leads: bool,
}

fn grid(state: &mut RenderState, page: &Connection<Photo>, path: &str, options: GridOptions) -> Markup {
    let GridOptions {
        ranked,
        first_leads: leads,
    } = options;
    let next = page
        .page_info
        .end_cursor
        .as_ref()
        .filter(|_| page.page_info.has_next_page);
    let photos: Vec<&Photo> = page.nodes.iter().flatten().collect();
    html! {
        div.grid.grid-leads[leads] {
            @for (at, photo) in photos.iter().enumerate() { (tile(state, photo, TilePosition { at, ranked, leads: leads && at == 0 })) }
        }
        // The app observes this element to load more.
        div {}
        @if !photos.is_empty() && !page.page_info.has_next_page {
            p.grid-end.quiet { (state.language.text("grid.end")) }
        }
        // The app loads further pages by scrolling.
        @if let Some(cursor) = next {
            noscript {
                p.grid-end {
                    a.button rel="next" href={ (path) "?after=" (cursor) } { (state.language.text("grid.more")) }
                }
            }
        }
    }
}

/// The position of a tile on its timeline.
struct TilePosition {
    at: usize,
    ranked: bool,
    /// Whether the tile fills a row.
    leads: bool,
}

fn tile(state: &mut RenderState, photo: &Photo, TilePosition { at, ranked, leads }: TilePosition) -> Markup {
    let image = &photo.image;
    let (wide, high) = tile_shape(image.shape());
    // A portrait would leave most of the row empty.
    let leads = leads && wide > high;
    let language = state.language;
    let frame = state.style.frame(image, (wide, high));
    let is_strip = is_strip(image.shape());
    let (path, label) = (photo.path(), format!("photo-{}-title", photo.id));
    html! {
        article class={ "tile " (frame) @if leads { " leads" } } aria-labelledby=(label) {
            a.frame.is-strip[is_strip] href=(path) tabindex="-1" { (picture(image, &tile_sizes(image.shape(), leads), at)) }
            div.tile-caption {
                div.tile-words {
                    h2.tile-title id=(label) {
                        @if ranked {
                            span.frame-number { span.visually-hidden { (language.text("grid.rank")) " " } (at + 1) " " }
                        }
                        a href=(path) dir="auto" { (image.title) }
                    }
                    p.tile-author { (byline(language, photo.author.as_ref())) }
                }
                div.tile-actions {
                    (score(language, photo.votes.as_ref()))
                    @if let Some(count) = photo.comment_count {
                        a.tile-comments href=(path) aria-label=(language.format_count(count, "count.one_comment", "count.comments")) {
                            (icon(IconName::Comment)) (count)
                        }
                    }
                }
            }
        }
    }
}

/// The element of a photo. It is visible without the app's load event.
fn picture(image: &PhotoImage, sizes: &str, at: usize) -> Markup {
    let (plain, better) = match image.sources.split_last() {
        Some((plain, better)) => (Some(plain), better),
        None => (None, [].as_slice()),
    };
    let srcset = plain.map_or("", |source| source.srcset.as_str());
    let src = srcset.split_whitespace().next().unwrap_or_default();
    // The first row of a wide window is preloaded; on a phone these images are below the fold.
    let (loading, priority) = match at {
        0 => ("eager", Some("high")),
        1..EAGER_IMAGES => ("eager", Some("low")),
        _ => ("lazy", None),
    };
    html! {
        div.picture.is-loaded {
            picture {
                @for source in better { source type=(source.media_type) srcset=(source.srcset) sizes=(sizes); }
                img loading=(loading) fetchpriority=[priority] decoding="async"
                    width=(image.width) height=(image.height) alt=(isolated(image.alt()))
                    sizes=(sizes) srcset=(srcset) src=(src);
            }
        }
    }
}

/// The score with arrows. `frontend/theme.js` stores a pressed arrow for the app.
fn score(language: Language, votes: Option<&VoteTally>) -> Markup {
    html! {
        @if let Some(VoteTally { score }) = votes {
            div.votes {
                span.vote.vote-up aria-hidden="true" { (icon(IconName::Up)) }
                span.score { span.visually-hidden { (language.text("vote.score")) " " } (score.to_string().replace('-', "−")) }
                span.vote.vote-down aria-hidden="true" { (icon(IconName::Down)) }
            }
        }
    }
}

fn byline(language: Language, author: Option<&UserSummary>) -> Markup {
    html! {
        @match author {
            Some(author) => a.author href=(author.path()) dir="auto" { (author.display_name) },
            None => span.author.quiet { (language.text("photo.unknown_user")) },
        }
    }
}

/// The date. The app replaces it by the relative time, which would become stale in a cached page.
fn time_element(language: Language, at: DateTime<Utc>) -> Markup {
    html! { time.quiet datetime=(at.to_rfc3339()) { (language.date(at)) } }
}

fn day_links(language: Language, day: Day) -> Markup {
    let previous = day.date.checked_sub_days(Days::new(1));
    // Yesterday links to today, which has the short path.
    let next = day
        .date
        .checked_add_days(Days::new(1))
        .filter(|next| day.is_named && *next <= day.today);
    let link = |to: NaiveDate, rel: &str| {
        let path = if to == day.today {
            "/hot".to_owned()
        } else {
            format!("/hot/{to}")
        };
        html! { a href=(path) rel=(rel) { (language.short_day(to)) } }
    };
    html! {
        nav.day-links aria-label=(language.text("timeline.days")) {
            @if let Some(previous) = previous { span.day-link { (icon(IconName::Previous)) " " (link(previous, "prev")) } }
            @if let Some(next) = next { span.day-link { (link(next, "next")) " " (icon(IconName::Next)) } }
        }
    }
}

fn winners(state: &mut RenderState, days: &[HotDay]) -> Markup {
    let language = state.language;
    let winners = days
        .iter()
        .filter_map(|day| Some((day.day, day.photo_count, day.winner.as_ref()?)));
    let frames: Vec<Markup> = winners
        .map(|(day, count, winner)| {
            let frame = state.style.frame(winner, winner.shape());
            html! {
                li class={ "winner " (frame) } {
                    a href={ "/hot/" (day) } {
                        (picture(winner, "180px", EAGER_IMAGES))
                        span { (language.day(day)) }
                    }
                    span.quiet { bdi { (winner.title) } " · " (language.format_count(count, "count.one_photo", "count.photos")) }
                }
            }
        })
        .collect();
    html! {
        @if !frames.is_empty() {
            section.archive aria-labelledby="archive-heading" {
                h2 #archive-heading { (language.text("timeline.winners")) }
                ol.winners { @for frame in &frames { (frame) } }
            }
        }
    }
}

/// A disabled placeholder of the comment form, so that the layout does not shift.
fn composer(language: Language) -> Markup {
    html! {
        div.composer aria-hidden="true" {
            textarea rows="2" placeholder=(language.text("comment.yours")) disabled {}
            div.composer-actions {
                button.button.button-action type="button" disabled { (language.text("comment.send")) }
                span.composer-count.quiet { "0 / " (MAX_COMMENT_LENGTH) }
            }
        }
    }
}

fn thread(language: Language, comment: &Comment) -> Markup {
    html! {
        li.comment {
            (comment_body(language, comment))
            @if let Some(replies) = &comment.replies {
                @if replies.nodes.iter().flatten().next().is_some() {
                    ol.replies {
                        @for reply in replies.nodes.iter().flatten() { li.comment { (comment_body(language, reply)) } }
                    }
                }
            }
        }
    }
}

fn comment_body(language: Language, comment: &Comment) -> Markup {
    html! {
        @if comment.deleted {
            p.quiet { (language.text("comment.deleted")) }
        } @else {
            p.comment-byline {
                (byline(language, comment.author.as_ref())) " " (time_element(language, comment.created_at))
                @if comment.edited_at.is_some() { " " span.quiet { (language.text("comment.edited")) } }
            }
            p.comment-body dir="auto" { (comment.body) }
            @if comment.replies.is_some() {
                div.comment-actions aria-hidden="true" { button.link type="button" disabled { (language.text("comment.reply")) } }
            }
        }
    }
}

fn icon(name: IconName) -> Markup {
    html! { svg.icon viewBox="0 0 24 24" aria-hidden="true" { path d=(name.path()) {} } }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn photo_titled(title: &str) -> Photo {
        serde_json::from_value(json!({
            "id": "01936f5e-7c00-7000-8000-000000000001", "title": title, "altText": title,
            "width": 300, "height": 200, "placeholder": "",
            "sources": [
                { "mediaType": "image/avif", "srcset": "/media/a/300.avif 300w" },
                { "mediaType": "image/jpeg", "srcset": "/media/a/300.jpg 300w" },
            ],
            "author": { "username": "ada", "displayName": title },
            "votes": { "score": -3 }, "commentCount": 1, "publishedAt": "2026-11-22T10:00:00Z",
            "comments": { "edges": [{ "node": {
                "body": title, "deleted": false, "createdAt": "2026-11-22T10:00:00Z",
                "author": null, "replies": { "nodes": [null] },
            } }] },
        }))
        .unwrap()
    }

    #[test]
    fn user_input_is_escaped() {
        let bad = photo_titled("\"><script>alert(1)</script>");
        let mut state = RenderState::new(Language::English);
        for markup in [
            tile(
                &mut state,
                &bad,
                TilePosition {
                    at: 0,
                    ranked: true,
                    leads: true,
                },
            ),
            photo(&mut state, &bad),
        ] {
            let text = markup.into_string();
            assert!(!text.contains("<script") && !text.contains("\">\"><"), "{text}");
            // Browsers ignore a second `class` attribute.
            assert!(!text.contains("class=\"\" class="), "{text}");
        }
    }

    #[test]
    fn only_the_first_photo_has_high_priority() {
        let heron = photo_titled("A heron");
        let image = |at: usize| picture(&heron.image, "100vw", at).into_string();
        assert!(image(0).contains("loading=\"eager\" fetchpriority=\"high\""));
        assert!(image(3).contains("loading=\"eager\" fetchpriority=\"low\""));
        assert!(image(4).contains("loading=\"lazy\" decoding"));
        assert!(image(0).contains("src=\"/media/a/300.jpg\"") && image(0).contains("width=\"300\""));
    }

    #[test]
    fn days_link_to_the_next_and_previous_day() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let today = day("2026-11-22");
        let links = |date: &str, is_named: bool| {
            let date = day(date);
            day_links(
                Language::English,
                Day {
                    date,
                    today,
                    time_zone: Tz::UTC,
                    is_named,
                },
            )
            .into_string()
        };
        let text = links("2026-11-22", false);
        assert!(
            text.contains("href=\"/hot/2026-11-21\"") && !text.contains("next"),
            "{text}"
        );
        let text = links("2026-11-21", true);
        assert!(
            text.contains("href=\"/hot/2026-11-20\"") && text.contains("href=\"/hot\" rel=\"next\""),
            "{text}"
        );
        assert!(!links("2026-11-22", true).contains("next"));
    }
}
