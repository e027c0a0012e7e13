//! The languages of the app: its texts, and numbers as each language writes them.
//!
//! The catalogues are `locales/*.json`. A text is looked up while the app compiles, so that a key that does not exist is
//! a compile error, and what is left of it in the program is a pointer to its wordings. Reading one follows the
//! language: what shows it changes with it.
//!
//! A further language is a catalogue, its tag in `build.rs`, and a place in [`Language::ALL`] and in [`text!`]; the
//! compiler and the tests ask for the rest.

use std::sync::{Arc, LazyLock, Mutex};

use js_sys::Number;
use leptos::prelude::*;
use leptos::tachys::reactive_graph::ReactiveFunction;

/// Made by the build script out of the catalogues.
mod catalogue {
    #![expect(dead_code, unused_imports, reason = "it offers more than is used here")]
    #![expect(
        clippy::default_trait_access,
        clippy::ignored_unit_patterns,
        clippy::match_same_arms,
        clippy::used_underscore_binding,
        reason = "nobody reads it"
    )]
    include!(concat!(env!("OUT_DIR"), "/catalogue.rs"));
}

pub(crate) use catalogue::i18n::Locale as Language;

/// The language that is shown now. It belongs to the page and not to a view: errors are worded where no view is.
static CURRENT: LazyLock<ArcRwSignal<Language>> = LazyLock::new(|| ArcRwSignal::new(Language::default()));

impl Language {
    pub(crate) const ALL: [Self; 2] = [Self::en, Self::de];

    /// As `<html lang>` and the browser name it.
    pub(crate) const fn tag(self) -> &'static str {
        match self {
            Self::en => "en",
            Self::de => "de",
        }
    }

    /// Its own name for itself, which is the same in every language.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::en => "English",
            Self::de => "Deutsch",
        }
    }

    /// The language that is shown now; what reads it follows it.
    pub(crate) fn current() -> Self {
        CURRENT.get()
    }

    pub(crate) fn set_current(self) {
        if CURRENT.get_untracked() != self {
            CURRENT.set(self);
        }
    }

    /// The first of a visitor's languages that the app speaks.
    pub(crate) fn preferred<'a>(wanted: impl IntoIterator<Item = &'a str>) -> Self {
        wanted
            .into_iter()
            .find_map(|tag| Self::ALL.into_iter().find(|language| language.covers(tag)))
            .unwrap_or_default()
    }

    /// Whether a tag is of this language in any region: "de-AT" is German.
    fn covers(self, tag: &str) -> bool {
        tag.split('-')
            .next()
            .is_some_and(|language| language.eq_ignore_ascii_case(self.tag()))
    }

    /// The form that a whole number takes, by the rules of CLDR for cardinals.
    fn form(self, count: i32) -> Form {
        match self {
            Self::en | Self::de if count == 1 => Form::One,
            Self::en | Self::de => Form::Other,
        }
    }
}

/// The plural forms that the languages here have. CLDR knows more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    One,
    Other,
}

/// The browser's languages, the preferred one first.
pub(crate) fn wanted() -> Vec<String> {
    let languages = window().navigator().languages();
    languages.iter().filter_map(|tag| tag.as_string()).collect()
}

/// The tag that dates and numbers are written by: the visitor's own region if it speaks the current language.
pub(crate) fn regional_tag() -> String {
    let language = Language::current();
    wanted()
        .into_iter()
        .find(|tag| language.covers(tag))
        .unwrap_or_else(|| language.tag().to_owned())
}

/// A text of the catalogue in all its languages. It can stand where a view or an attribute can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text(&'static [&'static str; Language::ALL.len()]);

impl Text {
    /// Made by [`text!`] alone.
    pub(crate) const fn new(wordings: &'static [&'static str; Language::ALL.len()]) -> Self {
        Self(wordings)
    }

    /// The text in the current language; what reads it follows the language.
    pub(crate) fn get(self) -> &'static str {
        self.0[Language::current() as usize]
    }

    /// The text with a value in its gap. Made by [`filled!`] alone, which knows that the gap is there.
    pub(crate) fn fill(self, gap: &str, value: &str) -> String {
        self.get().replace(gap, &crate::bidi::isolated(value))
    }

    /// Whether every wording has that gap. Called while the app compiles.
    pub(crate) const fn has(self, gap: &str) -> bool {
        let mut at = 0;
        while at < self.0.len() {
            if !contains(self.0[at].as_bytes(), gap.as_bytes()) {
                return false;
            }
            at += 1;
        }
        true
    }
}

const fn contains(text: &[u8], part: &[u8]) -> bool {
    let mut from = 0;
    while from + part.len() <= text.len() {
        let mut same = 0;
        while same < part.len() && text[from + same] == part[same] {
            same += 1;
        }
        if same == part.len() {
            return true;
        }
        from += 1;
    }
    false
}

/// To a view, a text is a function that reads it.
impl ReactiveFunction for Text {
    type Output = &'static str;

    fn invoke(&mut self) -> Self::Output {
        self.get()
    }

    fn into_shared(self) -> Arc<Mutex<dyn FnMut() -> Self::Output + Send>> {
        Arc::new(Mutex::new(move || self.get()))
    }
}

impl From<Text> for Signal<String> {
    fn from(text: Text) -> Self {
        Self::derive(move || text.get().to_owned())
    }
}

