//! A photo, in the viewer over a timeline or as a page.

use contracts::Code;
use cynic::{MutationBuilder, QueryBuilder};
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::api::{self, ApiError};
use crate::components::byline::{Author, RelativeTime};
use crate::components::comments::Comments;
use crate::components::confirm::Confirm;
use crate::components::error_card::{ErrorCard, error_message};
use crate::components::field::{Field, FieldKind, FormSubmission, SendButton, required};
use crate::components::heading::Heading;
use crate::components::notices::Notices;
use crate::components::photo_stage::{PhotoStage, Steps};
use crate::components::picture::{ImageSource, PhotoImage, Picture};
use crate::components::sheet::Sheet;
use crate::components::tile::{PhotoTile, tile_id};
use crate::components::vote_buttons::VoteButtons;
use crate::conversation::{CommentPage, Conversation};
use crate::feed::{FeedStatus, Feeds, VOTES_RETRY_INTERVAL};
use crate::lazy::{self, lazy_view, lazy_view_with};
use crate::load::load;
use crate::navigation::{Navigation, focus};
use crate::session::session;
use crate::votes::VoteStates;
use ui::graphql::{ById, ByIdFields, Byline, DateTime, Id, VoteChoice, VoteTally, schema};
use ui::language::text;
use ui::route::Timeline;

/// The next page of the timeline is loaded when this many photos are left.
const PRELOAD_REMAINING: usize = 5;

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

/// The votes, loaded again after sign-in.
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

/// A photo to show, with the data of its tile.
#[derive(Clone)]
pub(crate) struct OpenedPhoto {
    id: Id,
    tile: Option<PhotoTile>,
    /// The URL of the tile's decoded image.
    thumbnail: Option<String>,
}

