//! The heading of a page. Sets the document title, and takes the focus after a navigation by link.

use std::cell::RefCell;

use leptos::html::H1;
use leptos::prelude::*;

use crate::navigation::{Navigation, NavigationKind, focus};
use ui::SITE_NAME;
use ui::bidi::isolated;

#[component]
pub(crate) fn Heading(
    /// The title of the browser tab.
    #[prop(into)]
    title: Signal<String>,
    children: Children,
) -> impl IntoView {
    let heading = NodeRef::<H1>::new();
    let kind = expect_context::<Navigation>().current().kind;
    let key = StoredValue::new(());
    Effect::new(move || show_title(key, Some(title.get())));
    // Closing a photo over a timeline restores the title of the timeline.
    on_cleanup(move || show_title(key, None));
    Effect::new(move || {
        if let Some(heading) = heading.get()
            && kind == NavigationKind::Link
        {
            focus(&heading);
        }
    });
    view! { <h1 class="heading" dir="auto" tabindex="-1" node_ref=heading>{children()}</h1> }
}

thread_local! {
    /// The titles of all mounted headings. The last one is shown.
    static HEADING_TITLES: RefCell<Vec<(StoredValue<()>, String)>> = const { RefCell::new(Vec::new()) };
}

/// Sets or removes the title of a heading, and updates the document title.
fn show_title(key: StoredValue<()>, title: Option<String>) {
    HEADING_TITLES.with_borrow_mut(|titles| {
        let known = titles.iter().position(|(other, _)| *other == key);
        match (known, title) {
            (Some(at), Some(title)) => titles[at].1 = title,
            (Some(at), None) => drop(titles.remove(at)),
            (None, Some(title)) => titles.push((key, title)),
            (None, None) => {}
        }
        if let Some((_, title)) = titles.last() {
            document().set_title(&format!("{} · {SITE_NAME}", isolated(title)));
        }
    });
}
