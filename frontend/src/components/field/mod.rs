//! Forms: a labelled field with its hint and its error, and one attempt to send.

use std::future::Future;

use futures::future::FutureExt;
use leptos::prelude::*;
use leptos::task::spawn_local;
use send_wrapper::SendWrapper;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use crate::api::{ApiError, Code};
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
                dir="auto"
                aria-describedby=described_by
                aria-invalid=invalid
                prop:value=move || value.get()
                on:input:target=move |event| value.set(event.target().value())
            ></textarea>
        }
        .into_any()
    } else {
        let shown = RwSignal::new(false);
        let is_password = kind.input_type() == "password";
        let input = view! {
            <input
                id=id.clone()
                type=move || if shown.get() { "text" } else { kind.input_type() }
                dir=(kind == Kind::Text).then_some("auto")
                autocomplete=kind.autocomplete()
                autocapitalize=(kind != Kind::Text).then_some("none")
                spellcheck=spellcheck
                required=!optional
                aria-describedby=described_by
                aria-invalid=invalid
                prop:value=move || value.get()
                on:input:target=move |event| value.set(event.target().value())
            />
        };
        if is_password {
            let toggle = move || {
                if shown.get() {
                    text!(account.hide_password)
                } else {
                    text!(account.show_password)
                }
            };
            view! {
                <div class="password">
                    {input}
                    <button class="button" type="button" on:click=move |_| shown.update(|shown| *shown = !*shown)>
                        {move || toggle().get()}
                    </button>
                </div>
            }
            .into_any()
        } else {
            input.into_any()
        }
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
    /// The errors of single fields, before or after sending, and other errors.
    errors: RwSignal<Vec<ApiError>>,
}

impl Attempt {
    pub(crate) fn new() -> Self {
        Self {
            busy: RwSignal::new(false),
            errors: RwSignal::new(Vec::new()),
        }
    }

    pub(crate) fn is_busy(self) -> bool {
        self.busy.get()
    }

    /// Whether all fields can be sent. Otherwise each says what is wrong with it, and the first has the focus.
    pub(crate) fn accepts(self, fields: &[(&'static str, Option<Code>)]) -> bool {
        let wrong = fields.iter().filter_map(|(field, code)| {
            Some(ApiError {
                field: Some((*field).to_owned()),
                ..ApiError::from((*code)?)
            })
        });
        let wrong: Vec<_> = wrong.collect();
        let accepts = wrong.is_empty();
        self.errors.set(wrong);
        if !accepts {
            focus_first_invalid();
        }
        accepts
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
        self.errors.set(Vec::new());
        // Boxed, so that the machinery of waiting is compiled once and not for every form.
        let sending = async move {
            let result = request.await;
            // The page may have gone meanwhile, and its signals with it.
            self.busy.try_set(false);
            match result {
                Ok(value) => then(value),
                Err(error) => {
                    let is_about_field = error.field.is_some();
                    self.errors.try_set(vec![error]);
                    if is_about_field {
                        focus_first_invalid();
                    }
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
            self.errors.with(|errors| {
                let error = errors.iter().find(|error| error.is_about(field))?;
                let words = match error.code {
                    Code::Missing => text!(error.missing),
                    _ => words(error),
                };
                Some(words.get().to_owned())
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
            let mut errors = self.errors.get().into_iter();
            let error = errors.find(|error| !fields.iter().any(|field| error.is_about(field)))?;
            // Support can do something with it where the site is at fault.
            let request = error
                .request_id
                .clone()
                .filter(|_| error.code == Code::Internal)
                .map(|id| view! { <span class="quiet">" " {text!(error.request)} " " {id}</span> });
            Some(view! { <p class="form-error" role="alert">{words(&error)} {request}</p> })
        }
    }

    /// As [`Attempt::rest`], in the words for any error.
    pub(crate) fn any(self) -> impl IntoView {
        self.rest(&[], words)
    }
}

/// The error of a required field that is empty.
pub(crate) fn required(value: RwSignal<String>) -> Option<Code> {
    value
        .with_untracked(|value| value.trim().is_empty())
        .then_some(Code::Missing)
}

/// Moves the focus to what has to be mended, once it is drawn.
fn focus_first_invalid() {
    let form = document()
        .active_element()
        .and_then(|element| element.closest("form").ok().flatten());
    let Some(form) = form.map(SendWrapper::new) else {
        return;
    };
    request_animation_frame(move || {
        let field = form.query_selector("[aria-invalid=true]").ok().flatten();
        if let Some(field) = field.and_then(|field| field.dyn_into::<HtmlElement>().ok()) {
            let _ = field.focus();
        }
    });
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