/// The viewer over a timeline. It shows the data of the tile until the photo is loaded.
#[component]
pub(crate) fn PhotoOverlay(id: Memo<Option<String>>) -> impl IntoView {
    let navigation = expect_context::<Navigation>();
    let feeds = expect_context::<Feeds>();
    let feed = move || feeds.find(&navigation.current().beneath?);
    let first_id = id.get_untracked();
    let last = StoredValue::new(first_id.clone());
    // Two frames: in the first one the dialog restores the focus to the link.
    on_cleanup(move || {
        let last = last.get_value();
        let tile = tile_id(&Id::new(last.clone().unwrap_or_default()));
        let has_moved = last != first_id;
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
        let opened = OpenedPhoto {
            thumbnail: decoded_picture(&tile_id(&id)),
            id,
            tile,
        };
        let preview = opened.clone();
        let waiting = move || view! { <Preview opened=preview.clone()/> }.into_any();
        Some(lazy_view_with(waiting, lazy::photo, opened))
    };
    view! {
        <Sheet label=text!(photo.label) class="viewer" on_close=move |()| navigation.close_photo()>
            {photo}
        </Sheet>
    }
}

/// The URL of the displayed image of a tile.
fn decoded_picture(tile: &str) -> Option<String> {
    let image = document()
        .get_element_by_id(tile)?
        .query_selector("picture img")
        .ok()??;
    let image: web_sys::HtmlImageElement = wasm_bindgen::JsCast::unchecked_into(image);
    (image.complete() && image.natural_width() > 0).then(|| image.current_src())
}

/// The data of the tile while the photo loads.
#[component]
fn Preview(opened: OpenedPhoto) -> impl IntoView {
    let OpenedPhoto { tile, thumbnail, .. } = opened;
    tile.map(|tile| {
        let image = tile.image();
        let (ratio, sizes) = (image.ratio(), image.stage_sizes());
        let title = tile.title.clone();
        view! {
            <article class="photo">
                <div class="photo-stage" style:--r=ratio>
                    <div class="photo-area">
                        <div class="photo-image">
                            <Picture image sizes eager=true thumbnail/>
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
    let opened = OpenedPhoto {
        id: Id::new(id),
        tile: None,
        thumbnail: None,
    };
    view! {
        <div class="photo-page">{lazy_view(lazy::photo, opened)}</div>
    }
}

#[component]
pub(crate) fn PhotoView(opened: OpenedPhoto) -> impl IntoView {
    let OpenedPhoto { id, tile, .. } = opened.clone();
    let vote_states = expect_context::<VoteStates>();
    let is_there = StoredValue::new(false);
    let asked_for = id.clone();
    let photo = load(move || {
        let asked_at = vote_states.clock();
        let operation = PhotoById::build(ById {
            id: asked_for.clone(),
        });
        async move {
            match api::run(operation).await {
                Ok(PhotoById { photo }) => {
                    if let Some(photo) = &photo {
                        is_there.try_set_value(true);
                        vote_states.receive(&photo.id, photo.votes, photo.viewer_vote, asked_at);
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
        move || reload_votes(vote_states, id.clone())
    });
    // The vote service may have been unavailable.
    let retry = set_interval_with_handle(
        move || {
            if is_there.get_value() && vote_states.find(&id).is_none() {
                reload_votes(vote_states, id.clone());
            }
        },
        VOTES_RETRY_INTERVAL,
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
                    let basics = PhotoBasics::from(details);
                    view! { <Details basics opened=opened.clone() rest retry=|()| ()/> }.into_any()
                }
                None => view! { <Removed/> }.into_any(),
            })
            .into_any();
    };
    let is_removed = Memo::new(move |_| photo.answer().with(|answer| matches!(answer, Some(Ok(None)))));
    let rest = Signal::derive(move || photo.answer().get().and_then(Result::transpose));
    let basics = PhotoBasics::from(tile);
    (move || {
        if is_removed.get() {
            return view! { <Removed/> }.into_any();
        }
        view! { <Details basics=basics.clone() opened=opened.clone() rest retry=move |()| photo.retry()/> }
            .into_any()
    })
    .into_any()
}

/// Reloads the votes of a photo. Without a response they stay unchanged.
fn reload_votes(vote_states: VoteStates, id: Id) {
    let asked_at = vote_states.clock();
    spawn_local(async move {
        let operation = PhotoVotes::build(ById { id: id.clone() });
        if let Ok(PhotoVotes { photo: Some(photo) }) = api::run(operation).await {
            vote_states.receive(&id, photo.votes, photo.viewer_vote, asked_at);
        }
    });
}

#[component]
fn Removed() -> impl IntoView {
    view! {
        <div class="page">
            <Heading title=text!(photo.removed_title)>{text!(photo.removed_heading)}</Heading>
            <p>{text!(photo.removed_text)}</p>
            <p>
                <a href=Timeline::Latest.to_string()>{text!(photo.see_latest)}</a>
            </p>
        </div>
    }
}

/// The data that is known before the photo is loaded.
#[derive(Clone)]
struct PhotoBasics {
    id: Id,
    title: String,
    alt_text: Option<String>,
    author: Option<Byline>,
    image: PhotoImage,
}

impl From<PhotoTile> for PhotoBasics {
    fn from(tile: PhotoTile) -> Self {
        Self {
            image: tile.image(),
            id: tile.id,
            title: tile.title,
            alt_text: tile.alt_text,
            author: tile.author,
        }
    }
}

impl From<PhotoDetails> for PhotoBasics {
    fn from(photo: PhotoDetails) -> Self {
        Self {
            image: PhotoImage {
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
    let timeline = expect_context::<Navigation>().current().beneath;
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
        // Loads the next page before it is needed.
        if left <= PRELOAD_REMAINING && feed.status().get() == FeedStatus::Ready {
            feed.load_more();
        }
        neighbours
    })
}

#[component]
fn Details(
    basics: PhotoBasics,
    opened: OpenedPhoto,
    /// The loaded photo.
    #[prop(into)]
    rest: Signal<Option<Result<PhotoDetails, ApiError>>>,
    #[prop(into)] retry: Callback<()>,
) -> impl IntoView {
    let session = session();
    let PhotoBasics {
        id,
        title,
        alt_text,
        author,
        image,
    } = basics;
    let neighbours = neighbours(&opened.id);
    let navigation = expect_context::<Navigation>();
    let steps = navigation.current().beneath.map(|_| Steps {
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
        Some(view! { " · " <RelativeTime at/> })
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
    // Preloaded after this photo, so that they do not delay it.
    let preloaded = move || {
        rest.with(Option::is_some).then(|| {
            neighbours
                .get()
                .into_iter()
                .flatten()
                .map(|tile| {
                    let image = tile.image();
                    let sizes = image.stage_sizes();
                    view! { <Picture image sizes eager=true/> }
                })
                .collect_view()
        })
    };
    view! {
        <article class="photo" aria-labelledby="photo-title">
            <PhotoStage image thumbnail=opened.thumbnail alt=shown_alt.into() steps/>
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
    let submission = FormSubmission::new();
    let (navigation, feeds) = (expect_context::<Navigation>(), expect_context::<Feeds>());
    let notices = expect_context::<Notices>();
    let edited = id.clone();
    let delete = move |()| {
        let operation = DeletePhoto::build(ById { id: id.clone() });
        submission.submit(api::run(operation), move |DeletePhoto { delete_photo }| {
            feeds.remove(&delete_photo);
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
                submission
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
    let submission = FormSubmission::new();
    let feeds = expect_context::<Feeds>();
    let send = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        if !submission.validate(&[("title", required(new_title))]) {
            return;
        }
        let edited = id.clone();
        let variables = UpdatePhotoVariables {
            id: id.clone(),
            title: new_title.get_untracked().trim().to_owned(),
            alt_text: new_alt.get_untracked().trim().to_owned(),
        };
        submission.submit(
            api::run(UpdatePhoto::build(variables)),
            move |UpdatePhoto { update_photo }| {
                let Described { title: new, alt_text } = update_photo;
                feeds.update_description(&edited, &new, alt_text.as_deref());
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
                kind=FieldKind::Text
                value=new_title
                error=submission.field_error("title", |_| text!(photo.title_error))
            />
            <Field
                id="photo-new-alt"
                label=text!(photo.shows)
                kind=FieldKind::Paragraph
                value=new_alt
                hint=text!(photo.shows_hint)
                optional=true
                error=submission.field_error("altText", |_| text!(photo.shows_error))
            />
            {submission.form_error(&["title", "altText"], error_message)}
            <SendButton submission label=text!(photo.save)/>
        </form>
    }
}
