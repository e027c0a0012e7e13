//! The visitor's preferences in this browser.

use leptos::prelude::*;

use crate::language::{self, Language, Text, text};
use crate::storage;

const THEME_KEY: &str = "proofsheet.theme";
const LANGUAGE_KEY: &str = "proofsheet.language";
const SHORTCUTS_KEY: &str = "proofsheet.shortcuts";

#[derive(Clone, Copy)]
pub(crate) struct Preferences {
    pub(crate) theme: RwSignal<Theme>,
    /// None is the browser's.
    pub(crate) language: RwSignal<Option<Language>>,
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

    pub(crate) fn label(self) -> Text {
        match self {
            Self::System => text!(settings.as_system),
            Self::Light => text!(settings.light),
            Self::Dark => text!(settings.dark),
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
        let language = storage::read(store.as_ref(), LANGUAGE_KEY);
        let language = Language::ALL
            .into_iter()
            .find(|known| Some(known.tag()) == language.as_deref());
        let preferences = Self {
            theme: RwSignal::new(theme),
            language: RwSignal::new(language),
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
        // At once, so that the first frame speaks it; from then on with every change.
        speak(language);
        Effect::new(move || {
            let language = preferences.language.get();
            storage::write(
                storage::local().as_ref(),
                LANGUAGE_KEY,
                language.map(Language::tag),
            );
            storage::write_cookie(LANGUAGE_KEY, language.map(Language::tag));
            speak(language);
        });
        Effect::new(move || {
            let off = (!preferences.shortcuts.get()).then_some("off");
            storage::write(storage::local().as_ref(), SHORTCUTS_KEY, off);
        });
        provide_context(preferences);
        preferences
    }
}

/// Shows the app in the chosen language, or in the one that suits the browser.
fn speak(choice: Option<Language>) {
    let language =
        choice.unwrap_or_else(|| Language::preferred(language::wanted().iter().map(String::as_str)));
    language.set_current();
    if let Some(root) = document().document_element() {
        let _ = root.set_attribute("lang", language.tag());
    }
}
