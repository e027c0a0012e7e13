//! Parts of the app that few visits need: each is a separate file, fetched when it is first asked for.
//!
//! The splitter cuts at the functions marked here, and moves along what only they lead to. Each answers functions that
//! draw, so that fetching waits and drawing does not.

#![expect(
    clippy::unnecessary_wraps,
    reason = "fetching a part can fail, and its function has to have that type"
)]

use std::future::Future;
use std::time::Duration;

use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos::wasm_split::{SplitLoaderError, wasm_split};

use crate::api::{ApiError, Code};
use crate::load::load;
use crate::pages::about_ranking::AboutRankingPage;
use crate::pages::photo::{PhotoView, Shown};
use crate::pages::settings::{GoodbyePage, SettingsPage};
use crate::pages::sign_in::{LoginPage, RegisterPage};
use crate::pages::upload::UploadPage;
use crate::pages::welcome::WelcomePage;
use crate::route::Route;

/// By then the first photos are there, also over a slow line.
const SETTLED: Duration = Duration::from_secs(4);

/// Draws a page out of what its address says.
type Draw<T> = fn(T) -> AnyView;

/// A photo and what is said about it.
#[wasm_split(photo, wasm_split_path = leptos::wasm_split, fallible)]
pub(crate) fn photo() -> Result<Draw<Shown>, ApiError> {
    Ok(|shown| view! { <PhotoView shown/> }.into_any())
}

/// Most visitors open a photo soon: once the page has settled, its part is fetched so that it opens at once.
pub(crate) fn expect_photo() {
    let fetch = || spawn_local(async { drop(photo().await) });
    set_timeout(fetch, SETTLED);
}

/// The forms for creating and changing an account.
pub(crate) struct Account {
    pub(crate) login: Draw<Option<String>>,
    pub(crate) register: Draw<Option<String>>,
    pub(crate) welcome: Draw<Option<String>>,
    pub(crate) goodbye: Draw<()>,
    pub(crate) settings: Draw<()>,
}

#[wasm_split(account, wasm_split_path = leptos::wasm_split, fallible)]
pub(crate) fn account() -> Result<Account, ApiError> {
    Ok(Account {
        login: |next| view! { <LoginPage next/> }.into_any(),
        register: |next| view! { <RegisterPage next/> }.into_any(),
        welcome: |next| view! { <WelcomePage next/> }.into_any(),
        goodbye: |()| view! { <GoodbyePage/> }.into_any(),
        settings: |()| view! { <SettingsPage/> }.into_any(),
    })
}

#[wasm_split(upload, wasm_split_path = leptos::wasm_split, fallible)]
pub(crate) fn upload() -> Result<Draw<()>, ApiError> {
    Ok(|()| view! { <UploadPage/> }.into_any())
}

#[wasm_split(about_ranking, wasm_split_path = leptos::wasm_split, fallible)]
pub(crate) fn about_ranking() -> Result<Draw<()>, ApiError> {
    Ok(|()| view! { <AboutRankingPage/> }.into_any())
}

impl From<SplitLoaderError> for ApiError {
    fn from(_: SplitLoaderError) -> Self {
        Code::Unreachable.into()
    }
}

/// Fetches the part that draws a page. One that cannot be fetched is missed when the page is drawn, and said there.
pub(crate) async fn fetch_for(route: Route) {
    match route {
        Route::Timeline(_) | Route::NotFound => {}
        Route::Photo(_) => drop(photo().await),
        Route::Upload => drop(upload().await),
        Route::AboutRanking => drop(about_ranking().await),
        Route::Login { .. }
        | Route::Register { .. }
        | Route::Welcome { .. }
        | Route::Settings
        | Route::Goodbye => {
            drop(account().await);
        }
    }
}

/// Fetches a part and has it draw. One that cannot be fetched is a failure like any other, with Retry.
pub(crate) fn later<T, F>(fetch: impl Fn() -> F + 'static, what: T) -> AnyView
where
    T: Clone + Send + Sync + 'static,
    F: Future<Output = Result<Draw<T>, ApiError>> + 'static,
{
    later_than(|| ().into_any(), fetch, what)
}

/// As [`later`], with something to show until then.
pub(crate) fn later_than<T, F>(
    waiting: impl Fn() -> AnyView + Send + 'static,
    fetch: impl Fn() -> F + 'static,
    what: T,
) -> AnyView
where
    T: Clone + Send + Sync + 'static,
    F: Future<Output = Result<Draw<T>, ApiError>> + 'static,
{
    load(fetch)
        .show(waiting, move |draw| draw(what.clone()))
        .into_any()
}
