//! The heading of a page: names the document, and takes the focus when a link led here.

use leptos::html::H1;
use leptos::prelude::*;

use crate::bidi::isolated;
use crate::navigation::{Arrival, Navigation, focus};

#[component]
pub(crate) fn Heading(
    /// The title of the browser tab.
    #[prop(into)]
    title: Signal<String>,
    children: Children,
) -> impl IntoView {
    let heading = NodeRef::<H1>::new();
    let arrival = expect_context::<Navigation>().here().arrival;
    let before = document().title();
    Effect::new(move || document().set_title(&format!("{} · Proofsheet", isolated(&title.get()))));
    // A photo over a timeline goes, and the timeline has its name back.
    on_cleanup(move || document().set_title(&before));
    Effect::new(move || {
        if let Some(heading) = heading.get()
            && arrival == Arrival::Link
        {
            focus(&heading);
        }
    });
    view! { <h1 class="heading" dir="auto" tabindex="-1" node_ref=heading>{children()}</h1> }
}
