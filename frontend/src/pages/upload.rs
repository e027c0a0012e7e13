//! Publishing photos: choose, drop or paste; describe; publish.

use leptos::ev;
use leptos::prelude::*;
use web_sys::{File, FileList};

use crate::components::error_card::words;
use crate::components::field::{Field, Kind};
use crate::components::heading::Heading;
use crate::components::icon::{Glyph, Icon};
use crate::graphql::Id;
use crate::language::{Text, filled, text};
use crate::pages::settings::SignedInOnly;
use crate::route::Route;
use crate::uploads::{Failure, Item, MEDIA_TYPES, State, Uploads};

#[component]
pub(crate) fn UploadPage() -> impl IntoView {
    view! {
        <div class="page page-wide">
            <Heading title=text!(bar.upload)>{text!(upload.heading)}</Heading>
            <SignedInOnly>
                <Queue/>
            </SignedInOnly>
        </div>
    }
}

#[component]
fn Queue() -> impl IntoView {
    let uploads = expect_context::<Uploads>();
    let hovered = RwSignal::new(false);
    let pasting = window_event_listener(ev::paste, move |event| {
        uploads.add(files(event.clipboard_data().and_then(|data| data.files())));
    });
    on_cleanup(move || pasting.remove());
    let is_empty = move || uploads.items().is_empty();
    view! {
        <div
            class="drop-zone"
            class:is-hovered=move || hovered.get()
            on:dragover=move |event| {
                event.prevent_default();
                hovered.set(true);
            }
            on:dragleave=move |_| hovered.set(false)
            on:drop=move |event| {
                event.prevent_default();
                hovered.set(false);
                uploads.add(files(event.data_transfer().and_then(|data| data.files())));
            }
        >
            <Glyph icon=Icon::Upload/>
            <label class="button button-action" for="files">
                {text!(upload.choose)}
            </label>
            <input
                class="visually-hidden"
                id="files"
                type="file"
                multiple=true
                accept=MEDIA_TYPES.join(",")
                on:change:target=move |event| {
                    uploads.add(files(event.target().files()));
                    // So that choosing the same file again is noticed.
                    event.target().set_value("");
                }
            />
            <p class="quiet">{text!(upload.or_drop)}</p>
            <p class="quiet">
                {text!(upload.limits)}
            </p>
        </div>
        <Show when=move || { uploads.publishable() > 1 }>
            <p class="buttons">
                <button class="button button-action" on:click=move |_| uploads.publish_all()>
                    {move || filled!(upload.publish_all, count = &uploads.publishable().to_string())}
                </button>
            </p>
        </Show>
        <ol class="queue" aria-label=text!(upload.queue)>
            <For each=move || uploads.items() key=|item| item.key let:item>
                <QueueItem uploads item/>
            </For>
        </ol>
        <Show when=move || !is_empty()>
            <p class="quiet">{text!(upload.private)}</p>
        </Show>
    }
}

#[component]
fn QueueItem(uploads: Uploads, item: Item) -> impl IntoView {
    let Item {
        key,
        name,
        preview,
        title,
        alt,
        state,
        ..
    } = item.clone();
    let item = StoredValue::new(item);
    let field_error = move |field: &'static str, words: Text| {
        Signal::derive(move || match state.get() {
            State::Unpublished(_, error) if error.is_about(field) => Some(words.get().to_owned()),
            _ => None,
        })
    };
    let is_done = Memo::new(move |_| matches!(state.get(), State::Published(_)));
    let can_publish = move || matches!(state.get(), State::Ready(_) | State::Unpublished(..));
    let publish = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        Uploads::publish(&item.get_value());
    };
    view! {
        <li class="queue-item">
            <img class="queue-preview" src=preview alt=""/>
            <form class="form queue-form" novalidate=true on:submit=publish>
                <p class="queue-name quiet">{name}</p>
                <p class="queue-state" role="status">
                    {move || state_view(&state.get())}
                </p>
                <Show when=move || !is_done.get()>
                    <Field
                        id=format!("title-{key}")
                        label=text!(photo.title)
                        kind=Kind::Text
                        value=title
                        error=field_error("title", text!(photo.title_error))
                    />
                    <Field
                        id=format!("alt-{key}")
                        label=text!(photo.shows)
                        kind=Kind::Paragraph
                        value=alt
                        hint=text!(photo.shows_hint_short)
                        optional=true
                        error=field_error("altText", text!(photo.shows_error))
                    />
                    <div class="buttons">
                        <button
                            class="button button-action"
                            type="submit"
                            aria-disabled=move || (!can_publish()).then_some("true")
                        >
                            {text!(upload.publish)}
                        </button>
                        <Show when=move || matches!(state.get(), State::Failed(_))>
                            <button class="button" type="button" on:click=move |_| uploads.retry(&item.get_value())>
                                {text!(error.retry)}
                            </button>
                        </Show>
                        <button class="button" type="button" on:click=move |_| uploads.remove(&item.get_value())>
                            {text!(upload.remove)}
                        </button>
                    </div>
                </Show>
            </form>
        </li>
    }
}

fn state_view(state: &State) -> AnyView {
    match state {
        State::Waiting => text!(upload.waiting).into_any(),
        State::Uploading(percent) => {
            let percent = percent.to_string();
            let value = percent.clone();
            view! {
                {move || filled!(upload.uploading, percent = &percent)}
                " "
                <progress max="100" value=value aria-label=text!(upload.sent)></progress>
            }
            .into_any()
        }
        State::Processing => text!(upload.processing).into_any(),
        State::Ready(_) => {
            view! { {text!(upload.ready)} " " <span class="good">{text!(upload.location_removed)}</span> }
                .into_any()
        }
        State::Publishing(_) => text!(upload.publishing).into_any(),
        State::Published(id) => view! { <Finished id=id.clone()/> }.into_any(),
        State::Unpublished(_, error) if error.field.is_some() => {
            view! { <span class="form-error">{text!(upload.not_yet)}</span> }.into_any()
        }
        State::Unpublished(_, error) => {
            let why = words(error);
            let words = move || filled!(upload.not_published, why = why.get());
            view! { <span class="form-error">{words}</span> }.into_any()
        }
        State::Failed(failure) => {
            view! { <span class="form-error">{failure_view(failure)}</span> }.into_any()
        }
    }
}

fn failure_view(failure: &Failure) -> AnyView {
    match failure {
        Failure::Known(words) => words.into_any(),
        Failure::Foreign(format) => {
            let format = format.clone();
            (move || filled!(upload.foreign, format = &format)).into_any()
        }
        Failure::Other(message) => view! { <span lang="en">{message.clone()}</span> }.into_any(),
    }
}

#[component]
fn Finished(id: Id) -> impl IntoView {
    view! {
        <span class="good">{text!(upload.published)} " "</span>
        <a href=Route::Photo(id.inner().to_owned()).to_string()>{text!(upload.see_it)}</a>
    }
}

fn files(list: Option<FileList>) -> Vec<File> {
    list.map(|list| (0..list.length()).filter_map(|at| list.item(at)).collect())
        .unwrap_or_default()
}
