//! An error message with a retry button.

use contracts::Code;
use leptos::prelude::*;

use crate::api::{ApiError, ErrorCode};
use ui::language::{Text, text};

/// The message for an error.
pub(crate) fn error_message(error: &ApiError) -> Text {
    match error.code {
        ErrorCode::Response(Code::Unauthenticated) => text!(error.unauthenticated),
        ErrorCode::Response(Code::Forbidden) => text!(error.forbidden),
        ErrorCode::Response(Code::NotFound) => text!(error.not_found),
        ErrorCode::Response(Code::InvalidInput) => text!(error.invalid_input),
        ErrorCode::Response(Code::Conflict) => text!(error.conflict),
        ErrorCode::Response(Code::RateLimited) => text!(error.rate_limited),
        ErrorCode::Response(Code::Unavailable) => text!(error.unavailable),
        ErrorCode::Response(Code::Internal) => text!(error.internal),
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
