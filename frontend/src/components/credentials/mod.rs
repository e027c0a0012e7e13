//! The sign-in and registration forms, used by pages and by the sign-in sheet.

use contracts::Code;
use leptos::prelude::*;

use crate::api::{ApiError, ErrorCode};
use crate::components::error_card::error_message;
use crate::components::field::{Field, FieldKind, FormSubmission, SendButton, required};
use crate::session::{CredentialVariables, Viewer, session};
use crate::storage;
use ui::language::{Text, text};

/// The minimum of the authentication service, in characters.
const MIN_PASSWORD_LENGTH: usize = 12;
const FIELDS: &[&str] = &["email", "password"];

#[component]
pub(crate) fn LoginForm(#[prop(into)] on_done: Callback<Viewer>) -> impl IntoView {
    let (email, password, submission) = (
        RwSignal::new(String::new()),
        RwSignal::new(String::new()),
        FormSubmission::new(),
    );
    let session = session();
    let send = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        if !submission.validate(&[("email", required(email)), ("password", required(password))]) {
            return;
        }
        let credentials = CredentialVariables {
            email: email.get(),
            password: password.get(),
        };
        submission.submit(session.sign_in(credentials), move |viewer| on_done.run(viewer));
    };
    view! {
        <form class="form" novalidate=true on:submit=send>
            <Field id="login-email" label=text!(account.email) kind=FieldKind::Email value=email error=submission.field_error("email", email_error_message)/>
            <Field
                id="login-password"
                label=text!(account.password)
                kind=FieldKind::CurrentPassword
                value=password
                error=submission.field_error("password", |_| text!(account.password_missing))
            />
            {cookie_warning()}
            {submission.form_error(FIELDS, login_error_message)}
            <SendButton submission label=text!(account.sign_in)/>
        </form>
    }
}

#[component]
pub(crate) fn RegisterForm(#[prop(into)] on_done: Callback<Viewer>) -> impl IntoView {
    let (email, password, submission) = (
        RwSignal::new(String::new()),
        RwSignal::new(String::new()),
        FormSubmission::new(),
    );
    let session = session();
    let send = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        let is_refused = |is_refused: bool| is_refused.then_some(Code::InvalidInput.into());
        let no_address = email.with(|email| !email.trim().contains('@'));
        let too_short = password.with(|password| password.chars().count() < MIN_PASSWORD_LENGTH);
        let fields = [
            ("email", required(email).or(is_refused(no_address))),
            ("password", required(password).or(is_refused(too_short))),
        ];
        if !submission.validate(&fields) {
            return;
        }
        let credentials = CredentialVariables {
            email: email.get(),
            password: password.get(),
        };
        submission.submit(session.register(credentials), move |viewer| on_done.run(viewer));
    };
    view! {
        <form class="form" novalidate=true on:submit=send>
            <Field
                id="register-email"
                label=text!(account.email)
                kind=FieldKind::Email
                value=email
                hint=text!(account.email_hint)
                error=submission.field_error("email", email_error_message)
            />
            <Field
                id="register-password"
                label=text!(account.password)
                kind=FieldKind::NewPassword
                value=password
                hint=text!(account.password_hint)
                error=submission.field_error("password", new_password_error_message)
            />
            {cookie_warning()}
            {submission.form_error(FIELDS, error_message)}
            <SendButton submission label=text!(account.create)/>
        </form>
    }
}

/// Warns before sign-in that cookies are blocked. Tests local storage, which browsers block together with cookies:
/// `navigator.cookieEnabled` is less reliable.
fn cookie_warning() -> impl IntoView {
    let are_off = storage::local().is_none();
    are_off.then(|| view! { <p class="form-error">{text!(account.cookies_off)}</p> })
}

fn login_error_message(error: &ApiError) -> Text {
    match error.code {
        ErrorCode::Response(Code::Unauthenticated) => text!(account.wrong),
        _ => error_message(error),
    }
}

fn email_error_message(error: &ApiError) -> Text {
    match error.code {
        ErrorCode::Response(Code::Conflict) => text!(account.email_taken),
        _ => text!(account.email_error),
    }
}

/// The error message for a rejected new password.
pub(crate) fn new_password_error_message(_: &ApiError) -> Text {
    text!(account.password_refused)
}
