//! The visitor's preferences in this browser.

use leptos::prelude::*;

use ui::language::{Language, Text, text};

use crate::{language, storage};

const THEME_KEY: &str = "proofsheet.theme";
const LANGUAGE_KEY: &str = "proofsheet.language";
const SHORTCUTS_KEY: &str = "proofsheet.shortcuts";

#[derive(Clone, Copy)]
pub(crate) struct Preferences {
    pub(crate) theme: RwSignal<Theme>,
    /// `None` follows the browser.
    pub(crate) language: RwSignal<Option<Language>>,
    /// Whether keyboard shortcuts are enabled.
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

    /// The value of the `data-theme` attribute; `None` follows the system.
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
    /// Reads the stored preferences, and applies and stores changes.
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
        // Applied immediately for the first frame, then on every change.
        apply_language(language);
        Effect::new(move || {
            let language = preferences.language.get();
            storage::write(
                storage::local().as_ref(),
                LANGUAGE_KEY,
                language.map(Language::tag),
            );
            storage::write_cookie(LANGUAGE_KEY, language.map(Language::tag));
            apply_language(language);
        });
        Effect::new(move || {
            let off = (!preferences.shortcuts.get()).then_some("off");
            storage::write(storage::local().as_ref(), SHORTCUTS_KEY, off);
        });
        provide_context(preferences);
        preferences
    }
}

/// Switches to the chosen language, and marks the document with it.
fn apply_language(choice: Option<Language>) {
    let language = language::apply(choice);
    if let Some(root) = document().document_element() {
        let _ = root.set_attribute("lang", language.tag());
    }
}
