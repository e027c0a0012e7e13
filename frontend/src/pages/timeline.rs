//! Latest, Hot and Trending.

use cynic::QueryBuilder;
use futures::future::{FutureExt, LocalBoxFuture};
use leptos::prelude::*;
use std::time::Duration;

use crate::api::{self, ApiError};
use crate::components::heading::Heading;
use crate::components::photo_grid::PhotoGrid;
use crate::components::picture::{ImageSource, PhotoImage, Picture};
use crate::components::tile::Tile;
use crate::feed::{Feed, Feeds, PageRequest, PhotoPage};
use crate::load::{Load, load};
use crate::navigation::Navigation;
use crate::pages::profile::PhotosOf;
use crate::session::session;
use crate::time;
use crate::votes::VoteStates;
use ui::PODIUM_SIZE;
use ui::components::icon::{IconName, icon};
use ui::format::{days_after, long_day, new_photo_count, photo_count, short_day};
use ui::graphql::{Date, Id, schema};
use ui::language::{filled, text};
use ui::route::{Route, Timeline};

/// How often Latest polls for new photos while it is visible.
const NEW_PHOTOS_POLL_INTERVAL: Duration = Duration::from_secs(45);

#[derive(cynic::QueryVariables)]
pub(crate) struct PageVariables {
    pub(crate) first: i32,
    pub(crate) after: Option<String>,
}

