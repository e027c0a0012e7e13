//! Forms: labelled fields with hints and errors, and the state of submission.

use std::future::Future;

use contracts::Code;
use futures::future::FutureExt;
use leptos::prelude::*;
use leptos::task::spawn_local;
use send_wrapper::SendWrapper;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use crate::api::{ApiError, ErrorCode};
use crate::components::error_card::error_message;
use ui::language::{Text, text};

/// The purpose of a field: selects the keyboard and the browser's autofill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldKind {
    Text,
    Username,
    Email,
    CurrentPassword,
    NewPassword,
    Paragraph,
}

impl FieldKind {
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
    /// Unique on the page. Connects the label, the hint and the error to the input.
    #[prop(into)]
    id: String,
    label: Text,
    kind: FieldKind,
    value: RwSignal<String>,
    #[prop(optional, into)] hint: Option<Text>,
    #[prop(optional, into)] error: Signal<Option<String>>,
    #[prop(optional)] optional: bool,
) -> impl IntoView {
    let described_by = format!("{id}-hint {id}-error");
    let invalid = move || error.with(Option::is_some).then_some("true");
    let spellcheck = if matches!(kind, FieldKind::Text | FieldKind::Paragraph) {
        "true"
    } else {
        "false"
    };
    let input = if kind == FieldKind::Paragraph {
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
                dir=(kind == FieldKind::Text).then_some("auto")
                autocomplete=kind.autocomplete()
                autocapitalize=(kind != FieldKind::Text).then_some("none")
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

/// The state of submitting a form: pending, and errors.
#[derive(Clone, Copy)]
pub(crate) struct FormSubmission {
    busy: RwSignal<bool>,
    /// Errors with and without a field.
    errors: RwSignal<Vec<ApiError>>,
}

impl FormSubmission {
    pub(crate) fn new() -> Self {
        Self {
            busy: RwSignal::new(false),
            errors: RwSignal::new(Vec::new()),
        }
    }

    pub(crate) fn is_busy(self) -> bool {
        self.busy.get()
    }

    /// Whether all fields are valid. Otherwise shows their errors, and focuses the first one.
    pub(crate) fn validate(self, fields: &[(&'static str, Option<ErrorCode>)]) -> bool {
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

    /// Sends the request, and calls `then` on success. Ignored while another one is pending.
    pub(crate) fn submit<T: 'static>(
        self,
        request: impl Future<Output = Result<T, ApiError>> + 'static,
        then: impl FnOnce(T) + 'static,
    ) {
        if self.busy.get_untracked() {
            return;
        }
        self.busy.set(true);
        self.errors.set(Vec::new());
        // Boxed, so that the future is compiled once and not for every form.
        let sending = async move {
            let result = request.await;
            // The page and its signals may have been disposed meanwhile.
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

    /// The message of a field's error, by `message`.
    pub(crate) fn field_error(
        self,
        field: &'static str,
        message: impl Fn(&ApiError) -> Text + Send + Sync + 'static,
    ) -> Signal<Option<String>> {
        Signal::derive(move || {
            self.errors.with(|errors| {
                let error = errors.iter().find(|error| error.is_about(field))?;
                let text = match error.code {
                    ErrorCode::Missing => text!(error.missing),
                    _ => message(error),
                };
                Some(text.get().to_owned())
            })
        })
    }

    /// The first error that belongs to none of `fields`.
    pub(crate) fn form_error(
        self,
        fields: &'static [&'static str],
        message: impl Fn(&ApiError) -> Text + Send + Sync + 'static,
    ) -> impl IntoView {
        move || {
            let mut errors = self.errors.get().into_iter();
            let error = errors.find(|error| !fields.iter().any(|field| error.is_about(field)))?;
            // The request id helps to find internal errors in the log.
            let request = error
                .request_id
                .clone()
                .filter(|_| error.code == Code::Internal)
                .map(|id| view! { <span class="quiet">" " {text!(error.request)} " " {id}</span> });
            Some(view! { <p class="form-error" role="alert">{message(&error)} {request}</p> })
        }
    }

    /// The first error, with the default message.
    pub(crate) fn error(self) -> impl IntoView {
        self.form_error(&[], error_message)
    }
}

/// The error of a required field that is empty.
pub(crate) fn required(value: RwSignal<String>) -> Option<ErrorCode> {
    value
        .with_untracked(|value| value.trim().is_empty())
        .then_some(ErrorCode::Missing)
}

/// Focuses the first invalid field after the next frame.
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
pub(crate) fn SendButton(
    submission: FormSubmission,
    label: Text,
    #[prop(optional)] danger: bool,
) -> impl IntoView {
    view! {
        <button
            class="button button-action"
            class:button-danger=danger
            type="submit"
            aria-disabled=move || submission.is_busy().then_some("true")
        >
            {label}
        </button>
    }
}
