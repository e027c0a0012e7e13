//! The root component: routes and shared elements.

use leptos::prelude::*;

use crate::components::app_bar::AppBar;
use crate::components::language_switch::LanguageSwitch;
use crate::components::notices::{NoticeBoard, Notices};
use crate::components::offline_banner::OfflineBanner;
use crate::components::shortcuts::Shortcuts;
use crate::components::sign_in_sheet::SignInSheet;
use crate::feed::Feeds;
use crate::lazy::{self, lazy_view};
use crate::navigation::Navigation;
use crate::pages::not_found::NotFoundPage;
use crate::pages::photo::{PhotoOverlay, PhotoPage};
use crate::pages::profile::ProfilePage;
use crate::pages::timeline::TimelinePage;
use crate::preferences::Preferences;
use crate::session::Session;
use crate::uploads::Uploads;
use crate::votes::VoteStates;
use ui::language::text;
use ui::route::{Route, Timeline};

#[component]
pub(crate) fn App() -> impl IntoView {
    let navigation = Navigation::provide();
    Preferences::provide();
    let notices = Notices::provide();
    let session = Session::provide();
    VoteStates::provide(session, notices);
    Feeds::provide();
    Uploads::provide(navigation);

    lazy::preload_photo();

    let location = navigation.location();
    let timeline = navigation.timeline();
    let photo = navigation.photo_over_timeline();
    let is_over_timeline = Memo::new(move |_| photo.get().is_some());
    let page = Memo::new(move |_| {
        (!is_over_timeline.get()).then(|| location.with(|location| location.route.clone()))
    });
    view! {
        <a class="skip-link" href="#main">
            {text!(app.skip)}
        </a>
        <AppBar/>
        <OfflineBanner/>
        <main id="main" class="main" tabindex="-1">
            {move || timeline.get().0.map(timeline_page)}
            {move || page.get().map(other_page)}
            <Show when=move || is_over_timeline.get()>
                <PhotoOverlay id=photo/>
            </Show>
        </main>
        <footer class="footer">
            <a href=Route::AboutRanking.to_string()>{text!(app.how_ranking_works)}</a>
            <a href="/playground">{text!(app.playground)}</a>
            <LanguageSwitch/>
        </footer>
        <DropHint/>
        <SignInSheet/>
        <Shortcuts/>
        <NoticeBoard/>
    }
}

/// Shown while files are dragged over the window.
#[component]
fn DropHint() -> impl IntoView {
    let uploads = expect_context::<Uploads>();
    view! {
        <Show when=move || uploads.is_hovered()>
            <p class="drop-hint">{text!(upload.drop)}</p>
        </Show>
    }
}

fn timeline_page(timeline: Timeline) -> AnyView {
    match timeline {
        Timeline::Person(username) => view! { <ProfilePage username/> }.into_any(),
        timeline => view! { <TimelinePage timeline/> }.into_any(),
    }
}

/// Renders all pages except timelines, which stay mounted beneath a photo.
fn other_page(route: Route) -> AnyView {
    match route {
        Route::Timeline(_) => ().into_any(),
        Route::Photo(id) => view! { <PhotoPage id/> }.into_any(),
        Route::Upload => lazy_view(lazy::upload, ()),
        Route::Login { next } => lazy_view(async || Ok(lazy::account().await?.login), next),
        Route::Register { next } => lazy_view(async || Ok(lazy::account().await?.register), next),
        Route::Welcome { next } => lazy_view(async || Ok(lazy::account().await?.welcome), next),
        Route::Goodbye => lazy_view(async || Ok(lazy::account().await?.goodbye), ()),
        Route::Settings => lazy_view(async || Ok(lazy::account().await?.settings), ()),
        Route::AboutRanking => lazy_view(lazy::about_ranking, ()),
        Route::NotFound => view! { <NotFoundPage/> }.into_any(),
    }
}
