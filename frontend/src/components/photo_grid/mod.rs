//! The tiles of a timeline, in rows that CSS alone justifies, and what comes after them.

use js_sys::Array;
use leptos::html::Div;
use leptos::prelude::*;
use send_wrapper::SendWrapper;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{Element, IntersectionObserver, IntersectionObserverEntry, IntersectionObserverInit};

use crate::components::error_card::ErrorCard;
use crate::components::tile::{Tile, tile_id};
use crate::feed::{Feed, Status};
use crate::language::text;
use crate::navigation::{Navigation, focus};

/// How far below the window the next page is asked for.
const AHEAD: &str = "1200px";

#[component]
pub(crate) fn PhotoGrid(
    feed: Feed,
    #[prop(into)] label: Signal<String>,
    /// Whether the places are ranks.
    ranked: bool,
    /// Whether the first photo leads at full width.
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
    // A feed without articles is none.
    let has_photos = {
        let photos = feed.photos().clone();
        Memo::new(move |_| photos.with(|photos| !photos.is_empty()))
    };
    let status = feed.status().clone();
    let is_busy = move || {
        if status.get() == Status::Loading {
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
            // A tile's place changes when a photo before it is removed.
            <ForEnumerate
                each=photos
                // A photo with a new description is drawn anew.
                key=|photo| (photo.id.clone(), photo.title.clone(), photo.alt_text.clone())
                children=move |at, photo| {
                    let place = Signal::derive(move || at.get() + 1);
                    view! { <Tile photo place ranked leads=Signal::derive(move || leads && at.get() == 0)/> }
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
    // The first of the photos that a press of the button brings takes the focus from it.
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
            if matches!(feed.status().get(), Status::Ready | Status::AtEnd) {
                let feed = feed.clone();
                request_animation_frame(move || {
                    if navigation.restore_scroll() {
                        feed.load_more();
                    }
                });
            }
            // A new observer reports at once, so that a page too short to scroll goes on loading.
            if feed.loads_by_scrolling() {
                let feed = feed.clone();
                when_near(&sentinel, move || feed.load_more());
            }
        });
    }
    let end = move || {
        let feed = feed.clone();
        match feed.status().get() {
            Status::Loading if feed.photos().with(Vec::is_empty) => view! { <GridSkeleton/> }.into_any(),
            Status::Loading => {
                view! { <p class="grid-end quiet" role="status">{text!(grid.loading)}</p> }.into_any()
            }
            Status::Failed(error) => view! { <ErrorCard error retry=move || feed.load_more()/> }.into_any(),
            Status::AtEnd if feed.photos().with(Vec::is_empty) => empty.run(),
            Status::AtEnd => view! { <p class="grid-end quiet">{text!(grid.end)}</p> }.into_any(),
            Status::Ready if feed.loads_by_scrolling() => ().into_any(),
            Status::Ready => view! {
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

/// Empty frames, in the shapes that photos have.
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

/// Calls once the element is near the window, until the current effect runs again.
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
    options.set_root_margin(AHEAD);
    let Ok(observer) = IntersectionObserver::new_with_options(seen.as_ref().unchecked_ref(), &options) else {
        return;
    };
    observer.observe(element);
    let kept = SendWrapper::new((observer, seen));
    on_cleanup(move || kept.0.disconnect());
}
