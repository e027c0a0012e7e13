//! A photo: the sizes a browser chooses from, over a placeholder of the exact shape.

use std::time::Duration;

use leptos::html::Canvas;
use leptos::prelude::*;
use wasm_bindgen::{Clamped, JsCast};
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, HtmlImageElement, ImageData};

use crate::first_page;
use crate::graphql::schema;

#[derive(cynic::QueryFragment, Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageSource {
    media_type: String,
    srcset: String,
}

/// What it takes to draw a photo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Print {
    pub(crate) width: i32,
    pub(crate) height: i32,
    /// ThumbHash, base64.
    pub(crate) placeholder: String,
    pub(crate) sources: Vec<ImageSource>,
    pub(crate) alt: String,
}

impl Print {
    /// Width over height, as CSS writes it.
    pub(crate) fn ratio(&self) -> String {
        format!("{} / {}", self.width, self.height)
    }
}

/// The most pixels that a copy of what is on the screen is wide.
const PRINT_WIDTH: u32 = 640;

#[component]
pub(crate) fn Picture(
    print: Print,
    /// The `sizes` attribute: how wide it will be.
    #[prop(into)]
    sizes: String,
    /// Whether it is in view at once, so that it must not wait for scrolling.
    #[prop(optional)]
    eager: bool,
) -> impl IntoView {
    let ratio = print.ratio();
    let Print {
        width,
        height,
        placeholder,
        mut sources,
        alt,
    } = print;
    let (loaded, broken) = (RwSignal::new(false), RwSignal::new(false));
    // The best format first; the last is what every browser reads.
    let fallback = sources.pop();
    let srcset = fallback.map(|source| source.srcset).unwrap_or_default();
    // What is on the screen already stays there until the same is loaded into its new place.
    let print = StoredValue::new_local(first_page::print(&srcset));
    let canvas = NodeRef::<Canvas>::new();
    Effect::new(move || {
        let Some(canvas) = canvas.get() else { return };
        // What cannot be drawn leaves the plain surface.
        if let Some(print) = print.get_value() {
            let _ = draw_print(&canvas, &print);
            return;
        }
        let placeholder = placeholder.clone();
        let draw = move || {
            let _ = draw_placeholder(&canvas, &placeholder);
        };
        // Each in a moment of its own: a page of them at once would be felt.
        set_timeout(draw, Duration::ZERO);
    });
    let src = srcset.split_whitespace().next().unwrap_or_default().to_owned();
    let better = sources
        .into_iter()
        .map(|source| view! { <source type=source.media_type srcset=source.srcset sizes=sizes.clone()/> })
        .collect_view();
    view! {
        <div
            class="picture"
            class:is-loaded=move || loaded.get()
            class:is-broken=move || broken.get()
            style:--ratio=ratio
        >
            <canvas class="picture-placeholder" aria-hidden="true" node_ref=canvas></canvas>
            <picture>
                {better}
                <img
                    loading=if eager { "eager" } else { "lazy" }
                    fetchpriority=eager.then_some("high")
                    decoding="async"
                    width=width.to_string()
                    height=height.to_string()
                    alt=alt
                    sizes=sizes
                    srcset=srcset
                    src=src
                    on:load=move |_| loaded.set(true)
                    on:error=move |_| broken.set(true)
                />
            </picture>
        </div>
    }
}

/// Copies an image that has loaded: for a moment, so that a few pixels will do.
fn draw_print(canvas: &HtmlCanvasElement, print: &HtmlImageElement) -> Option<()> {
    let (width, height) = (print.natural_width(), print.natural_height());
    let shrink = width.div_ceil(PRINT_WIDTH);
    canvas.set_width(width / shrink);
    canvas.set_height(height / shrink);
    let context: CanvasRenderingContext2d = canvas.get_context("2d").ok()??.dyn_into().ok()?;
    let (width, height) = (f64::from(canvas.width()), f64::from(canvas.height()));
    context
        .draw_image_with_html_image_element_and_dw_and_dh(print, 0.0, 0.0, width, height)
        .ok()
}

/// Decodes the ThumbHash into some thirty pixels; the browser blurs them by stretching.
fn draw_placeholder(canvas: &HtmlCanvasElement, base64: &str) -> Option<()> {
    let bytes: Vec<u8> = window()
        .atob(base64)
        .ok()?
        .chars()
        .filter_map(|byte| u8::try_from(u32::from(byte)).ok())
        .collect();
    let (width, height, rgba) = thumbhash::thumb_hash_to_rgba(&bytes).ok()?;
    let (width, height) = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
    canvas.set_width(width);
    canvas.set_height(height);
    let context: CanvasRenderingContext2d = canvas.get_context("2d").ok()??.dyn_into().ok()?;
    let pixels = ImageData::new_with_u8_clamped_array_and_sh(Clamped(&rgba), width, height).ok()?;
    context.put_image_data(&pixels, 0.0, 0.0).ok()
}
