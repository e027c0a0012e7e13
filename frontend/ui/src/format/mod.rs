//! Numbers, counts, days and times in the current language.
//!
//! The app formats with the browser's `Intl`. The router has its own formats, which look the same.

#[cfg_attr(feature = "ssr", path = "native.rs")]
#[cfg_attr(not(feature = "ssr"), path = "browser.rs")]
mod platform;

use crate::language::{Language, PluralForm, Text, text};

pub use platform::{days_after, full_date, long_day, short_day, time};

/// Formats a number, with U+2212 as minus sign.
pub fn number(value: i32) -> String {
    // Numbers below 1,000 have no separators.
    let digits = if value.abs() < 1000 {
        value.to_string()
    } else {
        platform::grouped(value)
    };
    digits.replace('-', "−")
}

/// "1 comment", "12 comments".
pub fn comment_count(count: i32) -> String {
    with_count(count, text!(count.one_comment), text!(count.comments))
}

/// "1 photo", "12 photos".
pub fn photo_count(count: i32) -> String {
    with_count(count, text!(count.one_photo), text!(count.photos))
}

/// "1 new photo", "12 new photos".
pub fn new_photo_count(count: i32) -> String {
    with_count(count, text!(count.one_new_photo), text!(count.new_photos))
}

fn with_count(count: i32, one: Text, other: Text) -> String {
    let text = match Language::current().form(count) {
        PluralForm::One => one,
        PluralForm::Other => other,
    };
    text.fill("{count}", &number(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_in_the_current_language() {
        let shown = || {
            [0, 1, 2]
                .map(|count| [comment_count(count), photo_count(count), new_photo_count(count)].join(", "))
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
        assert_eq!(shown(), english);
        assert_eq!(Language::German.scope(shown), german);
    }

    #[test]
    fn a_minus_is_as_wide_as_a_digit() {
        assert_eq!(number(-12), "−12");
    }
}
