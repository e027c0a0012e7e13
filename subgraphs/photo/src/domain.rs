//! Photos and their files: no async, no SQL, no GraphQL.

use std::fmt;

use chassis::UserId;
use chassis::text::{InvalidText, Rule};
use chrono::{DateTime, NaiveDate, Utc};
pub use imaging::{FileName, Format, Ladder, Rendition, Size};
use uuid::Uuid;

chassis::id_newtype! {
    /// A photo, or its upload before it is published.
    PhotoId
}

/// A photo's title: 1 to 120 characters on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title(String);

impl Title {
    const RULE: Rule = Rule {
        field: "title",
        name: "the title",
        min: 1,
        max: 120,
        lines: false,
    };

    /// Parses user input.
    pub fn parse(raw: &str) -> Result<Self, InvalidText> {
        Self::RULE.parse(raw).map(Self)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text alternative: up to 1000 characters, on one or more lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AltText(String);

impl AltText {
    const RULE: Rule = Rule {
        field: "altText",
        name: "the description",
        min: 0,
        max: 1000,
        lines: true,
    };

    /// Parses user input; `None` if it is empty.
    pub fn parse(raw: &str) -> Result<Option<Self>, InvalidText> {
        let text = Self::RULE.parse(raw)?;
        Ok((!text.is_empty()).then_some(Self(text)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A published photo.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Photo {
    pub id: PhotoId,
    pub author_id: UserId,
    pub file_key: FileKey,
    pub title: String,
    pub alt_text: Option<String>,
    pub width: u16,
    pub height: u16,
    /// `ThumbHash`.
    pub placeholder: Vec<u8>,
    pub published_at: DateTime<Utc>,
    /// When the author last changed title or description.
    pub edited_at: Option<DateTime<Utc>>,
    /// The day of the publication in the site's time zone.
    pub hot_day: NaiveDate,
}

impl Photo {
    /// The size in pixels, upright.
    pub fn size(&self) -> Size {
        Size {
            width: self.width,
            height: self.height,
        }
    }
}

/// An uploaded picture that is not published yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    pub id: PhotoId,
    pub owner_id: UserId,
    pub file_key: FileKey,
    pub width: u16,
    pub height: u16,
    /// `ThumbHash`.
    pub placeholder: Vec<u8>,
}

/// The key of a photo's folder. Random, so that unpublished photos cannot be found. Its UUID version determines the
/// stored sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct FileKey(pub Uuid);

impl FileKey {
    /// Returns a random key for [`Ladder::LongerSide`]: 122 random bits, version 8.
    pub fn random() -> Self {
        let mut bytes = Uuid::new_v4().into_bytes();
        bytes[6] = 0x80 | (bytes[6] & 0x0F);
        Self(Uuid::from_bytes(bytes))
    }

    /// Returns the choice of stored sizes. Early releases created keys of version 4.
    pub fn ladder(self) -> Ladder {
        if self.0.get_version_num() == 8 {
            Ladder::LongerSide
        } else {
            Ladder::Width
        }
    }

    /// Parses the form that [`fmt::Display`] writes, and no other.
    pub fn parse(text: &str) -> Option<Self> {
        let key = Self(Uuid::try_parse(text).ok()?);
        (key.to_string() == text).then_some(key)
    }

    /// Returns the path of a file on this origin.
    pub fn url(self, file: FileName) -> String {
        format!("/media/{self}/{file}")
    }

    /// Returns the value of a `srcset` attribute with the renditions of one format.
    pub fn srcset(self, size: Size, format: Format) -> String {
        use fmt::Write as _;
        let mut srcset = String::with_capacity(256);
        for size in size.stored(self.ladder()) {
            let separator = if srcset.is_empty() { "" } else { ", " };
            let file = FileName::Rendition {
                width: size.width,
                format,
            };
            // Writing to a string cannot fail.
            let _ = write!(srcset, "{separator}/media/{self}/{file} {}w", size.width);
        }
        srcset
    }
}

impl fmt::Display for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_simple().fmt(f)
    }
}

/// Returns the day on which a photo that is published `now` is ranked in Hot.
pub fn hot_day(now: DateTime<Utc>, zone: chrono_tz::Tz) -> NaiveDate {
    now.with_timezone(&zone).date_naive()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_spellings_are_not_keys() {
        let key = FileKey(Uuid::from_u128(0x00ab_cdef));
        assert_eq!(FileKey::parse(&key.to_string()), Some(key));
        for text in ["", "..", "0", &key.0.to_string(), &key.to_string().to_uppercase()] {
            assert_eq!(FileKey::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_version_of_a_key_determines_the_sizes() {
        let size = Size {
            width: 500,
            height: 1000,
        };
        let early = FileKey(Uuid::new_v4());
        assert_eq!(early.ladder(), Ladder::Width);
        assert!(early.srcset(size, Format::Jpeg).ends_with("/500.jpg 500w"));
        assert!(early.srcset(size, Format::Jpeg).contains("/320.jpg 320w"));
        let new = FileKey::random();
        assert_eq!(new.ladder(), Ladder::LongerSide);
        assert!(new.srcset(size, Format::Jpeg).contains("/160.jpg 160w"));
        assert_ne!(new, FileKey::random());
    }

    #[test]
    fn titles_are_validated() {
        let longest = "🌅".repeat(120);
        assert_eq!(Title::parse(&longest).unwrap().as_str(), longest);
        assert_eq!(Title::parse("  Am Meer\t").unwrap().as_str(), "Am Meer");
        assert_eq!(Title::parse("\u{202B}שקיעה").unwrap().as_str(), "\u{202B}שקיעה");
        for text in ["", " \u{200B} ", &"x".repeat(121), "a\nb", "a\0b", "a\u{7f}"] {
            assert!(Title::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(AltText::parse(" \n ").unwrap(), None);
        assert_eq!(AltText::parse("a\r\nb").unwrap().unwrap().as_str(), "a\nb");
        assert!(AltText::parse(&"x".repeat(1001)).is_err());
    }

    #[test]
    fn the_day_is_in_the_time_zone_of_the_site() {
        let late: DateTime<Utc> = "2026-11-22T23:30:00Z".parse().unwrap();
        assert_eq!(hot_day(late, chrono_tz::UTC).to_string(), "2026-11-22");
        assert_eq!(hot_day(late, chrono_tz::Europe::Berlin).to_string(), "2026-11-23");
        assert_eq!(
            hot_day(late, chrono_tz::America::Los_Angeles).to_string(),
            "2026-11-22"
        );
    }
}
