//! The site's time zone, and today in it.

use js_sys::{Array, Date as JsDate, Function, Intl, Object, Reflect, global};
use leptos::prelude::document;
use ui::graphql::Date;
use wasm_bindgen::{JsCast as _, JsValue};

/// The site's time zone, from the page's metadata.
pub(crate) fn time_zone() -> String {
    document()
        .query_selector("meta[name=time-zone]")
        .ok()
        .flatten()
        .and_then(|meta| meta.get_attribute("content"))
        .unwrap_or_else(|| "UTC".to_owned())
}

/// Today in the site's time zone.
pub(crate) fn today() -> Date {
    // The browser may not know the time zone.
    let day = day_in(&time_zone()).or_else(|| day_in("UTC"));
    Date(day.expect("every browser knows UTC"))
}

/// The current day in a time zone; `None` if the browser does not know it.
fn day_in(zone: &str) -> Option<String> {
    let intl = Reflect::get(&global(), &"Intl".into()).ok()?;
    let format: Function = Reflect::get(&intl, &"DateTimeFormat".into())
        .ok()?
        .dyn_into()
        .ok()?;
    let options = Object::new();
    Reflect::set(&options, &"timeZone".into(), &zone.into()).ok()?;
    // The Swedish format is `YYYY-MM-DD`.
    let arguments = Array::of2(&"sv".into(), &options);
    // Unlike the typed constructor, this one returns exceptions.
    let format: Intl::DateTimeFormat = Reflect::construct(&format, &arguments).ok()?.dyn_into().ok()?;
    let day = format
        .format()
        .call1(&JsValue::UNDEFINED, &JsDate::new_0())
        .ok()?;
    day.as_string()
}