#[derive(cynic::QueryVariables)]
pub(crate) struct DayVariables {
    pub(crate) day: Option<Date>,
    pub(crate) first: i32,
    pub(crate) after: Option<String>,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Query", variables = "PageVariables")]
pub(crate) struct LatestPhotos {
    #[arguments(first: $first, after: $after)]
    latest_photos: PhotoPage,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Query", variables = "DayVariables")]
pub(crate) struct HotPhotos {
    #[arguments(day: $day, first: $first, after: $after)]
    hot_photos: PhotoPage,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Query", variables = "PageVariables")]
pub(crate) struct TrendingPhotos {
    #[arguments(first: $first, after: $after)]
    trending_photos: PhotoPage,
}

/// The newest ids, for polling.
#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Query")]
pub(crate) struct NewestPhotos {
    #[arguments(first: 24)]
    latest_photos: PhotoIds,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "PhotoConnection")]
struct PhotoIds {
    nodes: Vec<Option<PhotoId>>,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Photo")]
struct PhotoId {
    id: Id,
}

/// The last days, each with its winner once it is over.
#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Query")]
pub(crate) struct HotDays {
    #[arguments(first: 8)]
    hot_days: HotDayPage,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "HotDayConnection")]
struct HotDayPage {
    nodes: Vec<Option<HotDay>>,
}

#[derive(cynic::QueryFragment, Clone, Debug, PartialEq)]
pub(crate) struct HotDay {
    day: Date,
    photo_count: i32,
    winner: Option<Winner>,
}

#[derive(cynic::QueryFragment, Clone, Debug, PartialEq)]
#[cynic(graphql_type = "Photo")]
struct Winner {
    title: String,
    alt_text: Option<String>,
    width: i32,
    height: i32,
    placeholder: String,
    sources: Vec<ImageSource>,
}

/// Fetches a page of a timeline.
pub(crate) fn fetch(
    timeline: Timeline,
    PageRequest { first, after }: PageRequest,
) -> LocalBoxFuture<'static, Result<PhotoPage, ApiError>> {
    async move {
        Ok(match timeline {
            Timeline::Latest => {
                api::run(LatestPhotos::build(PageVariables { first, after }))
                    .await?
                    .latest_photos
            }
            Timeline::Hot(day) => {
                api::run(HotPhotos::build(DayVariables { day, first, after }))
                    .await?
                    .hot_photos
            }
            Timeline::Trending => {
                api::run(TrendingPhotos::build(PageVariables { first, after }))
                    .await?
                    .trending_photos
            }
            Timeline::Person(username) => PhotosOf::fetch(username, PageRequest { first, after }).await?,
        })
    }
    .boxed_local()
}

#[component]
pub(crate) fn TimelinePage(timeline: Timeline) -> impl IntoView {
    let feed = open_feed(&timeline);
    let (name, text): (_, Signal<String>) = match &timeline {
        Timeline::Hot(None) => {
            let text = || filled!(timeline.hot_text, zone = &time::time_zone());
            (text!(timeline.hot), Signal::derive(text))
        }
        Timeline::Hot(Some(_)) => (text!(timeline.hot), text!(timeline.hot_day_text).into()),
        Timeline::Trending => (text!(timeline.trending), text!(timeline.trending_text).into()),
        Timeline::Latest | Timeline::Person(_) => {
            (text!(timeline.latest), text!(timeline.latest_text).into())
        }
    };
    let title = match &timeline {
        Timeline::Hot(Some(day)) => {
            let day = day.clone();
            Signal::derive(move || filled!(timeline.hot_day, day = &long_day(&day)))
        }
        _ => name.into(),
    };
    let hot = match &timeline {
        Timeline::Hot(day) => Some(day.clone()),
        _ => None,
    };
    let days = hot
        .is_some()
        .then(|| load(|| async { Ok(api::run(HotDays::build(())).await?.hot_days) }.map(present_days)));
    let news = (timeline == Timeline::Latest).then(|| view! { <NewPhotos feed=feed.clone()/> });
    let neighbours = hot.clone().map(|day| view! { <DayLinks day/> });
    let archive = days.map(|days| view! { <Archive days/> });
    let is_today = timeline == Timeline::Hot(None);
    let empty = move || {
        match days.filter(|_| is_today) {
        Some(days) => view! { <EmptyToday days/> }.into_any(),
        None if hot.is_some() => {
            let is_future = hot
                .as_ref()
                .and_then(Option::as_ref)
                .is_some_and(|day| day.0 > time::today().0);
            let text = if is_future {
                text!(timeline.not_begun)
            } else {
                text!(timeline.none_that_day)
            };
            let today = Timeline::Hot(None).to_string();
            view! { <p class="empty">{text} " " <a href=today>{text!(timeline.see_today)}</a></p> }.into_any()
        }
        None => view! {
            <p class="empty">
                {text!(timeline.none)} " " <a href=Route::Upload.to_string()>{text!(timeline.upload_first)}</a>
            </p>
        }
        .into_any(),
    }
    };
    view! {
        <div class="timeline-head">
            <Heading title>{title}</Heading>
            <p class="quiet">{text}</p>
            {neighbours}
        </div>
        {news}
        <PhotoGrid feed label=title ranked=timeline != Timeline::Latest leads=matches!(timeline, Timeline::Hot(_)) empty/>
        {archive}
    }
}

/// The feed of a timeline. It reloads the viewer's votes after sign-in and sign-out.
pub(crate) fn open_feed(timeline: &Timeline) -> Feed {
    let kind = expect_context::<Navigation>().current().kind;
    let feed = expect_context::<Feeds>().open(timeline.clone(), kind, fetch);
    let feed_to_reload = feed.clone();
    session().on_change(move || feed_to_reload.reload_votes());
    feed
}

type Days = Vec<HotDay>;

fn present_days(page: Result<HotDayPage, ApiError>) -> Result<Days, ApiError> {
    page.map(|page| page.nodes.into_iter().flatten().collect())
}

/// The day before and the day after.
#[component]
fn DayLinks(day: Option<Date>) -> impl IntoView {
    let today = time::today();
    let shown = day.clone().unwrap_or_else(|| today.clone());
    let previous = days_after(&shown, -1);
    // Yesterday links to today, which has the short path.
    let next = day
        .and_then(|day| days_after(&day, 1))
        .filter(|next| next.0 <= today.0);
    let link = |day: Date, rel: &'static str| {
        let shown = day.clone();
        let text = move || short_day(&shown);
        let target = if day == today {
            Timeline::Hot(None)
        } else {
            Timeline::Hot(Some(day))
        };
        view! { <a href=target.to_string() rel=rel>{text}</a> }
    };
    view! {
        <nav class="day-links" aria-label=text!(timeline.days)>
            {previous.map(|day| view! { <span class="day-link">{icon(IconName::Previous)} {link(day, "prev")}</span> })}
            {next.map(|day| view! { <span class="day-link">{link(day, "next")} {icon(IconName::Next)}</span> })}
        </nav>
    }
}

