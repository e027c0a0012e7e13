//! Validates user text: trimmed, limited in length, and without characters that would break a page or a log.

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizer;
use icu_properties::props::{
    DefaultIgnorableCodePoint, GeneralCategory, NoncharacterCodePoint, PrependedConcatenationMark,
};
use icu_properties::{CodePointMapData, CodePointSetData};
use unicode_segmentation::UnicodeSegmentation as _;

use crate::{Classify, Code};

/// The rules for a text. Lengths count Unicode scalar values, like the database's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The argument or input field.
    pub field: &'static str,
    /// The name in messages: `a title`.
    pub name: &'static str,
    /// The minimum number of characters after trimming.
    pub min: usize,
    /// The maximum number of characters after trimming.
    pub max: usize,
    /// Whether line breaks are allowed.
    pub lines: bool,
}

/// A text that violates its [`Rule`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidText {
    field: &'static str,
    message: String,
}

impl Classify for InvalidText {
    fn code(&self) -> Code {
        Code::InvalidInput
    }

    fn field(&self) -> Option<&'static str> {
        Some(self.field)
    }
}

impl Rule {
    /// Parses a text into the stored form: composed (NFC), trimmed, with line feeds as line breaks.
    ///
    /// Control characters and noncharacters are errors; tabs are allowed if line breaks are. Emoji joiners and marks of
    /// right-to-left text are kept, because removing them changes the meaning, but their number on one character is
    /// limited. Of consecutive blank lines, two are kept. A text without visible characters is empty.
    pub fn parse(&self, raw: &str) -> Result<String, InvalidText> {
        let text = nfc(raw);
        let text = if self.lines {
            text.replace("\r\n", "\n")
                .replace(['\r', '\u{2028}', '\u{2029}'], "\n")
        } else {
            text.into_owned()
        };
        let text = text.trim();
        if text.chars().any(|c| self.is_forbidden(c)) {
            let what = if self.lines {
                "control characters"
            } else {
                "line breaks or control characters"
            };
            return Err(self.invalid(&format!("{} must not contain {what}.", self.name)));
        }
        if text.graphemes(true).any(is_overloaded) {
            return Err(self.invalid(&format!(
                "{} must not have more than {MAX_MARKS} accents or joiners on one character.",
                self.name
            )));
        }
        let text = if text.chars().any(is_visible) {
            without_blank_lines(text)
        } else {
            String::new()
        };
        let length = text.chars().count();
        if length < self.min {
            return Err(self.invalid(&match self.min {
                1 => format!("{} must not be empty.", self.name),
                min => format!("{} must have at least {min} characters.", self.name),
            }));
        }
        if length > self.max {
            return Err(self.invalid(&format!(
                "{} must have at most {} characters.",
                self.name, self.max
            )));
        }
        Ok(text)
    }

    fn is_forbidden(&self, c: char) -> bool {
        match c {
            '\n' | '\t' => !self.lines,
            '\u{2028}' | '\u{2029}' => true,
            _ => c.is_control() || CodePointSetData::new::<NoncharacterCodePoint>().contains(c),
        }
    }

    fn invalid(&self, message: &str) -> InvalidText {
        let mut letters = message.chars();
        let message = letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect())
            .unwrap_or_default();
        InvalidText {
            field: self.field,
            message,
        }
    }
}

/// Returns `text` in Unicode normalisation form C.
pub fn nfc(text: &str) -> Cow<'_, str> {
    ComposingNormalizer::new_nfc().normalize(text)
}

