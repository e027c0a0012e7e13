//! Which files a picture has: this follows from its size alone, so nobody has to remember it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
        let side = |pixels: u32| {
            u16::try_from(pixels)
                .ok()
                .filter(|_| (1..=Self::MAX_SIDE).contains(&pixels))
        };
        let within = Self {
            width: side(width)?,
            height: side(height)?,
        };
        (u64::from(width) * u64::from(height) <= Self::MAX_PIXELS).then_some(within)
    }

    /// With the sides changed over, as a picture on its side has them.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            width: self.height,
            height: self.width,
        }
    }

    /// The same picture scaled to `width`, at least one pixel high.
    #[must_use]
    pub fn scaled_to(self, width: u16) -> Self {
        let (own, new) = (u32::from(self.width), u32::from(width));
        let height = (u32::from(self.height) * new + own / 2) / own;
        Self {
            width,
            height: u16::try_from(height.max(1)).unwrap_or(u16::MAX),
        }
    }

    /// The sizes in which a picture of this size is stored, smallest first: never wider than the picture, each once.
    pub fn ladder(self) -> impl DoubleEndedIterator<Item = Self> + Clone {
        let widest = self.width.min(WIDTHS[WIDTHS.len() - 1]);
        let below = WIDTHS.into_iter().filter(move |&width| width < widest);
        below.chain([widest]).map(move |width| self.scaled_to(width))
    }

    /// The largest size in which a picture of this size is stored.
    #[must_use]
    pub fn largest(self) -> Self {
        self.scaled_to(self.width.min(WIDTHS[WIDTHS.len() - 1]))
    }

    /// Every stored size in every format, smallest first.
    pub fn renditions(self) -> impl Iterator<Item = Rendition> {
        self.ladder().flat_map(|size| {
            Format::BEST_FIRST
                .into_iter()
                .map(move |format| Rendition { size, format })
        })
    }
}

/// The widths of renditions in pixels. A picture that is narrower than one of them ends with its own width.
const WIDTHS: [u16; 4] = [320, 640, 1280, 2048];

/// In what a rendition is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rendition {
    pub size: Size,
    pub format: Format,
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
            (width, "avif") => Self::Rendition {
                width: width.parse().ok()?,
                format: Format::Avif,
            },
            (width, "jpg") => Self::Rendition {
                width: width.parse().ok()?,
                format: Format::Jpeg,
            },
            _ => return None,
        };
        (file.to_string() == text).then_some(file)
    }
}

impl From<Rendition> for FileName {
    fn from(rendition: Rendition) -> Self {
        Self::Rendition {
            width: rendition.size.width,
            format: rendition.format,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn widths(width: u16) -> Vec<u16> {
        Size { width, height: 100 }
            .ladder()
            .map(|size| size.width)
            .collect()
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
        for text in [
            "",
            ".jpg",
            "320.png",
            "0320.jpg",
            "+320.jpg",
            "70000.jpg",
            "320.jpg#1",
            "../320.jpg",
        ] {
            assert_eq!(FileName::parse(text), None, "{text}");
        }
    }
}
