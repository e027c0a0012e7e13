//! The HTML of a page before the app runs, and without it: the elements and classes that the app's components make
//! (`frontend/src/components`, `frontend/src/pages`), so that nothing moves when the app draws the same.

use chrono::{DateTime, Days, NaiveDate, Utc};
use chrono_tz::Tz;
use maud::{Markup, html};

use super::Draft;
use crate::bidi::isolated;
use crate::language::Language;
use crate::photos::{Comment, HotDay, Nodes, Person, Photo, Print, Votes};

/// How high a row of tiles is meant to be.
pub(super) const ROW: u32 = 240;
/// So many photos are in view at once, or nearly.
pub(super) const EAGER: usize = 4;
const LONGEST_COMMENT: u32 = 2000;

/// The icons, as `frontend/src/components/icon` draws them.
const UP: &str = "M12 4.5 20 14h-5v5.5H9V14H4z";
const DOWN: &str = "M12 19.5 4 10h5V4.5h6V10h5z";
const COMMENT: &str = "M4 5h16v11h-9l-4.5 4v-4H4z";
const PREVIOUS: &str = "M14.5 5.5 8 12l6.5 6.5";
const NEXT: &str = "M9.5 5.5 16 12l-6.5 6.5";

/// A timeline's page.
pub(super) struct Timeline<'p> {
    pub(super) title: &'p str,
    pub(super) words: &'p str,
    pub(super) ranked: bool,
    /// Today, or a day of the archive; none on the other timelines.
    pub(super) day: Option<Day>,
    pub(super) page: &'p Nodes<Photo>,
    /// The address without a query.
    pub(super) path: &'p str,
    pub(super) archive: &'p [HotDay],
    /// The best of the last day that had photos, while today has none.
    pub(super) podium: Option<(NaiveDate, &'p [Photo])>,
}

/// A day of Hot.
#[derive(Clone, Copy)]
pub(super) struct Day {
    pub(super) shown: NaiveDate,
    pub(super) today: NaiveDate,
    /// Where it begins and ends.
    pub(super) time_zone: Tz,
    /// Whether the address names the day.
    pub(super) is_named: bool,
}

pub(super) fn timeline(draft: &mut Draft, timeline: &Timeline<'_>) -> Markup {
    let Timeline {
        title,
        words,
        ranked,
        day,
        page,
        path,
        archive,
        podium,
    } = timeline;
    let language = draft.language;
    html! {
        div.timeline-head {
            h1.heading { (title) }
            p.quiet { (words) }
            @if let Some(day) = day { (day_links(language, *day)) }
        }
        (without_scripts(language))
        (grid(draft, page, path, Ranks { are_shown: *ranked, first_leads: day.is_some() && *ranked }))
        @if page.nodes.iter().flatten().next().is_none() {
            @match day {
                Some(Day { is_named: false, time_zone, .. }) => {
                    p.empty {
                        (language.filled("timeline.none_today", time_zone.name())) " " (upload_first(language))
                    }
                    @if let Some((day, photos)) = podium {
                        h2.podium-heading { (language.filled("timeline.podium", &language.day(*day))) }
                        div.grid {
                            @for (at, photo) in photos.iter().enumerate() { (tile(draft, photo, Place { at, ranked: true, leads: false })) }
                        }
                    }
                }
                Some(Day { shown, today, .. }) => {
                    p.empty {
                        (language.text(if shown > today { "timeline.not_begun" } else { "timeline.none_that_day" }))
                        " " a href="/hot" { (language.text("timeline.see_today")) }
                    }
                }
                None => p.empty { (language.text("timeline.none")) " " (upload_first(language)) },
            }
        }
        (winners(draft, archive))
    }
}

pub(super) fn profile(
    draft: &mut Draft,
    person: &Person,
    bio: Option<&str>,
    joined_at: DateTime<Utc>,
    page: &Nodes<Photo>,
) -> Markup {
    let language = draft.language;
    html! {
        div.profile-head {
            h1.heading dir="auto" { (person.display_name) }
            p.quiet { "@" (person.username) " · " (language.text("profile.joined")) " " (moment(language, joined_at)) }
            @if let Some(bio) = bio { p.profile-bio dir="auto" { (bio) } }
        }
        (without_scripts(language))
        (grid(draft, page, &person.path(), Ranks { are_shown: false, first_leads: false }))
        @if page.nodes.iter().flatten().next().is_none() { p.empty { (language.text("timeline.none")) } }
    }
}

