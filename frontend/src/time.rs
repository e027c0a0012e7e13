//! Times and days as people read them, in the current language, by the browser's own `Intl`.

use js_sys::{Array, Date as JsDate, Function, Intl, Object, Reflect, global};
use leptos::prelude::document;
use wasm_bindgen::{JsCast as _, JsValue};

use crate::graphql::{Date, DateTime};
use crate::language::regional_tag;

const MINUTE: f64 = 60.0;
const HOUR: f64 = 60.0 * MINUTE;
const DAY: f64 = 24.0 * HOUR;
const DAY_MS: f64 = DAY * 1000.0;

/// "5 minutes ago"; a plain date once it is more than a month.
pub(crate) fn ago(time: &DateTime) -> String {
    let seconds = (JsDate::now() - parse(&time.0).get_time()) / 1000.0;
    // A clock that is wrong must not put a photo into the future.
    let seconds = seconds.max(0.0);
    let (amount, unit) = match seconds {
        s if s < HOUR => (s / MINUTE, "minute"),
        s if s < DAY => (s / HOUR, "hour"),
        s if s < 30.0 * DAY => (s / DAY, "day"),
        _ => return format(&parse(&time.0), &[("dateStyle", "medium")]),
    };
    let options = options(&[("numeric", "auto")]);
    Intl::RelativeTimeFormat::new(&locales(), &options)
        .format(-amount.floor(), unit)
        .into()
}

/// The whole date and time, in the reader's zone.
pub(crate) fn full(time: &DateTime) -> String {
    format(&parse(&time.0), &[("dateStyle", "full"), ("timeStyle", "short")])
}

/// A day of the archive in words.
pub(crate) fn day_in_words(day: &Date) -> String {
    format(&parse(&day.0), &[("dateStyle", "long"), ("timeZone", "UTC")])
}

/// "Nov 21".
pub(crate) fn short_day(day: &Date) -> String {
    format(
        &parse(&day.0),
        &[("month", "short"), ("day", "numeric"), ("timeZone", "UTC")],
    )
}

/// The site's time zone, where days begin and end, as the page has it.
pub(crate) fn zone() -> String {
    document()
        .query_selector("meta[name=time-zone]")
        .ok()
        .flatten()
        .and_then(|meta| meta.get_attribute("content"))
        .unwrap_or_else(|| "UTC".to_owned())
}

/// Today, where the site is.
pub(crate) fn today() -> Date {
    // A browser may be older than the name of a zone.
    day_in(&zone()).unwrap_or_else(|| from_ms(JsDate::now()))
}

/// The day that it is in a time zone; none where the browser does not know the zone.
fn day_in(zone: &str) -> Option<Date> {
    let intl = Reflect::get(&global(), &"Intl".into()).ok()?;
    let format: Function = Reflect::get(&intl, &"DateTimeFormat".into())
        .ok()?
        .dyn_into()
        .ok()?;
    // Swedes write days as the calendar of the API does.
    let arguments = Array::of2(&"sv".into(), &options(&[("timeZone", zone)]));
    // Unlike the typed constructor this one gives the exception back.
    let format: Intl::DateTimeFormat = Reflect::construct(&format, &arguments).ok()?.dyn_into().ok()?;
    let day = format
        .format()
        .call1(&JsValue::UNDEFINED, &JsDate::new_0())
        .ok()?;
    Some(Date(day.as_string()?))
}

/// The day that lies `days` after this one; none for a day that the calendar does not have.
pub(crate) fn days_after(day: &Date, days: i32) -> Option<Date> {
    let ms = parse(&day.0).get_time();
    ms.is_finite().then(|| from_ms(ms + f64::from(days) * DAY_MS))
}

fn from_ms(ms: f64) -> Date {
    let text = String::from(JsDate::new(&JsValue::from_f64(ms)).to_iso_string());
    Date(text.split('T').next().unwrap_or_default().to_owned())
}

fn parse(text: &str) -> JsDate {
    JsDate::new(&JsValue::from_str(text))
}

fn locales() -> Array {
    Array::of1(&JsValue::from_str(&regional_tag()))
}

fn format(date: &JsDate, with: &[(&str, &str)]) -> String {
    let formatted = Intl::DateTimeFormat::new(&locales(), &options(with))
        .format()
        .call1(&JsValue::UNDEFINED, date);
    // A date that cannot be read cannot be formatted either.
    formatted
        .ok()
        .and_then(|text| text.as_string())
        .unwrap_or_default()
}

fn options(pairs: &[(&str, &str)]) -> Object {
    let object = Object::new();
    for (key, value) in pairs {
        Reflect::set(&object, &JsValue::from_str(key), &JsValue::from_str(value))
            .expect("a plain object takes any key");
    }
    object
}
