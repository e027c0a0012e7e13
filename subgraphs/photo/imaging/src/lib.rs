//! Decodes an uploaded picture and encodes the stored files. CPU-bound: call it from a blocking thread.
//!
//! A separate crate, so that codecs are compiled with optimisation in development builds too, and not again with every
//! change to the service.
//!
//! No byte of the original is stored: pixels are decoded and encoded again, without metadata and hidden data.

#![forbid(unsafe_code)]

mod canvas;
mod color;
mod container;
mod encode;
mod jpeg;
mod png;
mod renditions;
mod webp;

pub use container::PictureFormat;
pub use encode::reencode;
pub use renditions::{FileName, Format, Ladder, Rendition, Size};

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};
use serde::{Deserialize, Serialize};

use crate::canvas::{Canvas, scale};
use crate::jpeg::Jpeg;

/// Why a picture is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureError {
    /// Too many pixels.
    #[error(
        "This picture is too large: it may have up to {} megapixels and {} pixels a side.",
        Size::MAX_PIXELS / 1_000_000,
        Size::MAX_SIDE
    )]
    TooLarge,
    /// Decoding needs more memory than the limit.
    #[error(
        "This picture needs too much memory. Upload it with fewer pixels, or with 8 bits a channel, or as JPEG."
    )]
    TooMuchMemory,
    /// Pixels are missing.
    #[error("This file is incomplete: a part of the picture is missing. Upload the original file again.")]
    Truncated,
    /// The data does not match the format.
    #[error("This file is damaged and cannot be read as a picture. Upload another copy of it.")]
    Unreadable,
    /// Arithmetic coding (ITU-T T.81, annex D).
    #[error(
        "This is a JPEG with arithmetic coding, which browsers do not show. Save it as a standard JPEG, then upload that."
    )]
    ArithmeticJpeg,
    /// Another standard (ITU-T T.87) in the same container.
    #[error(
        "This is a JPEG-LS file, which browsers do not show. Save it as a standard JPEG or as PNG, then upload that."
    )]
    JpegLs,
    /// More than 8 bits a sample.
    #[error(
        "This is a JPEG with 12 bits a channel, which browsers do not show. Save it as a standard JPEG with 8 bits a channel, then upload that."
    )]
    TwelveBitJpeg,
    /// Lossless coding (ITU-T T.81, annex H).
    #[error(
        "This is a lossless JPEG, which browsers do not show. Save it as a standard JPEG or as PNG, then upload that."
    )]
    LosslessJpeg,
    /// Hierarchical coding (ITU-T T.81, annex J).
    #[error(
        "This is a hierarchical JPEG, which browsers do not show. Save it as a standard JPEG, then upload that."
    )]
    HierarchicalJpeg,
}

/// A file of a photo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub name: FileName,
    pub bytes: Vec<u8>,
}

/// The result of processing an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Processed {
    /// The size of the original, upright.
    pub size: Size,
    /// `ThumbHash`.
    pub placeholder: Vec<u8>,
    /// The master and every rendition.
    pub files: Vec<File>,
}

/// Decodes a picture, and encodes all files that are stored.
pub fn process(kind: PictureFormat, bytes: &[u8]) -> Result<Processed, PictureError> {
    let (stored, canvas, orientation) = match kind {
        PictureFormat::Jpeg => decode_jpeg(bytes)?,
        PictureFormat::Png => png::decode(bytes)?,
        PictureFormat::Webp => webp::decode(bytes)?,
    };
    let pixels = canvas.finish().ok_or(PictureError::Truncated)?;
    // Scaled before turned, which needs less time and memory.
    let mut upright = DynamicImage::ImageRgb8(pixels);
    upright.apply_orientation(orientation);
    let upright = upright.into_rgb8();
    let size = if transposes(orientation) {
        stored.transposed()
    } else {
        stored
    };
    let placeholder = placeholder(&upright);
    let files = encode::all(&upright, size)?;
    Ok(Processed {
        size,
        placeholder,
        files,
    })
}

fn decode_jpeg(bytes: &[u8]) -> Result<(Size, Canvas, Orientation), PictureError> {
    let jpeg = Jpeg::parse(bytes)?;
    let converter = jpeg.converter();
    let mut canvas = Canvas::new(jpeg.size, jpeg.size.largest(Ladder::LongerSide));
    jpeg.decode(|row| canvas.push(|rgb| converter.append(row, rgb)))?;
    Ok((jpeg.size, canvas, orientation(jpeg.exif())))
}

/// Decodes a JPEG rendition or master in its original size.
fn decode_own_jpeg(bytes: &[u8]) -> Result<RgbImage, PictureError> {
    let jpeg = Jpeg::parse(bytes)?;
    let converter = jpeg.converter();
    let mut canvas = Canvas::new(jpeg.size, jpeg.size);
    jpeg.decode(|row| canvas.push(|rgb| converter.append(row, rgb)))?;
    canvas.finish().ok_or(PictureError::Unreadable)
}

/// Returns the orientation in an EXIF block. Damaged blocks have none.
fn orientation(exif: Option<&[u8]>) -> Orientation {
    // The block begins with the byte order. JPEG has an identifier before it, which some programs copy to WebP.
    let tiff = exif.and_then(|exif| {
        let start = exif
            .windows(4)
            .take(8)
            .position(|head| head == b"II*\0" || head == b"MM\0*")?;
        exif.get(start..)
    });
    tiff.and_then(Orientation::from_exif_chunk)
        .unwrap_or(Orientation::NoTransforms)
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

/// Returns the `ThumbHash` (evanw.github.io/thumbhash) of a copy of at most 100 by 100 pixels.
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
