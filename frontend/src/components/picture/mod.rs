//! A photo: the sizes a browser chooses from, over a placeholder of the exact shape.

use std::time::Duration;

use leptos::ev;
use leptos::html::{Canvas, Div};
use leptos::prelude::*;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{Clamped, JsCast};
use web_sys::{CanvasRenderingContext2d, Element, HtmlCanvasElement, HtmlImageElement, ImageData};

use crate::first_page::{self, TakenOver};
use ui::geometry::{Shape, aspect_ratio, stage_sizes};
use ui::graphql::schema;

/// How often a failed image is retried.
const IMAGE_RETRY_INTERVAL: Duration = Duration::from_secs(20);

#[derive(cynic::QueryFragment, Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageSource {
    media_type: String,
    srcset: String,
}

/// The data of a photo's image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PhotoImage {
    pub(crate) width: i32,
    pub(crate) height: i32,
    /// ThumbHash, base64.
    pub(crate) placeholder: String,
    pub(crate) sources: Vec<ImageSource>,
    pub(crate) alt: String,
}

impl PhotoImage {
    fn shape(&self) -> Shape {
        (self.width, self.height)
    }

    /// The CSS aspect ratio.
    pub(crate) fn ratio(&self) -> String {
        aspect_ratio(self.shape())
    }

    /// The `sizes` attribute on the photo's page.
    pub(crate) fn stage_sizes(&self) -> String {
        stage_sizes(self.shape())
    }

    /// The width of the widest file.
    pub(crate) fn max_source_width(&self) -> f64 {
        let widths = self.sources.iter().flat_map(|source| source.srcset.split(','));
        widths
            .filter_map(|file| file.trim().rsplit_once(' ')?.1.strip_suffix('w')?.parse().ok())
            .fold(1.0, f64::max)
    }
}

#[component]
pub(crate) fn Picture(
    image: PhotoImage,
    /// The `sizes` attribute.
    #[prop(into)]
    sizes: Signal<String>,
    /// Whether to load without waiting for scrolling.
    #[prop(optional)]
    eager: bool,
    /// The URL of a smaller, already decoded image.
    #[prop(default = None)]
    thumbnail: Option<String>,
) -> impl IntoView {
    let ratio = image.ratio();
    let PhotoImage {
        width,
        height,
        placeholder,
        mut sources,
        alt,
    } = image;
    let (loaded, broken) = (RwSignal::new(false), RwSignal::new(false));
    // Formats in order of preference; the last one is JPEG.
    let fallback = sources.pop();
    let srcset = fallback.map(|source| source.srcset).unwrap_or_default();
    let frame = NodeRef::<Div>::new();
    Effect::new(move || {
        if broken.get() {
            fetch_again(frame);
        }
    });
    let picture = if let Some(taken) = first_page::take_picture(&srcset) {
        take_over(taken, frame, sizes, (loaded, broken));
        ().into_any()
    } else {
        let src = srcset.split_whitespace().next().unwrap_or_default().to_owned();
        let better = sources
            .into_iter()
            .map(|source| view! { <source type=source.media_type srcset=source.srcset sizes=sizes/> })
            .collect_view();
        view! {
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
                    on:load=move |_| {
                        loaded.set(true);
                        broken.set(false);
                    }
                    on:error=move |_| broken.set(true)
                />
            </picture>
        }
        .into_any()
    };
    let placeholder = match thumbnail {
        _ if loaded.get_untracked() => None,
        Some(address) => Some(
            view! { <img class="picture-placeholder" src=address decoding="sync" alt="" aria-hidden="true"/> }.into_any(),
        ),
        None => Some(view! { <Placeholder hash=placeholder/> }.into_any()),
    };
    view! {
        <div
            class="picture"
            class:is-loaded=move || loaded.get()
            class:is-broken=move || broken.get()
            style:--ratio=ratio
            node_ref=frame
        >
            {placeholder}
            {picture}
        </div>
    }
}

/// Moves a visible `<picture>` of the rendered page into the component. It changes only when the frame gets another size.
fn take_over(
    taken: TakenOver,
    frame: NodeRef<Div>,
    sizes: Signal<String>,
    (loaded, broken): (RwSignal<bool>, RwSignal<bool>),
) {
    let TakenOver { picture, image } = taken;
    let is_decodable = image.natural_width() > 0;
    loaded.set(image.complete() && is_decodable);
    broken.set(image.complete() && !is_decodable);
    // The image may load another size later, and may outlive the component.
    let watch = |event: &str, is_there: bool| {
        let tell = Closure::<dyn Fn()>::new(move || {
            loaded.try_set(is_there);
            broken.try_set(!is_there);
        })
        .into_js_value();
        let _ = image.add_event_listener_with_callback(event, tell.unchecked_ref());
    };
    watch("load", true);
    watch("error", false);
    let picture = StoredValue::new_local(picture);
    Effect::new(move |before: Option<String>| {
        let sizes = sizes.get();
        // The server has written the first.
        if before.is_some_and(|before| before != sizes) {
            picture.with_value(|picture| set_sizes(picture, &sizes));
        }
        sizes
    });
    Effect::new(move || {
        if let Some(frame) = frame.get() {
            let _ = frame.append_child(&picture.get_value());
        }
    });
}

/// Sets the `sizes` attribute of all sources of a picture.
fn set_sizes(picture: &Element, sizes: &str) {
    let Ok(sources) = picture.query_selector_all("[sizes]") else {
        return;
    };
    for source in (0..sources.length()).filter_map(|at| sources.get(at)) {
        if let Some(source) = source.dyn_ref::<Element>() {
            let _ = source.set_attribute("sizes", sizes);
        }
    }
}

/// Retries a failed image when the browser is online again, and periodically.
fn fetch_again(frame: NodeRef<Div>) {
    let fetch = move || {
        let image = frame
            .get_untracked()
            .and_then(|frame| frame.query_selector("picture img").ok().flatten())
            .and_then(|image| image.dyn_into::<HtmlImageElement>().ok());
        if let Some(image) = image {
            image.set_src(&image.src());
        }
    };
    let online = window_event_listener(ev::online, move |_| fetch());
    let timer = set_interval_with_handle(fetch, IMAGE_RETRY_INTERVAL);
    on_cleanup(move || {
        online.remove();
        if let Ok(timer) = timer {
            timer.clear();
        }
    });
}

/// The placeholder while the image loads.
#[component]
fn Placeholder(hash: String) -> impl IntoView {
    let canvas = NodeRef::<Canvas>::new();
    Effect::new(move || {
        let Some(canvas) = canvas.get() else { return };
        let hash = hash.clone();
        let draw = move || {
            // An invalid hash leaves an empty canvas.
            let _ = draw_placeholder(&canvas, &hash);
        };
        // Each in its own task, so that input is not delayed.
        set_timeout(draw, Duration::ZERO);
    });
    view! { <canvas class="picture-placeholder" aria-hidden="true" node_ref=canvas></canvas> }
}

/// Decodes the ThumbHash to about 30 pixels, which the browser scales up.
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
