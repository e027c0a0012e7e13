//! The two forms that let somebody in. Pages and the sign-in sheet show the same ones.

use leptos::prelude::*;

use crate::api::{ApiError, Code};
use crate::components::error_card::words;
use crate::components::field::{Attempt, Field, Kind, SendButton};
use crate::session::{Credentials, Viewer, session};

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
        let credentials = Credentials {
            email: email.get(),
            password: password.get(),
        };
        attempt.send(session.sign_in(credentials), move |viewer| on_done.run(viewer));
    };
    view! {
        <form class="form" novalidate=true on:submit=send>
            <Field id="login-email" label="E-mail" kind=Kind::Email value=email error=attempt.on("email", email_words)/>
            <Field
                id="login-password"
                label="Password"
                kind=Kind::CurrentPassword
                value=password
                error=attempt.on("password", |_| "Please enter your password.")
            />
            {attempt.rest(FIELDS, login_words)}
            <SendButton attempt label="Sign in"/>
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
                label="E-mail"
                kind=Kind::Email
                value=email
                hint="Only you see it."
                error=attempt.on("email", email_words)
            />
            <Field
                id="register-password"
                label="Password"
                kind=Kind::NewPassword
                value=password
                hint="At least 12 characters. A few words in a row are fine."
                error=attempt.on("password", new_password_words)
            />
            {attempt.rest(FIELDS, words)}
            <SendButton attempt label="Create account"/>
        </form>
    }
}

fn login_words(error: &ApiError) -> &'static str {
    match error.code {
        Code::Unauthenticated => "That e-mail address and password do not belong together.",
        _ => words(error),
    }
}

fn email_words(error: &ApiError) -> &'static str {
    match error.code {
        Code::Conflict => "There is an account with that address already.",
        _ => "That does not look like an e-mail address.",
    }
}

/// Why a password was refused that somebody chose.
pub(crate) fn new_password_words(_: &ApiError) -> &'static str {
    "It needs at least 12 characters, and must not be a common password."
}
