//! Isolates user input that is inserted into other text (Unicode UAX #9). Elements use `dir="auto"` instead.

const FIRST_STRONG_ISOLATE: char = '\u{2068}';
const POP_ISOLATE: char = '\u{2069}';

/// Wraps a text in isolates if it contains characters that affect the direction. Isolates inside the text are balanced.
pub fn isolated(text: &str) -> String {
    if !text.chars().any(affects_direction) {
        return text.to_owned();
    }
    let mut isolated = String::from(FIRST_STRONG_ISOLATE);
    let mut open = 0;
    for char in text.chars() {
        match char {
            '\u{2066}'..='\u{2068}' => open += 1,
            POP_ISOLATE if open == 0 => continue,
            POP_ISOLATE => open -= 1,
            _ => {}
        }
        isolated.push(char);
    }
    isolated.extend(std::iter::repeat_n(POP_ISOLATE, open + 1));
    isolated
}

/// Whether a character is written from right to left, or controls the direction.
fn affects_direction(char: char) -> bool {
    matches!(char,
        '\u{590}'..='\u{8ff}'
        | '\u{200e}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{fb1d}'..='\u{fdff}'
        | '\u{fe70}'..='\u{feff}'
        | '\u{10800}'..='\u{10fff}'
        | '\u{1e800}'..='\u{1efff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_input_does_not_affect_other_text() {
        for (text, shown) in [
            ("A heron", "A heron"),
            ("Grüße, 鷺", "Grüße, 鷺"),
            ("نورة", "\u{2068}نورة\u{2069}"),
            ("a\u{202e}b", "\u{2068}a\u{202e}b\u{2069}"),
            ("a\u{2069}\u{202e}b", "\u{2068}a\u{202e}b\u{2069}"),
            ("\u{2067}a", "\u{2068}\u{2067}a\u{2069}\u{2069}"),
            (
                "\u{2066}a\u{2069}b\u{2069}c",
                "\u{2068}\u{2066}a\u{2069}bc\u{2069}",
            ),
        ] {
            assert_eq!(isolated(text), shown, "{text:?}");
        }
    }
}
