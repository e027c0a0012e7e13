//! Scales a picture down row by row, so that a large picture is never in memory as a whole.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{ResizeOptions, Resizer};
use image::RgbImage;

use crate::Size;

/// The number of rows that are scaled at once.
const STRIP_ROWS: usize = 64;

/// RGB rows with 8 bits per sample, from the top.
pub(crate) struct Canvas {
    from: Size,
    to: Size,
    resizer: Resizer,
    /// Rows of the original width that are not scaled yet.
    strip: Vec<u8>,
    scaled: Vec<u8>,
}

impl Canvas {
    pub(crate) fn new(from: Size, to: Size) -> Self {
        let bytes = usize::from(to.width) * usize::from(from.height) * 3;
        Self {
            from,
            to,
            resizer: Resizer::new(),
            strip: Vec::with_capacity(usize::from(from.width) * 3 * STRIP_ROWS),
            scaled: Vec::with_capacity(bytes),
        }
    }

    /// Appends a row, which `fill` writes.
    pub(crate) fn push(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        fill(&mut self.strip);
        if self.strip.len() >= usize::from(self.from.width) * 3 * STRIP_ROWS {
            self.scale_strip();
        }
    }

    fn scale_strip(&mut self) {
        if self.from.width == self.to.width {
            self.scaled.append(&mut self.strip);
            return;
        }
        let rows = self.strip.len() / (usize::from(self.from.width) * 3);
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        if rows > 0 {
            let scaled = resize(
                &mut self.resizer,
                (u32::from(self.from.width), rows, &self.strip),
                (u32::from(self.to.width), rows),
            );
            self.scaled.extend_from_slice(&scaled);
        }
        self.strip.clear();
    }

    /// Returns the picture in the target size; `None` if rows are missing.
    pub(crate) fn finish(mut self) -> Option<RgbImage> {
        self.scale_strip();
        self.strip = Vec::new();
        let scaled = RgbImage::from_raw(u32::from(self.to.width), u32::from(self.from.height), self.scaled)?;
        Some(scale(scaled, self.to))
    }
}

/// Scales a picture (Lanczos, three lobes).
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
    RgbImage::from_raw(width, height, scaled).expect("a picture has three bytes per pixel")
}

fn resize(
    resizer: &mut Resizer,
    (own_width, own_height, bytes): (u32, u32, &[u8]),
    (width, height): (u32, u32),
) -> Vec<u8> {
    let mut scaled = vec![0; width as usize * height as usize * 3];
    // Explicit types, because `Resizer::resize` would be compiled for every pixel type, which takes minutes.
    let from = TypedImageRef::<U8x3>::from_buffer(own_width, own_height, bytes)
        .expect("a picture has three bytes per pixel");
    let mut to = TypedImage::<U8x3>::from_buffer(width, height, &mut scaled)
        .expect("a picture has three bytes per pixel");
    resizer
        .resize_typed(&from, &mut to, &ResizeOptions::new())
        .expect("both pictures have pixels");
    scaled
}
