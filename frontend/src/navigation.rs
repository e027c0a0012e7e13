//! Navigation: the browser's history, scroll positions, and the timeline beneath an open photo.
//!
//! Links are plain `<a href>`; one listener handles clicks on links to pages of the app.

use std::collections::HashMap;
use std::fmt::Write;

use leptos::ev;
use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Element, HtmlElement, MouseEvent, ScrollRestoration};

use crate::storage;
use ui::graphql::Id;
use ui::route::{Route, Timeline};

/// Paths that the server handles.
const SERVER_PATHS: [&str; 4] = ["/media/", "/playground", "/feeds/", "/graphql"];

#[derive(Clone, Copy)]
pub(crate) struct Navigation {
    location: RwSignal<Location>,
    entry: StoredValue<u32>,
    /// Number of restarts of the current timeline.
    restarts: RwSignal<u32>,
    /// Whether the next photo is opened for commenting.
    comments: StoredValue<bool>,
    /// The state of each history entry.
    entry_states: StoredValue<HashMap<u32, EntryState>>,
    /// The scroll position to restore once the page is long enough.
    restoring: StoredValue<Option<f64>>,
}

/// The scroll position and focus of a history entry.
#[derive(Clone, Default)]
struct EntryState {
    scrolled: f64,
    /// The element that had the focus, or the nearest one around it with an id.
    focused: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) route: Route,
    /// The timeline that a photo was opened from; it stays visible, and mounted, beneath the photo.
    pub(crate) beneath: Option<Timeline>,
    pub(crate) kind: NavigationKind,
}

/// How the location was reached. A link starts a new page; back and forward restore it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NavigationKind {
    Load,
    Link,
    History,
}

impl Location {
    /// The visible timeline, also beneath a photo.
    pub(crate) fn timeline(&self) -> Option<Timeline> {
        match &self.route {
            Route::Timeline(timeline) => Some(timeline.clone()),
            Route::Photo(_) => self.beneath.clone(),
            _ => None,
        }
    }
}

