//! Moving about: the browser's history, scroll positions, and which timeline lies beneath an opened photo.
//!
//! Links are plain `<a href>`; one listener takes the clicks on those that lead to a page of the app.

use std::collections::HashMap;
use std::fmt::Write;

use leptos::ev;
use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Element, HtmlElement, MouseEvent, ScrollRestoration};

use crate::route::{Route, Timeline};

/// Paths on this origin that the server owns.
const OF_THE_SERVER: [&str; 4] = ["/media/", "/playground", "/feeds/", "/graphql"];

#[derive(Clone, Copy)]
pub(crate) struct Navigation {
    place: RwSignal<Place>,
    entry: StoredValue<u32>,
    /// Counts how often a timeline was started anew in place.
    renewals: RwSignal<u32>,
    /// How far each entry of the history was scrolled when it was left.
    scrolled: StoredValue<HashMap<u32, f64>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) route: Route,
    /// The timeline that a photo was opened from; it stays visible, and mounted, beneath the photo.
    pub(crate) beneath: Option<Timeline>,
    pub(crate) arrival: Arrival,
}

/// How one got here: a link starts a page anew, back and forward return to it as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    Load,
    Link,
    History,
}

impl Place {
    /// The timeline that is shown, be it beneath a photo.
    pub(crate) fn timeline(&self) -> Option<Timeline> {
        match &self.route {
            Route::Timeline(timeline) => Some(timeline.clone()),
            Route::Photo(_) => self.beneath.clone(),
            _ => None,
        }
    }
}

impl Navigation {
    /// Reads where the browser is, and follows it from now on.
    pub(crate) fn provide() -> Self {
        // The browser would restore a position before the page that it belongs to is there.
        let _ = history().set_scroll_restoration(ScrollRestoration::Manual);
        let state = State::read(&history().state().unwrap_or_default());
        let here = Place {
            route: current_route(),
            beneath: None,
            arrival: Arrival::Load,
        };
        let navigation = Self {
            place: RwSignal::new(here),
            renewals: RwSignal::new(0),
            entry: StoredValue::new(state.entry),
            scrolled: StoredValue::new(HashMap::new()),
        };
        // After a reload nothing lies beneath the photo any more.
        State {
            beneath: None,
            ..state
        }
        .replace(None);
        let _ = window_event_listener(ev::popstate, move |event| {
            navigation.returned(State::read(&event.state()));
        });
        let _ = window_event_listener(ev::click, move |event| {
            if let Some(route) = clicked_route(&event) {
                event.prevent_default();
                navigation.go(route);
            }
        });
        provide_context(navigation);
        navigation
    }

    pub(crate) fn place(self) -> Signal<Place> {
        self.place.into()
    }

    /// The timeline that is shown, and a number that changes when it starts anew.
    pub(crate) fn timeline(self) -> Memo<(Option<Timeline>, u32)> {
        Memo::new(move |_| (self.place.with(Place::timeline), self.renewals.get()))
    }

    /// Where one is, for a decision that is made once.
    pub(crate) fn here(self) -> Place {
        self.place.get_untracked()
    }

    pub(crate) fn go(self, route: Route) {
        let here = self.here();
        if here.route == route {
            self.renew();
            return;
        }
        self.remember_scroll();
        let beneath = if matches!(route, Route::Photo(_)) {
            here.timeline()
        } else {
            None
        };
        let opens_over = beneath.is_some();
        self.entry.update_value(|entry| *entry += 1);
        State {
            entry: self.entry.get_value(),
            beneath: beneath.clone(),
        }
        .push(&route);
        self.place.set(Place {
            route,
            beneath,
            arrival: Arrival::Link,
        });
        if !opens_over {
            request_animation_frame(|| scroll_to(0.0));
        }
    }

    /// Goes there instead of here, so that back skips this page.
    pub(crate) fn replace(self, route: Route) {
        State {
            entry: self.entry.get_value(),
            beneath: None,
        }
        .replace(Some(&route));
        self.place.set(Place {
            route,
            beneath: None,
            arrival: Arrival::Link,
        });
        request_animation_frame(|| scroll_to(0.0));
    }

