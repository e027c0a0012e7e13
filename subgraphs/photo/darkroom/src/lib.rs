//! From the bytes that somebody sent to the files that we keep. All of it is work for the processor: call it from
//! a thread that may be busy.
//!
//! A crate of its own because of the compiler: codecs are generic, so their loops are compiled where they are called.
//! Here the optimiser is on in development builds too, and nobody who works on the service waits for it.
//!
//! Nothing of the original's bytes survives: pixels are decoded and encoded again, so its metadata, and whatever
//! hides behind its end, stay outside.

#![forbid(unsafe_code)]

mod container;
mod encode;
mod renditions;

pub use container::Kind;
pub use encode::remake;
pub use renditions::{FileName, Format, Rendition, Size};

use std::io::Cursor;

use fast_image_resize::images::Image;
use fast_image_resize::{PixelType, ResizeOptions, Resizer};
use image::codecs::jpeg::JpegDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::error::LimitErrorKind;
use image::metadata::Orientation;
use image::{DynamicImage, GrayAlphaImage, ImageDecoder, ImageError, Limits, RgbImage, RgbaImage};
use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};
use serde::{Deserialize, Serialize};

/// The most memory that decoding one picture may take: the largest one that is allowed, with four channels of 16 bits.
const DECODER_MEMORY: u64 = Size::MAX_PIXELS * 8;

/// Why a picture is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureError {
    /// It has too many pixels.
    #[error(
        "This picture is too large: it may have up to {} megapixels and {} pixels a side.",
        Size::MAX_PIXELS / 1_000_000,
        Size::MAX_SIDE
    )]
    TooLarge,
    /// Decoding it would take more memory than there is for it.
    #[error(
        "This picture needs too much memory. Upload it with fewer pixels, or with 8 bits a channel, or as JPEG."
    )]
    TooMuchMemory,
    /// It ends before its end.
    #[error("This file is cut off: its end is missing.")]
    Truncated,
    /// It is not what its first bytes promise.
    #[error("This file cannot be read as a picture.")]
    Unreadable,
}

/// A file of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub name: FileName,
    pub bytes: Vec<u8>,
}

/// What becomes of an uploaded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Developed {
    /// Of the original, upright.
    pub size: Size,
    /// `ThumbHash`.
    pub placeholder: Vec<u8>,
    /// The master and every rendition.
    pub files: Vec<File>,
}

/// Decodes a picture of this kind and makes everything that is kept of it.
pub fn develop(kind: Kind, bytes: &[u8]) -> Result<Developed, PictureError> {
    container::require_end(kind, bytes)?;
    match kind {
        Kind::Jpeg => develop_with(JpegDecoder::new(Cursor::new(bytes))),
        // A picture's own header comes first, so these limits hold before anything is unpacked.
        Kind::Png => develop_with(PngDecoder::with_limits(Cursor::new(bytes), limits())),
        Kind::Webp => develop_with(WebPDecoder::new(Cursor::new(bytes))),
    }
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(DECODER_MEMORY);
    limits
}

fn develop_with<D: ImageDecoder>(decoder: Result<D, ImageError>) -> Result<Developed, PictureError> {
    let mut decoder = decoder.map_err(|error| refused(&error))?;
    let (width, height) = decoder.dimensions();
    let stored = Size::within_limits(width, height).ok_or(PictureError::TooLarge)?;
    decoder.set_limits(limits()).map_err(|error| refused(&error))?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    // A profile that cannot be read is one that the picture does not have.
    let profile = decoder
        .icc_profile()
        .ok()
        .flatten()
        .and_then(|icc| ColorProfile::new_from_slice(&icc).ok());
    let size = if transposes(orientation) {
        stored.transposed()
    } else {
        stored
    };

    let pixels = DynamicImage::from_decoder(decoder).map_err(|error| refused(&error))?;
    // Scaled first, turned and converted then: that is a fraction of the work and of the memory.
    let target = if transposes(orientation) {
        size.largest().transposed()
    } else {
        size.largest()
    };
    let mut pixels = scale(opaque(pixels), target);
    if let Some(profile) = profile {
        convert_to_srgb(&mut pixels, &profile);
    }
    let mut upright = DynamicImage::ImageRgb8(pixels);
    upright.apply_orientation(orientation);
    let upright = upright.into_rgb8();

    let placeholder = placeholder(&upright);
    let files = encode::all(&upright, size)?;
    Ok(Developed {
        size,
        placeholder,
        files,
    })
}

