//! Takes a picture row by row and keeps it no wider than wanted: a large picture never exists in full.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{ResizeOptions, Resizer};
use image::RgbImage;

use crate::Size;

/// How many rows are scaled at once.
const STRIP_ROWS: usize = 64;

/// Rows in three bytes a pixel, in order from the top.
pub(crate) struct Canvas {
    from: Size,
    to: Size,
    resizer: Resizer,
    /// Rows of the original width that are not narrowed yet.
    strip: Vec<u8>,
    narrowed: Vec<u8>,
}

impl Canvas {
    pub(crate) fn new(from: Size, to: Size) -> Self {
        let bytes = usize::from(to.width) * usize::from(from.height) * 3;
        Self {
            from,
            to,
            resizer: Resizer::new(),
            strip: Vec::with_capacity(usize::from(from.width) * 3 * STRIP_ROWS),
            narrowed: Vec::with_capacity(bytes),
        }
    }

    /// Appends one row, which `fill` appends to what it gets.
    pub(crate) fn push(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        fill(&mut self.strip);
        if self.strip.len() >= usize::from(self.from.width) * 3 * STRIP_ROWS {
            self.narrow();
        }
    }

    fn narrow(&mut self) {
        if self.from.width == self.to.width {
            self.narrowed.append(&mut self.strip);
            return;
        }
        let rows = self.strip.len() / (usize::from(self.from.width) * 3);
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        if rows > 0 {
            let narrowed = resize(
                &mut self.resizer,
                (u32::from(self.from.width), rows, &self.strip),
                (u32::from(self.to.width), rows),
            );
            self.narrowed.extend_from_slice(&narrowed);
        }
        self.strip.clear();
    }

    /// The picture in the wanted size; `None` where rows are missing.
    pub(crate) fn finish(mut self) -> Option<RgbImage> {
        self.narrow();
        self.strip = Vec::new();
        let narrowed = RgbImage::from_raw(
            u32::from(self.to.width),
            u32::from(self.from.height),
            self.narrowed,
        )?;
        Some(scale(narrowed, self.to))
    }
}

/// The picture in another size (Lanczos, three lobes).
pub(crate) fn scale(pixels: RgbImage, to: Size) -> RgbImage {
    let (width, height) = (u32::from(to.width), u32::from(to.height));
    if pixels.dimensions() == (width, height) {
        return pixels;
    }
    let (own_width, own_height) = pixels.dimensions();
    let scaled = resize(
        &mut Resizer::new(),
        (own_width, own_height, pixels.as_raw()),
        (width, height),
    );
    RgbImage::from_raw(width, height, scaled).expect("a picture has three bytes a pixel")
}

fn resize(
    resizer: &mut Resizer,
    (own_width, own_height, bytes): (u32, u32, &[u8]),
    (width, height): (u32, u32),
) -> Vec<u8> {
    let mut scaled = vec![0; width as usize * height as usize * 3];
    // The types are given because `Resizer::resize` is compiled for every type of pixel, which takes minutes.
    let from = TypedImageRef::<U8x3>::from_buffer(own_width, own_height, bytes)
        .expect("a picture has three bytes a pixel");
    let mut to = TypedImage::<U8x3>::from_buffer(width, height, &mut scaled)
        .expect("a picture has three bytes a pixel");
    resizer
        .resize_typed(&from, &mut to, &ResizeOptions::new())
        .expect("both pictures have pixels");
    scaled
}
