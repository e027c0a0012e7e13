//! What a photo is, and which files belong to it: no async, no SQL, no GraphQL.

use std::fmt;

use chassis::UserId;
use chassis::text::{InvalidText, Rule};
use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

chassis::id_newtype! {
    /// A photo, and before it is published the upload that it is made of.
    PhotoId
}

/// A photo's title: 1 to 120 characters on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title(String);

impl Title {
    const RULE: Rule = Rule { field: "title", name: "the title", min: 1, max: 120, lines: false };

    /// Reads what a person wrote.
    pub fn parse(raw: &str) -> Result<Self, InvalidText> {
        Self::RULE.parse(raw).map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the picture shows, for people who cannot see it: up to 1000 characters, perhaps on several lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AltText(String);

impl AltText {
    const RULE: Rule = Rule { field: "altText", name: "the description", min: 0, max: 1000, lines: true };

    /// Reads what a person wrote; an empty text is none.
    pub fn parse(raw: &str) -> Result<Option<Self>, InvalidText> {
        let text = Self::RULE.parse(raw)?;
        Ok((!text.is_empty()).then_some(Self(text)))
    }

    /// The text.
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
    /// The day in the site's time zone on which it was published.
    pub hot_day: NaiveDate,
}

impl Photo {
    /// Its pixels, after the camera's orientation has been applied.
    pub fn size(&self) -> Size {
        Size { width: self.width, height: self.height }
    }
}

/// A picture that was uploaded and is not published yet.
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

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    pub width: u16,
    pub height: u16,
}

impl Size {
    /// The most pixels that a side may have.
    pub const MAX_SIDE: u32 = 12_000;
    /// The most pixels that a picture may have.
    pub const MAX_PIXELS: u64 = 50_000_000;

    /// A size within the limits; `None` for anything else, so that nobody decodes it.
    pub fn within_limits(width: u32, height: u32) -> Option<Self> {
        let side = |pixels: u32| u16::try_from(pixels).ok().filter(|_| (1..=Self::MAX_SIDE).contains(&pixels));
        let size = Self { width: side(width)?, height: side(height)? };
        (u64::from(width) * u64::from(height) <= Self::MAX_PIXELS).then_some(size)
    }

    /// With the sides changed over, as a picture on its side has them.
    pub fn transposed(self) -> Self {
        Self { width: self.height, height: self.width }
    }

    /// The same picture scaled to `width`, at least one pixel high.
    pub fn scaled_to(self, width: u16) -> Self {
        let (own, new) = (u32::from(self.width), u32::from(width));
        let height = (u32::from(self.height) * new + own / 2) / own;
        Self { width, height: u16::try_from(height.max(1)).unwrap_or(u16::MAX) }
    }

    /// The sizes in which a picture of this size is stored, smallest first: never wider than the picture, each once.
    pub fn ladder(self) -> impl DoubleEndedIterator<Item = Self> + Clone {
        let widest = self.width.min(WIDTHS[WIDTHS.len() - 1]);
        let below = WIDTHS.into_iter().filter(move |&width| width < widest);
        below.chain([widest]).map(move |width| self.scaled_to(width))
    }

    /// The largest size in which a picture of this size is stored.
    pub fn largest(self) -> Self {
        self.scaled_to(self.width.min(WIDTHS[WIDTHS.len() - 1]))
    }

    /// Every stored size in every format, smallest first.
    pub fn renditions(self) -> impl Iterator<Item = Rendition> {
        self.ladder()
            .flat_map(|size| Format::BEST_FIRST.into_iter().map(move |format| Rendition { size, format }))
    }
}

/// The widths of renditions in pixels. A picture that is narrower than one of them ends with its own width.
const WIDTHS: [u16; 4] = [320, 640, 1280, 2048];

/// In what a rendition is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    Avif,
    Jpeg,
}

impl Format {
    /// In the order in which a browser should take the first that it understands.
    pub const BEST_FIRST: [Self; 2] = [Self::Avif, Self::Jpeg];

    /// The MIME type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Avif => "image/avif",
            Self::Jpeg => "image/jpeg",
        }
    }

    const fn extension(self) -> &'static str {
        match self {
            Self::Avif => "avif",
            Self::Jpeg => "jpg",
        }
    }
}

/// One stored size in one format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rendition {
    pub size: Size,
    pub format: Format,
}

/// The folder of one picture's files. Random: who does not know it cannot look at an unpublished picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct FileKey(pub Uuid);

impl FileKey {
    /// A key that nobody can guess.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// Reads the form that [`fmt::Display`] writes, and no other.
    pub fn parse(text: &str) -> Option<Self> {
        let key = Self(Uuid::try_parse(text).ok()?);
        (key.to_string() == text).then_some(key)
    }

    /// Where a file is found on this origin.
    pub fn url(self, file: FileName) -> String {
        format!("/media/{self}/{file}")
    }

