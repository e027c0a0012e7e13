//! Isolation of people's texts where they stand beside other text without an element around them. In an element,
//! `dir="auto"` does the same. The router compiles this file too, for pages and feeds.

const FIRST_STRONG_ISOLATE: char = '\u{2068}';
const POP_ISOLATE: char = '\u{2069}';

/// The text between isolates, where it has anything that could turn what stands beside it. Its own isolates are balanced,
/// so that it cannot leave.
pub(crate) fn isolated(text: &str) -> String {
    if !text.chars().any(turns) {
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
fn turns(char: char) -> bool {
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
    fn a_text_cannot_turn_what_stands_beside_it() {
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