fn refused(error: &ImageError) -> PictureError {
    match error {
        ImageError::Limits(limit) if matches!(limit.kind(), LimitErrorKind::InsufficientMemory) => {
            PictureError::TooMuchMemory
        }
        ImageError::Limits(_) => PictureError::TooLarge,
        _ => PictureError::Unreadable,
    }
}

fn transposes(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

/// Eight bits a channel and no transparency: what lies behind a picture is white paper.
fn opaque(pixels: DynamicImage) -> RgbImage {
    match pixels {
        DynamicImage::ImageLumaA8(pixels) => flatten_gray(&pixels),
        DynamicImage::ImageLumaA16(_) => flatten_gray(&pixels.into_luma_alpha8()),
        DynamicImage::ImageRgba8(pixels) => flatten(&pixels),
        DynamicImage::ImageRgba16(_) => flatten(&pixels.into_rgba8()),
        others => others.into_rgb8(),
    }
}

fn flatten(pixels: &RgbaImage) -> RgbImage {
    let mut flat = RgbImage::new(pixels.width(), pixels.height());
    for (to, from) in flat.pixels_mut().zip(pixels.pixels()) {
        let [r, g, b, alpha] = from.0;
        to.0 = [over_white(r, alpha), over_white(g, alpha), over_white(b, alpha)];
    }
    flat
}

fn flatten_gray(pixels: &GrayAlphaImage) -> RgbImage {
    let mut flat = RgbImage::new(pixels.width(), pixels.height());
    for (to, from) in flat.pixels_mut().zip(pixels.pixels()) {
        let [gray, alpha] = from.0;
        to.0 = [over_white(gray, alpha); 3];
    }
    flat
}

fn over_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    let mixed = (value * alpha + 255 * (255 - alpha) + 127) / 255;
    u8::try_from(mixed).unwrap_or(u8::MAX)
}

/// The picture in another size (Lanczos, three lobes).
fn scale(pixels: RgbImage, to: Size) -> RgbImage {
    let (width, height) = (u32::from(to.width), u32::from(to.height));
    if pixels.dimensions() == (width, height) {
        return pixels;
    }
    let (own_width, own_height) = pixels.dimensions();
    let from = Image::from_vec_u8(own_width, own_height, pixels.into_raw(), PixelType::U8x3)
        .expect("a picture has three bytes a pixel");
    let mut scaled = Image::new(width, height, PixelType::U8x3);
    Resizer::new()
        .resize(&from, &mut scaled, &ResizeOptions::new())
        .expect("both pictures have pixels, of the same type");
    RgbImage::from_raw(width, height, scaled.into_vec()).expect("a picture has three bytes a pixel")
}

/// Converts pixels from what `profile` describes to sRGB. A profile of another model than the pixels' is left out:
/// the decoder has already made RGB of CMYK.
fn convert_to_srgb(pixels: &mut RgbImage, profile: &ColorProfile) {
    let layout = match profile.color_space {
        DataColorSpace::Rgb => Layout::Rgb,
        DataColorSpace::Gray => Layout::Gray,
        _ => return,
    };
    let srgb = ColorProfile::new_srgb();
    let Ok(transform) =
        profile.create_transform_8bit(layout, &srgb, Layout::Rgb, TransformOptions::default())
    else {
        return;
    };
    let from: Vec<u8> = match layout {
        Layout::Gray => pixels.pixels().map(|pixel| pixel.0[0]).collect(),
        _ => pixels.as_raw().clone(),
    };
    let mut converted = vec![0; pixels.as_raw().len()];
    if transform.transform(&from, &mut converted).is_ok() {
        pixels.copy_from_slice(&converted);
    }
}

/// The picture's `ThumbHash` (evanw.github.io/thumbhash), made from a copy of at most 100 by 100 pixels.
fn placeholder(pixels: &RgbImage) -> Vec<u8> {
    let longest = pixels.width().max(pixels.height()).max(1);
    let side = |pixels: u32| u16::try_from((pixels * 100 / longest).clamp(1, 100)).unwrap_or(100);
    let small = if longest <= 100 {
        pixels.clone()
    } else {
        scale(
            pixels.clone(),
            Size {
                width: side(pixels.width()),
                height: side(pixels.height()),
            },
        )
    };
    let (width, height) = small.dimensions();
    let rgba: Vec<u8> = small
        .pixels()
        .flat_map(|pixel| [pixel.0[0], pixel.0[1], pixel.0[2], 255])
        .collect();
    thumbhash::rgba_to_thumb_hash(width as usize, height as usize, &rgba)
}
