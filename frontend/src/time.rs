//! Formats times and days in the current language by `Intl`.

use js_sys::{Array, Date as JsDate, Function, Intl, Object, Reflect, global};
use leptos::prelude::document;
use wasm_bindgen::{JsCast as _, JsValue};

use crate::graphql::{Date, DateTime};
use crate::language::regional_tag;

const SECONDS_PER_MINUTE: f64 = 60.0;
const SECONDS_PER_HOUR: f64 = 60.0 * SECONDS_PER_MINUTE;
const SECONDS_PER_DAY: f64 = 24.0 * SECONDS_PER_HOUR;
const MS_PER_DAY: f64 = SECONDS_PER_DAY * 1000.0;

/// "5 minutes ago"; a date after 30 days.
pub(crate) fn relative(time: &DateTime) -> String {
    let seconds = (JsDate::now() - parse(&time.0).get_time()) / 1000.0;
    // A wrong clock must not show future times.
    let seconds = seconds.max(0.0);
    let (amount, unit) = match seconds {
        s if s < SECONDS_PER_HOUR => (s / SECONDS_PER_MINUTE, "minute"),
        s if s < SECONDS_PER_DAY => (s / SECONDS_PER_HOUR, "hour"),
        s if s < 30.0 * SECONDS_PER_DAY => (s / SECONDS_PER_DAY, "day"),
        _ => return format(&parse(&time.0), &[("dateStyle", "medium")]),
    };
    let options = options(&[("numeric", "auto")]);
    Intl::RelativeTimeFormat::new(&locales(), &options)
        .format(-amount.floor(), unit)
        .into()
}

/// The full date and time in the browser's time zone.
pub(crate) fn full_date(time: &DateTime) -> String {
    format(&parse(&time.0), &[("dateStyle", "full"), ("timeStyle", "short")])
}

/// A day in long form.
pub(crate) fn long_date(day: &Date) -> String {
    format(&parse(&day.0), &[("dateStyle", "long"), ("timeZone", "UTC")])
}

/// "Nov 21".
pub(crate) fn short_day(day: &Date) -> String {
    format(
        &parse(&day.0),
        &[("month", "short"), ("day", "numeric"), ("timeZone", "UTC")],
    )
}

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
    day_in(&time_zone()).unwrap_or_else(|| from_ms(JsDate::now()))
}

/// The current day in a time zone; `None` if the browser does not know it.
fn day_in(zone: &str) -> Option<Date> {
    let intl = Reflect::get(&global(), &"Intl".into()).ok()?;
    let format: Function = Reflect::get(&intl, &"DateTimeFormat".into())
        .ok()?
        .dyn_into()
        .ok()?;
    // The Swedish format is `YYYY-MM-DD`.
    let arguments = Array::of2(&"sv".into(), &options(&[("timeZone", zone)]));
    // Unlike the typed constructor, this one returns exceptions.
    let format: Intl::DateTimeFormat = Reflect::construct(&format, &arguments).ok()?.dyn_into().ok()?;
    let day = format
        .format()
        .call1(&JsValue::UNDEFINED, &JsDate::new_0())
        .ok()?;
    Some(Date(day.as_string()?))
}

/// The day `days` later; `None` for an invalid day.
pub(crate) fn days_after(day: &Date, days: i32) -> Option<Date> {
    let ms = parse(&day.0).get_time();
    ms.is_finite().then(|| from_ms(ms + f64::from(days) * MS_PER_DAY))
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
    // Empty for an invalid date.
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
