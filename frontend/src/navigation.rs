//! Moving about: the browser's history, scroll positions, and which timeline lies beneath an opened photo.
//!
//! Links are plain `<a href>`; one listener takes the clicks on those that lead to a page of the app.

use std::collections::HashMap;
use std::fmt::Write;

use leptos::ev;
use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Element, HtmlElement, MouseEvent, ScrollRestoration};

use crate::graphql::Id;
use crate::route::{Route, Timeline};
use crate::storage;

/// Paths on this origin that the server owns.
const OF_THE_SERVER: [&str; 4] = ["/media/", "/playground", "/feeds/", "/graphql"];

#[derive(Clone, Copy)]
pub(crate) struct Navigation {
    place: RwSignal<Place>,
    entry: StoredValue<u32>,
    /// Counts how often a timeline was started anew in place.
    renewals: RwSignal<u32>,
    /// Whether the next photo is opened to comment on it.
    comments: StoredValue<bool>,
    /// Where each entry of the history was left.
    left: StoredValue<HashMap<u32, Left>>,
    /// How far the page still has to be scrolled, once it is that long.
    restoring: StoredValue<Option<f64>>,
}

/// How an entry of the history was left.
#[derive(Clone, Default)]
struct Left {
    scrolled: f64,
    /// The element that had the focus, or the nearest one around it with an id.
    focused: Option<String>,
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
            beneath: state.beneath.clone(),
            arrival: Arrival::Load,
        };
        let navigation = Self {
            place: RwSignal::new(here),
            renewals: RwSignal::new(0),
            entry: StoredValue::new(state.entry),
            comments: StoredValue::new(false),
            left: StoredValue::new(HashMap::new()),
            restoring: StoredValue::new(None),
        };
        navigation.restoring.set_value(kept_scroll(state.entry));
        // A tab that is reloaded, or thrown away and opened again, finds its place.
        let _ = window_event_listener(ev::pagehide, move |_| navigation.keep_scroll());
        let _ = window_event_listener(ev::visibilitychange, move |_| navigation.keep_scroll());
        // A reader who moves on by hand is where they want to be.
        for event in ["wheel", "touchmove", "keydown"] {
            let _ = window_event_listener_untyped(event, move |_| navigation.restoring.set_value(None));
        }
        state.replace(None);
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
        self.restoring.set_value(None);
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

    /// Goes back to where a link led here from; there instead of here when none did.
    pub(crate) fn back_or_replace(self, route: Route) {
        if self.here().arrival == Arrival::Link && self.entry.get_value() > 0 {
            let _ = history().back();
        } else {
            self.replace(route);
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

    /// The photo that is opened next is opened to comment on it.
    pub(crate) fn expect_comment(self) {
        self.comments.set_value(true);
    }

    /// Whether the photo was opened to comment on it; told once.
    pub(crate) fn wants_comment(self) -> bool {
        let wanted = self.comments.get_value();
        self.comments.set_value(false);
        wanted
    }

    /// The photo that is shown over a timeline.
    pub(crate) fn photo_over_timeline(self) -> Memo<Option<String>> {
        Memo::new(move |_| {
            self.place.with(|place| match &place.route {
                Route::Photo(id) if place.beneath.is_some() => Some(id.clone()),
                _ => None,
            })
        })
    }

    /// Shows another photo of the timeline beneath, in place of this one: back leads to the timeline.
    pub(crate) fn show_photo(self, id: &Id) {
        let place = Place {
            route: Route::Photo(id.inner().to_owned()),
            arrival: Arrival::Link,
            ..self.here()
        };
        State {
            entry: self.entry.get_value(),
            beneath: place.beneath.clone(),
        }
        .replace(Some(&place.route));
        self.place.set(place);
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

    /// Whether more of the page has to be there before the reader is back where they were.
    pub(crate) fn restore_scroll(self) -> bool {
        let Some(position) = self.restoring.get_value() else {
            return false;
        };
        scroll_to(position);
        let is_there = window().scroll_y().unwrap_or(0.0) >= position - 1.0;
        if is_there {
            self.restoring.set_value(None);
        }
        !is_there
    }

    fn returned(self, state: State) {
        self.remember_scroll();
        self.entry.set_value(state.entry);
        let left = self.left.with_value(|left| left.get(&state.entry).cloned());
        let Left { scrolled, focused } = left.unwrap_or_else(|| Left {
            scrolled: kept_scroll(state.entry).unwrap_or(0.0),
            focused: None,
        });
        self.restoring.set_value((scrolled > 0.0).then_some(scrolled));
        self.place.set(Place {
            route: current_route(),
            beneath: state.beneath,
            arrival: Arrival::History,
        });
        // Two frames: effects draw what is kept in the first, and the second knows its height.
        request_animation_frame(move || {
            request_animation_frame(move || {
                scroll_to(scrolled);
                let before = focused.and_then(|id| document().get_element_by_id(&id));
                let target = before.or_else(|| document().get_element_by_id("main"));
                if is_focus_lost()
                    && let Some(target) = target.and_then(|target| target.dyn_into().ok())
                {
                    focus(&target);
                }
            });
        });
    }

    fn remember_scroll(self) {
        let focused = document()
            .active_element()
            .and_then(|element| element.closest("[id]").ok().flatten())
            .map(|element| element.id());
        let left = Left {
            scrolled: window().scroll_y().unwrap_or(0.0),
            focused,
        };
        let entry = self.entry.get_value();
        self.left.update_value(|all| {
            all.insert(entry, left);
        });
        self.keep_scroll();
    }

    /// Keeps the scroll position over a reload.
    fn keep_scroll(self) {
        let position = window().scroll_y().unwrap_or(0.0);
        let position = self.restoring.get_value().unwrap_or(position);
        let key = scroll_key(self.entry.get_value());
        // Written and read by the browser: the code for floating-point numbers is large.
        let value = js_sys::Number::from(position).to_fixed(0).map(String::from);
        let value = value.ok().filter(|_| position > 0.0);
        storage::write(storage::tab().as_ref(), &key, value.as_deref());
    }
}

fn scroll_key(entry: u32) -> String {
    format!("scroll:{entry}")
}

fn kept_scroll(entry: u32) -> Option<f64> {
    let kept = storage::read(storage::tab().as_ref(), &scroll_key(entry))?;
    Some(js_sys::Number::parse_float(&kept)).filter(|position| position.is_finite())
}

/// Whether nothing has the focus: what had it may be gone.
pub(crate) fn is_focus_lost() -> bool {
    document()
        .active_element()
        .is_none_or(|element| element.tag_name() == "BODY")
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
