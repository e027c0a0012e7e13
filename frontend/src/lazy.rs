//! Code splitting: parts of the app that few visits need are separate files, loaded on demand.
//!
//! The splitter cuts at the marked functions, and moves code that only they use. Each returns render functions: loading
//! is async, rendering is not.

#![expect(
    clippy::unnecessary_wraps,
    reason = "fetching a part can fail, and its function has to have that type"
)]

use std::future::Future;
use std::time::Duration;

use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos::wasm_split::{SplitLoaderError, wasm_split};

use crate::api::{ApiError, ErrorCode};
use crate::load::load;
use crate::pages::about_ranking::AboutRankingPage;
use crate::pages::photo::{OpenedPhoto, PhotoView};
use crate::pages::settings::{GoodbyePage, SettingsPage};
use crate::pages::sign_in::{LoginPage, RegisterPage};
use crate::pages::upload::UploadPage;
use crate::pages::welcome::WelcomePage;
use ui::route::Route;

/// After this time the first photos are loaded, also on a slow connection.
const PRELOAD_DELAY: Duration = Duration::from_secs(4);

/// Renders a page from the parameters of its route.
type RenderFn<T> = fn(T) -> AnyView;

/// The photo page.
#[wasm_split(photo, wasm_split_path = leptos::wasm_split, fallible)]
pub(crate) fn photo() -> Result<RenderFn<OpenedPhoto>, ApiError> {
    Ok(|opened| view! { <PhotoView opened/> }.into_any())
}

/// Loads the code of the photo page after [`PRELOAD_DELAY`], because most visitors open a photo.
pub(crate) fn preload_photo() {
    let fetch = || spawn_local(async { drop(photo().await) });
    set_timeout(fetch, PRELOAD_DELAY);
}

/// The forms for creating and changing an account.
pub(crate) struct AccountPages {
    pub(crate) login: RenderFn<Option<String>>,
    pub(crate) register: RenderFn<Option<String>>,
    pub(crate) welcome: RenderFn<Option<String>>,
    pub(crate) goodbye: RenderFn<()>,
    pub(crate) settings: RenderFn<()>,
}

#[wasm_split(account, wasm_split_path = leptos::wasm_split, fallible)]
pub(crate) fn account() -> Result<AccountPages, ApiError> {
    Ok(AccountPages {
        login: |next| view! { <LoginPage next/> }.into_any(),
        register: |next| view! { <RegisterPage next/> }.into_any(),
        welcome: |next| view! { <WelcomePage next/> }.into_any(),
        goodbye: |()| view! { <GoodbyePage/> }.into_any(),
        settings: |()| view! { <SettingsPage/> }.into_any(),
    })
}

#[wasm_split(upload, wasm_split_path = leptos::wasm_split, fallible)]
pub(crate) fn upload() -> Result<RenderFn<()>, ApiError> {
    Ok(|()| view! { <UploadPage/> }.into_any())
}

#[wasm_split(about_ranking, wasm_split_path = leptos::wasm_split, fallible)]
pub(crate) fn about_ranking() -> Result<RenderFn<()>, ApiError> {
    Ok(|()| view! { <AboutRankingPage/> }.into_any())
}

impl From<SplitLoaderError> for ApiError {
    fn from(_: SplitLoaderError) -> Self {
        ErrorCode::Unreachable.into()
    }
}

/// Loads the code of a page. Errors are reported when the page is rendered.
pub(crate) async fn preload(route: Route) {
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

/// Loads a part and renders it. Errors are shown with a retry button.
pub(crate) fn lazy_view<T, F>(fetch: impl Fn() -> F + 'static, what: T) -> AnyView
where
    T: Clone + Send + Sync + 'static,
    F: Future<Output = Result<RenderFn<T>, ApiError>> + 'static,
{
    lazy_view_with(|| ().into_any(), fetch, what)
}

/// As [`lazy_view`], with a placeholder while loading.
pub(crate) fn lazy_view_with<T, F>(
    waiting: impl Fn() -> AnyView + Send + 'static,
    fetch: impl Fn() -> F + 'static,
    what: T,
) -> AnyView
where
    T: Clone + Send + Sync + 'static,
    F: Future<Output = Result<RenderFn<T>, ApiError>> + 'static,
{
    load(fetch)
        .show(waiting, move |draw| draw(what.clone()))
        .into_any()
}
