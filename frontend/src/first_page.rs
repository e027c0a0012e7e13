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

thread_local! {
    static ANSWERED: RefCell<Vec<Answered>> = const { RefCell::new(Vec::new()) };
    static WAS_ANSWERED: Cell<bool> = const { Cell::new(false) };
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
    paint.remove();
}

/// Pictures drawn later have nothing to take over.
pub(crate) fn is_over() {
    PRINTS.take();
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
