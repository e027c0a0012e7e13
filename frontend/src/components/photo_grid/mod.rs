//! The tiles of a timeline in justified rows (by CSS only), and the end of the grid.

use js_sys::Array;
use leptos::html::Div;
use leptos::prelude::*;
use send_wrapper::SendWrapper;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{Element, IntersectionObserver, IntersectionObserverEntry, IntersectionObserverInit};

use crate::components::error_card::ErrorCard;
use crate::components::tile::{Tile, tile_id};
use crate::feed::{Feed, FeedStatus};
use crate::navigation::{Navigation, focus};
use ui::language::text;

/// The distance below the window at which the next page is loaded.
const PRELOAD_MARGIN: &str = "1200px";

#[component]
pub(crate) fn PhotoGrid(
    feed: Feed,
    #[prop(into)] label: Signal<String>,
    /// Whether positions are shown as ranks.
    ranked: bool,
    /// Whether the first photo fills a row.
    #[prop(optional)]
    leads: bool,
    /// The text for an empty grid.
    #[prop(into)]
    empty: ViewFn,
) -> impl IntoView {
    let photos = {
        let photos = feed.photos().clone();
        move || photos.get()
    };
    // An empty grid must not have the role `feed`.
    let has_photos = {
        let photos = feed.photos().clone();
        Memo::new(move |_| photos.with(|photos| !photos.is_empty()))
    };
    let status = feed.status().clone();
    let is_busy = move || {
        if status.get() == FeedStatus::Loading {
            "true"
        } else {
            "false"
        }
    };
    view! {
        <div
            class="grid"
            class:grid-leads=leads
            role=move || has_photos.get().then_some("feed")
            aria-label=move || has_photos.get().then(|| label.get())
            aria-busy=is_busy
        >
            // Positions change when a photo is removed.
            <ForEnumerate
                each=photos
                // A changed description creates a new tile.
                key=|photo| (photo.id.clone(), photo.title.clone(), photo.alt_text.clone())
                children=move |at, photo| {
                    let position = Signal::derive(move || at.get() + 1);
                    view! { <Tile photo position ranked leads=Signal::derive(move || leads && at.get() == 0)/> }
                }
            />
        </div>
        <GridEnd feed empty/>
    }
}

#[component]
fn GridEnd(feed: Feed, empty: ViewFn) -> impl IntoView {
    let sentinel = NodeRef::<Div>::new();
    let navigation = expect_context::<Navigation>();
    // The index of the first photo that the button loads; it receives the focus.
    let awaited = StoredValue::new(None::<usize>);
    {
        let photos = feed.photos().clone();
        Effect::new(move || {
            let photos = photos.get();
            if let Some(photo) = awaited.get_value().and_then(|at| photos.get(at)) {
                awaited.set_value(None);
                let tile = tile_id(&photo.id);
                request_animation_frame(move || {
                    let tile = document().get_element_by_id(&tile);
                    if let Some(tile) = tile.and_then(|tile| tile.dyn_into().ok()) {
                        focus(&tile);
                    }
                });
            }
        });
    }
    {
        let feed = feed.clone();
        Effect::new(move || {
            let Some(sentinel) = sentinel.get() else { return };
            if matches!(feed.status().get(), FeedStatus::Ready | FeedStatus::AtEnd) {
                let feed = feed.clone();
                request_animation_frame(move || {
                    if navigation.restore_scroll() {
                        feed.load_more();
                    }
                });
            }
            // A new observer reports immediately, so that short pages continue to load.
            if feed.loads_by_scrolling() {
                let feed = feed.clone();
                when_near(&sentinel, move || feed.load_more());
            }
        });
    }
    let end = move || {
        let feed = feed.clone();
        match feed.status().get() {
            FeedStatus::Loading if feed.photos().with(Vec::is_empty) => view! { <GridSkeleton/> }.into_any(),
            FeedStatus::Loading => {
                view! { <p class="grid-end quiet" role="status">{text!(grid.loading)}</p> }.into_any()
            }
            FeedStatus::Failed(error) => {
                view! { <ErrorCard error retry=move || feed.load_more()/> }.into_any()
            }
            FeedStatus::AtEnd if feed.photos().with(Vec::is_empty) => empty.run(),
            FeedStatus::AtEnd => view! { <p class="grid-end quiet">{text!(grid.end)}</p> }.into_any(),
            FeedStatus::Ready if feed.loads_by_scrolling() => ().into_any(),
            FeedStatus::Ready => view! {
                <p class="grid-end">
                    <button
                        class="button"
                        on:click=move |_| {
                            awaited.set_value(Some(feed.photos().with_untracked(Vec::len)));
                            feed.load_more();
                        }
                    >
                        {text!(grid.more)}
                    </button>
                </p>
            }
            .into_any(),
        }
    };
    view! {
        <div node_ref=sentinel></div>
        {end}
    }
}

/// Placeholder frames with common aspect ratios.
#[component]
fn GridSkeleton() -> impl IntoView {
    let shapes = [
        "3 / 2", "2 / 3", "4 / 3", "16 / 9", "3 / 4", "3 / 2", "1", "3 / 2",
    ];
    let frames = shapes
        .into_iter()
        .map(|ratio| view! { <div class="tile" style:--r=ratio><div class="frame"></div></div> });
    view! { <div class="grid skeleton" aria-hidden="true">{frames.collect_view()}</div> }
}

/// Calls `call` when the element comes near the window, until the current effect runs again.
fn when_near(element: &Element, call: impl Fn() + 'static) {
    let seen = Closure::<dyn Fn(Array)>::new(move |entries: Array| {
        let is_near = entries.iter().any(|entry| {
            entry
                .unchecked_into::<IntersectionObserverEntry>()
                .is_intersecting()
        });
        if is_near {
            call();
        }
    });
    let options = IntersectionObserverInit::new();
    options.set_root_margin(PRELOAD_MARGIN);
    let Ok(observer) = IntersectionObserver::new_with_options(seen.as_ref().unchecked_ref(), &options) else {
        return;
    };
    observer.observe(element);
    let kept = SendWrapper::new((observer, seen));
    on_cleanup(move || kept.0.disconnect());
}