    /// The value of a `srcset` attribute with the renditions of one format.
    pub fn srcset(self, size: Size, format: Format) -> String {
        use fmt::Write as _;
        let mut srcset = String::with_capacity(256);
        for size in size.ladder() {
            let separator = if srcset.is_empty() { "" } else { ", " };
            let file = FileName::Rendition { width: size.width, format };
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

/// One of a picture's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileName {
    /// What all renditions are made from, so that a lost one can be made again. Never served.
    Master,
    /// What browsers load.
    Rendition { width: u16, format: Format },
}

impl FileName {
    /// All files of a picture of this size.
    pub fn all(size: Size) -> impl Iterator<Item = Self> {
        let renditions = size.renditions().map(Self::from);
        [Self::Master].into_iter().chain(renditions)
    }

    /// Reads the form that [`fmt::Display`] writes, and no other.
    pub fn parse(text: &str) -> Option<Self> {
        let file = match text.rsplit_once('.')? {
            ("master", "jpg") => Self::Master,
            (width, "avif") => Self::Rendition { width: width.parse().ok()?, format: Format::Avif },
            (width, "jpg") => Self::Rendition { width: width.parse().ok()?, format: Format::Jpeg },
            _ => return None,
        };
        (file.to_string() == text).then_some(file)
    }
}

impl From<Rendition> for FileName {
    fn from(rendition: Rendition) -> Self {
        Self::Rendition { width: rendition.size.width, format: rendition.format }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master => f.write_str("master.jpg"),
            Self::Rendition { width, format } => write!(f, "{width}.{}", format.extension()),
        }
    }
}

/// The day on which a photo that is published `now` competes.
pub fn hot_day(now: DateTime<Utc>, zone: chrono_tz::Tz) -> NaiveDate {
    now.with_timezone(&zone).date_naive()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn widths(width: u16) -> Vec<u16> {
        Size { width, height: 100 }.ladder().map(|size| size.width).collect()
    }

    #[test]
    fn the_ladder_ends_with_the_picture_or_the_widest() {
        assert_eq!(widths(1), [1]);
        assert_eq!(widths(320), [320]);
        assert_eq!(widths(500), [320, 500]);
        assert_eq!(widths(1280), [320, 640, 1280]);
        assert_eq!(widths(2048), [320, 640, 1280, 2048]);
        assert_eq!(widths(4000), [320, 640, 1280, 2048]);
    }

    fn size() -> impl Strategy<Value = Size> {
        (1_u16..=12_000, 1_u16..=12_000).prop_map(|(width, height)| Size { width, height })
    }

    proptest! {
        #[test]
        fn renditions_grow_and_never_outgrow_the_picture(size in size()) {
            let ladder: Vec<_> = size.ladder().collect();
            prop_assert!(ladder.is_sorted_by(|a, b| a.width < b.width && a.height <= b.height));
            prop_assert!(ladder.iter().all(|step| step.width <= size.width && (1..=size.height).contains(&step.height)));
            prop_assert_eq!(*ladder.last().unwrap(), size.largest());
            // The shape is kept to within half a pixel.
            for step in ladder.iter().filter(|step| step.height > 1) {
                let exact = f64::from(size.height) * f64::from(step.width) / f64::from(size.width);
                prop_assert!((f64::from(step.height) - exact).abs() <= 0.5);
            }
        }

        #[test]
        fn a_file_name_reads_back(size in size()) {
            for file in FileName::all(size) {
                prop_assert_eq!(FileName::parse(&file.to_string()), Some(file));
            }
        }

        #[test]
        fn no_text_is_a_wrong_file_name(text: String) {
            if let Some(file) = FileName::parse(&text) {
                prop_assert_eq!(file.to_string(), text);
            }
        }

        #[test]
        fn limits_hold(width: u32, height: u32) {
            if let Some(size) = Size::within_limits(width, height) {
                prop_assert!(size.width <= 12_000 && size.height <= 12_000);
                prop_assert!(u64::from(size.width) * u64::from(size.height) <= 50_000_000);
            }
        }
    }

    #[test]
    fn only_our_spelling_names_a_file() {
        let key = FileKey(Uuid::from_u128(0x00ab_cdef));
        assert_eq!(FileKey::parse(&key.to_string()), Some(key));
        for text in ["", "..", "0", &key.0.to_string(), &key.to_string().to_uppercase()] {
            assert_eq!(FileKey::parse(text), None, "{text}");
        }
        for text in ["", ".jpg", "320.png", "0320.jpg", "+320.jpg", "70000.jpg", "320.jpg#1", "../320.jpg"] {
            assert_eq!(FileName::parse(text), None, "{text}");
        }
    }

    #[test]
    fn titles() {
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
    fn the_day_is_that_of_the_site() {
        let late: DateTime<Utc> = "2026-11-22T23:30:00Z".parse().unwrap();
        assert_eq!(hot_day(late, chrono_tz::UTC).to_string(), "2026-11-22");
        assert_eq!(hot_day(late, chrono_tz::Europe::Berlin).to_string(), "2026-11-23");
        assert_eq!(hot_day(late, chrono_tz::America::Los_Angeles).to_string(), "2026-11-22");
    }
}