pub(super) fn photo(draft: &mut Draft, photo: &Photo) -> Markup {
    let Photo {
        print,
        author,
        votes,
        published_at,
        comments,
        comment_count,
        ..
    } = photo;
    let language = draft.language;
    let frame = draft.style.frame(print, (print.width, print.height));
    html! {
        div.photo-page {
            article.photo aria-labelledby="photo-title" {
                div class={ "photo-stage " (frame) } {
                    div.photo-area { div.photo-print { (picture(print, &photo_sizes(print), 0)) } }
                    div.photo-tools {
                        @if let Some(alt) = &print.alt_text {
                            details.photo-alt { summary { (language.text("photo.alt")) } p dir="auto" { (alt) } }
                        }
                    }
                }
                div.photo-side {
                    header.photo-head {
                        h1.heading { span #photo-title dir="auto" { (print.title) } }
                        p {
                            (byline(language, author.as_ref()))
                            @if let Some(at) = published_at { " · " (moment(language, *at)) }
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

/// A photo, a person or an address that is not there.
pub(super) fn nothing(language: Language, heading: &str, words: &str) -> Markup {
    html! {
        div.page {
            h1.heading { (heading) }
            p { (words) }
            p { a href="/" { (language.text("photo.see_latest")) } }
        }
    }
}

/// A page that only the app can show.
pub(super) fn app_only(language: Language) -> Markup {
    html! { noscript { p.empty { (language.text("page.needs_scripts")) } } }
}

fn without_scripts(language: Language) -> Markup {
    html! { noscript { p.quiet { (language.text("page.without_scripts")) } } }
}

fn upload_first(language: Language) -> Markup {
    html! { a href="/upload" { (language.text("timeline.upload_first")) } }
}

/// The explanation of a timeline's order.
#[derive(Clone, Copy)]
struct Ranks {
    are_shown: bool,
    first_leads: bool,
}

fn grid(draft: &mut Draft, page: &Nodes<Photo>, path: &str, ranks: Ranks) -> Markup {
    let Ranks {
        are_shown: ranked,
        first_leads: leads,
    } = ranks;
    let next = page
        .page_info
        .end_cursor
        .as_ref()
        .filter(|_| page.page_info.has_next_page);
    let photos: Vec<&Photo> = page.nodes.iter().flatten().collect();
    html! {
        div.grid.grid-leads[leads] {
            @for (at, photo) in photos.iter().enumerate() { (tile(draft, photo, Place { at, ranked, leads: leads && at == 0 })) }
        }
        // The app watches this place to know when to load more.
        div {}
        @if !photos.is_empty() && !page.page_info.has_next_page {
            p.grid-end.quiet { (draft.language.text("grid.end")) }
        }
        // The app loads more by itself.
        @if let Some(cursor) = next {
            noscript {
                p.grid-end {
                    a.button rel="next" href={ (path) "?after=" (cursor) } { (draft.language.text("grid.more")) }
                }
            }
        }
    }
}

/// Where a tile stands on its timeline.
struct Place {
    at: usize,
    ranked: bool,
    /// Whether it has a row to itself.
    leads: bool,
}

fn tile(draft: &mut Draft, photo: &Photo, Place { at, ranked, leads }: Place) -> Markup {
    let print = &photo.print;
    let (wide, high) = tile_frame(print);
    // A portrait would leave most of the row empty.
    let leads = leads && wide > high;
    let language = draft.language;
    let frame = draft.style.frame(print, (wide, high));
    let is_strip = is_strip(print);
    let (path, label) = (photo.path(), format!("photo-{}-title", photo.id));
    html! {
        article class={ "tile " (frame) @if leads { " leads" } } aria-labelledby=(label) {
            a.frame.is-strip[is_strip] href=(path) tabindex="-1" { (picture(print, &tile_sizes(print, leads), at)) }
            div.tile-caption {
                div.tile-words {
                    h2.tile-title id=(label) {
                        @if ranked {
                            span.frame-number { span.visually-hidden { (language.text("grid.rank")) " " } (at + 1) " " }
                        }
                        a href=(path) dir="auto" { (print.title) }
                    }
                    p.tile-author { (byline(language, photo.author.as_ref())) }
                }
                div.tile-actions {
                    (score(language, photo.votes.as_ref()))
                    @if let Some(count) = photo.comment_count {
                        a.tile-comments href=(path) aria-label=(language.counted(count, "count.one_comment", "count.comments")) {
                            (glyph(COMMENT)) (count)
                        }
                    }
                }
            }
        }
    }
}

/// The shape of a tile, as two sides. Strips and panoramas keep theirs inside a frame that is less extreme.
pub(super) fn tile_frame(print: &Print) -> (u32, u32) {
    let (width, height) = (u64::from(print.width), u64::from(print.height));
    if is_strip(print) {
        (1, 2)
    } else if width * 2 > height * 5 {
        (5, 2)
    } else {
        (print.width, print.height)
    }
}

/// Whether it is shown as high as its tile, and narrower.
fn is_strip(print: &Print) -> bool {
    u64::from(print.height) > 2 * u64::from(print.width)
}

/// How wide the picture of a tile will be, in the words of the app's own tile. Rows stretch to fill their line, by a
/// third more often than not.
pub(super) fn tile_sizes(print: &Print, leads: bool) -> String {
    let (wide, high) = tile_frame(print);
    let (width, height) = (print.width, print.height);
    // A strip leads no row.
    if is_strip(print) {
        let shown = (u64::from(width) * 320).div_ceil(u64::from(height.max(1)));
        format!("(min-width: 600px) {shown}px, calc(200vw * {width} / {height})")
    } else if leads {
        format!("(min-width: 600px) min(100vw, 68vh * {wide} / {high}), 100vw")
    } else {
        let width = u64::from(wide) * 320 / u64::from(high.max(1));
        format!("(min-width: 600px) {width}px, 100vw")
    }
}

/// How wide the picture of a photo's own page is, in the words of the app's `Print::stage_sizes`.
pub(super) fn photo_sizes(Print { width, height, .. }: &Print) -> String {
    format!(
        "(min-width: 1000px) min(100vw - 380px, 100vh * {width} / {height}), min(100vw, 70vh * {width} / {height})"
    )
}

/// A picture that is seen as soon as it is there, without the app to say that it has loaded.
fn picture(print: &Print, sizes: &str, at: usize) -> Markup {
    let (plain, better) = match print.sources.split_last() {
        Some((plain, better)) => (Some(plain), better),
        None => (None, [].as_slice()),
    };
    let srcset = plain.map_or("", |source| source.srcset.as_str());
    let src = srcset.split_whitespace().next().unwrap_or_default();
    // The next ones come with the first row of a wide window, whose preloads hurry; on a phone they are further down.
    let (loading, priority) = match at {
        0 => ("eager", Some("high")),
        1..EAGER => ("eager", Some("low")),
        _ => ("lazy", None),
    };
    html! {
        div.picture.is-loaded {
            picture {
                @for source in better { source type=(source.media_type) srcset=(source.srcset) sizes=(sizes); }
                img loading=(loading) fetchpriority=[priority] decoding="async"
                    width=(print.width) height=(print.height) alt=(isolated(print.alt()))
                    sizes=(sizes) srcset=(srcset) src=(src);
            }
        }
    }
}

/// The score where the app shows it. An arrow that is pressed is kept for the app (`frontend/theme.js`).
fn score(language: Language, votes: Option<&Votes>) -> Markup {
    html! {
        @if let Some(Votes { score }) = votes {
            div.votes {
                span.vote.vote-up aria-hidden="true" { (glyph(UP)) }
                span.score { span.visually-hidden { (language.text("vote.score")) " " } (score.to_string().replace('-', "−")) }
                span.vote.vote-down aria-hidden="true" { (glyph(DOWN)) }
            }
        }
    }
}

fn byline(language: Language, author: Option<&Person>) -> Markup {
    html! {
        @match author {
            Some(author) => a.author href=(author.path()) dir="auto" { (author.display_name) },
            None => span.author.quiet { (language.text("photo.somebody")) },
        }
    }
}

/// The day, which does not change while the page is kept; the app says how long ago it was.
fn moment(language: Language, at: DateTime<Utc>) -> Markup {
    html! { time.quiet datetime=(at.to_rfc3339()) { (language.date(at)) } }
}

fn day_links(language: Language, day: Day) -> Markup {
    let previous = day.shown.checked_sub_days(Days::new(1));
    // From yesterday on leads to today, which has the short address.
    let next = day
        .shown
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
            @if let Some(previous) = previous { span.day-link { (glyph(PREVIOUS)) " " (link(previous, "prev")) } }
            @if let Some(next) = next { span.day-link { (link(next, "next")) " " (glyph(NEXT)) } }
        }
    }
}

fn winners(draft: &mut Draft, days: &[HotDay]) -> Markup {
    let language = draft.language;
    let winners = days
        .iter()
        .filter_map(|day| Some((day.day, day.photo_count, day.winner.as_ref()?)));
    let frames: Vec<Markup> = winners
        .map(|(day, count, winner)| {
            let frame = draft.style.frame(winner, (winner.width, winner.height));
            html! {
                li class={ "winner " (frame) } {
                    a href={ "/hot/" (day) } {
                        (picture(winner, "180px", EAGER))
                        span { (language.day(day)) }
                    }
                    span.quiet { bdi { (winner.title) } " · " (language.counted(count, "count.one_photo", "count.photos")) }
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

/// Keeps the place of the app's form; what would be typed into it now would be lost.
fn composer(language: Language) -> Markup {
    html! {
        div.composer aria-hidden="true" {
            textarea rows="2" placeholder=(language.text("comment.yours")) disabled {}
            div.composer-actions {
                button.button.button-action type="button" disabled { (language.text("comment.send")) }
                span.composer-count.quiet { "0 / " (LONGEST_COMMENT) }
            }
        }
    }
}

fn thread(language: Language, comment: &Comment) -> Markup {
    html! {
        li.comment {
            (said(language, comment))
            @if let Some(replies) = &comment.replies {
                @if replies.nodes.iter().flatten().next().is_some() {
                    ol.replies {
                        @for reply in replies.nodes.iter().flatten() { li.comment { (said(language, reply)) } }
                    }
                }
            }
        }
    }
}

fn said(language: Language, comment: &Comment) -> Markup {
    html! {
        @if comment.deleted {
            p.quiet { (language.text("comment.deleted")) }
        } @else {
            p.comment-byline {
                (byline(language, comment.author.as_ref())) " " (moment(language, comment.created_at))
                @if comment.edited_at.is_some() { " " span.quiet { (language.text("comment.edited")) } }
            }
            p.comment-body dir="auto" { (comment.body) }
            @if comment.replies.is_some() {
                div.comment-actions aria-hidden="true" { button.link type="button" disabled { (language.text("comment.reply")) } }
            }
        }
    }
}

fn glyph(path: &str) -> Markup {
    html! { svg.icon viewBox="0 0 24 24" aria-hidden="true" { path d=(path) {} } }
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
    fn whatever_people_write_is_text() {
        let bad = photo_titled("\"><script>alert(1)</script>");
        let mut draft = Draft::new(Language::English);
        for markup in [
            tile(
                &mut draft,
                &bad,
                Place {
                    at: 0,
                    ranked: true,
                    leads: true,
                },
            ),
            photo(&mut draft, &bad),
        ] {
            let text = markup.into_string();
            assert!(!text.contains("<script") && !text.contains("\">\"><"), "{text}");
            // A browser would ignore the second class of an element.
            assert!(!text.contains("class=\"\" class="), "{text}");
        }
    }

    #[test]
    fn the_picture_of_a_strip_is_as_narrow_as_it_is_shown() {
        let sizes = |width: u32, height: u32, leads: bool| {
            let mut print = photo_titled("A tower").print;
            (print.width, print.height) = (width, height);
            tile_sizes(&print, leads)
        };
        for leads in [false, true] {
            assert_eq!(
                sizes(500, 12_000, leads),
                "(min-width: 600px) 14px, calc(200vw * 500 / 12000)"
            );
        }
        assert_eq!(sizes(300, 200, false), "(min-width: 600px) 480px, 100vw");
        assert_eq!(sizes(12_000, 500, false), "(min-width: 600px) 800px, 100vw");
    }

    #[test]
    fn the_sizes_are_the_apps() {
        let tile = include_str!("../../../frontend/src/components/tile/mod.rs");
        for text in [
            "(min-width: 600px) {width}px, 100vw",
            "(min-width: 600px) min(100vw, 68vh * {wide} / {high}), 100vw",
            "(min-width: 600px) {shown}px, calc(200vw * {width} / {height})",
        ] {
            assert!(tile.contains(text), "{text}");
        }
    }

    #[test]
    fn the_first_photo_hurries_and_those_below_wait() {
        let heron = photo_titled("A heron");
        let image = |at: usize| picture(&heron.print, "100vw", at).into_string();
        assert!(image(0).contains("loading=\"eager\" fetchpriority=\"high\""));
        assert!(image(3).contains("loading=\"eager\" fetchpriority=\"low\""));
        assert!(image(4).contains("loading=\"lazy\" decoding"));
        assert!(image(0).contains("src=\"/media/a/300.jpg\"") && image(0).contains("width=\"300\""));
    }

    #[test]
    fn days_lead_to_their_neighbours() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let today = day("2026-11-22");
        let links = |shown: &str, is_named: bool| {
            let shown = day(shown);
            day_links(
                Language::English,
                Day {
                    shown,
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

    #[test]
    fn the_icons_are_the_apps() {
        let icons = include_str!("../../../frontend/src/components/icon/mod.rs");
        for path in [UP, DOWN, COMMENT, PREVIOUS, NEXT] {
            assert!(icons.contains(path), "{path}");
        }
    }
}
