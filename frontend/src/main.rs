//! The single-page app.
//!
//! In reading order: [`app`] mounts and maps routes to pages; [`route`] and [`navigation`] know where one is;
//! [`session`] knows who is looking; [`votes`] and [`feed`] hold what outlives one view; [`pages`] fetch, each with its
//! own operation; [`components`] draw and never fetch; [`api`] is the only code that touches the network, save for the
//! [`first_page`], which came with the page.

#![expect(unreachable_pub, reason = "Leptos makes the properties of a component public")]
#![expect(
    clippy::needless_pass_by_value,
    reason = "a component owns its properties, whatever it does with them"
)]

mod api;
mod app;
mod bidi;
mod components;
mod conversation;
mod feed;
mod first_page;
mod graphql;
mod language;
mod load;
mod navigation;
#[cfg(test)]
mod operations;
mod pages;
mod parts;
mod path;
mod preferences;
mod route;
mod session;
mod storage;
mod time;
mod uploads;
mod votes;

/// By then the app has drawn all that came with the page.
const TAKEN_OVER: std::time::Duration = std::time::Duration::from_secs(5);

fn main() {
    console_error_panic_hook::set_once();
    wasm_bindgen_futures::spawn_local(async {
        // The page that came stays until all of it can be drawn anew.
        parts::fetch_for(navigation::current_route()).await;
        first_page::take_over();
        leptos::mount::mount_to_body(app::App);
        leptos::prelude::set_timeout(first_page::is_over, TAKEN_OVER);
    });
}
