//! Publishing photos: choose, drop or paste; describe; publish.

use leptos::prelude::*;
use wasm_bindgen::JsCast;

use crate::components::error_card::words;
use crate::components::field::{Field, Kind};
use crate::components::heading::Heading;
use crate::components::icon::{Glyph, Icon};
use crate::graphql::Id;
use crate::language::{Text, filled, text};
use crate::navigation::{focus, is_focus_lost};
use crate::pages::settings::SignedInOnly;
use crate::route::{Route, Timeline};
use crate::session::session;
use crate::uploads::{Item, MEDIA_TYPES, Reason, State, Uploads, listed};

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
            .filter(|item| item.state.with(|state| matches!(state, State::Published(_))))
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
                    uploads.add(listed(event.target().files()));
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
        {see_all}
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
        suggestion,
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
    // A file that is published or can never be has no form.
    let has_form = Memo::new(move |_| !matches!(state.get(), State::Published(_) | State::Failed(_)));
    let may_pass = Memo::new(move |_| matches!(state.get(), State::Failed(failure) if failure.may_pass));
    let failed = Memo::new(move |_| matches!(state.get(), State::Failed(_)));
    let suggestion = StoredValue::new(suggestion);
    let suggests = move || title.with(String::is_empty) && suggestion.with_value(|words| !words.is_empty());
    let name_shown = move || match state.get() {
        State::Published(_) => title.get(),
        _ => name.clone(),
    };
    let remove = move || {
        uploads.remove(&item.get_value());
        focus_lost("#files");
    };
    let can_publish = move || matches!(state.get(), State::Ready(_) | State::Unpublished(..));
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
                        kind=Kind::Text
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
                        <button class="button" type="button" on:click=move |_| remove()>
                            {text!(upload.remove)}
                        </button>
                    </div>
                </Show>
                <Show when=move || failed.get()>
                    <div class="buttons">
                        <Show when=move || may_pass.get()>
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
            view! { <span class="form-error">{failure_view(&failure.reason)}</span> }.into_any()
        }
    }
}

fn failure_view(reason: &Reason) -> AnyView {
    match reason {
        Reason::Known(words) => words.into_any(),
        Reason::Foreign(format) => {
            let format = format.clone();
            (move || filled!(upload.foreign, format = &format)).into_any()
        }
        Reason::Other(message) => view! { <span lang="en">{message.clone()}</span> }.into_any(),
    }
}

#[component]
fn Finished(id: Id) -> impl IntoView {
    let link = format!("published-{}", id.inner());
    let selector = format!("[id='{link}']");
    // The button that published it is gone.
    Effect::new(move || focus_lost(&selector));
    view! {
        <span class="good">{text!(upload.published)} " "</span>
        <a id=link href=Route::Photo(id.inner().to_owned()).to_string()>{text!(upload.see_it)}</a>
    }
}

/// Gives the focus to this element if what had it is gone.
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
