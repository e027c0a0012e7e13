//! One photo: over the timeline that it was opened from, or as its own page.

use cynic::{MutationBuilder, QueryBuilder};
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::api::{self, ApiError, Code};
use crate::components::byline::{Author, Moment};
use crate::components::comments::Comments;
use crate::components::confirm::Confirm;
use crate::components::error_card::{ErrorCard, words};
use crate::components::field::{Attempt, Field, Kind, SendButton, required};
use crate::components::heading::Heading;
use crate::components::notices::Notices;
use crate::components::photo_stage::{PhotoStage, Steps};
use crate::components::picture::{ImageSource, Picture, Print};
use crate::components::sheet::Sheet;
use crate::components::tile::{PhotoTile, tile_id};
use crate::components::vote_buttons::VoteButtons;
use crate::conversation::{CommentPage, Conversation};
use crate::feed::{Feeds, Status, VOTES_RETRY};
use crate::graphql::{ById, ByIdFields, Byline, DateTime, Id, VoteChoice, VoteTally, schema};
use crate::language::text;
use crate::load::load;
use crate::navigation::{Navigation, focus};
use crate::parts::{self, later, later_than};
use crate::route::Timeline;
use crate::session::session;
use crate::votes::Ballots;

/// The next page of the timeline is asked for when so few photos of it are left.
const AHEAD: usize = 5;

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Query", variables = "ById")]
pub(crate) struct PhotoById {
    #[arguments(id: $id)]
    photo: Option<PhotoDetails>,
}

#[derive(cynic::QueryFragment, Clone, Debug)]
#[cynic(graphql_type = "Photo")]
struct PhotoDetails {
    id: Id,
    title: String,
    alt_text: Option<String>,
    width: i32,
    height: i32,
    placeholder: String,
    sources: Vec<ImageSource>,
    published_at: DateTime,
    author: Option<Byline>,
    votes: Option<VoteTally>,
    viewer_vote: Option<VoteChoice>,
    comment_count: Option<i32>,
    #[arguments(first: 10)]
    comments: Option<CommentPage>,
}

