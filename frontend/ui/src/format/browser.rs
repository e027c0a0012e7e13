//! Formats by `Intl`.

use js_sys::{Array, Date as JsDate, Intl, Number, Object, Reflect};
use wasm_bindgen::JsValue;

use crate::graphql::{Date, DateTime};
use crate::language::locale;

const SECONDS_PER_MINUTE: f64 = 60.0;
const SECONDS_PER_HOUR: f64 = 60.0 * SECONDS_PER_MINUTE;
const SECONDS_PER_DAY: f64 = 24.0 * SECONDS_PER_HOUR;
const MS_PER_DAY: f64 = SECONDS_PER_DAY * 1000.0;

/// A number with separators. It is slow.
pub(super) fn grouped(value: i32) -> String {
    Number::from(value).to_locale_string(&locale()).into()
}

/// "5 minutes ago"; a date after 30 days.
pub fn time(time: &DateTime) -> String {
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
pub fn full_date(time: &DateTime) -> Option<String> {
    Some(format(
        &parse(&time.0),
        &[("dateStyle", "full"), ("timeStyle", "short")],
    ))
}

/// "November 21, 2026".
pub fn long_day(day: &Date) -> String {
    format(&parse(&day.0), &[("dateStyle", "long"), ("timeZone", "UTC")])
}

/// "Nov 21".
pub fn short_day(day: &Date) -> String {
    format(
        &parse(&day.0),
        &[("month", "short"), ("day", "numeric"), ("timeZone", "UTC")],
    )
}

/// The day `days` later; `None` for an invalid day.
pub fn days_after(day: &Date, days: i32) -> Option<Date> {
    let ms = parse(&day.0).get_time();
    if !ms.is_finite() {
        return None;
    }
    let later = JsDate::new(&JsValue::from_f64(ms + f64::from(days) * MS_PER_DAY));
    let text = String::from(later.to_iso_string());
    Some(Date(text.split('T').next()?.to_owned()))
}

fn parse(text: &str) -> JsDate {
    JsDate::new(&JsValue::from_str(text))
}

fn locales() -> Array {
    Array::of1(&JsValue::from_str(&locale()))
}

/// Empty for an invalid date.
fn format(date: &JsDate, with: &[(&str, &str)]) -> String {
    let formatted = Intl::DateTimeFormat::new(&locales(), &options(with))
        .format()
        .call1(&JsValue::UNDEFINED, date);
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
