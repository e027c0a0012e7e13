//! Decodes WebP files.

use std::io::{Cursor, ErrorKind};

use image::metadata::Orientation;
use image_webp::{DecodingError, WebPDecoder};
use moxcms::ColorProfile;

use crate::canvas::Canvas;
use crate::color::{Converter, Depth, Model};
use crate::{Ladder, PictureError, Size, orientation};

/// Decodes the picture, or the first frame of an animation over white, to a canvas of the largest stored size.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Size, Canvas, Orientation), PictureError> {
    require_complete_data(bytes)?;
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(|error| picture_error(&error))?;
    let (width, height) = decoder.dimensions();
    let size = Size::within_limits(width, height).ok_or(PictureError::TooLarge)?;
    if decoder.is_animated() {
        decoder
            .set_background_color([255; 4])
            .map_err(|error| picture_error(&error))?;
    }
    let model = if decoder.has_alpha() {
        Model::Rgba
    } else {
        Model::Rgb
    };
    let profile = decoder.icc_profile().ok().flatten();
    let exif = decoder.exif_metadata().ok().flatten();
    let profile = profile.and_then(|icc| ColorProfile::new_from_slice(&icc).ok());
    let converter = Converter::new(model, Depth::Eight, profile);

    let stride = usize::from(size.width) * model.channels();
    let mut pixels = vec![0; stride * usize::from(size.height)];
    decoder
        .read_image(&mut pixels)
        .map_err(|error| picture_error(&error))?;
    let mut canvas = Canvas::new(size, size.largest(Ladder::LongerSide));
    for row in pixels.chunks_exact(stride) {
        canvas.push(|rgb| converter.append(row, rgb));
    }
    Ok((size, canvas, orientation(exif.as_deref())))
}

/// Checks that the data of the first picture is complete, because the decoder fills missing data with gray. Later data
/// may be missing (RFC 9649, section 2.3).
fn require_complete_data(bytes: &[u8]) -> Result<(), PictureError> {
    let mut at = 12;
    loop {
        let header: [u8; 8] = *bytes
            .get(at..)
            .and_then(<[u8]>::first_chunk)
            .ok_or(PictureError::Truncated)?;
        let [a, b, c, d, length @ ..] = header;
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        let end = (at + 8).saturating_add(length);
        if matches!(&[a, b, c, d], b"VP8 " | b"VP8L" | b"ANMF") {
            return if end <= bytes.len() {
                Ok(())
            } else {
                Err(PictureError::Truncated)
            };
        }
        // Chunks begin at even offsets.
        at = end.saturating_add(length % 2);
    }
}

fn picture_error(error: &DecodingError) -> PictureError {
    match error {
        DecodingError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => PictureError::Truncated,
        DecodingError::MemoryLimitExceeded => PictureError::TooMuchMemory,
        _ => PictureError::Unreadable,
    }
}
