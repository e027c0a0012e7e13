//! The page of unknown paths.

use leptos::prelude::*;

use crate::components::heading::Heading;
use ui::language::text;
use ui::route::Timeline;

#[component]
pub(crate) fn NotFoundPage() -> impl IntoView {
    view! {
        <div class="page">
            <Heading title=text!(lost.title)>{text!(lost.heading)}</Heading>
            <p>{text!(lost.text)}</p>
            <p>
                <a href=Timeline::Latest.to_string()>{text!(photo.see_latest)}</a>
            </p>
        </div>
    }
}
