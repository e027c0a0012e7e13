//! What a visitor set for this browser.

use leptos::prelude::*;

use crate::storage;

const THEME_KEY: &str = "proofsheet.theme";
const SHORTCUTS_KEY: &str = "proofsheet.shortcuts";

#[derive(Clone, Copy)]
pub(crate) struct Preferences {
    pub(crate) theme: RwSignal<Theme>,
    /// Whether single letters act; people who dictate turn them off.
    pub(crate) shortcuts: RwSignal<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Theme {
    System,
    Light,
    Dark,
}

impl Theme {
    pub(crate) const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    /// The value of the `data-theme` attribute; the system's choice needs none.
    fn name(self) -> Option<&'static str> {
        match self {
            Self::System => None,
            Self::Light => Some("light"),
            Self::Dark => Some("dark"),
        }
    }

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::System => "As the system",
            Self::Light => "Light",
            Self::Dark => "Dark",
        }
    }
}

impl Preferences {
    /// Reads them, and keeps the page and the browser's memory in step with them.
    pub(crate) fn provide() -> Self {
        let store = storage::local();
        let kept = storage::read(store.as_ref(), THEME_KEY);
        let theme = Theme::ALL
            .into_iter()
            .find(|theme| theme.name() == kept.as_deref())
            .unwrap_or(Theme::System);
        let preferences = Self {
            theme: RwSignal::new(theme),
            shortcuts: RwSignal::new(storage::read(store.as_ref(), SHORTCUTS_KEY).is_none()),
        };
        Effect::new(move || {
            let name = preferences.theme.get().name();
            storage::write(storage::local().as_ref(), THEME_KEY, name);
            if let Some(root) = document().document_element() {
                let _ = match name {
                    Some(name) => root.set_attribute("data-theme", name),
                    None => root.remove_attribute("data-theme"),
                };
            }
        });
        Effect::new(move || {
            let off = (!preferences.shortcuts.get()).then_some("off");
            storage::write(storage::local().as_ref(), SHORTCUTS_KEY, off);
        });
        provide_context(preferences);
        preferences
    }
}
