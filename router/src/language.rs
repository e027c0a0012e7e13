//! The language of a rendered page: its choice, and the texts by key. Languages and formats are those of `frontend/ui`.

use std::collections::HashMap;
use std::sync::LazyLock;

use chrono::{DateTime, NaiveDate, Utc};
use cookie::Cookie;
use hive_router::ntex::http::header::{ACCEPT_LANGUAGE, COOKIE};
use hive_router::ntex::web::HttpRequest;

use ui::bidi::isolated;
use ui::format;
use ui::graphql;
pub(crate) use ui::language::Language;

/// The cookie in which the app keeps the chosen language: `frontend/src/preferences.rs`.
const LANGUAGE_COOKIE: &str = "proofsheet.language";

type Catalogue = HashMap<String, HashMap<String, String>>;

static CATALOGUES: LazyLock<[Catalogue; 2]> = LazyLock::new(|| {
    [
        include_str!("../../frontend/ui/locales/en.json"),
        include_str!("../../frontend/ui/locales/de.json"),
    ]
    .map(|text| serde_json::from_str(text).expect("the build of the app checks the catalogues"))
});

/// What the router needs of a language to render a page.
pub(crate) trait PageLanguage: Sized {
    /// Returns the language that the visitor chose in the app, or the best match for the browser's languages.
    fn of(request: &HttpRequest) -> Self;

    /// Returns the text of a key such as `timeline.none`. A test checks that all used keys exist.
    fn text(self, key: &'static str) -> &'static str;

    /// Returns a text with its placeholder replaced by `value`.
    fn format(self, key: &'static str, value: &str) -> String;

    /// Formats a count, such as "1 comment" or "12 comments". `one` and `more` are keys.
    fn format_count(self, count: u64, one: &'static str, more: &'static str) -> String;

    /// Replaces each `%key%` in a page by its text.
    fn fill_in(self, page: &str) -> String;

    /// Formats a date, such as "Nov 22, 2026".
    fn date(self, at: DateTime<Utc>) -> String;

    /// Formats a day, such as "November 22, 2026".
    fn day(self, day: NaiveDate) -> String;

    /// Formats a day without its year, such as "Nov 22".
    fn short_day(self, day: NaiveDate) -> String;
}

impl PageLanguage for Language {
    fn of(request: &HttpRequest) -> Self {
        let headers = |name| {
            let values = request.headers().get_all(name);
            values.filter_map(|value| value.to_str().ok())
        };
        let chosen = headers(COOKIE)
            .flat_map(Cookie::split_parse)
            .filter_map(Result::ok)
            .find(|cookie| cookie.name() == LANGUAGE_COOKIE);
        chosen
            .and_then(|cookie| Self::find(cookie.value()))
            .or_else(|| headers(ACCEPT_LANGUAGE).find_map(preferred))
            .unwrap_or_default()
    }

    fn text(self, key: &'static str) -> &'static str {
        let (group, name) = key.split_once('.').unwrap_or_default();
        let text = CATALOGUES[self as usize]
            .get(group)
            .and_then(|texts| texts.get(name));
        text.map_or(key, String::as_str)
    }

    fn format(self, key: &'static str, value: &str) -> String {
        let text = self.text(key);
        match text
            .split_once('{')
            .and_then(|(before, rest)| Some((before, rest.split_once('}')?.1)))
        {
            Some((before, after)) => [before, &isolated(value), after].concat(),
            None => text.to_owned(),
        }
    }

    fn format_count(self, count: u64, one: &'static str, more: &'static str) -> String {
        self.format(if count == 1 { one } else { more }, &count.to_string())
    }

    fn fill_in(self, page: &str) -> String {
        let mut filled = page.replace("%language%", self.tag());
        for (group, texts) in &CATALOGUES[self as usize] {
            for (name, text) in texts {
                let placeholder = format!("%{group}.{name}%");
                if filled.contains(&placeholder) {
                    filled = filled.replace(&placeholder, text);
                }
            }
        }
        filled
    }

    fn date(self, at: DateTime<Utc>) -> String {
        self.scope(|| format::time(&graphql::DateTime(at.to_rfc3339())))
    }

    fn day(self, day: NaiveDate) -> String {
        self.scope(|| format::long_day(&graphql::Date(day.to_string())))
    }

    fn short_day(self, day: NaiveDate) -> String {
        self.scope(|| format::short_day(&graphql::Date(day.to_string())))
    }
}

/// The available language with the highest weight in an `Accept-Language` header (RFC 9110, 12.5.4).
fn preferred(accepted: &str) -> Option<Language> {
    let mut best: Option<(f32, Language)> = None;
    for part in accepted.split(',') {
        let (tag, weight) = match part.split_once(';') {
            Some((tag, weight)) => (tag, weight.trim().trim_start_matches("q=").parse().unwrap_or(0.0)),
            None => (part, 1.0),
        };
        let is_better = weight > best.map_or(0.0, |(weight, _)| weight);
        if let Some(language) = Language::find(tag.trim()).filter(|_| is_better) {
            best = Some((weight, language));
        }
    }
    Some(best?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_available_language_is_chosen() {
        for (accepted, expected) in [
            ("de-AT,de;q=0.9,en;q=0.8", Some(Language::German)),
            ("fr, en;q=0.5, de;q=0.7", Some(Language::German)),
            ("en-GB,en;q=0.9,de;q=0.8", Some(Language::English)),
            ("fr,de;q=0", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(preferred(accepted), expected, "{accepted}");
        }
    }

    #[test]
    fn all_used_keys_exist_in_every_language() {
        let sources = [include_str!("pages.rs"), include_str!("pages/markup.rs")];
        let quoted = sources.iter().flat_map(|source| source.split('"'));
        let keys: Vec<&str> = quoted
            .filter(|text| {
                text.split_once('.').is_some_and(|(group, name)| {
                    CATALOGUES[0].contains_key(group)
                        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
                })
            })
            .collect();
        assert!(keys.len() > 40, "{keys:?}");
        for key in keys {
            let (group, name) = key.split_once('.').unwrap();
            for catalogue in CATALOGUES.iter() {
                assert!(catalogue[group].contains_key(name), "{key}");
            }
        }
    }

    #[test]
    fn dates_are_formatted_as_in_the_app() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let german = Language::German;
        assert_eq!(german.day(day("2026-03-02")), "2. März 2026");
        assert_eq!(german.short_day(day("2026-03-02")), "2. März");
        assert_eq!(german.short_day(day("2026-09-30")), "30. Sept.");
        assert_eq!(german.short_day(day("2026-11-21")), "21. Nov.");
        assert_eq!(Language::English.short_day(day("2026-11-21")), "Nov 21");
        assert_eq!(
            german.format_count(1, "count.one_photo", "count.photos"),
            "1 Foto"
        );
    }

    #[test]
    fn the_page_is_translated() {
        let page = include_str!("../../frontend/index.html");
        let german = Language::German.fill_in(page);
        assert!(
            german.contains("<html lang=\"de\">") && german.contains("> Angesagt</a>"),
            "{german}"
        );
        for language in Language::ALL {
            let filled = language.fill_in(page);
            let remaining: Vec<&str> = filled.split('%').skip(1).step_by(2).collect();
            assert!(
                remaining
                    .iter()
                    .all(|placeholder| placeholder.starts_with("APP_")),
                "{remaining:?}"
            );
        }
    }
}