/// The text of a key: `text!(bar.sign_in)`.
macro_rules! text {
    ($($key:ident).+) => {
        const {
            use $crate::language::Language;
            const WORDINGS: &[&str; Language::ALL.len()] = &[
                Language::en.get_keys_const()$(.$key())+.inner(),
                Language::de.get_keys_const()$(.$key())+.inner(),
            ];
            $crate::language::Text::new(WORDINGS)
        }
    };
}
pub(crate) use text;

/// The text of a key as a string, with a value in its gap: `filled!(profile.photos_by, name = &name)`. It follows the
/// language where it is called from something that does.
macro_rules! filled {
    ($($key:ident).+, $gap:ident = $value:expr) => {{
        const GAP: &str = concat!("{", stringify!($gap), "}");
        const {
            assert!($crate::language::text!($($key).+).has(GAP), "a wording lacks this gap");
        }
        $crate::language::text!($($key).+).fill(GAP, $value)
    }};
}
pub(crate) use filled;

/// "1 comment", "12 comments".
pub(crate) fn comments(count: i32) -> String {
    counted(count, text!(count.one_comment), text!(count.comments))
}

/// "1 photo", "12 photos".
pub(crate) fn photos(count: i32) -> String {
    counted(count, text!(count.one_photo), text!(count.photos))
}

/// "1 new photo", "12 new photos".
pub(crate) fn new_photos(count: i32) -> String {
    counted(count, text!(count.one_new_photo), text!(count.new_photos))
}

fn counted(count: i32, one: Text, other: Text) -> String {
    let text = match Language::current().form(count) {
        Form::One => one,
        Form::Other => other,
    };
    text.fill("{count}", &number(count))
}

/// A number as the language groups its digits, with a minus sign as wide as a digit.
pub(crate) fn number(value: i32) -> String {
    // Below a thousand there is nothing to group, and the browser takes its time.
    let words = if value.abs() < 1000 {
        value.to_string()
    } else {
        Number::from(value).to_locale_string(&regional_tag()).into()
    };
    words.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    /// Every key of a catalogue, with the gaps of its text.
    fn catalogue(language: Language) -> BTreeMap<String, Vec<String>> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("locales")
            .join(format!("{}.json", language.tag()));
        let text = std::fs::read_to_string(file).expect("every language has a catalogue");
        let groups: BTreeMap<String, BTreeMap<String, String>> =
            serde_json::from_str(&text).expect("a catalogue is groups of texts");
        let mut texts = BTreeMap::new();
        for (group, keys) in groups {
            for (key, text) in keys {
                assert!(!text.trim().is_empty(), "{group}.{key} is empty");
                assert_eq!(text.trim(), text, "{group}.{key} has space around it");
                let gaps = text.split('{').skip(1);
                let gaps = gaps.filter_map(|rest| Some(rest.split_once('}')?.0.to_owned()));
                texts.insert(format!("{group}.{key}"), gaps.collect());
            }
        }
        texts
    }

    #[test]
    fn every_language_has_the_same_texts_with_the_same_gaps() {
        assert_eq!(<Language as leptos_i18n::Locale>::get_all(), Language::ALL);
        let english = catalogue(Language::en);
        for language in Language::ALL {
            assert_eq!(catalogue(language), english, "{}", language.tag());
        }
    }

    #[test]
    fn the_first_language_that_the_app_speaks_is_chosen() {
        let cases = [
            (vec!["de-AT", "en"], Language::de),
            (vec!["fr", "DE", "en"], Language::de),
            (vec!["en-GB", "de"], Language::en),
            (vec!["den", "fr"], Language::en),
            (vec![], Language::en),
        ];
        for (wanted, language) in cases {
            assert_eq!(
                Language::preferred(wanted.iter().copied()),
                language,
                "{wanted:?}"
            );
        }
    }

    /// In one test, because the current language is the whole program's.
    #[test]
    fn texts_and_counts_follow_the_language() {
        let said = || {
            let counts =
                [0, 1, 2].map(|count| [comments(count), photos(count), new_photos(count)].join(", "));
            (text!(vote.up).get(), counts)
        };
        let english = [
            "0 comments, 0 photos, 0 new photos",
            "1 comment, 1 photo, 1 new photo",
            "2 comments, 2 photos, 2 new photos",
        ];
        let german = [
            "0 Kommentare, 0 Fotos, 0 neue Fotos",
            "1 Kommentar, 1 Foto, 1 neues Foto",
            "2 Kommentare, 2 Fotos, 2 neue Fotos",
        ];
        assert_eq!(said(), ("Upvote", english.map(str::to_owned)));
        Language::de.set_current();
        assert_eq!(said(), ("Dafür stimmen", german.map(str::to_owned)));
        assert_eq!(filled!(profile.photos_by, name = "Ada"), "Fotos von Ada");
        Language::en.set_current();
    }

    /// The attributes that people read or hear.
    const READ: [&str; 9] = [
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

    /// The string literals with letters that a view shows: those that follow a tag or a block, and those that an
    /// attribute which is read is set to.
    fn texts_in_view(view: &str) -> Vec<&str> {
        // Every second piece is inside quotes.
        let pieces: Vec<&str> = view.split('"').collect();
        let shown = |at: &usize| {
            let before = pieces[*at - 1].trim_end();
            let is_child = before.ends_with('}') || (before.ends_with('>') && !before.ends_with("=>"));
            let attribute = before
                .strip_suffix('=')
                .and_then(|before| before.split_whitespace().next_back());
            is_child || before.is_empty() || attribute.is_some_and(|name| READ.contains(&name))
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

    #[test]
    fn a_minus_is_as_wide_as_a_digit() {
        assert_eq!(number(-12), "−12");
    }
}
