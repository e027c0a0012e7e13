//! One photo: over the timeline that it was opened from, or as a page of its own.

use cynic::{MutationBuilder, QueryBuilder};
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::api::{self, Code};
use crate::components::byline::{Author, Moment};
use crate::components::comments::Comments;
use crate::components::confirm::Confirm;
use crate::components::error_card::words;
use crate::components::field::{Attempt, Field, Kind, SendButton};
use crate::components::heading::Heading;
use crate::components::notices::Notices;
use crate::components::picture::{ImageSource, Picture, Print};
use crate::components::sheet::Sheet;
use crate::components::tile::tile_id;
use crate::components::vote_buttons::VoteButtons;
use crate::conversation::{CommentPage, Conversation};
use crate::feed::{Feeds, VOTES_RETRY};
use crate::graphql::{ById, ByIdFields, Byline, DateTime, Id, VoteChoice, VoteTally, schema};
use crate::language::text;
use crate::load::load;
use crate::navigation::{Navigation, focus};
use crate::parts::{self, later};
use crate::route::Timeline;
use crate::session::session;
use crate::votes::Ballots;

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

/// Over a timeline, which waits beneath, scrolled as it was. It opens at once: what it shows is fetched inside it, and
/// says there too that it cannot be had.
#[component]
pub(crate) fn PhotoOverlay(id: String) -> impl IntoView {
    let navigation = expect_context::<Navigation>();
    let tile = tile_id(&Id::new(id.clone()));
    // Two frames: in the first the sheet gives the focus back to the link that opened it.
    on_cleanup(move || {
        request_animation_frame(move || {
            request_animation_frame(move || {
                if let Some(tile) = document().get_element_by_id(&tile) {
                    focus(&wasm_bindgen::JsCast::unchecked_into(tile));
                }
            });
        });
    });
    view! {
        <Sheet label=text!(photo.label) class="photo-sheet" on_close=move |()| navigation.close_photo()>
            {later(parts::photo, id)}
        </Sheet>
    }
}

#[component]
pub(crate) fn PhotoPage(id: String) -> impl IntoView {
    view! {
        <div class="photo-page">{later(parts::photo, id)}</div>
    }
}

#[component]
pub(crate) fn PhotoView(id: String) -> impl IntoView {
    let id = Id::new(id);
    let ballots = expect_context::<Ballots>();
    let is_there = StoredValue::new(false);
    let shown = id.clone();
    let photo = load(move || {
        let asked = ballots.asking();
        let operation = PhotoById::build(ById { id: shown.clone() });
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
    let waiting = || view! { <div class="photo-waiting" aria-busy="true"></div> }.into_any();
    photo.show(waiting, |photo| match photo {
        Some(photo) => view! { <Details photo/> }.into_any(),
        None => view! { <Removed/> }.into_any(),
    })
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

#[component]
fn Details(photo: PhotoDetails) -> impl IntoView {
    let session = session();
    let PhotoDetails {
        id,
        title,
        alt_text,
        width,
        height,
        placeholder,
        sources,
        published_at,
        author,
        ..
    } = photo;
    let author_id = author.as_ref().map(|author| author.id.clone());
    let (shown_title, shown_alt) = (RwSignal::new(title.clone()), RwSignal::new(alt_text.clone()));
    let print = Print {
        width,
        height,
        placeholder,
        sources,
        alt: alt_text.unwrap_or_else(|| title.clone()),
    };
    let ratio = print.ratio();
    let comments = photo.comments.map(|page| {
        let conversation = Conversation::new(
            id.clone(),
            author_id.clone(),
            photo.comment_count.unwrap_or(0),
            page,
        );
        view! { <Comments conversation/> }
    });
    let no_comments = comments
        .is_none()
        .then(|| view! { <p class="quiet">{text!(photo.comments_away)}</p> });
    let owner_id = author_id.clone();
    let is_own = Memo::new(move |_| owner_id.as_ref().is_some_and(|author| session.is(author)));
    let owned = id.clone();
    view! {
        <article class="photo" aria-labelledby="photo-title">
            <div class="photo-stage" style:--r=ratio>
                <div class="photo-print">
                    <Picture print sizes="(min-width: 1000px) 70vw, 100vw" eager=true/>
                    {move || shown_alt.get().map(|text| view! { <AltText text/> })}
                </div>
            </div>
            <div class="photo-side">
                <header class="photo-head">
                    <Heading title=title.clone()>
                        <span id="photo-title" dir="auto">{move || shown_title.get()}</span>
                    </Heading>
                    <p>
                        <Author author=author.clone()/> " · " <Moment at=published_at/>
                    </p>
                    <VoteButtons photo=id title author/>
                    <Show when=move || is_own.get()>
                        <OwnerTools id=owned.clone() title=shown_title alt=shown_alt/>
                    </Show>
                </header>
                {comments}
                {no_comments}
            </div>
        </article>
    }
}

/// The description of the picture, as visible text.
#[component]
fn AltText(text: String) -> impl IntoView {
    view! {
        <details class="photo-alt">
            <summary>{text!(photo.alt)}</summary>
            <p dir="auto">{text}</p>
        </details>
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
    let send = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        let variables = UpdatePhotoVariables {
            id: id.clone(),
            title: new_title.get_untracked().trim().to_owned(),
            alt_text: new_alt.get_untracked().trim().to_owned(),
        };
        attempt.send(
            api::run(UpdatePhoto::build(variables)),
            move |UpdatePhoto { update_photo }| {
                title.set(update_photo.title);
                alt.set(update_photo.alt_text);
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
