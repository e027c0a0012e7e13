//! A photo on a timeline: one frame of the contact sheet.

use leptos::prelude::*;

use crate::components::byline::Author;
use crate::components::icon::{Glyph, Icon};
use crate::components::picture::{ImageSource, Picture, Print};
use crate::components::vote_buttons::VoteButtons;
use crate::graphql::{Byline, Id, VoteChoice, VoteTally, schema};
use crate::language::{self, number, text};
use crate::route::Route;

#[derive(cynic::QueryFragment, Clone, Debug, PartialEq, Eq)]
#[cynic(graphql_type = "Photo")]
pub(crate) struct PhotoTile {
    pub(crate) id: Id,
    pub(crate) title: String,
    pub(crate) alt_text: Option<String>,
    width: i32,
    height: i32,
    placeholder: String,
    sources: Vec<ImageSource>,
    pub(crate) author: Option<Byline>,
    pub(crate) votes: Option<VoteTally>,
    pub(crate) viewer_vote: Option<VoteChoice>,
    comment_count: Option<i32>,
}

impl PhotoTile {
    pub(crate) fn print(&self) -> Print {
        Print {
            width: self.width,
            height: self.height,
            placeholder: self.placeholder.clone(),
            sources: self.sources.clone(),
            alt: self.alt_text.clone().unwrap_or_else(|| self.title.clone()),
        }
    }
}

/// The element of a photo's tile, to bring the focus back to.
pub(crate) fn tile_id(photo: &Id) -> String {
    format!("photo-{}", photo.inner())
}

/// The shape of a frame, as two sides. Strips and panoramas keep theirs inside a frame that is less extreme.
fn frame(width: i32, height: i32) -> (i32, i32) {
    match (width, height) {
        (width, height) if is_strip(width, height) => (1, 2),
        (width, height) if width * 2 > height * 5 => (5, 2),
        sides => sides,
    }
}

/// Whether it is shown as high as its tile, and narrower.
fn is_strip(width: i32, height: i32) -> bool {
    height > 2 * width
}

/// How wide the picture will be, as `photo_grid.css` has it. Rows stretch to fill their line, by a third more often than
/// not. The router says the same of the same tile (`router/src/pages/markup.rs`), or the picture would be fetched twice.
fn sizes((width, height): (i32, i32), leads: bool) -> String {
    let (wide, high) = frame(width, height);
    // A strip leads no row.
    if is_strip(width, height) {
        let shown = (width * 320 + height - 1) / height;
        format!("(min-width: 600px) {shown}px, calc(200vw * {width} / {height})")
    } else if leads {
        format!("(min-width: 600px) min(100vw, 68vh * {wide} / {high}), 100vw")
    } else {
        let width = wide * 320 / high;
        format!("(min-width: 600px) {width}px, 100vw")
    }
}

#[component]
pub(crate) fn Tile(
    photo: PhotoTile,
    /// Its place on the timeline, from 1.
    #[prop(into)]
    place: Signal<usize>,
    /// Whether the place is a rank, to be shown.
    ranked: bool,
    /// Whether it has a row to itself.
    #[prop(optional, into)]
    leads: Signal<bool>,
) -> impl IntoView {
    let print = photo.print();
    let (width, height) = (print.width, print.height);
    let (wide, high) = frame(width, height);
    // A portrait would leave most of the row empty.
    let leads = Memo::new(move |_| leads.get() && wide > high);
    let sizes = Signal::derive(move || sizes((width, height), leads.get()));
    let is_strip = is_strip(width, height);
    let link = Route::Photo(photo.id.inner().to_owned()).to_string();
    let PhotoTile {
        id,
        title,
        author,
        comment_count,
        ..
    } = photo;
    let tile = tile_id(&id);
    let label = format!("{tile}-title");
    let labelled_by = label.clone();
    let comments = comment_count.map(|count| {
        view! {
            <a class="tile-comments" href=link.clone() aria-label=move || language::comments(count)>
                <Glyph icon=Icon::Comment/>
                {move || number(count)}
            </a>
        }
    });
    view! {
        <article
            class="tile"
            class:leads=leads
            id=tile
            tabindex="0"
            aria-labelledby=labelled_by
            aria-posinset=move || place.get().to_string()
            aria-setsize="-1"
            style:--r=format!("{wide} / {high}")
        >
            <a class="frame" class:is-strip=is_strip href=link.clone() tabindex="-1">
                <Picture print sizes eager=place.get_untracked() <= 4/>
            </a>
            <div class="tile-caption">
                <div class="tile-words">
                    <h2 class="tile-title" id=label>
                        {ranked
                            .then(|| {
                                view! {
                                    <span class="frame-number">
                                        <span class="visually-hidden">{text!(grid.rank)} " "</span>
                                        {move || place.get()}
                                        " "
                                    </span>
                                }
                            })}
                        <a href=link dir="auto" title=title.clone()>{title.clone()}</a>
                    </h2>
                    <p class="tile-author">
                        <Author author=author.clone()/>
                    </p>
                </div>
                <div class="tile-actions">
                    <VoteButtons photo=id title author/>
                    {comments}
                </div>
            </div>
        </article>
    }
}
