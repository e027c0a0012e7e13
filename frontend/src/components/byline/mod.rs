//! The author of a photo and the time of publication.

use leptos::prelude::*;

use ui::format;
use ui::graphql::{Byline, DateTime};
use ui::language::text;
use ui::route::{Route, Timeline};

/// A link to the author; a placeholder if the profile service is unavailable or the account is deleted.
#[component]
pub(crate) fn Author(author: Option<Byline>) -> impl IntoView {
    match author {
        Some(author) => {
            let profile = Route::from(Timeline::Person(author.username)).to_string();
            view! { <a class="author" href=profile dir="auto">{author.display_name}</a> }.into_any()
        }
        None => view! { <span class="author quiet">{text!(photo.unknown_user)}</span> }.into_any(),
    }
}

/// "5 minutes ago", with the full date as title.
#[component]
pub(crate) fn RelativeTime(at: DateTime) -> impl IntoView {
    let (machine, full) = (at.0.clone(), at.clone());
    view! { <time class="quiet" datetime=machine title=move || format::full_date(&full)>{move || format::time(&at)}</time> }
}
