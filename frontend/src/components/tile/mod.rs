//! A photo on a timeline: one frame of the contact sheet.

use leptos::prelude::*;

use crate::components::byline::Author;
use crate::components::picture::{ImageSource, PhotoImage, Picture};
use crate::components::vote_buttons::VoteButtons;
use ui::components::icon::{IconName, icon};
use ui::format::{comment_count as count_comments, number};
use ui::geometry::{aspect_ratio, is_strip, tile_shape, tile_sizes};
use ui::graphql::{Byline, Id, VoteChoice, VoteTally, schema};
use ui::language::text;
use ui::route::Route;

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
    let (wide, high) = tile_shape((width, height));
    // A portrait would leave most of the row empty.
    let leads = Memo::new(move |_| leads.get() && wide > high);
    let sizes = Signal::derive(move || tile_sizes((width, height), leads.get()));
    let is_strip = is_strip((width, height));
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
            <a class="tile-comments" href=link.clone() aria-label=move || count_comments(count)>
                {icon(IconName::Comment)}
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
            style:--r=aspect_ratio((wide, high))
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
