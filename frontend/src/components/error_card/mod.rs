//! An error message with a retry button.

use leptos::prelude::*;

use crate::api::{ApiError, Code};
use crate::language::{Text, text};

/// The message for an error.
pub(crate) fn error_message(error: &ApiError) -> Text {
    match error.code {
        Code::Unauthenticated => text!(error.unauthenticated),
        Code::Forbidden => text!(error.forbidden),
        Code::NotFound => text!(error.not_found),
        Code::InvalidInput => text!(error.invalid_input),
        Code::Conflict => text!(error.conflict),
        Code::RateLimited => text!(error.rate_limited),
        Code::Unavailable => text!(error.unavailable),
        Code::Internal => text!(error.internal),
        Code::Unreachable => text!(error.unreachable),
        Code::Missing => text!(error.missing),
        Code::NoCookies => text!(error.no_cookies),
    }
}

#[component]
pub(crate) fn ErrorCard(error: ApiError, #[prop(into)] retry: Callback<()>) -> impl IntoView {
    let request = error
        .request_id
        .clone()
        .filter(|_| error.code == Code::Internal)
        .map(|id| view! { <p class="error-card-request">{text!(error.request)} " " <code>{id}</code></p> });
    view! {
        <section class="error-card" role="alert">
            <p>{error_message(&error)}</p>
            <button class="button" on:click=move |_| retry.run(())>
                {text!(error.retry)}
            </button>
            {request}
        </section>
    }
}
