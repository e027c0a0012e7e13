//! The photo in the viewer: fit, zoom, pan, full screen, and next and previous photo.

mod view;

use leptos::ev;
use leptos::html::Div;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, PointerEvent};

use crate::components::picture::{PhotoImage, Picture};
use ui::components::icon::{IconName, icon};
use ui::language::text;
use view::{PhotoTransform, StageFrame};

/// A pointer that moved less counts as a click. In CSS pixels.
const MAX_CLICK_MOVEMENT: f64 = 8.0;
/// The minimum length of a swipe, in CSS pixels.
const MIN_SWIPE_LENGTH: f64 = 60.0;
const DOUBLE_TAP_MS: f64 = 300.0;
/// The distance by which an arrow key moves a zoomed photo, in CSS pixels.
const ARROW_KEY_STEP: f64 = 120.0;

/// Navigation to the next and previous photo of the timeline.
#[derive(Clone, Copy)]
pub(crate) struct Steps {
    pub(crate) has_previous: Signal<bool>,
    pub(crate) has_next: Signal<bool>,
    pub(crate) go: Callback<i32>,
}

/// The current gesture.
#[derive(Clone, Default)]
struct Gesture {
    pointers: Vec<(i32, (f64, f64))>,
    began: (f64, f64),
    has_moved: bool,
    last_tap: f64,
}

