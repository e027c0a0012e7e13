//! The browser's storage. Without it the app works and does not keep settings.

use leptos::prelude::{document, window};
use web_sys::Storage;

/// Local storage; persistent.
pub(crate) fn local() -> Option<Storage> {
    window().local_storage().ok().flatten()
}

/// Session storage; kept until the tab is closed.
pub(crate) fn tab() -> Option<Storage> {
    window().session_storage().ok().flatten()
}

pub(crate) fn read(storage: Option<&Storage>, key: &str) -> Option<String> {
    storage?.get_item(key).ok().flatten()
}

/// Writes the value, or removes the key when there is none.
pub(crate) fn write(storage: Option<&Storage>, key: &str, value: Option<&str>) {
    let Some(storage) = storage else { return };
    // Errors are ignored, because stored values are optional.
    let _ = match value {
        Some(value) => storage.set_item(key, value),
        None => storage.remove_item(key),
    };
}

/// Sets a cookie for the server, or removes it if `value` is `None`.
pub(crate) fn write_cookie(name: &str, value: Option<&str>) {
    const COOKIE_MAX_AGE_SECONDS: u32 = 365 * 24 * 60 * 60;
    let (value, age) = value.map_or(("", 0), |value| (value, COOKIE_MAX_AGE_SECONDS));
    let cookie = format!("{name}={value}; path=/; max-age={age}; samesite=lax");
    // Errors are ignored, because the cookie is optional.
    let _ = js_sys::Reflect::set(&document(), &"cookie".into(), &cookie.into());
}