impl Navigation {
    /// Reads the current location, and follows the browser's history.
    pub(crate) fn provide() -> Self {
        // The browser would restore the position before the content is rendered.
        let _ = history().set_scroll_restoration(ScrollRestoration::Manual);
        let state = State::read(&history().state().unwrap_or_default());
        let here = Location {
            route: current_route(),
            beneath: state.beneath.clone(),
            kind: NavigationKind::Load,
        };
        let navigation = Self {
            location: RwSignal::new(here),
            restarts: RwSignal::new(0),
            entry: StoredValue::new(state.entry),
            comments: StoredValue::new(false),
            entry_states: StoredValue::new(HashMap::new()),
            restoring: StoredValue::new(None),
        };
        navigation.restoring.set_value(stored_scroll(state.entry));
        // Stores the position for a reload.
        let _ = window_event_listener(ev::pagehide, move |_| navigation.store_scroll());
        let _ = window_event_listener(ev::visibilitychange, move |_| navigation.store_scroll());
        // Manual scrolling cancels the restoration.
        for event in ["wheel", "touchmove", "keydown"] {
            let _ = window_event_listener_untyped(event, move |_| navigation.restoring.set_value(None));
        }
        state.replace(None);
        let _ = window_event_listener(ev::popstate, move |event| {
            navigation.on_popstate(State::read(&event.state()));
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

    pub(crate) fn location(self) -> Signal<Location> {
        self.location.into()
    }

    /// The visible timeline, and a number that changes when it restarts.
    pub(crate) fn timeline(self) -> Memo<(Option<Timeline>, u32)> {
        Memo::new(move |_| (self.location.with(Location::timeline), self.restarts.get()))
    }

    /// The current location, untracked.
    pub(crate) fn current(self) -> Location {
        self.location.get_untracked()
    }

    pub(crate) fn go(self, route: Route) {
        let here = self.current();
        if here.route == route {
            self.restart_timeline();
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
        self.location.set(Location {
            route,
            beneath,
            kind: NavigationKind::Link,
        });
        if !opens_over {
            request_animation_frame(|| scroll_to(0.0));
        }
    }

    /// Goes back if a link led here; otherwise replaces the current entry by `route`.
    pub(crate) fn back_or_replace(self, route: Route) {
        if self.current().kind == NavigationKind::Link && self.entry.get_value() > 0 {
            let _ = history().back();
        } else {
            self.replace(route);
        }
    }

    /// Replaces the current entry, so that back skips this page.
    pub(crate) fn replace(self, route: Route) {
        State {
            entry: self.entry.get_value(),
            beneath: None,
        }
        .replace(Some(&route));
        self.location.set(Location {
            route,
            beneath: None,
            kind: NavigationKind::Link,
        });
        request_animation_frame(|| scroll_to(0.0));
    }

    /// Requests that the next photo opens with the comment form focused.
    pub(crate) fn request_comment(self) {
        self.comments.set_value(true);
    }

    /// Returns and clears the request of [`Self::request_comment`].
    pub(crate) fn take_comment_request(self) -> bool {
        let wanted = self.comments.get_value();
        self.comments.set_value(false);
        wanted
    }

    /// The photo that is shown over a timeline.
    pub(crate) fn photo_over_timeline(self) -> Memo<Option<String>> {
        Memo::new(move |_| {
            self.location.with(|location| match &location.route {
                Route::Photo(id) if location.beneath.is_some() => Some(id.clone()),
                _ => None,
            })
        })
    }

    /// Replaces the open photo by another one of the timeline, so that back leads to the timeline.
    pub(crate) fn show_photo(self, id: &Id) {
        let location = Location {
            route: Route::Photo(id.inner().to_owned()),
            kind: NavigationKind::Link,
            ..self.current()
        };
        State {
            entry: self.entry.get_value(),
            beneath: location.beneath.clone(),
        }
        .replace(Some(&location.route));
        self.location.set(location);
    }

    /// Goes back to the timeline beneath, or to the front page when there is none.
    pub(crate) fn close_photo(self) {
        if self.current().beneath.is_some() {
            let _ = history().back();
        } else {
            self.go(Timeline::Latest.into());
        }
    }

    /// Restarts the visible timeline.
    pub(crate) fn restart_timeline(self) {
        self.restarts.update(|restarts| *restarts += 1);
        self.location
            .update(|location| location.kind = NavigationKind::Link);
        scroll_to(0.0);
    }

    /// Scrolls to the stored position. Returns whether the page is still too short for it.
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

    fn on_popstate(self, state: State) {
        self.remember_scroll();
        self.entry.set_value(state.entry);
        let entry_states = self
            .entry_states
            .with_value(|entry_states| entry_states.get(&state.entry).cloned());
        let EntryState { scrolled, focused } = entry_states.unwrap_or_else(|| EntryState {
            scrolled: stored_scroll(state.entry).unwrap_or(0.0),
            focused: None,
        });
        self.restoring.set_value((scrolled > 0.0).then_some(scrolled));
        self.location.set(Location {
            route: current_route(),
            beneath: state.beneath,
            kind: NavigationKind::History,
        });
        // Effects render in the first frame; the height is known in the second.
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
        let entry_states = EntryState {
            scrolled: window().scroll_y().unwrap_or(0.0),
            focused,
        };
        let entry = self.entry.get_value();
        self.entry_states.update_value(|all| {
            all.insert(entry, entry_states);
        });
        self.store_scroll();
    }

    /// Keeps the scroll position over a reload.
    fn store_scroll(self) {
        let position = window().scroll_y().unwrap_or(0.0);
        let position = self.restoring.get_value().unwrap_or(position);
        let key = scroll_key(self.entry.get_value());
        // Formatted and parsed by JavaScript, because Rust's float code is large.
        let value = js_sys::Number::from(position).to_fixed(0).map(String::from);
        let value = value.ok().filter(|_| position > 0.0);
        storage::write(storage::tab().as_ref(), &key, value.as_deref());
    }
}

fn scroll_key(entry: u32) -> String {
    format!("scroll:{entry}")
}

fn stored_scroll(entry: u32) -> Option<f64> {
    let kept = storage::read(storage::tab().as_ref(), &scroll_key(entry))?;
    Some(js_sys::Number::parse_float(&kept)).filter(|position| position.is_finite())
}

/// Whether no element has the focus.
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
        // Browsers limit the rate of new entries; then only the address stays unchanged.
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

/// The route of a clicked link; `None` if the browser should follow it.
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
    if !on_this_site || SERVER_PATHS.iter().any(|path| href.starts_with(path)) {
        return None;
    }
    let (path, query) = href.split_once('?').unwrap_or((&href, ""));
    Some(Route::parse(path, query))
}

/// Focuses without scrolling.
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
