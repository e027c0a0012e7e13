//! The single-page app.
//!
//! In reading order: [`app`] mounts and maps routes to pages; [`navigation`] holds the current location;
//! [`session`] holds the viewer; [`votes`] and [`feed`] hold state that outlives a view; [`pages`] fetch data;
//! [`components`] render and never fetch; [`api`] is the only network code. [`first_page`] reads the responses embedded
//! in the page.

#![expect(unreachable_pub, reason = "Leptos makes the properties of a component public")]
#![expect(
    clippy::needless_pass_by_value,
    reason = "a component owns its properties, whatever it does with them"
)]

mod api;
mod app;
mod components;
mod conversation;
mod feed;
mod first_page;
mod language;
mod load;
mod navigation;
#[cfg(test)]
mod operations;
mod pages;
mod lazy;
mod preferences;
mod session;
mod storage;
mod time;
mod uploads;
mod votes;

/// After this time the app has rendered all content of the page.
const TAKE_OVER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

fn main() {
    console_error_panic_hook::set_once();
    wasm_bindgen_futures::spawn_local(async {
        // The rendered page stays until the app can render the same.
        lazy::preload(navigation::current_route()).await;
        first_page::take_over();
        leptos::mount::mount_to_body(app::App);
        leptos::prelude::set_timeout(first_page::finish, TAKE_OVER_TIMEOUT);
    });
}
