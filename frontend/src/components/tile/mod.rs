//! A photo on a timeline: one frame of the contact sheet.

use leptos::prelude::*;

use crate::components::byline::Author;
use crate::components::icon::{Icon, IconName};
use crate::components::picture::{ImageSource, PhotoImage, Picture};
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
    pub(crate) fn image(&self) -> PhotoImage {
        PhotoImage {
            width: self.width,
            height: self.height,
            placeholder: self.placeholder.clone(),
            sources: self.sources.clone(),
            alt: self.alt_text.clone().unwrap_or_else(|| self.title.clone()),
        }
    }
}

/// The element id of a photo's tile.
pub(crate) fn tile_id(photo: &Id) -> String {
    format!("photo-{}", photo.inner())
}

/// The aspect ratio of a tile as width and height. Strips and panoramas get a less extreme frame.
fn frame(width: i32, height: i32) -> (i32, i32) {
    match (width, height) {
        (width, height) if is_strip(width, height) => (1, 2),
        (width, height) if width * 2 > height * 5 => (5, 2),
        sides => sides,
    }
}

/// Whether the photo is narrower than its tile.
fn is_strip(width: i32, height: i32) -> bool {
    height > 2 * width
}

/// The `sizes` attribute, according to `photo_grid.css`. Rows are stretched, usually by about a third. It must equal
/// that of `router/src/pages/markup.rs`, or the image would be fetched twice.
fn sizes((width, height): (i32, i32), leads: bool) -> String {
    let (wide, high) = frame(width, height);
    // A strip never fills a row.
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
    /// The position on the timeline, from 1.
    #[prop(into)]
    position: Signal<usize>,
    /// Whether to show the position as a rank.
    ranked: bool,
    /// Whether the tile fills a row.
    #[prop(optional, into)]
    leads: Signal<bool>,
) -> impl IntoView {
    let image = photo.image();
    let (width, height) = (image.width, image.height);
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
            <a class="tile-comments" href=link.clone() aria-label=move || language::comment_count(count)>
                <Icon name=IconName::Comment/>
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
            aria-posinset=move || position.get().to_string()
            aria-setsize="-1"
            style:--r=format!("{wide} / {high}")
        >
            <a class="frame" class:is-strip=is_strip href=link.clone() tabindex="-1">
                <Picture image sizes eager=position.get_untracked() <= 4/>
            </a>
            <div class="tile-caption">
                <div class="tile-words">
                    <h2 class="tile-title" id=label>
                        {ranked
                            .then(|| {
                                view! {
                                    <span class="frame-number">
                                        <span class="visually-hidden">{text!(grid.rank)} " "</span>
                                        {move || position.get()}
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
