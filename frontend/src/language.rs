//! The language of the app: the chosen one, or the browser's.

use leptos::prelude::window;
use ui::language::Language;

/// Switches to the chosen language, or to the preferred one of the browser.
pub(crate) fn apply(choice: Option<Language>) -> Language {
    let tags = browser_languages();
    let language = choice.unwrap_or_else(|| Language::preferred(tags.iter().map(String::as_str)));
    // Dates and numbers have the format of the visitor's region.
    let locale = tags.iter().find(|tag| language.matches(tag));
    language.set_current(locale.map_or_else(|| language.tag(), String::as_str));
    language
}

/// The browser's languages, the preferred one first.
fn browser_languages() -> Vec<String> {
    let languages = window().navigator().languages();
    languages.iter().filter_map(|tag| tag.as_string()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Attributes with user-visible text.
    const READABLE_ATTRIBUTES: [&str; 9] = [
        "alt",
        "aria-label",
        "consequence",
        "hint",
        "label",
        "placeholder",
        "question",
        "title",
        "yes",
    ];

    /// The user-visible string literals of a view: children, and values of readable attributes.
    fn texts_in_view(view: &str) -> Vec<&str> {
        // Every second piece is inside quotes.
        let pieces: Vec<&str> = view.split('"').collect();
        let shown = |at: &usize| {
            let before = pieces[*at - 1].trim_end();
            let is_child = before.ends_with('}') || (before.ends_with('>') && !before.ends_with("=>"));
            let attribute = before
                .strip_suffix('=')
                .and_then(|before| before.split_whitespace().next_back());
            is_child || before.is_empty() || attribute.is_some_and(|name| READABLE_ATTRIBUTES.contains(&name))
        };
        (1..pieces.len())
            .step_by(2)
            .filter(shown)
            .map(|at| pieces[at])
            .filter(|text| text.chars().any(char::is_alphabetic))
            .collect()
    }

    /// The bodies of all `view!` macros in a source file; nested ones appear twice.
    fn views(source: &str) -> impl Iterator<Item = &str> {
        const START: &str = "view! {";
        source.match_indices(START).map(|(at, _)| {
            let rest = &source[at + START.len()..];
            let mut depth = 1;
            let end = rest.find(|letter| {
                depth += i32::from(letter == '{') - i32::from(letter == '}');
                depth == 0
            });
            &rest[..end.expect("braces are closed")]
        })
    }

    fn sources(folder: &Path) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(folder).expect("the sources can be read");
        let paths = entries.map(|entry| entry.expect("the sources can be read").path());
        paths
            .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
            .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
            .collect()
    }

    #[test]
    fn views_take_their_texts_from_the_catalogue() {
        assert_eq!(
            texts_in_view(r#"<p class="a" title="Read">"Shown" {b} "too" " · "</p>"#),
            ["Read", "Shown", "too"]
        );
        for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
            let source = std::fs::read_to_string(&file).expect("the sources can be read");
            let source = source.split("#[cfg(test)]").next().unwrap_or_default();
            for view in views(source) {
                assert_eq!(texts_in_view(view), [""; 0], "{}", file.display());
            }
        }
    }
}
