//! The heading of a page: names the document, and takes the focus when a link led here.

use std::cell::RefCell;

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
    let key = StoredValue::new(());
    Effect::new(move || show_title(key, Some(title.get())));
    // A photo over a timeline goes, and the timeline has its title back.
    on_cleanup(move || show_title(key, None));
    Effect::new(move || {
        if let Some(heading) = heading.get()
            && arrival == Arrival::Link
        {
            focus(&heading);
        }
    });
    view! { <h1 class="heading" dir="auto" tabindex="-1" node_ref=heading>{children()}</h1> }
}

thread_local! {
    /// The titles of the headings that are there, the one on top last.
    static TITLES: RefCell<Vec<(StoredValue<()>, String)>> = const { RefCell::new(Vec::new()) };
}

/// Sets or removes the title of one heading, and has the tab show that of the last one.
fn show_title(key: StoredValue<()>, title: Option<String>) {
    TITLES.with_borrow_mut(|titles| {
        let known = titles.iter().position(|(other, _)| *other == key);
        match (known, title) {
            (Some(at), Some(title)) => titles[at].1 = title,
            (Some(at), None) => drop(titles.remove(at)),
            (None, Some(title)) => titles.push((key, title)),
            (None, None) => {}
        }
        if let Some((_, title)) = titles.last() {
            document().set_title(&format!("{} · Proofsheet", isolated(title)));
        }
    });
}
