//! The responses that the router embedded in the page, so that the first photos do not wait for the app: see
//! `frontend/index.html`.
//!
//! The page holds the responses to the app's first operations, and HTML rendered from them. The app renders the same
//! content and removes that HTML in one step, without a visible change.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};

use leptos::prelude::*;
use serde::Deserialize;
use serde_json::value::RawValue;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlImageElement};

use crate::navigation::current_route;
use ui::graphql::VoteChoice;
use ui::route::Route;

/// An operation with its response for an anonymous visitor, without votes of the viewer.
#[derive(Deserialize)]
struct PrefetchedResponse {
    operation: String,
    variables: Variables,
    data: Box<RawValue>,
}

/// The request of an embedded response.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OperationRequest {
    operation_name: String,
    /// Null for operations without variables.
    variables: Option<Variables>,
}

type Variables = BTreeMap<String, Option<Box<RawValue>>>;

impl PrefetchedResponse {
    /// Whether the response belongs to `request`. Null and absent variables are equal.
    fn matches(&self, request: &OperationRequest) -> bool {
        fn given(variables: Option<&Variables>) -> impl Iterator<Item = (&str, &str)> {
            variables
                .into_iter()
                .flatten()
                .filter_map(|(name, value)| Some((name.as_str(), value.as_ref()?.get())))
        }
        self.operation == request.operation_name
            && given(Some(&self.variables)).eq(given(request.variables.as_ref()))
    }
}

/// A `<picture>` of the rendered page, and its image.
#[derive(Clone, Debug)]
pub(crate) struct TakenOver {
    pub(crate) picture: Element,
    pub(crate) image: HtmlImageElement,
}

/// The height of a row of photos, in CSS pixels.
const PRELOAD_DISTANCE: f64 = 320.0;

thread_local! {
    static RESPONSES: RefCell<Vec<PrefetchedResponse>> = const { RefCell::new(Vec::new()) };
    static WAS_USED: Cell<bool> = const { Cell::new(false) };
    /// The vote arrow that was pressed before the app ran.
    static PRESSED: Cell<Option<(String, VoteChoice)>> = const { Cell::new(None) };
    /// Number of tiles in the viewport and the row below.
    static TILES_IN_VIEW: Cell<usize> = const { Cell::new(0) };
    /// The rendered pictures, by the `srcset` of their image.
    static PICTURES: RefCell<HashMap<String, TakenOver>> = RefCell::default();
}

/// Reads the embedded responses, and removes the rendered content. Call it right before the app renders.
pub(crate) fn take_over() {
    let document = document();
    let text = document
        .get_element_by_id("first-page")
        .and_then(|script| script.text_content());
    let responses = text.and_then(|text| serde_json::from_str(&text).ok());
    RESPONSES.set(responses.unwrap_or_default());

    let Some(paint) = document.get_element_by_id("first-paint") else {
        return;
    };
    if let Ok(images) = paint.query_selector_all("img") {
        let pictures = (0..images.length()).filter_map(|at| {
            let image: HtmlImageElement = images.get(at)?.dyn_into().ok()?;
            let picture = image.parent_element()?;
            Some((image.srcset(), TakenOver { picture, image }))
        });
        PICTURES.set(pictures.collect());
    }
    PRESSED.set(find_pressed_vote(&paint));
    if let Ok(tiles) = paint.query_selector_all(".tile") {
        let window = window().inner_height().ok().and_then(|height| height.as_f64());
        let is_near = |at: &u32| {
            let tile = tiles.get(*at).and_then(|tile| tile.dyn_into::<Element>().ok());
            tile.is_some_and(|tile| {
                tile.get_bounding_client_rect().top() < window.unwrap_or(0.0) + PRELOAD_DISTANCE
            })
        };
        TILES_IN_VIEW.set((0..tiles.length()).take_while(is_near).count());
    }
    // Keeps the page height, and so the scroll position, until the app has rendered everything.
    keep_height(document.body().map(|body| body.scroll_height()));
    paint.remove();
}

/// The vote arrow that `theme.js` has marked, with its photo.
fn find_pressed_vote(paint: &Element) -> Option<(String, VoteChoice)> {
    let arrow = paint.query_selector(".vote[aria-pressed]").ok()??;
    let label = arrow.closest("article").ok()??.get_attribute("aria-labelledby")?;
    let photo = match current_route() {
        Route::Photo(id) => id,
        _ => label.strip_prefix("photo-")?.strip_suffix("-title")?.to_owned(),
    };
    let choice = if arrow.class_list().contains("vote-up") {
        VoteChoice::Up
    } else {
        VoteChoice::Down
    };
    Some((photo, choice))
}

/// Returns the vote arrow that was pressed before the app ran, once.
pub(crate) fn take_pressed_vote() -> Option<(String, VoteChoice)> {
    PRESSED.take()
}

/// The number of tiles that were in the viewport and the row below.
pub(crate) fn tiles_in_view() -> usize {
    TILES_IN_VIEW.get()
}

/// Releases the height that [`take_over`] has kept.
pub(crate) fn release_height() {
    keep_height(None);
}

fn keep_height(height: Option<i32>) {
    if let Some(body) = document().body() {
        let style = body.style();
        let _ = match height {
            Some(height) => style.set_property("min-height", &format!("{height}px")),
            None => style.remove_property("min-height").map(drop),
        };
    }
}

/// Ends the take-over: later pictures are new elements.
pub(crate) fn finish() {
    PICTURES.take();
    release_height();
}

/// Whether the page has embedded responses.
pub(crate) fn has_used_prefetched() -> bool {
    WAS_USED.get()
}

/// Returns the embedded response to a request. A second call returns `None`.
pub(crate) fn take_response(request: &str) -> Option<Box<RawValue>> {
    RESPONSES.with_borrow_mut(|responses| {
        if responses.is_empty() {
            return None;
        }
        let operation: OperationRequest = serde_json::from_str(request).ok()?;
        let at = responses.iter().position(|one| one.matches(&operation))?;
        WAS_USED.set(true);
        Some(responses.swap_remove(at).data)
    })
}

/// Returns the rendered picture with this `srcset`, which is loaded and decoded, once.
pub(crate) fn take_picture(srcset: &str) -> Option<TakenOver> {
    PICTURES.with_borrow_mut(|pictures| pictures.remove(srcset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_answered(operation: &str, variables: &str, request: &str) -> bool {
        let responses: PrefetchedResponse = serde_json::from_str(&format!(
            r#"{{"operation":"{operation}","variables":{variables},"data":{{}}}}"#
        ))
        .unwrap();
        responses.matches(&serde_json::from_str(request).unwrap())
    }

    #[test]
    fn a_response_matches_its_request() {
        let request =
            r#"{"query":"query …","variables":{"first":24,"after":null},"operationName":"LatestPhotos"}"#;
        assert!(is_answered(
            "LatestPhotos",
            r#"{"after":null,"first":24}"#,
            request
        ));
        assert!(is_answered("LatestPhotos", r#"{"first":24}"#, request));
        assert!(!is_answered("TrendingPhotos", r#"{"first":24}"#, request));
        let without = r#"{"query":"query …","variables":null,"operationName":"HotDays"}"#;
        assert!(is_answered("HotDays", "{}", without));
        assert!(!is_answered("LatestPhotos", r#"{"first":12}"#, request));
        assert!(!is_answered(
            "LatestPhotos",
            r#"{"first":24,"after":"x"}"#,
            request
        ));
    }
}