/// Whether the character is invisible by definition (`Default_Ignorable_Code_Point`), so that texts that differ in it
/// look the same.
pub fn is_ignorable(c: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

/// Characters of visible categories with blank glyphs: braille blank, object replacement character, Egyptian full and
/// half blank, null notehead.
const BLANK_GLYPHS: [char; 5] = ['\u{2800}', '\u{FFFC}', '\u{13441}', '\u{13442}', '\u{1D159}'];

/// Whether the character is visible alone. Combining marks need a letter.
fn is_visible(c: char) -> bool {
    let is_blank_category = match CodePointMapData::<GeneralCategory>::new().get(c) {
        GeneralCategory::Control
        | GeneralCategory::SpaceSeparator
        | GeneralCategory::LineSeparator
        | GeneralCategory::ParagraphSeparator
        | GeneralCategory::NonspacingMark
        | GeneralCategory::EnclosingMark => true,
        // Format characters with glyphs, such as Arabic and Kaithi number signs.
        GeneralCategory::Format => !CodePointSetData::new::<PrependedConcatenationMark>().contains(c),
        _ => false,
    };
    !is_blank_category && !BLANK_GLYPHS.contains(&c) && !is_ignorable(c)
}

/// The most marks and invisible characters of one grapheme cluster. Flags of regions have six, stacked Tibetan
/// syllables up to nine.
const MAX_MARKS: usize = 10;
/// The longest grapheme cluster. Families of four in skin tones have eleven characters, Sanskrit conjuncts about as many.
const MAX_CLUSTER: usize = 16;

/// Whether a grapheme cluster (UAX 29), which is never broken over lines, is longer than those of real scripts.
fn is_overloaded(cluster: &str) -> bool {
    let is_mark = |c: &char| {
        is_ignorable(*c)
            || matches!(
                CodePointMapData::<GeneralCategory>::new().get(*c),
                GeneralCategory::NonspacingMark
                    | GeneralCategory::SpacingMark
                    | GeneralCategory::EnclosingMark
            )
    };
    cluster.len() > MAX_MARKS
        && (cluster.chars().count() > MAX_CLUSTER || cluster.chars().filter(is_mark).count() > MAX_MARKS)
}

/// The text with at most two blank lines in a row.
fn without_blank_lines(text: &str) -> String {
    const MAX_BLANK_LINES: usize = 2;
    let mut blank = 0;
    let kept = text.split('\n').filter(|line| {
        blank = if line.chars().any(is_visible) {
            0
        } else {
            blank + 1
        };
        blank <= MAX_BLANK_LINES
    });
    kept.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::{Rule, is_visible};

    const LINE: Rule = Rule {
        field: "title",
        name: "a title",
        min: 1,
        max: 5,
        lines: false,
    };
    const LINES: Rule = Rule {
        field: "body",
        name: "a comment",
        min: 1,
        max: 5,
        lines: true,
    };

    fn message(rule: Rule, text: &str) -> String {
        rule.parse(text).unwrap_err().to_string()
    }

    #[test]
    fn texts_are_trimmed() {
        assert_eq!(LINE.parse("  a b \n").unwrap(), "a b");
        assert_eq!(LINE.parse("👩‍👩‍👧").unwrap(), "👩‍👩‍👧");
        assert_eq!(LINE.parse("\u{202B}שלום").unwrap(), "\u{202B}שלום");
        assert_eq!(LINES.parse("a\r\nb\rc").unwrap(), "a\nb\nc");
        assert_eq!(LINES.parse("\ta\tb").unwrap(), "a\tb");
    }

    #[test]
    fn texts_are_normalised() {
        assert_eq!(LINE.parse("Cafe\u{301}").unwrap(), "Café");
        assert_eq!(LINE.parse("\u{212B}").unwrap(), "Å");
        // The length counts stored characters.
        assert_eq!(LINE.parse(&"e\u{301}".repeat(5)).unwrap(), "ééééé");
        assert_eq!(
            message(LINE, &"\u{1D15E}".repeat(5)),
            "A title must have at most 5 characters.",
            "each decomposes into two"
        );
    }

    #[test]
    fn a_text_without_a_visible_character_is_empty() {
        for c in [
            '\u{AD}',
            '\u{34F}',
            '\u{61C}',
            '\u{115F}',
            '\u{1160}',
            '\u{17B4}',
            '\u{17B5}',
            '\u{180B}',
            '\u{180E}',
            '\u{180F}',
            '\u{200B}',
            '\u{200D}',
            '\u{200E}',
            '\u{202E}',
            '\u{2028}',
            '\u{2060}',
            '\u{2064}',
            '\u{2065}',
            '\u{2066}',
            '\u{206F}',
            '\u{2800}',
            '\u{3000}',
            '\u{3164}',
            '\u{FE00}',
            '\u{FE0F}',
            '\u{FEFF}',
            '\u{FFA0}',
            '\u{FFF0}',
            '\u{FFF9}',
            '\u{FFFB}',
            '\u{FFFC}',
            '\u{1BCA0}',
            '\u{1D159}',
            '\u{1D173}',
            '\u{1D17A}',
            '\u{13430}',
            '\u{13441}',
            '\u{E0000}',
            '\u{E0001}',
            '\u{E0020}',
            '\u{E007F}',
            '\u{E0100}',
            '\u{E01EF}',
            '\u{E0FFF}',
            '\u{301}',
            '\u{20DD}',
        ] {
            let text: String = [c, ' ', c].iter().collect();
            assert_eq!(message(LINES, &text), "A comment must not be empty.", "{c:?}");
            assert!(LINE.parse(&text).is_err(), "{c:?}");
            assert!(LINE.parse(&format!("a{c}")).is_ok() || c == '\u{2028}', "{c:?}");
        }
        let optional = Rule { min: 0, ..LINES };
        assert_eq!(optional.parse("\u{E0100}").unwrap(), "");
        for c in ['a', '.', '\u{600}', '\u{6DD}', '\u{93E}', '\u{E000}', '👍', '漢'] {
            assert!(is_visible(c), "{c:?}");
        }
    }

    #[test]
    fn errors_name_the_violated_rule() {
        assert_eq!(message(LINE, "   "), "A title must not be empty.");
        assert_eq!(message(LINE, "\u{200B}\u{200D}"), "A title must not be empty.");
        assert_eq!(message(LINE, "123456"), "A title must have at most 5 characters.");
        assert_eq!(
            message(LINE, "a\nb"),
            "A title must not contain line breaks or control characters."
        );
        assert_eq!(
            message(LINES, "a\0b"),
            "A comment must not contain control characters."
        );
        assert_eq!(
            message(LINES, "a\u{1b}[m"),
            "A comment must not contain control characters."
        );
        assert_eq!(
            message(LINES, "a\u{FFFF}"),
            "A comment must not contain control characters.",
            "no XML document can hold it"
        );
        assert!(LINE.parse("a\tb").is_err());
    }

    const LONG: Rule = Rule { max: 2000, ..LINES };

    #[test]
    fn stacked_marks_and_joiners_are_refused() {
        for text in [
            "\u{1F468}\u{200D}".repeat(600),
            format!("z{}", "\u{335}\u{336}\u{322}".repeat(500)),
            format!("e{}", "\u{489}".repeat(119)),
            format!("fine\n\u{915}{}", "\u{93E}".repeat(11)),
            format!("a{}", "\u{FE0F}".repeat(11)),
            "\u{1100}".repeat(17),
            "\u{600}".repeat(17),
            "\u{915}\u{94D}".repeat(12),
        ] {
            assert_eq!(
                message(LONG, &text),
                "A comment must not have more than 10 accents or joiners on one character.",
                "{text:?}"
            );
        }
    }

    #[test]
    fn characters_of_real_scripts_are_kept() {
        for text in [
            "👨🏻‍👩🏻‍👧🏻‍👦🏻 👩🏽‍❤️‍💋‍👨🏿 🏳️‍🌈 🏴󠁧󠁢󠁳󠁣󠁴󠁿 🇩🇪🇫🇷 1️⃣ 🧑🏽‍🚀",
            "कार्त्स्न्यं हिन्दी में टिप्पणी",
            "ที่นี่ น้ำ กำลัง ปั๊ม",
            "བསྒྲུབས་ ཧྐྵྨླྺྼྻྂ་ རྫོགས",
            "בְּרֵאשִׁ֖ית בָּרָ֣א אֱלֹהִ֑ים",
            "بِسْمِ ٱللَّٰهِ ٱلرَّحْمَٰنِ",
            "တိုင်းရင်းသားများ ភាសាខ្មែរ தமிழ் മലയാളം",
            "Tiếng Việt, a\u{30B}\u{323}\u{332}, 각각 \u{1112}\u{1161}\u{11AB}",
        ] {
            assert!(LONG.parse(text).is_ok(), "{text:?}: {:?}", LONG.parse(text));
        }
        assert_eq!(
            LONG.parse(&"e\u{301}".repeat(2000)).unwrap().chars().count(),
            2000
        );
    }

    #[test]
    fn of_blank_lines_in_a_row_two_are_kept() {
        let parse = |text: &str| LONG.parse(text).unwrap();
        assert_eq!(parse("a\nb\n\nc\n\n\nd"), "a\nb\n\nc\n\n\nd");
        assert_eq!(parse(&format!("a{}b", "\n".repeat(1500))), "a\n\n\nb");
        assert_eq!(
            parse(&format!("a{}\nb", "\n \n\u{2800}".repeat(300))),
            "a\n \n\u{2800}\nb"
        );
        assert_eq!(
            parse(&format!("a{}b", "\r\n\u{2028}\u{2029}".repeat(300))),
            "a\n\n\nb"
        );
        assert_eq!(
            parse(&format!("a\n{}b", "\u{200B}\n".repeat(500)))
                .lines()
                .count(),
            4
        );
    }

    proptest::proptest! {
        #[test]
        fn parsing_is_idempotent(text: String) {
            if let Ok(once) = LINES.parse(&text) {
                proptest::prop_assert_eq!(LINES.parse(&once), Ok(once.clone()));
                proptest::prop_assert!(once.chars().count() <= 5);
            }
        }
    }
}
