//! The app bar: site name, timelines, upload, account. On a narrow screen the timelines are at the bottom.

use leptos::prelude::*;

use crate::navigation::{Location, Navigation};
use crate::session::{ViewerState, session};
use crate::uploads::Uploads;
use ui::SITE_NAME;
use ui::bidi::isolated;
use ui::components::icon::{IconName, icon};
use ui::format::number;
use ui::language::{Text, text};
use ui::route::{Route, Timeline};

#[component]
pub(crate) fn AppBar() -> impl IntoView {
    let session = session();
    let uploads = expect_context::<Uploads>();
    let location = expect_context::<Navigation>().location();
    let here = Memo::new(move |_| location.with(|location| location.route.clone()));
    let is_current = move |route: Route| move || (here.get() == route).then_some("page");
    let timeline = move |timeline: Timeline, shape: IconName, name: Text| {
        let within = timeline.clone();
        // A day of the archive belongs to Hot, and an opened photo to the timeline beneath.
        let is_current = move || {
            let shown = location.with(Location::timeline);
            let is_within = match (&within, &shown) {
                (Timeline::Hot(_), Some(Timeline::Hot(_))) => true,
                (timeline, shown) => Some(timeline) == shown.as_ref(),
            };
            is_within.then_some("page")
        };
        view! {
            <a href=timeline.to_string() aria-current=is_current>
                {icon(shape)}
                {name}
            </a>
        }
    };
    let account = move || match session.state().get() {
        ViewerState::Loading => ().into_any(),
        ViewerState::Anonymous => {
            let next = here.get().as_next();
            view! {
                <a
                    class="bar-link"
                    href=Route::Login { next: next.clone() }.to_string()
                    aria-current=is_current(Route::Login { next: None })
                >
                    {text!(bar.sign_in)}
                </a>
                <a class="bar-link bar-wide" href=Route::Register { next }.to_string()>
                    {text!(bar.join)}
                </a>
            }
            .into_any()
        }
        ViewerState::SignedIn(viewer) => {
            let (name, profile): (Signal<String>, Route) = match viewer.user {
                Some(me) if me.has_chosen_username() => {
                    (me.display_name.into(), Timeline::Person(me.username).into())
                }
                _ => (
                    text!(bar.choose_username).into(),
                    Route::Welcome {
                        next: here.get().as_next(),
                    },
                ),
            };
            view! {
                <a class="bar-link" href=profile.to_string() title=move || isolated(&name.get()) aria-current=is_current(profile)>
                    {icon(IconName::Person)}
                    <span class="bar-name" dir="auto">{name}</span>
                </a>
                <a class="bar-link bar-wide" href=Route::Settings.to_string() aria-current=is_current(Route::Settings)>
                    {text!(bar.settings)}
                </a>
            }
            .into_any()
        }
    };
    // Uploads continue on other pages.
    let waiting = move || {
        let count = uploads.unfinished();
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        (count > 0).then(|| view! { <span class="bar-count">{move || number(count)}</span> })
    };
    view! {
        <header class="bar">
            <a class="wordmark" href=Timeline::Latest.to_string()>
                {SITE_NAME}
            </a>
            <nav class="timelines" aria-label=text!(bar.timelines)>
                {timeline(Timeline::Latest, IconName::Latest, text!(timeline.latest))}
                {timeline(Timeline::Hot(None), IconName::Hot, text!(timeline.hot))}
                {timeline(Timeline::Trending, IconName::Trending, text!(timeline.trending))}
            </nav>
            <nav class="bar-account" aria-label=text!(bar.account)>
                <a class="bar-link" href=Route::Upload.to_string() aria-current=is_current(Route::Upload)>
                    {icon(IconName::Upload)}
                    <span class="bar-text">{text!(bar.upload)}</span>
                    {waiting}
                </a>
                {account}
            </nav>
        </header>
    }
}
