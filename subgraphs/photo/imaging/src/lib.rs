//! Decodes an uploaded picture and encodes the files that are stored. CPU-bound: call it from a blocking thread.
//!
//! A separate crate because codecs are generic: their loops are compiled here, with optimisation in development builds
//! too, and not again with every change to the service.
//!
//! No byte of the original survives: pixels are decoded and encoded again, so its metadata, and everything that hides
//! behind its end, stay outside.

#![forbid(unsafe_code)]

mod canvas;
mod color;
mod container;
mod encode;
mod jpeg;
mod png;
mod renditions;
mod webp;

pub use container::Kind;
pub use encode::reencode;
pub use renditions::{FileName, Format, Ladder, Rendition, Size};

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};
use serde::{Deserialize, Serialize};

use crate::canvas::{Canvas, scale};
use crate::jpeg::Jpeg;

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
    /// Pixels are missing.
    #[error("This file is incomplete: a part of the picture is missing. Upload the original file again.")]
    Truncated,
    /// It is not what its first bytes promise.
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

/// A file of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub name: FileName,
    pub bytes: Vec<u8>,
}

/// The result of processing an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Processed {
    /// Of the original, upright.
    pub size: Size,
    /// `ThumbHash`.
    pub placeholder: Vec<u8>,
    /// The master and every rendition.
    pub files: Vec<File>,
}

/// Decodes a picture of this kind and makes everything that is kept of it.
pub fn process(kind: Kind, bytes: &[u8]) -> Result<Processed, PictureError> {
    let (stored, canvas, orientation) = match kind {
        Kind::Jpeg => decode_jpeg(bytes)?,
        Kind::Png => png::decode(bytes)?,
        Kind::Webp => webp::decode(bytes)?,
    };
    let pixels = canvas.finish().ok_or(PictureError::Truncated)?;
    // Scaled first, turned then: that is a fraction of the work and of the memory.
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

/// A JPEG of ours, in its own size.
fn decode_whole(bytes: &[u8]) -> Result<RgbImage, PictureError> {
    let jpeg = Jpeg::parse(bytes)?;
    let converter = jpeg.converter();
    let mut canvas = Canvas::new(jpeg.size, jpeg.size);
    jpeg.decode(|row| canvas.push(|rgb| converter.append(row, rgb)))?;
    canvas.finish().ok_or(PictureError::Unreadable)
}

/// The orientation in an EXIF block. A damaged block has none.
fn orientation(exif: Option<&[u8]>) -> Orientation {
    // The block begins with its byte order. JPEG puts an identifier before it, and programs copy that to WebP.
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