/// The winners of the days before.
#[component]
fn Archive(days: Load<Days>) -> impl IntoView {
    let winners = move || {
        let days: Vec<_> = days
            .get()?
            .into_iter()
            .filter_map(|day| Some((day.day, day.photo_count, day.winner?)))
            .collect();
        let frames = days.into_iter().map(|(day, count, winner)| {
            let link = Timeline::Hot(Some(day.clone())).to_string();
            let Winner {
                title,
                alt_text,
                width,
                height,
                placeholder,
                sources,
            } = winner;
            let image = PhotoImage {
                width,
                height,
                placeholder,
                sources,
                alt: alt_text.unwrap_or_else(|| title.clone()),
            };
            view! {
                <li class="winner">
                    <a href=link>
                        <Picture image sizes="180px"/>
                        <span>{move || long_day(&day)}</span>
                    </a>
                    <span class="quiet"><bdi>{title}</bdi> " · " {move || photo_count(count)}</span>
                </li>
            }
        });
        let frames = frames.collect_view();
        (!frames.is_empty()).then(|| {
            view! {
                <section class="archive" aria-labelledby="archive-heading">
                    <h2 id="archive-heading">{text!(timeline.winners)}</h2>
                    <ol class="winners">{frames}</ol>
                </section>
            }
        })
    };
    // Without the vote service the archive is not shown.
    winners
}

/// Shown if there are no photos today: the podium of the last day.
#[component]
fn EmptyToday(days: Load<Days>) -> impl IntoView {
    let last = move || {
        days.get()?
            .into_iter()
            .find(|day| day.winner.is_some())
            .map(|day| day.day)
    };
    let podium = move || {
        let day = last()?;
        let vote_states = expect_context::<VoteStates>();
        let podium = load({
            let day = day.clone();
            move || {
                let asked_at = vote_states.clock();
                let first = PageRequest {
                    first: PODIUM_SIZE,
                    after: None,
                };
                let page = fetch(Timeline::Hot(Some(day.clone())), first);
                async move {
                    let photos: Vec<_> = page.await?.nodes.into_iter().flatten().collect();
                    for photo in &photos {
                        vote_states.receive(&photo.id, photo.votes, photo.viewer_vote, asked_at);
                    }
                    Ok(photos)
                }
            }
        });
        let places = podium.show(
            || ().into_any(),
            move |photos| {
                let tiles = photos
                    .into_iter()
                    .enumerate()
                    .map(|(at, photo)| view! { <Tile photo position=Signal::stored(at + 1) ranked=true/> });
                view! { <div class="grid">{tiles.collect_view()}</div> }.into_any()
            },
        );
        Some(view! {
            <h2 class="podium-heading">{move || filled!(timeline.podium, day = &long_day(&day))}</h2>
            {places}
        })
    };
    view! {
        <p class="empty">
            {|| filled!(timeline.none_today, zone = &time::time_zone())} " " <a href=Route::Upload.to_string()>{text!(timeline.upload_first)}</a>
        </p>
        {podium}
    }
}

/// A button that shows new photos on demand, so that the content does not move while reading.
#[component]
fn NewPhotos(feed: Feed) -> impl IntoView {
    let navigation = expect_context::<Navigation>();
    let poll = Trigger::new();
    let timer = set_interval_with_handle(
        move || {
            if document().visibility_state() == web_sys::VisibilityState::Visible {
                poll.notify();
            }
        },
        NEW_PHOTOS_POLL_INTERVAL,
    );
    on_cleanup(move || {
        if let Ok(timer) = timer {
            timer.clear();
        }
    });
    let first_look = StoredValue::new(true);
    let newest = load(move || {
        poll.track();
        // Skips the first poll, because the page has just loaded.
        let is_first = first_look.get_value();
        first_look.set_value(false);
        async move {
            if is_first {
                return Ok(Vec::new());
            }
            let page = api::run(NewestPhotos::build(())).await?.latest_photos;
            Ok(page.nodes.into_iter().flatten().map(|photo| photo.id).collect())
        }
    });
    let photos = feed.photos().clone();
    let count = move || {
        let newest = newest.get().unwrap_or_default();
        photos.with(|known| {
            newest
                .iter()
                .take_while(|id| known.iter().all(|photo| photo.id != **id))
                .count()
        })
    };
    move || {
        let count = i32::try_from(count()).unwrap_or(i32::MAX);
        (count > 0).then(|| {
            view! {
                <button class="button new-photos" on:click=move |_| navigation.restart_timeline()>
                    {move || new_photo_count(count)}
                </button>
            }
        })
    }
}
