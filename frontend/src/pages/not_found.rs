//! A path that leads nowhere.

use leptos::prelude::*;

use crate::components::heading::Heading;
use crate::route::Timeline;

#[component]
pub(crate) fn NotFoundPage() -> impl IntoView {
    view! {
        <div class="page">
            <Heading title="Not found">"There is nothing here"</Heading>
            <p>"The address may be mistyped, or what was here has moved."</p>
            <p>
                <a href=Timeline::Latest.to_string()>"See the latest photos"</a>
            </p>
        </div>
    }
}
