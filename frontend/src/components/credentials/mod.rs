//! The sign-in and registration forms, used by pages and by the sign-in sheet.

use leptos::prelude::*;

use crate::api::{ApiError, Code};
use crate::components::error_card::words;
use crate::components::field::{Attempt, Field, Kind, SendButton, required};
use crate::language::{Text, text};
use crate::session::{Credentials, Viewer, session};
use crate::storage;

/// As the authentication service demands.
const SHORTEST_PASSWORD: usize = 12;
const FIELDS: &[&str] = &["email", "password"];

#[component]
pub(crate) fn LoginForm(#[prop(into)] on_done: Callback<Viewer>) -> impl IntoView {
    let (email, password, attempt) = (
        RwSignal::new(String::new()),
        RwSignal::new(String::new()),
        Attempt::new(),
    );
    let session = session();
    let send = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        if !attempt.accepts(&[("email", required(email)), ("password", required(password))]) {
            return;
        }
        let credentials = Credentials {
            email: email.get(),
            password: password.get(),
        };
        attempt.send(session.sign_in(credentials), move |viewer| on_done.run(viewer));
    };
    view! {
        <form class="form" novalidate=true on:submit=send>
            <Field id="login-email" label=text!(account.email) kind=Kind::Email value=email error=attempt.on("email", email_words)/>
            <Field
                id="login-password"
                label=text!(account.password)
                kind=Kind::CurrentPassword
                value=password
                error=attempt.on("password", |_| text!(account.password_missing))
            />
            {without_cookies()}
            {attempt.rest(FIELDS, login_words)}
            <SendButton attempt label=text!(account.sign_in)/>
        </form>
    }
}

#[component]
pub(crate) fn RegisterForm(#[prop(into)] on_done: Callback<Viewer>) -> impl IntoView {
    let (email, password, attempt) = (
        RwSignal::new(String::new()),
        RwSignal::new(String::new()),
        Attempt::new(),
    );
    let session = session();
    let send = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        let is_refused = |is_refused: bool| is_refused.then_some(Code::InvalidInput);
        let no_address = email.with(|email| !email.trim().contains('@'));
        let too_short = password.with(|password| password.chars().count() < SHORTEST_PASSWORD);
        let fields = [
            ("email", required(email).or(is_refused(no_address))),
            ("password", required(password).or(is_refused(too_short))),
        ];
        if !attempt.accepts(&fields) {
            return;
        }
        let credentials = Credentials {
            email: email.get(),
            password: password.get(),
        };
        attempt.send(session.register(credentials), move |viewer| on_done.run(viewer));
    };
    view! {
        <form class="form" novalidate=true on:submit=send>
            <Field
                id="register-email"
                label=text!(account.email)
                kind=Kind::Email
                value=email
                hint=text!(account.email_hint)
                error=attempt.on("email", email_words)
            />
            <Field
                id="register-password"
                label=text!(account.password)
                kind=Kind::NewPassword
                value=password
                hint=text!(account.password_hint)
                error=attempt.on("password", new_password_words)
            />
            {without_cookies()}
            {attempt.rest(FIELDS, words)}
            <SendButton attempt label=text!(account.create)/>
        </form>
    }
}

/// Warns before sign-in that cookies are off, because the session would be lost. Tests the storage: browsers that drop
/// cookies refuse it too, and `navigator.cookieEnabled` is less reliable.
fn without_cookies() -> impl IntoView {
    let are_off = storage::local().is_none();
    are_off.then(|| view! { <p class="form-error">{text!(account.cookies_off)}</p> })
}

fn login_words(error: &ApiError) -> Text {
    match error.code {
        Code::Unauthenticated => text!(account.wrong),
        _ => words(error),
    }
}

fn email_words(error: &ApiError) -> Text {
    match error.code {
        Code::Conflict => text!(account.email_taken),
        _ => text!(account.email_error),
    }
}

/// The reason why a new password was refused.
pub(crate) fn new_password_words(_: &ApiError) -> Text {
    text!(account.password_refused)
}
