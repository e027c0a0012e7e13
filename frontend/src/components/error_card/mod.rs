//! What failed, in words, with a way to try again.

use leptos::prelude::*;

use crate::api::{ApiError, Code};

/// A sentence for people.
pub(crate) fn words(error: &ApiError) -> &'static str {
    match error.code {
        Code::Unauthenticated => "Please sign in again.",
        Code::Forbidden => "That is not yours to do.",
        Code::NotFound => "It is not here any more.",
        Code::InvalidInput => "Something in that was not accepted.",
        Code::Conflict => "Somebody was faster.",
        Code::RateLimited => "That was a lot at once. Please wait a moment.",
        Code::Unavailable => "A part of the site is resting. Please try again shortly.",
        Code::Internal => "Something went wrong on our side.",
        Code::Unreachable => "No answer came. Are you online?",
    }
}

#[component]
pub(crate) fn ErrorCard(error: ApiError, #[prop(into)] retry: Callback<()>) -> impl IntoView {
    let request = error
        .request_id
        .clone()
        .map(|id| view! { <p class="error-card-request">"Request " <code>{id}</code></p> });
    view! {
        <section class="error-card" role="alert">
            <p>{words(&error)}</p>
            <button class="button" on:click=move |_| retry.run(())>
                "Retry"
            </button>
            {request}
        </section>
    }
}
