//! Keyboard shortcuts. They act on the focused tile or the open photo, and are inactive in text fields.

use leptos::ev;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, KeyboardEvent};

use crate::components::sheet::Sheet;
use crate::navigation::Navigation;
use crate::preferences::Preferences;
use ui::language::{Text, text};
use ui::route::Timeline;

const SHORTCUTS: [(&str, Text); 12] = [
    ("J", text!(shortcuts.next_photo)),
    ("K", text!(shortcuts.previous_photo)),
    ("Enter", text!(shortcuts.open)),
    ("U", text!(shortcuts.upvote)),
    ("D", text!(shortcuts.downvote)),
    ("C", text!(shortcuts.comment)),
    ("Z", text!(shortcuts.zoom)),
    ("F", text!(shortcuts.full_screen)),
    ("G L", text!(shortcuts.to_latest)),
    ("G H", text!(shortcuts.to_hot)),
    ("G T", text!(shortcuts.to_trending)),
    ("?", text!(shortcuts.list)),
];

/// Handles the keys, and shows the list of shortcuts.
#[component]
pub(crate) fn Shortcuts() -> impl IntoView {
    let navigation = expect_context::<Navigation>();
    let enabled = expect_context::<Preferences>().shortcuts;
    let helping = RwSignal::new(false);
    let after_g = StoredValue::new(false);
    let listener = window_event_listener(ev::keydown, move |event| {
        let Some(key) = plain_key(&event) else { return };
        // Enter opens the focused tile.
        if key == "enter" && focused_tile().is_some_and(|tile| is_focused(&tile)) {
            event.prevent_default();
            click(".tile-title a");
        }
        if !enabled.get_untracked() {
            return;
        }
        let goes = after_g.get_value();
        after_g.set_value(key == "g");
        match key.as_str() {
            "l" if goes => navigation.go(Timeline::Latest.into()),
            "h" if goes => navigation.go(Timeline::Hot(None).into()),
            "t" if goes => navigation.go(Timeline::Trending.into()),
            "j" if is_viewing() => click(".photo-next"),
            "k" if is_viewing() => click(".photo-previous"),
            "j" => step(1),
            "k" => step(-1),
            "z" => click(".photo-zoom"),
            "f" => click(".photo-full-screen"),
            "u" => click(".vote-up"),
            "d" => click(".vote-down"),
            "c" => comment(navigation),
            "?" => helping.set(true),
            _ => return,
        }
        event.prevent_default();
    });
    on_cleanup(move || listener.remove());
    view! {
        <Show when=move || helping.get()>
            <Sheet label=text!(shortcuts.heading) on_close=move |()| helping.set(false)>
                <h2>{text!(shortcuts.heading)}</h2>
                <dl class="shortcuts">
                    {SHORTCUTS
                        .map(|(key, action)| {
                            view! {
                                <dt>
                                    <kbd>{key}</kbd>
                                </dt>
                                <dd>{action}</dd>
                            }
                        })
                        .collect_view()}
                </dl>
                <p class="quiet">{text!(shortcuts.off)}</p>
            </Sheet>
        </Show>
    }
}

/// The key without modifiers; `None` in a text field.
fn plain_key(event: &KeyboardEvent) -> Option<String> {
    let typed_into = "input, textarea, select, [contenteditable]";
    let target = event
        .target()
        .and_then(|target| target.dyn_into::<Element>().ok());
    let is_typing = target.is_some_and(|target| target.closest(typed_into).ok().flatten().is_some());
    let is_combined = event.ctrl_key() || event.meta_key() || event.alt_key();
    (!is_typing && !is_combined).then(|| event.key().to_ascii_lowercase())
}

fn viewer() -> Option<Element> {
    document().query_selector(".photo").ok().flatten()
}

fn is_viewing() -> bool {
    viewer().is_some()
}

fn focused_tile() -> Option<Element> {
    document()
        .active_element()?
        .closest("article.tile")
        .ok()
        .flatten()
}

fn is_focused(element: &Element) -> bool {
    document().active_element().as_ref() == Some(element)
}

/// The open photo, or else the focused tile.
fn current_photo() -> Option<Element> {
    viewer().or_else(focused_tile)
}

fn click(button: &str) {
    let button = current_photo().and_then(|photo| photo.query_selector(button).ok().flatten());
    if let Some(button) = button.and_then(|button| button.dyn_into::<HtmlElement>().ok()) {
        button.click();
    }
}

/// Opens the photo if necessary, and focuses the comment form.
fn comment(navigation: Navigation) {
    let Some(photo) = current_photo() else { return };
    let composer = photo
        .query_selector("#new-comment")
        .ok()
        .flatten()
        .and_then(|area| area.dyn_into::<HtmlElement>().ok());
    if let Some(composer) = composer {
        // Fails only for elements that cannot have the focus.
        let _ = composer.focus();
    } else {
        navigation.request_comment();
        click(".tile-title a");
    }
}

/// Moves the focus along the tiles.
fn step(by: i32) {
    let Ok(tiles) = document().query_selector_all("article.tile") else {
        return;
    };
    let here = document()
        .active_element()
        .and_then(|element| element.closest("article.tile").ok().flatten());
    let position =
        (0..tiles.length()).find(|at| tiles.item(*at).as_deref() == here.as_deref().map(AsRef::as_ref));
    let next = match position {
        Some(at) => at.saturating_add_signed(by),
        None => 0,
    };
    if let Some(tile) = tiles
        .item(next)
        .and_then(|tile| tile.dyn_into::<HtmlElement>().ok())
    {
        let _ = tile.focus();
    }
}