#[expect(
    clippy::too_many_lines,
    reason = "the handlers of one gesture share its state"
)]
#[component]
pub(crate) fn PhotoStage(
    image: PhotoImage,
    /// The URL of a smaller, already decoded image.
    #[prop(into)]
    thumbnail: Option<String>,
    alt: Signal<Option<String>>,
    #[prop(into)] steps: Option<Steps>,
) -> impl IntoView {
    let (stage, area) = (NodeRef::<Div>::new(), NodeRef::<Div>::new());
    let view = RwSignal::new(PhotoTransform::FIT);
    let gesture = StoredValue::new(Gesture::default());
    let (ratio, sizes, pixels) = (image.ratio(), image.stage_sizes(), image.max_source_width());
    let shape = f64::from(image.width) / f64::from(image.height.max(1));
    let frame = move || {
        let area = area.get_untracked()?.get_bounding_client_rect();
        let pixels = pixels / window().device_pixel_ratio();
        (area.height() > 0.0).then(|| StageFrame::new((area.width(), area.height()), shape, pixels))
    };
    let change = move |how: &dyn Fn(StageFrame, PhotoTransform) -> PhotoTransform| {
        if let Some(frame) = frame() {
            let next = how(frame, view.get_untracked());
            fetch_larger(area, frame.drawn_width(next));
            view.set(next);
        }
    };
    let go = move |by: i32| {
        if let Some(steps) = steps {
            steps.go.run(by);
        }
    };
    Effect::new(move || {
        if area.get().is_some() {
            change(&|frame, _| frame.start());
        }
    });
    let resized = window_event_listener(ev::resize, move |_| change(&|frame, _| frame.start()));
    let keys = window_event_listener(ev::keydown, move |event| {
        let is_alone = document()
            .query_selector_all("dialog[open]")
            .is_ok_and(|open| open.length() <= 1);
        let in_text = event
            .target()
            .and_then(|target| target.dyn_into::<Element>().ok())
            .is_some_and(|target| target.closest("input, textarea").ok().flatten().is_some());
        if !is_alone || in_text || event.ctrl_key() || event.meta_key() || event.alt_key() {
            return;
        }
        let (x, y) = match event.key().as_str() {
            "ArrowLeft" => (ARROW_KEY_STEP, 0.0),
            "ArrowRight" => (-ARROW_KEY_STEP, 0.0),
            "ArrowUp" => (0.0, ARROW_KEY_STEP),
            "ArrowDown" => (0.0, -ARROW_KEY_STEP),
            _ => return,
        };
        if view.get_untracked().is_enlarged() {
            event.prevent_default();
            change(&|frame, view| frame.pan(view, (x, y)));
        } else if x != 0.0 && steps.is_some() {
            event.prevent_default();
            go(if x < 0.0 { 1 } else { -1 });
        }
    });
    on_cleanup(move || {
        resized.remove();
        keys.remove();
    });

    // Coordinates relative to the center of the frame.
    let from_center = move |x: f64, y: f64| {
        area.get_untracked().map_or((0.0, 0.0), |area| {
            let area = area.get_bounding_client_rect();
            (
                x - area.left() - area.width() / 2.0,
                y - area.top() - area.height() / 2.0,
            )
        })
    };
    let down = move |event: PointerEvent| {
        if event.button() != 0 {
            return;
        }
        // Captures the pointer, so that it may leave the frame.
        if let Some(area) = area.get_untracked() {
            let _ = area.set_pointer_capture(event.pointer_id());
        }
        let at = from_center(event.client_x().into(), event.client_y().into());
        gesture.update_value(|gesture| {
            gesture.pointers.push((event.pointer_id(), at));
            gesture.has_moved = gesture.pointers.len() > 1;
            gesture.began = at;
        });
    };
    let moved = move |event: PointerEvent| {
        let at = from_center(event.client_x().into(), event.client_y().into());
        let Gesture {
            pointers,
            began,
            has_moved,
            ..
        } = gesture.get_value();
        let Some(which) = pointers.iter().position(|(id, _)| *id == event.pointer_id()) else {
            return;
        };
        let before = pointers[which].1;
        let other = pointers.iter().find(|(id, _)| *id != event.pointer_id());
        if let Some((_, other)) = other {
            let by = distance(at, *other) / distance(before, *other).max(1.0);
            let middle = (f64::midpoint(at.0, other.0), f64::midpoint(at.1, other.1));
            change(&|frame, view| frame.zoom(view, view.scale * by, middle));
        } else if view.get_untracked().is_enlarged()
            && (has_moved || distance(at, began) > MAX_CLICK_MOVEMENT)
        {
            change(&|frame, view| frame.pan(view, (at.0 - before.0, at.1 - before.1)));
        }
        gesture.update_value(|gesture| {
            gesture.pointers[which].1 = at;
            gesture.has_moved |= distance(at, began) > MAX_CLICK_MOVEMENT;
        });
    };
    let up = move |event: PointerEvent| {
        let at = from_center(event.client_x().into(), event.client_y().into());
        let before = gesture.get_value();
        gesture.update_value(|gesture| gesture.pointers.retain(|(id, _)| *id != event.pointer_id()));
        let is_ours = before.pointers.len() == 1 && before.pointers[0].0 == event.pointer_id();
        if !is_ours || event.type_() == "pointercancel" {
            return;
        }
        let (x, y) = (at.0 - before.began.0, at.1 - before.began.1);
        let is_touch = event.pointer_type() != "mouse";
        if !before.has_moved {
            let now = event.time_stamp();
            let is_second = now - before.last_tap < DOUBLE_TAP_MS;
            if !is_touch || is_second {
                change(&|frame, view| frame.toggle(view, at));
            }
            gesture.update_value(|gesture| gesture.last_tap = if is_second { 0.0 } else { now });
        } else if is_touch
            && !view.get_untracked().is_enlarged()
            && x.abs() > MIN_SWIPE_LENGTH.max(2.0 * y.abs())
        {
            go(if x < 0.0 { 1 } else { -1 });
        }
    };
    let wheel = move |event: web_sys::WheelEvent| {
        // The wheel zooms only in the sticky layout. Otherwise it scrolls the page.
        let is_free = stage.get_untracked().is_some_and(|stage| {
            window()
                .get_computed_style(&stage)
                .ok()
                .flatten()
                .is_some_and(|style| {
                    style
                        .get_property_value("position")
                        .is_ok_and(|position| position == "sticky")
                })
        });
        if !is_free && !event.ctrl_key() {
            return;
        }
        event.prevent_default();
        let at = from_center(event.client_x().into(), event.client_y().into());
        // Some devices report lines instead of pixels.
        let pixels = event.delta_y() * if event.delta_mode() == 0 { 1.0 } else { 30.0 };
        change(&|frame, view| frame.zoom(view, view.scale * (-pixels / 300.0).exp(), at));
    };
    let full_screen = move |_| {
        if document().fullscreen_element().is_some() {
            document().exit_fullscreen();
        } else if let Some(stage) = stage.get_untracked() {
            // Not available in all mobile browsers.
            let _ = stage.request_fullscreen();
        }
    };
    let step = move |steps: Steps, by: i32| {
        let (shape, name, class, has) = if by < 0 {
            (
                IconName::Previous,
                text!(viewer.previous),
                "tool photo-previous",
                steps.has_previous,
            )
        } else {
            (
                IconName::Next,
                text!(viewer.next),
                "tool photo-next",
                steps.has_next,
            )
        };
        view! {
            <button
                class=class
                aria-label=name
                title=name
                aria-disabled=move || (!has.get()).then_some("true")
                on:click=move |_| steps.go.run(by)
            >
                {icon(shape)}
            </button>
        }
    };
    view! {
        <div class="photo-stage" style:--r=ratio node_ref=stage>
            <div
                class="photo-area"
                class:is-enlarged=move || view.get().is_enlarged()
                node_ref=area
                on:pointerdown=down
                on:pointermove=moved
                on:pointerup=up
                on:pointercancel=up
                on:wheel=wheel
                on:dragstart=|event| event.prevent_default()
            >
                <div
                    class="photo-image"
                    style:transform=move || {
                        let PhotoTransform { scale, x, y } = view.get();
                        (scale > 1.0).then(|| format!("translate({x:.1}px, {y:.1}px) scale({scale:.4})"))
                    }
                >
                    <Picture image sizes eager=true thumbnail/>
                </div>
            </div>
            <div class="photo-tools">
                {move || alt.get().map(|text| view! { <AltText text/> })}
                {steps.map(|steps| view! { {step(steps, -1)} {step(steps, 1)} })}
                <button
                    class="tool photo-zoom"
                    aria-label=text!(viewer.zoom)
                    title=text!(viewer.zoom)
                    aria-pressed=move || if view.get().is_enlarged() { "true" } else { "false" }
                    on:click=move |_| change(&|frame, view| frame.toggle(view, (0.0, 0.0)))
                >
                    {icon(IconName::Zoom)}
                </button>
                <button
                    class="tool photo-full-screen"
                    aria-label=text!(viewer.full_screen)
                    title=text!(viewer.full_screen)
                    on:click=full_screen
                >
                    {icon(IconName::FullScreen)}
                </button>
            </div>
        </div>
    }
}

