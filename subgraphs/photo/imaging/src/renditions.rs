//! The files of a photo. They follow from its size, so that the database does not store them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Size {
    pub width: u16,
    pub height: u16,
}

impl Size {
    /// The maximum width and height in pixels.
    pub const MAX_SIDE: u32 = 12_000;
    /// The maximum number of pixels.
    pub const MAX_PIXELS: u64 = 50_000_000;

    /// Returns a size within the limits; `None` for all others, which are not decoded.
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

    /// Returns the size with width and height exchanged.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            width: self.height,
            height: self.width,
        }
    }

    /// Returns the size scaled to this longer side. The shorter side has at least one pixel.
    fn scaled_to(self, longer: u16) -> Self {
        let scaled = |side: u16| {
            let (side, own) = (u32::from(side) * u32::from(longer), u32::from(self.longer()));
            u16::try_from(((side + own / 2) / own).max(1)).unwrap_or(u16::MAX)
        };
        Self {
            width: scaled(self.width),
            height: scaled(self.height),
        }
    }

    fn scaled_to_width(self, width: u16) -> Self {
        let (own, new) = (u32::from(self.width), u32::from(width));
        let height = (u32::from(self.height) * new + own / 2) / own;
        Self {
            width,
            height: u16::try_from(height.max(1)).unwrap_or(u16::MAX),
        }
    }

    fn longer(self) -> u16 {
        self.width.max(self.height)
    }

    fn shorter(self) -> u16 {
        self.width.min(self.height)
    }

    /// Returns the stored sizes, smallest first: never larger than the picture, and with increasing widths, because
    /// files are named by their width.
    pub fn stored(self, ladder: Ladder) -> Vec<Self> {
        let mut sizes: Vec<Self> = Vec::with_capacity(6);
        let mut add = |size: Self| match sizes.last_mut() {
            Some(last) if last.width == size.width => *last = size,
            _ => sizes.push(size),
        };
        match ladder {
            Ladder::Width => {
                let widest = self.width.min(DEFAULT_LARGEST);
                SIDE_LENGTHS
                    .into_iter()
                    .filter(|&rung| rung < widest)
                    .chain([widest])
                    .for_each(|rung| add(self.scaled_to_width(rung)));
            }
            Ladder::LongerSide => {
                let doubled =
                    std::iter::successors(Some(DEFAULT_LARGEST), |rung| rung.checked_mul(2)).skip(1);
                let rungs = SIDE_LENGTHS.into_iter().chain(doubled);
                for rung in rungs {
                    let size = if rung < self.longer() {
                        self.scaled_to(rung)
                    } else {
                        self
                    };
                    add(size);
                    let is_large = rung >= DEFAULT_LARGEST && size.shorter() >= MIN_SHORTER_SIDE;
                    if is_large || size == self {
                        break;
                    }
                }
            }
        }
        sizes
    }

    /// Returns the largest stored size.
    #[must_use]
    pub fn largest(self, ladder: Ladder) -> Self {
        self.stored(ladder).pop().unwrap_or(self)
    }

    /// Returns every stored size in every format, smallest first.
    pub fn renditions(self, ladder: Ladder) -> impl Iterator<Item = Rendition> {
        self.stored(ladder).into_iter().flat_map(|size| {
            Format::BEST_FIRST
                .into_iter()
                .map(move |format| Rendition { size, format })
        })
    }
}

/// The choice of the stored sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ladder {
    /// By the width, up to 2048 pixels: the sizes of early releases.
    Width,
    /// By the longer side, up to 2048 pixels; larger while the shorter side has fewer than 480 pixels.
    LongerSide,
}

/// In pixels. For smaller pictures, the largest stored size is their own.
const SIDE_LENGTHS: [u16; 4] = [320, 640, 1280, DEFAULT_LARGEST];
const DEFAULT_LARGEST: u16 = 2048;
/// In pixels: panoramas must have a useful height.
const MIN_SHORTER_SIDE: u16 = 480;

/// The format of a rendition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Format {
    Avif,
    Jpeg,
}

impl Format {
    /// In the order of preference for browsers.
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

/// A stored size in one format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rendition {
    pub size: Size,
    pub format: Format,
}

/// The name of a file of a photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileName {
    /// The source of all renditions, to encode lost ones again. Never served.
    Master,
    /// A file for browsers.
    Rendition { width: u16, format: Format },
}

impl FileName {
    /// Returns all files of a photo of this size.
    pub fn all(size: Size, ladder: Ladder) -> impl Iterator<Item = Self> {
        let renditions = size.renditions(ladder).map(Self::from);
        [Self::Master].into_iter().chain(renditions)
    }

