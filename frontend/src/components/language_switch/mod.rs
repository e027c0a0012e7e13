//! The language switch. Each language is shown by its own name.

use leptos::prelude::*;

use crate::preferences::Preferences;
use ui::language::{Language, text};

#[component]
pub(crate) fn LanguageSwitch() -> impl IntoView {
    let chosen = expect_context::<Preferences>().language;
    let button = |language: Language| {
        view! {
            <button
                class="link"
                lang=language.tag()
                aria-pressed=move || if Language::current() == language { "true" } else { "false" }
                on:click=move |_| chosen.set(Some(language))
            >
                {language.name()}
            </button>
        }
    };
    view! {
        <div class="languages" role="group" aria-label=text!(app.language)>
            {Language::ALL.map(button).collect_view()}
        </div>
    }
}