/// The alternative text, shown on demand.
#[component]
pub(crate) fn AltText(text: String) -> impl IntoView {
    view! {
        <details class="photo-alt">
            <summary>{text!(photo.alt)}</summary>
            <p dir="auto">{text}</p>
        </details>
    }
}

/// Updates `sizes`, so that the browser fetches a larger file for a zoomed photo.
fn fetch_larger(area: NodeRef<Div>, width: f64) {
    let Some(area) = area.get_untracked() else { return };
    let Ok(images) = area.query_selector_all("source, img[srcset]") else {
        return;
    };
    for at in 0..images.length() {
        let image = images
            .item(at)
            .and_then(|image| image.dyn_into::<HtmlElement>().ok());
        let Some(image) = image else { continue };
        let before: f64 = image
            .dataset()
            .get("drawn")
            .and_then(|width| width.parse().ok())
            .unwrap_or(0.0);
        // A smaller file is never fetched in place of a larger one.
        if width > before * 1.2 {
            let is_first = before == 0.0;
            let _ = image.dataset().set("drawn", &width.round().to_string());
            if !is_first {
                let _ = image.set_attribute("sizes", &format!("{}px", width.round()));
            }
        }
    }
}

fn distance(a: (f64, f64), b: (f64, f64)) -> f64 {
    (a.0 - b.0).hypot(a.1 - b.1)
}
