//! The browser's local storage. If it is switched off, the app works and forgets its settings.

use leptos::prelude::{document, window};
use web_sys::Storage;

/// Kept until it is removed.
pub(crate) fn local() -> Option<Storage> {
    window().local_storage().ok().flatten()
}

/// Kept until the tab closes: a reload loses nothing.
pub(crate) fn tab() -> Option<Storage> {
    window().session_storage().ok().flatten()
}

pub(crate) fn read(storage: Option<&Storage>, key: &str) -> Option<String> {
    storage?.get_item(key).ok().flatten()
}

/// Writes the value, or removes the key when there is none.
pub(crate) fn write(storage: Option<&Storage>, key: &str, value: Option<&str>) {
    let Some(storage) = storage else { return };
    // A full or forbidden store is not worth a message: what is kept here is convenience.
    let _ = match value {
        Some(value) => storage.set_item(key, value),
        None => storage.remove_item(key),
    };
}

/// Writes what the server should know of before the app runs, or removes it when there is none.
pub(crate) fn write_cookie(name: &str, value: Option<&str>) {
    const YEAR: u32 = 365 * 24 * 60 * 60;
    let (value, age) = value.map_or(("", 0), |value| (value, YEAR));
    let cookie = format!("{name}={value}; path=/; max-age={age}; samesite=lax");
    // Where cookies are forbidden this one is not missed.
    let _ = js_sys::Reflect::set(&document(), &"cookie".into(), &cookie.into());
}
