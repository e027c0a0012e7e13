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

use crate::graphql::VoteChoice;
use crate::navigation::current_route;
use crate::route::Route;

/// An operation with its response, as of an anonymous visitor: it holds no votes of the viewer.
#[derive(Deserialize)]
struct Answered {
    operation: String,
    variables: Variables,
    data: Box<RawValue>,
}

/// The request of an embedded response.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    operation_name: String,
    /// An operation that takes none says that they are null.
    variables: Option<Variables>,
}

type Variables = BTreeMap<String, Option<Box<RawValue>>>;

impl Answered {
    /// A variable that is null and one that is not there are the same.
    fn answers(&self, asked: &Asked) -> bool {
        fn given(variables: Option<&Variables>) -> impl Iterator<Item = (&str, &str)> {
            variables
                .into_iter()
                .flatten()
                .filter_map(|(name, value)| Some((name.as_str(), value.as_ref()?.get())))
        }
        self.operation == asked.operation_name
            && given(Some(&self.variables)).eq(given(asked.variables.as_ref()))
    }
}

/// A `<picture>` of the page that came, and the image in it.
#[derive(Clone, Debug)]
pub(crate) struct TakenOver {
    pub(crate) picture: Element,
    pub(crate) image: HtmlImageElement,
}

/// About as high as a row of photos.
const ROW: f64 = 320.0;

thread_local! {
    static ANSWERED: RefCell<Vec<Answered>> = const { RefCell::new(Vec::new()) };
    static WAS_ANSWERED: Cell<bool> = const { Cell::new(false) };
    /// The arrow that was pressed before the app ran.
    static PRESSED: Cell<Option<(String, VoteChoice)>> = const { Cell::new(None) };
    /// How many photos of a timeline were in view.
    static TILES_IN_VIEW: Cell<usize> = const { Cell::new(0) };
    /// The pictures that are on the screen already, by the `srcset` of their image.
    static PRINTS: RefCell<HashMap<String, TakenOver>> = RefCell::default();
}

/// Reads the answers, and takes the plain picture of the page away. To be called right before the app draws.
pub(crate) fn take_over() {
    let document = document();
    let text = document
        .get_element_by_id("first-page")
        .and_then(|script| script.text_content());
    let answered = text.and_then(|text| serde_json::from_str(&text).ok());
    ANSWERED.set(answered.unwrap_or_default());

    let Some(paint) = document.get_element_by_id("first-paint") else {
        return;
    };
    if let Ok(images) = paint.query_selector_all("img") {
        let prints = (0..images.length()).filter_map(|at| {
            let image: HtmlImageElement = images.get(at)?.dyn_into().ok()?;
            let picture = image.parent_element()?;
            Some((image.srcset(), TakenOver { picture, image }))
        });
        PRINTS.set(prints.collect());
    }
    PRESSED.set(pressed_in(&paint));
    if let Ok(tiles) = paint.query_selector_all(".tile") {
        let window = window().inner_height().ok().and_then(|height| height.as_f64());
        let is_near = |at: &u32| {
            let tile = tiles.get(*at).and_then(|tile| tile.dyn_into::<Element>().ok());
            tile.is_some_and(|tile| tile.get_bounding_client_rect().top() < window.unwrap_or(0.0) + ROW)
        };
        TILES_IN_VIEW.set((0..tiles.length()).take_while(is_near).count());
    }
    // The page keeps its height, and so its place, until the app has drawn all of it.
    keep_height(document.body().map(|body| body.scroll_height()));
    paint.remove();
}

/// The arrow that `theme.js` has marked, and its photo.
fn pressed_in(paint: &Element) -> Option<(String, VoteChoice)> {
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

/// The arrow that was pressed before the app ran, once.
pub(crate) fn pressed() -> Option<(String, VoteChoice)> {
    PRESSED.take()
}

/// The photos that were in view, and those of the row below.
pub(crate) fn tiles_in_view() -> usize {
    TILES_IN_VIEW.get()
}

/// All that came with the page is drawn: the page is as high as that.
pub(crate) fn is_drawn() {
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

/// Pictures drawn later have nothing to take over.
pub(crate) fn is_over() {
    PRINTS.take();
    is_drawn();
}

/// Whether the page has embedded responses.
pub(crate) fn was_answered() -> bool {
    WAS_ANSWERED.get()
}

/// The answer to a request, once: asked again, it is asked of the site.
pub(crate) fn answer(request: &str) -> Option<Box<RawValue>> {
    ANSWERED.with_borrow_mut(|answered| {
        if answered.is_empty() {
            return None;
        }
        let asked: Asked = serde_json::from_str(request).ok()?;
        let at = answered.iter().position(|one| one.answers(&asked))?;
        WAS_ANSWERED.set(true);
        Some(answered.swap_remove(at).data)
    })
}

/// The picture of that `srcset` that is on the screen, to be moved to its new place: fetched, decoded and painted.
pub(crate) fn print(srcset: &str) -> Option<TakenOver> {
    PRINTS.with_borrow_mut(|prints| prints.remove(srcset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_answered(operation: &str, variables: &str, request: &str) -> bool {
        let answered: Answered = serde_json::from_str(&format!(
            r#"{{"operation":"{operation}","variables":{variables},"data":{{}}}}"#
        ))
        .unwrap();
        answered.answers(&serde_json::from_str(request).unwrap())
    }

    #[test]
    fn an_answer_fits_the_request_that_it_was_made_for() {
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