    /// Parses the form that [`fmt::Display`] writes, and no other.
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

    fn sizes(width: u16, height: u16, ladder: Ladder) -> Vec<(u16, u16)> {
        let stored = Size { width, height }.stored(ladder);
        stored.into_iter().map(|size| (size.width, size.height)).collect()
    }

    #[test]
    fn sizes_depend_on_the_longer_side() {
        let sizes = |width, height| sizes(width, height, Ladder::LongerSide);
        assert_eq!(sizes(1, 1), [(1, 1)]);
        assert_eq!(sizes(320, 200), [(320, 200)]);
        assert_eq!(sizes(500, 400), [(320, 256), (500, 400)]);
        assert_eq!(
            sizes(4000, 3000),
            [(320, 240), (640, 480), (1280, 960), (2048, 1536)]
        );
        assert_eq!(
            sizes(3000, 4000),
            [(240, 320), (480, 640), (960, 1280), (1536, 2048)]
        );
    }

    #[test]
    fn the_largest_of_a_panorama_is_useful() {
        let sizes = |width, height| sizes(width, height, Ladder::LongerSide);
        let panorama = sizes(12_000, 500);
        assert_eq!(
            panorama,
            [
                (320, 13),
                (640, 27),
                (1280, 53),
                (2048, 85),
                (4096, 171),
                (8192, 341),
                (12_000, 500)
            ]
        );
        let strip: Vec<_> = sizes(500, 12_000)
            .into_iter()
            .map(|(width, height)| (height, width))
            .collect();
        assert_eq!(strip, panorama);
        assert_eq!(sizes(12_000, 1000).last(), Some(&(8192, 683)));
        assert_eq!(sizes(2, 12_000), [(1, 8192), (2, 12_000)]);
    }

    #[test]
    fn early_releases_used_the_width() {
        let widths = |width| -> Vec<u16> {
            let sizes = sizes(width, 100, Ladder::Width);
            sizes.into_iter().map(|(width, _)| width).collect()
        };
        assert_eq!(widths(1), [1]);
        assert_eq!(widths(500), [320, 500]);
        assert_eq!(widths(2048), [320, 640, 1280, 2048]);
        assert_eq!(widths(4000), [320, 640, 1280, 2048]);
        assert_eq!(sizes(12_000, 500, Ladder::Width).last(), Some(&(2048, 85)));
    }

    fn ladder() -> impl Strategy<Value = Ladder> {
        prop_oneof![Just(Ladder::Width), Just(Ladder::LongerSide)]
    }

    fn size() -> impl Strategy<Value = Size> {
        (1_u16..=12_000, 1_u16..=12_000).prop_map(|(width, height)| Size { width, height })
    }

    proptest! {
        #[test]
        fn renditions_grow_and_are_never_larger_than_the_picture(size in size(), ladder in ladder()) {
            let stored = size.stored(ladder);
            prop_assert!(stored.is_sorted_by(|a, b| a.width < b.width && a.height <= b.height));
            let fits = |step: &Size| {
                (1..=size.width).contains(&step.width) && (1..=size.height).contains(&step.height)
            };
            prop_assert!(stored.iter().all(fits));
            prop_assert_eq!(*stored.last().unwrap(), size.largest(ladder));
            // The aspect ratio is kept within a pixel.
            for step in stored.iter().filter(|step| step.height > 1 && step.width > 1) {
                let exact = f64::from(size.height) * f64::from(step.width) / f64::from(size.width);
                let one_wider = exact / f64::from(step.width);
                prop_assert!((f64::from(step.height) - exact).abs() <= one_wider.max(1.0));
            }
        }

        #[test]
        fn a_rotated_picture_has_the_same_largest_size(size in size()) {
            let largest = size.largest(Ladder::LongerSide);
            prop_assert_eq!(size.transposed().largest(Ladder::LongerSide), largest.transposed());
        }

        #[test]
        fn file_names_can_be_parsed(size in size(), ladder in ladder()) {
            for file in FileName::all(size, ladder) {
                prop_assert_eq!(FileName::parse(&file.to_string()), Some(file));
            }
        }

        #[test]
        fn parsed_file_names_are_canonical(text: String) {
            if let Some(file) = FileName::parse(&text) {
                prop_assert_eq!(file.to_string(), text);
            }
        }

        #[test]
        fn sizes_are_within_the_limits(width: u32, height: u32) {
            if let Some(size) = Size::within_limits(width, height) {
                prop_assert!(size.width <= 12_000 && size.height <= 12_000);
                prop_assert!(u64::from(size.width) * u64::from(size.height) <= 50_000_000);
            }
        }
    }

    #[test]
    fn other_spellings_are_not_file_names() {
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
