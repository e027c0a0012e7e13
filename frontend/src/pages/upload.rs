//! Publishing photos: choose, drop or paste; describe; publish.

use leptos::prelude::*;
use wasm_bindgen::JsCast;

use crate::components::error_card::error_message;
use crate::components::field::{Field, FieldKind};
use crate::components::heading::Heading;
use crate::navigation::{focus, is_focus_lost};
use crate::pages::settings::SignedInOnly;
use crate::session::session;
use crate::uploads::{FailureReason, MEDIA_TYPES, UploadItem, UploadState, Uploads, files_in};
use ui::components::icon::{IconName, icon};
use ui::graphql::Id;
use ui::language::{Text, filled, text};
use ui::route::{Route, Timeline};

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
    uploads.take_dropped();
    let see_all = move || {
        let published = uploads
            .items()
            .iter()
            .filter(|item| {
                item.state
                    .with(|state| matches!(state, UploadState::Published(_)))
            })
            .count();
        let me = session().viewer().and_then(|viewer| viewer.user)?;
        let profile = Route::from(Timeline::Person(me.username)).to_string();
        (published > 1).then(|| {
            view! {
                <p>
                    <a href=profile>{move || filled!(upload.see_all, count = &published.to_string())}</a>
                </p>
            }
        })
    };
    let is_empty = move || uploads.items().is_empty();
    view! {
        <div class="drop-zone">
            {icon(IconName::Upload)}
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
                    uploads.add(files_in(event.target().files()));
                    // Allows choosing the same file again.
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
        {see_all}
        <Show when=move || !is_empty()>
            <p class="quiet">{text!(upload.private)}</p>
        </Show>
    }
}

#[component]
fn QueueItem(uploads: Uploads, item: UploadItem) -> impl IntoView {
    let UploadItem {
        key,
        name,
        preview,
        suggestion,
        title,
        alt,
        state,
        ..
    } = item.clone();
    let item = StoredValue::new(item);
    let field_error = move |field: &'static str, text: Text| {
        Signal::derive(move || match state.get() {
            UploadState::Unpublished(_, error) if error.is_about(field) => Some(text.get().to_owned()),
            _ => None,
        })
    };
    // Published and rejected files have no form.
    let has_form =
        Memo::new(move |_| !matches!(state.get(), UploadState::Published(_) | UploadState::Failed(_)));
    let can_retry =
        Memo::new(move |_| matches!(state.get(), UploadState::Failed(failure) if failure.can_retry));
    let failed = Memo::new(move |_| matches!(state.get(), UploadState::Failed(_)));
    let suggestion = StoredValue::new(suggestion);
    let suggests = move || title.with(String::is_empty) && suggestion.with_value(|text| !text.is_empty());
    let name_shown = move || match state.get() {
        UploadState::Published(_) => title.get(),
        _ => name.clone(),
    };
    let remove = move || {
        uploads.remove(&item.get_value());
        focus_lost("#files");
    };
    let can_publish = move || matches!(state.get(), UploadState::Ready(_) | UploadState::Unpublished(..));
    let publish = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        Uploads::publish(&item.get_value());
    };
    view! {
        <li class="queue-item">
            <img class="queue-preview" src=preview alt=""/>
            <form class="form queue-form" novalidate=true on:submit=publish>
                <p class="queue-name quiet" dir="auto">{name_shown}</p>
                <p class="queue-state" role="status">
                    {move || state_view(&state.get())}
                </p>
                <Show when=move || has_form.get()>
                    <Field
                        id=format!("title-{key}")
                        label=text!(photo.title)
                        kind=FieldKind::Text
                        value=title
                        hint=text!(upload.title_hint)
                        error=field_error("title", text!(photo.title_error))
                    />
                    <Show when=suggests>
                        <button
                            class="link queue-suggestion"
                            type="button"
                            on:click=move |_| title.set(suggestion.get_value())
                        >
                            {move || filled!(upload.use_name, name = &suggestion.get_value())}
                        </button>
                    </Show>
                    <Field
                        id=format!("alt-{key}")
                        label=text!(photo.shows)
                        kind=FieldKind::Paragraph
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
                        <button class="button" type="button" on:click=move |_| remove()>
                            {text!(upload.remove)}
                        </button>
                    </div>
                </Show>
                <Show when=move || failed.get()>
                    <div class="buttons">
                        <Show when=move || can_retry.get()>
                            <button class="button" type="button" on:click=move |_| uploads.retry(&item.get_value())>
                                {text!(error.retry)}
                            </button>
                        </Show>
                        <button class="button" type="button" on:click=move |_| remove()>
                            {text!(upload.remove)}
                        </button>
                    </div>
                </Show>
            </form>
        </li>
    }
}

fn state_view(state: &UploadState) -> AnyView {
    match state {
        UploadState::Waiting => text!(upload.waiting).into_any(),
        UploadState::Uploading(percent) => {
            let percent = percent.to_string();
            let value = percent.clone();
            view! {
                {move || filled!(upload.uploading, percent = &percent)}
                " "
                <progress max="100" value=value aria-label=text!(upload.sent)></progress>
            }
            .into_any()
        }
        UploadState::Processing => text!(upload.processing).into_any(),
        UploadState::Ready(_) => {
            view! { {text!(upload.ready)} " " <span class="good">{text!(upload.location_removed)}</span> }
                .into_any()
        }
        UploadState::Publishing(_) => text!(upload.publishing).into_any(),
        UploadState::Published(id) => view! { <Finished id=id.clone()/> }.into_any(),
        UploadState::Unpublished(_, error) if error.field.is_some() => {
            view! { <span class="form-error">{text!(upload.not_yet)}</span> }.into_any()
        }
        UploadState::Unpublished(_, error) => {
            let why = error_message(error);
            let text = move || filled!(upload.not_published, why = why.get());
            view! { <span class="form-error">{text}</span> }.into_any()
        }
        UploadState::Failed(failure) => {
            view! { <span class="form-error">{failure_view(&failure.reason)}</span> }.into_any()
        }
    }
}

fn failure_view(reason: &FailureReason) -> AnyView {
    match reason {
        FailureReason::Known(text) => text.into_any(),
        FailureReason::UnsupportedFormat(format) => {
            let format = format.clone();
            (move || filled!(upload.foreign, format = &format)).into_any()
        }
        FailureReason::Other(message) => view! { <span lang="en">{message.clone()}</span> }.into_any(),
    }
}

#[component]
fn Finished(id: Id) -> impl IntoView {
    let link = format!("published-{}", id.inner());
    let selector = format!("[id='{link}']");
    // The pressed button is removed.
    Effect::new(move || focus_lost(&selector));
    view! {
        <span class="good">{text!(upload.published)} " "</span>
        <a id=link href=Route::Photo(id.inner().to_owned()).to_string()>{text!(upload.see_it)}</a>
    }
}

/// Focuses the element if no element has the focus.
fn focus_lost(selector: &str) {
    let selector = selector.to_owned();
    request_animation_frame(move || {
        let target = document().query_selector(&selector).ok().flatten();
        if is_focus_lost()
            && let Some(target) = target.and_then(|target| target.dyn_into().ok())
        {
            focus(&target);
        }
    });
}