/// Asked again after signing in: the viewer's own vote.
#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Query", variables = "ById")]
pub(crate) struct PhotoVotes {
    #[arguments(id: $id)]
    photo: Option<VotesOfPhoto>,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Photo")]
struct VotesOfPhoto {
    votes: Option<VoteTally>,
    viewer_vote: Option<VoteChoice>,
}

#[derive(cynic::QueryVariables)]
pub(crate) struct UpdatePhotoVariables {
    pub(crate) id: Id,
    pub(crate) title: String,
    pub(crate) alt_text: String,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Mutation", variables = "UpdatePhotoVariables")]
pub(crate) struct UpdatePhoto {
    #[arguments(input: { id: $id, title: $title, altText: $alt_text })]
    update_photo: Described,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Photo")]
struct Described {
    title: String,
    alt_text: Option<String>,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Mutation", variables = "ById")]
pub(crate) struct DeletePhoto {
    #[arguments(id: $id)]
    delete_photo: Id,
}

/// A photo to show, and what the timeline that it was opened from knows of it.
#[derive(Clone)]
pub(crate) struct Shown {
    id: Id,
    tile: Option<PhotoTile>,
    /// The address of the tile's picture, which is decoded already.
    thumbnail: Option<String>,
}

/// Over a timeline, which waits beneath, scrolled as it was. It opens at once: with what the tile shows, until the rest
/// is here.
#[component]
pub(crate) fn PhotoOverlay(id: Memo<Option<String>>) -> impl IntoView {
    let navigation = expect_context::<Navigation>();
    let feeds = expect_context::<Feeds>();
    let feed = move || feeds.find(&navigation.here().beneath?);
    let opened = id.get_untracked();
    let last = StoredValue::new(opened.clone());
    // Two frames: in the first the sheet gives the focus back to the link that opened it.
    on_cleanup(move || {
        let last = last.get_value();
        let tile = tile_id(&Id::new(last.clone().unwrap_or_default()));
        let has_moved = last != opened;
        request_animation_frame(move || {
            request_animation_frame(move || {
                let tile = document().get_element_by_id(&tile);
                let Some(tile) = tile.map(wasm_bindgen::JsCast::unchecked_into::<web_sys::HtmlElement>)
                else {
                    return;
                };
                if has_moved {
                    // After paging in the viewer, the tile of the last photo scrolls into view.
                    let _ = tile.focus();
                } else {
                    focus(&tile);
                }
            });
        });
    });
    let photo = move || {
        let id = Id::new(id.get()?);
        last.set_value(Some(id.inner().to_owned()));
        let tile = untrack(|| {
            let photos = feed()?.photos().get();
            photos.into_iter().find(|photo| photo.id == id)
        });
        let shown = Shown {
            thumbnail: decoded_picture(&tile_id(&id)),
            id,
            tile,
        };
        let preview = shown.clone();
        let waiting = move || view! { <Preview shown=preview.clone()/> }.into_any();
        Some(later_than(waiting, parts::photo, shown))
    };
    view! {
        <Sheet label=text!(photo.label) class="viewer" on_close=move |()| navigation.close_photo()>
            {photo}
        </Sheet>
    }
}

/// The picture that is on the screen in a tile.
fn decoded_picture(tile: &str) -> Option<String> {
    let image = document()
        .get_element_by_id(tile)?
        .query_selector("picture img")
        .ok()??;
    let image: web_sys::HtmlImageElement = wasm_bindgen::JsCast::unchecked_into(image);
    (image.complete() && image.natural_width() > 0).then(|| image.current_src())
}

/// The tile's content, in its new place, while the rest of the viewer loads.
#[component]
fn Preview(shown: Shown) -> impl IntoView {
    let Shown { tile, thumbnail, .. } = shown;
    tile.map(|tile| {
        let print = tile.print();
        let (ratio, sizes) = (print.ratio(), print.stage_sizes());
        let title = tile.title.clone();
        view! {
            <article class="photo">
                <div class="photo-stage" style:--r=ratio>
                    <div class="photo-area">
                        <div class="photo-print">
                            <Picture print sizes eager=true thumbnail/>
                        </div>
                    </div>
                    <div class="photo-tools"></div>
                </div>
                <div class="photo-side">
                    <header class="photo-head">
                        <Heading title=title.clone()>
                            <span dir="auto">{title}</span>
                        </Heading>
                        <p>
                            <Author author=tile.author.clone()/>
                        </p>
                        <div class="photo-votes">
                            <VoteButtons photo=tile.id title=tile.title author=tile.author/>
                        </div>
                    </header>
                </div>
            </article>
        }
    })
}

#[component]
pub(crate) fn PhotoPage(id: String) -> impl IntoView {
    let shown = Shown {
        id: Id::new(id),
        tile: None,
        thumbnail: None,
    };
    view! {
        <div class="photo-page">{later(parts::photo, shown)}</div>
    }
}

#[component]
pub(crate) fn PhotoView(shown: Shown) -> impl IntoView {
    let Shown { id, tile, .. } = shown.clone();
    let ballots = expect_context::<Ballots>();
    let is_there = StoredValue::new(false);
    let asked_for = id.clone();
    let photo = load(move || {
        let asked = ballots.asking();
        let operation = PhotoById::build(ById {
            id: asked_for.clone(),
        });
        async move {
            match api::run(operation).await {
                Ok(PhotoById { photo }) => {
                    if let Some(photo) = &photo {
                        is_there.try_set_value(true);
                        ballots.receive(&photo.id, photo.votes, photo.viewer_vote, asked);
                    }
                    Ok(photo)
                }
                // A malformed id is shown as a missing photo.
                Err(error) if error.code == Code::InvalidInput || error.code == Code::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        }
    });
    session().on_change({
        let id = id.clone();
        move || recount(ballots, id.clone())
    });
    // The vote service may have been away.
    let retry = set_interval_with_handle(
        move || {
            if is_there.get_value() && ballots.find(&id).is_none() {
                recount(ballots, id.clone());
            }
        },
        VOTES_RETRY,
    );
    on_cleanup(move || {
        if let Ok(retry) = retry {
            retry.clear();
        }
    });
    let Some(tile) = tile else {
        let waiting = || view! { <div class="photo-waiting" aria-busy="true"></div> }.into_any();
        return photo
            .show(waiting, move |photo| match photo {
                Some(details) => {
                    let rest = Signal::stored(Some(Ok(details.clone())));
                    let known = Known::from(details);
                    view! { <Details known shown=shown.clone() rest retry=|()| ()/> }.into_any()
                }
                None => view! { <Removed/> }.into_any(),
            })
            .into_any();
    };
    let is_removed = Memo::new(move |_| photo.answer().with(|answer| matches!(answer, Some(Ok(None)))));
    let rest = Signal::derive(move || photo.answer().get().and_then(Result::transpose));
    let known = Known::from(tile);
    (move || {
        if is_removed.get() {
            return view! { <Removed/> }.into_any();
        }
        view! { <Details known=known.clone() shown=shown.clone() rest retry=move |()| photo.retry()/> }
            .into_any()
    })
    .into_any()
}

/// Asks again for the votes of a photo. Without an answer they stay as they are; a press still sends an absolute value.
fn recount(ballots: Ballots, id: Id) {
    let asked = ballots.asking();
    spawn_local(async move {
        let operation = PhotoVotes::build(ById { id: id.clone() });
        if let Ok(PhotoVotes { photo: Some(photo) }) = api::run(operation).await {
            ballots.receive(&id, photo.votes, photo.viewer_vote, asked);
        }
    });
}

#[component]
fn Removed() -> impl IntoView {
    view! {
        <div class="page">
            <Heading title=text!(photo.removed_title)>{text!(photo.removed_heading)}</Heading>
            <p>{text!(photo.removed_words)}</p>
            <p>
                <a href=Timeline::Latest.to_string()>{text!(photo.see_latest)}</a>
            </p>
        </div>
    }
}

/// The data that is drawn at once, taken from the tile.
#[derive(Clone)]
struct Known {
    id: Id,
    title: String,
    alt_text: Option<String>,
    author: Option<Byline>,
    print: Print,
}

impl From<PhotoTile> for Known {
    fn from(tile: PhotoTile) -> Self {
        Self {
            print: tile.print(),
            id: tile.id,
            title: tile.title,
            alt_text: tile.alt_text,
            author: tile.author,
        }
    }
}

impl From<PhotoDetails> for Known {
    fn from(photo: PhotoDetails) -> Self {
        Self {
            print: Print {
                width: photo.width,
                height: photo.height,
                placeholder: photo.placeholder,
                sources: photo.sources,
                alt: photo.alt_text.clone().unwrap_or_else(|| photo.title.clone()),
            },
            id: photo.id,
            title: photo.title,
            alt_text: photo.alt_text,
            author: photo.author,
        }
    }
}

/// The photos before and after this one on the timeline beneath.
fn neighbours(id: &Id) -> Memo<[Option<PhotoTile>; 2]> {
    let feeds = expect_context::<Feeds>();
    let timeline = expect_context::<Navigation>().here().beneath;
    let id = id.clone();
    Memo::new(move |_| {
        let Some(feed) = timeline.as_ref().and_then(|timeline| feeds.find(timeline)) else {
            return [None, None];
        };
        let (left, neighbours) = feed.photos().with(|photos| {
            let at = photos.iter().position(|photo| photo.id == id);
            let places = at.map(|at| [at.checked_sub(1), Some(at + 1)]);
            let tile = |at: Option<usize>| at.and_then(|at| photos.get(at).cloned());
            let left = at.map_or(photos.len(), |at| photos.len() - at);
            (left, places.unwrap_or_default().map(tile))
        });
        // The next page is here before it is needed.
        if left <= AHEAD && feed.status().get() == Status::Ready {
            feed.load_more();
        }
        neighbours
    })
}

#[component]
fn Details(
    known: Known,
    shown: Shown,
    /// The whole photo, once it is here.
    #[prop(into)]
    rest: Signal<Option<Result<PhotoDetails, ApiError>>>,
    #[prop(into)] retry: Callback<()>,
) -> impl IntoView {
    let session = session();
    let Known {
        id,
        title,
        alt_text,
        author,
        print,
    } = known;
    let neighbours = neighbours(&shown.id);
    let navigation = expect_context::<Navigation>();
    let steps = navigation.here().beneath.map(|_| Steps {
        has_previous: Signal::derive(move || neighbours.with(|[previous, _]| previous.is_some())),
        has_next: Signal::derive(move || neighbours.with(|[_, next]| next.is_some())),
        go: Callback::new(move |by: i32| {
            let [previous, next] = neighbours.get_untracked();
            if let Some(photo) = if by < 0 { previous } else { next } {
                navigation.show_photo(&photo.id);
            }
        }),
    });
    let (shown_title, shown_alt) = (RwSignal::new(title.clone()), RwSignal::new(alt_text));
    let author_id = author.as_ref().map(|author| author.id.clone());
    let owner_id = author_id.clone();
    let is_own = Memo::new(move |_| owner_id.as_ref().is_some_and(|author| session.is(author)));
    let owned = id.clone();
    let published_at = move || {
        let at = rest.get()?.ok()?.published_at;
        Some(view! { " · " <Moment at/> })
    };
    let conversation = move || {
        let photo = match rest.get()? {
            Ok(photo) => photo,
            Err(error) => return Some(view! { <ErrorCard error retry/> }.into_any()),
        };
        let Some(page) = photo.comments else {
            return Some(view! { <p class="quiet">{text!(photo.comments_away)}</p> }.into_any());
        };
        let count = photo.comment_count.unwrap_or(0);
        let conversation = Conversation::new(photo.id, author_id.clone(), count, page);
        Some(view! { <Comments conversation/> }.into_any())
    };
    // Fetched once this photo is here, so that they do not hold it up.
    let preloaded = move || {
        rest.with(Option::is_some).then(|| {
            neighbours
                .get()
                .into_iter()
                .flatten()
                .map(|tile| {
                    let print = tile.print();
                    let sizes = print.stage_sizes();
                    view! { <Picture print sizes eager=true/> }
                })
                .collect_view()
        })
    };
    view! {
        <article class="photo" aria-labelledby="photo-title">
            <PhotoStage print thumbnail=shown.thumbnail alt=shown_alt.into() steps/>
            <div class="photo-side">
                <header class="photo-head">
                    <Heading title=shown_title>
                        <span id="photo-title" dir="auto">{move || shown_title.get()}</span>
                    </Heading>
                    <p>
                        <Author author=author.clone()/> {published_at}
                    </p>
                    <div class="photo-votes">
                        <VoteButtons photo=id title author/>
                    </div>
                    <Show when=move || is_own.get()>
                        <OwnerTools id=owned.clone() title=shown_title alt=shown_alt/>
                    </Show>
                </header>
                {conversation}
            </div>
            <div hidden>{preloaded}</div>
        </article>
    }
}

/// The author's controls: edit the description, delete the photo.
#[component]
fn OwnerTools(id: Id, title: RwSignal<String>, alt: RwSignal<Option<String>>) -> impl IntoView {
    let (editing, deleting) = (RwSignal::new(false), RwSignal::new(false));
    let attempt = Attempt::new();
    let (navigation, feeds) = (expect_context::<Navigation>(), expect_context::<Feeds>());
    let notices = expect_context::<Notices>();
    let edited = id.clone();
    let delete = move |()| {
        let operation = DeletePhoto::build(ById { id: id.clone() });
        attempt.send(api::run(operation), move |DeletePhoto { delete_photo }| {
            feeds.forget(&delete_photo);
            notices.announce(text!(photo.deleted).get());
            navigation.close_photo();
        });
    };
    let delete = Callback::new(delete);
    view! {
        <div class="buttons">
            <button
                class="button"
                aria-expanded=move || if editing.get() { "true" } else { "false" }
                on:click=move |_| editing.update(|editing| *editing = !*editing)
            >
                {text!(photo.edit)}
            </button>
            <button class="button" on:click=move |_| deleting.set(true)>
                {text!(photo.delete)}
            </button>
        </div>
        <Show when=move || editing.get()>
            <DescribeForm id=edited.clone() title alt on_done=move |()| editing.set(false)/>
        </Show>
        <Show when=move || deleting.get()>
            <Confirm
                question=text!(photo.delete_question)
                consequence=text!(photo.delete_means)
                yes=text!(photo.delete)
                attempt
                on_yes=delete
                on_no=move |()| deleting.set(false)
            />
        </Show>
    }
}

#[component]
fn DescribeForm(
    id: Id,
    title: RwSignal<String>,
    alt: RwSignal<Option<String>>,
    #[prop(into)] on_done: Callback<()>,
) -> impl IntoView {
    let new_title = RwSignal::new(title.get_untracked());
    let new_alt = RwSignal::new(alt.get_untracked().unwrap_or_default());
    let attempt = Attempt::new();
    let feeds = expect_context::<Feeds>();
    let send = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        if !attempt.accepts(&[("title", required(new_title))]) {
            return;
        }
        let edited = id.clone();
        let variables = UpdatePhotoVariables {
            id: id.clone(),
            title: new_title.get_untracked().trim().to_owned(),
            alt_text: new_alt.get_untracked().trim().to_owned(),
        };
        attempt.send(
            api::run(UpdatePhoto::build(variables)),
            move |UpdatePhoto { update_photo }| {
                let Described { title: new, alt_text } = update_photo;
                feeds.describe(&edited, &new, alt_text.as_deref());
                title.set(new);
                alt.set(alt_text);
                on_done.run(());
            },
        );
    };
    view! {
        <form class="form" novalidate=true on:submit=send>
            <Field
                id="photo-new-title"
                label=text!(photo.title)
                kind=Kind::Text
                value=new_title
                error=attempt.on("title", |_| text!(photo.title_error))
            />
            <Field
                id="photo-new-alt"
                label=text!(photo.shows)
                kind=Kind::Paragraph
                value=new_alt
                hint=text!(photo.shows_hint)
                optional=true
                error=attempt.on("altText", |_| text!(photo.shows_error))
            />
            {attempt.rest(&["title", "altText"], words)}
            <SendButton attempt label=text!(photo.save)/>
        </form>
    }
}
