//! Decodes PNG files row by row.

use std::borrow::Cow;
use std::io::{Cursor, ErrorKind};

use image::metadata::Orientation;
use png::{BitDepth, ColorType, Decoder, DecodingError, InterlaceInfo, Limits, Reader, Transformations};

use crate::canvas::Canvas;
use crate::color::{Converter, Depth, Model, png_profile};
use crate::{Ladder, PictureError, Size, orientation};

/// The memory limit for profiles and texts, in bytes.
const MAX_ALLOCATION: usize = 64 * 1024 * 1024;

type PngReader<'a> = Reader<Cursor<&'a [u8]>>;

/// Decodes the picture, or the first frame of an animation, to a canvas of the largest stored size.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Size, Canvas, Orientation), PictureError> {
    let bytes = without_invalid_cicp(bytes);
    let mut decoder = Decoder::new_with_limits(
        Cursor::new(&*bytes),
        Limits {
            bytes: MAX_ALLOCATION,
        },
    );
    decoder.set_transformations(Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    let header = decoder
        .read_header_info()
        .map_err(|error| picture_error(&error))?;
    let size = Size::within_limits(header.width, header.height).ok_or(PictureError::TooLarge)?;
    let mut reader = decoder.read_info().map_err(|error| picture_error(&error))?;
    let (color, depth) = reader.output_color_type();
    let model = match color {
        ColorType::Grayscale => Model::Gray,
        ColorType::GrayscaleAlpha => Model::GrayAlpha,
        ColorType::Rgb | ColorType::Indexed => Model::Rgb,
        ColorType::Rgba => Model::Rgba,
    };
    let depth = if depth == BitDepth::Sixteen {
        Depth::Sixteen
    } else {
        Depth::Eight
    };
    let converter = Converter::new(model, depth, png_profile(reader.info(), model));
    let mut canvas = Canvas::new(size, size.largest(Ladder::LongerSide));
    if reader.info().interlaced {
        read_interlaced(&mut reader, size, &converter, &mut canvas)?;
    } else {
        for _ in 0..size.height {
            let row = reader.next_row().map_err(|error| picture_error(&error))?;
            let row = row.ok_or(PictureError::Truncated)?;
            canvas.push(|rgb| converter.append(row.data(), rgb));
        }
    }
    // EXIF may follow the pixels. Errors there are ignored.
    let _ = reader.finish();
    let exif = reader.info().exif_metadata.as_deref();
    Ok((size, canvas, orientation(exif)))
}

/// Each pass covers the whole picture, so all of it is kept in memory, with three bytes per pixel.
fn read_interlaced(
    reader: &mut PngReader<'_>,
    size: Size,
    converter: &Converter,
    canvas: &mut Canvas,
) -> Result<(), PictureError> {
    let stride = usize::from(size.width) * 3;
    let mut pixels = vec![0; stride * usize::from(size.height)];
    let mut rgb = Vec::with_capacity(stride);
    while let Some(row) = reader
        .next_interlaced_row()
        .map_err(|error| picture_error(&error))?
    {
        rgb.clear();
        converter.append(row.data(), &mut rgb);
        if let InterlaceInfo::Adam7(pass) = row.interlace() {
            png::expand_interlaced_row(&mut pixels, stride, &rgb, pass, 24);
        }
    }
    for row in pixels.chunks_exact(stride) {
        canvas.push(|rgb| rgb.extend_from_slice(row));
    }
    Ok(())
}

/// Removes each `cICP` chunk with values that PNG does not have: the decoder takes the whole file for damaged then.
fn without_invalid_cicp(bytes: &[u8]) -> Cow<'_, [u8]> {
    const SIGNATURE: usize = 8;
    /// Length, type and checksum.
    const AROUND_DATA: usize = 12;
    let mut kept: Option<Vec<u8>> = None;
    let mut at = SIGNATURE.min(bytes.len());
    while let Some((&length, rest)) = bytes[at..].split_first_chunk::<4>()
        && let Some((kind, rest)) = rest.split_first_chunk::<4>()
        && kind != b"IDAT"
        && let Ok(length) = usize::try_from(u32::from_be_bytes(length))
        && let Some(data) = rest.get(..length)
    {
        let end = (at + AROUND_DATA + length).min(bytes.len());
        if kind == b"cICP" && !matches!(data, [_, _, 0, 0 | 1]) {
            kept.get_or_insert_with(|| bytes[..at].to_vec());
        } else if let Some(kept) = &mut kept {
            kept.extend_from_slice(&bytes[at..end]);
        }
        at = end;
    }
    match kept {
        Some(mut kept) => {
            kept.extend_from_slice(&bytes[at..]);
            kept.into()
        }
        None => bytes.into(),
    }
}

fn picture_error(error: &DecodingError) -> PictureError {
    match error {
        DecodingError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => PictureError::Truncated,
        // This kind of error is private: the data ends before the last row.
        DecodingError::Format(error) if error.to_string().contains("not have enough data") => {
            PictureError::Truncated
        }
        DecodingError::LimitsExceeded => PictureError::TooMuchMemory,
        _ => PictureError::Unreadable,
    }
}