    /// Goes back to the timeline beneath, or to the front page when there is none.
    pub(crate) fn close_photo(self) {
        if self.here().beneath.is_some() {
            let _ = history().back();
        } else {
            self.go(Timeline::Latest.into());
        }
    }

    /// Starts the timeline anew that is shown now.
    pub(crate) fn renew(self) {
        self.renewals.update(|renewals| *renewals += 1);
        self.place.update(|place| place.arrival = Arrival::Link);
        scroll_to(0.0);
    }

    fn returned(self, state: State) {
        self.remember_scroll();
        self.entry.set_value(state.entry);
        let scrolled = self
            .scrolled
            .with_value(|scrolled| scrolled.get(&state.entry).copied().unwrap_or(0.0));
        self.place.set(Place {
            route: current_route(),
            beneath: state.beneath,
            arrival: Arrival::History,
        });
        // Two frames: effects draw what is kept in the first, and the second knows its height.
        request_animation_frame(move || request_animation_frame(move || scroll_to(scrolled)));
    }

    fn remember_scroll(self) {
        let position = window().scroll_y().unwrap_or(0.0);
        let entry = self.entry.get_value();
        self.scrolled.update_value(|scrolled| {
            scrolled.insert(entry, position);
        });
    }
}

/// The state of a history entry: its number, and the timeline beneath a photo.
#[derive(Default)]
struct State {
    entry: u32,
    beneath: Option<Timeline>,
}

impl State {
    fn read(state: &JsValue) -> Self {
        let text = state.as_string().unwrap_or_default();
        let (entry, beneath) = text.split_once(' ').unwrap_or((&text, ""));
        let beneath = match Route::parse(beneath, "") {
            Route::Timeline(timeline) => Some(timeline),
            _ => None,
        };
        Self {
            entry: entry.parse().unwrap_or_default(),
            beneath,
        }
    }

    fn to_js(&self) -> JsValue {
        let mut text = self.entry.to_string();
        if let Some(beneath) = &self.beneath {
            write!(text, " {beneath}").expect("writing to a string cannot fail");
        }
        JsValue::from_str(&text)
    }

    fn push(&self, route: &Route) {
        // Browsers refuse hundreds of entries within seconds; then the page changes and the address stays.
        let _ = history().push_state_with_url(&self.to_js(), "", Some(&route.to_string()));
    }

    fn replace(&self, route: Option<&Route>) {
        let _ = history().replace_state_with_url(&self.to_js(), "", route.map(Route::to_string).as_deref());
    }
}

fn history() -> web_sys::History {
    window().history().expect("a page has a history")
}

pub(crate) fn current_route() -> Route {
    let location = location();
    Route::parse(
        &location.pathname().unwrap_or_default(),
        &location.search().unwrap_or_default(),
    )
}

fn scroll_to(position: f64) {
    window().scroll_to_with_x_and_y(0.0, position);
}

/// The page of the app that a click leads to; none when the browser should follow the link itself.
fn clicked_route(event: &MouseEvent) -> Option<Route> {
    let plain = event.button() == 0
        && !(event.meta_key() || event.ctrl_key() || event.shift_key() || event.alt_key());
    if !plain || event.default_prevented() {
        return None;
    }
    let link = event
        .target()?
        .dyn_into::<Element>()
        .ok()?
        .closest("a[href]")
        .ok()??;
    if link.has_attribute("target") || link.has_attribute("download") {
        return None;
    }
    let href = link.get_attribute("href")?;
    let on_this_site = href.starts_with('/') && !href.starts_with("//");
    if !on_this_site || OF_THE_SERVER.iter().any(|path| href.starts_with(path)) {
        return None;
    }
    let (path, query) = href.split_once('?').unwrap_or((&href, ""));
    Some(Route::parse(path, query))
}

/// Moves the focus without moving the page.
pub(crate) fn focus(element: &HtmlElement) {
    let options = js_sys::Object::new();
    js_sys::Reflect::set(&options, &"preventScroll".into(), &true.into())
        .expect("a plain object takes any key");
    let focus = js_sys::Reflect::get(element, &"focus".into())
        .ok()
        .and_then(|focus| focus.dyn_into::<js_sys::Function>().ok());
    if let Some(focus) = focus {
        let _ = focus.call1(element, &options);
    }
}
