//! Forms: a labelled field with its hint and its error, and one attempt to send.

use std::future::Future;

use futures::future::FutureExt;
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::api::ApiError;
use crate::components::error_card::words;
use crate::language::{Text, text};

/// The purpose of a field: selects the keyboard and the browser's autofill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Username,
    Email,
    CurrentPassword,
    NewPassword,
    Paragraph,
}

impl Kind {
    fn input_type(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::CurrentPassword | Self::NewPassword => "password",
            Self::Text | Self::Username | Self::Paragraph => "text",
        }
    }

    fn autocomplete(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Username => "username",
            Self::CurrentPassword => "current-password",
            Self::NewPassword => "new-password",
            Self::Text | Self::Paragraph => "off",
        }
    }
}

#[component]
pub(crate) fn Field(
    /// Unique on the page: it ties the label, the hint and the error to the input.
    #[prop(into)]
    id: String,
    label: Text,
    kind: Kind,
    value: RwSignal<String>,
    #[prop(optional, into)] hint: Option<Text>,
    #[prop(optional, into)] error: Signal<Option<String>>,
    #[prop(optional)] optional: bool,
) -> impl IntoView {
    let described_by = format!("{id}-hint {id}-error");
    let invalid = move || error.with(Option::is_some).then_some("true");
    let spellcheck = if matches!(kind, Kind::Text | Kind::Paragraph) {
        "true"
    } else {
        "false"
    };
    let input = if kind == Kind::Paragraph {
        view! {
            <textarea
                id=id.clone()
                rows="3"
                aria-describedby=described_by
                aria-invalid=invalid
                prop:value=move || value.get()
                on:input:target=move |event| value.set(event.target().value())
            ></textarea>
        }
        .into_any()
    } else {
        view! {
            <input
                id=id.clone()
                type=kind.input_type()
                autocomplete=kind.autocomplete()
                autocapitalize=(kind != Kind::Text).then_some("none")
                spellcheck=spellcheck
                required=!optional
                aria-describedby=described_by
                aria-invalid=invalid
                prop:value=move || value.get()
                on:input:target=move |event| value.set(event.target().value())
            />
        }
        .into_any()
    };
    view! {
        <div class="field">
            <label for=id.clone()>{label} {optional.then(|| view! { <span class="quiet">" " {text!(error.optional)}</span> })}</label>
            {input}
            <p class="field-hint" id=format!("{id}-hint")>
                {hint}
            </p>
            <p class="field-error" id=format!("{id}-error")>
                {move || error.get()}
            </p>
        </div>
    }
}

/// One attempt to send a form: under way, failed, or neither.
#[derive(Clone, Copy)]
pub(crate) struct Attempt {
    busy: RwSignal<bool>,
    error: RwSignal<Option<ApiError>>,
}

impl Attempt {
    pub(crate) fn new() -> Self {
        Self {
            busy: RwSignal::new(false),
            error: RwSignal::new(None),
        }
    }

    pub(crate) fn is_busy(self) -> bool {
        self.busy.get()
    }

    /// Sends, and goes on with the answer. A second press while one is under way does nothing.
    pub(crate) fn send<T: 'static>(
        self,
        request: impl Future<Output = Result<T, ApiError>> + 'static,
        then: impl FnOnce(T) + 'static,
    ) {
        if self.busy.get_untracked() {
            return;
        }
        self.busy.set(true);
        self.error.set(None);
        // Boxed, so that the machinery of waiting is compiled once and not for every form.
        let sending = async move {
            let result = request.await;
            // The page may have gone meanwhile, and its signals with it.
            self.busy.try_set(false);
            match result {
                Ok(value) => then(value),
                Err(error) => {
                    self.error.try_set(Some(error));
                }
            }
        };
        spawn_local(sending.boxed_local());
    }

    /// The error of one field, as `words` put it.
    pub(crate) fn on(
        self,
        field: &'static str,
        words: impl Fn(&ApiError) -> Text + Send + Sync + 'static,
    ) -> Signal<Option<String>> {
        Signal::derive(move || {
            self.error.with(|error| {
                error
                    .as_ref()
                    .filter(|error| error.is_about(field))
                    .map(|error| words(error).get().to_owned())
            })
        })
    }

    /// The error to show beside the form: none if it belongs to one of `fields`, which show their own.
    pub(crate) fn rest(
        self,
        fields: &'static [&'static str],
        words: impl Fn(&ApiError) -> Text + Send + Sync + 'static,
    ) -> impl IntoView {
        move || {
            let error = self
                .error
                .get()
                .filter(|error| !fields.iter().any(|field| error.is_about(field)))?;
            let request = error
                .request_id
                .clone()
                .map(|id| view! { <span class="quiet">" " {text!(error.request)} " " {id}</span> });
            Some(view! { <p class="form-error" role="alert">{words(&error)} {request}</p> })
        }
    }

    /// As [`Attempt::rest`], in the words for any error.
    pub(crate) fn any(self) -> impl IntoView {
        self.rest(&[], words)
    }
}

/// The button that sends a form.
#[component]
pub(crate) fn SendButton(attempt: Attempt, label: Text, #[prop(optional)] danger: bool) -> impl IntoView {
    view! {
        <button
            class="button button-action"
            class:button-danger=danger
            type="submit"
            aria-disabled=move || attempt.is_busy().then_some("true")
        >
            {label}
        </button>
    }
}
