//! Texts that people write: trimmed, within a length, and free of what would break a page or a log.

use crate::{Classify, Code};

/// What a text must be like. Lengths count Unicode scalar values, as the columns of the database do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The argument or input field that holds it.
    pub field: &'static str,
    /// How messages call it: `a title`.
    pub name: &'static str,
    /// The fewest characters after trimming.
    pub min: usize,
    /// The most characters after trimming.
    pub max: usize,
    /// Whether it may have several lines.
    pub lines: bool,
}

/// A text that breaks its [`Rule`].
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
    /// The text as it is kept: trimmed, with line feeds as the only line ends.
    ///
    /// Control characters are refused. Emoji with their joiners and right-to-left text with its marks are kept
    /// as they are, because taking such a character away changes what was written.
    pub fn parse(&self, raw: &str) -> Result<String, InvalidText> {
        let text = if self.lines {
            raw.replace("\r\n", "\n").replace('\r', "\n")
        } else {
            raw.to_owned()
        };
        let text = text.trim();
        if text.chars().any(|c| self.refuses(c)) {
            let what = if self.lines {
                "control characters"
            } else {
                "line breaks or control characters"
            };
            return Err(self.broken(&format!("{} must not contain {what}.", self.name)));
        }
        let length = if text.chars().all(is_blank) {
            0
        } else {
            text.chars().count()
        };
        if length < self.min {
            return Err(self.broken(&match self.min {
                1 => format!("{} must not be empty.", self.name),
                min => format!("{} must have at least {min} characters.", self.name),
            }));
        }
        if length > self.max {
            return Err(self.broken(&format!(
                "{} must have at most {} characters.",
                self.name, self.max
            )));
        }
        // What nobody can see is nothing.
        Ok(if length == 0 {
            String::new()
        } else {
            text.to_owned()
        })
    }

    fn refuses(&self, c: char) -> bool {
        match c {
            '\n' | '\u{2028}' | '\u{2029}' => !self.lines,
            _ => c.is_control(),
        }
    }

    fn broken(&self, message: &str) -> InvalidText {
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

/// White space, and characters without a picture of their own: a name of these alone looks empty.
fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '\u{AD}' | '\u{115F}' | '\u{1160}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}' | '\u{2800}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}'
        )
}

#[cfg(test)]
mod tests {
    use super::Rule;

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
    fn a_text_is_trimmed_and_kept_as_it_is() {
        assert_eq!(LINE.parse("  a b \n").unwrap(), "a b");
        assert_eq!(LINE.parse("👩‍👩‍👧").unwrap(), "👩‍👩‍👧");
        assert_eq!(LINE.parse("\u{202B}שלום").unwrap(), "\u{202B}שלום");
        assert_eq!(LINES.parse("a\r\nb\rc").unwrap(), "a\nb\nc");
    }

    #[test]
    fn each_fault_is_named() {
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
    }

    proptest::proptest! {
        #[test]
        fn what_was_parsed_parses_to_itself(text: String) {
            if let Ok(once) = LINES.parse(&text) {
                proptest::prop_assert_eq!(LINES.parse(&once), Ok(once.clone()));
                proptest::prop_assert!(once.chars().count() <= 5);
            }
        }
    }
}
