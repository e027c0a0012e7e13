//! An error message with a retry button.

use leptos::prelude::*;

use crate::api::{ApiError, ErrorCode};
use ui::language::{Text, text};

/// The message for an error.
pub(crate) fn error_message(error: &ApiError) -> Text {
    match error.code {
        ErrorCode::Unauthenticated => text!(error.unauthenticated),
        ErrorCode::Forbidden => text!(error.forbidden),
        ErrorCode::NotFound => text!(error.not_found),
        ErrorCode::InvalidInput => text!(error.invalid_input),
        ErrorCode::Conflict => text!(error.conflict),
        ErrorCode::RateLimited => text!(error.rate_limited),
        ErrorCode::Unavailable => text!(error.unavailable),
        ErrorCode::Internal => text!(error.internal),
        ErrorCode::Unreachable => text!(error.unreachable),
        ErrorCode::Missing => text!(error.missing),
        ErrorCode::NoCookies => text!(error.no_cookies),
    }
}

#[component]
pub(crate) fn ErrorCard(error: ApiError, #[prop(into)] retry: Callback<()>) -> impl IntoView {
    let request = error
        .request_id
        .clone()
        .filter(|_| error.code == ErrorCode::Internal)
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
