//! Renditions, and the master that they are made from.
//!
//! Renditions are made from the stored master, not from the original, so that a lost rendition can be made again byte
//! for byte, as long as the encoders stay the same.

use std::panic::catch_unwind;

use image::RgbImage;
use mozjpeg::{ColorSpace, Compress};
use ravif::{BitDepth, Img, RGB8};

use crate::{File, FileName, Format, Ladder, PictureError, Rendition, Size, scale};

/// High enough that encoding twice makes no visible difference.
const MASTER_QUALITY: f32 = 95.0;
/// With colour in full resolution, this takes a quarter more bytes than 82 with halved colour, and looks better.
const JPEG_QUALITY: f32 = 78.0;
/// Scores higher than the JPEG (SSIMULACRA2) in fewer bytes: `docs/measurements/imaging.md`.
const AVIF_QUALITY: f32 = 90.0;
/// How often a picture is encoded again whose AVIF is larger than its JPEG.
const AVIF_RETRIES: usize = 2;
const AVIF_LEAST_QUALITY: f32 = 30.0;
/// By which power of e the bytes grow with each step of the quality, at the least.
const BYTES_PER_QUALITY: f32 = 0.06;
/// Of 1 to 10. Speed 8 takes more processor time and changes the bytes by +3 to -5 %.
const AVIF_SPEED: u8 = 9;
/// Ten bits take twice the time.
const AVIF_DEPTH: BitDepth = BitDepth::Eight;
/// How many threads encode one AVIF. Fixed, because the tiles of a picture, and so its bytes, follow from it.
const AVIF_THREADS: usize = 2;

/// The master and every rendition of an upright picture whose original has this size.
pub(super) fn all(upright: &RgbImage, size: Size) -> Result<Vec<File>, PictureError> {
    let master = File {
        name: FileName::Master,
        bytes: jpeg(upright, MASTER_QUALITY)?,
    };
    let renditions: Vec<_> = size.renditions(Ladder::LongerSide).collect();
    let mut files = reencode(&master.bytes, &renditions)?;
    files.push(master);
    Ok(files)
}

/// Makes renditions from the bytes of their master, or of the largest JPEG rendition where the master is lost.
pub fn reencode(master: &[u8], wanted: &[Rendition]) -> Result<Vec<File>, PictureError> {
    let master = crate::decode_whole(master)?;
    wanted
        .iter()
        .map(|&rendition| {
            let pixels = scale(master.clone(), rendition.size);
            let bytes = match rendition.format {
                Format::Avif => avif(&pixels)?,
                Format::Jpeg => jpeg(&pixels, JPEG_QUALITY)?,
            };
            Ok(File {
                name: rendition.into(),
                bytes,
            })
        })
        .collect()
}

/// Colour in full size: in half the size, thin coloured lines lose their colour.
fn jpeg(pixels: &RgbImage, quality: f32) -> Result<Vec<u8>, PictureError> {
    // libjpeg reports errors by unwinding.
    let encoded = catch_unwind(|| {
        let mut encoder = Compress::new(ColorSpace::JCS_RGB);
        encoder.set_size(pixels.width() as usize, pixels.height() as usize);
        encoder.set_fastest_defaults();
        encoder.set_quality(quality);
        encoder.set_progressive_mode();
        encoder.set_optimize_coding(true);
        encoder.set_chroma_sampling_pixel_sizes((1, 1), (1, 1));
        let mut encoder = encoder.start_compress(Vec::new())?;
        encoder.write_scanlines(pixels.as_raw())?;
        encoder.finish()
    });
    match encoded {
        Ok(Ok(bytes)) => Ok(bytes),
        _ => Err(PictureError::TooMuchMemory),
    }
}

/// AVIF of no more bytes than the JPEG of the same pixels has.
fn avif(pixels: &RgbImage) -> Result<Vec<u8>, PictureError> {
    let limit = jpeg(pixels, JPEG_QUALITY)?.len();
    let mut quality = AVIF_QUALITY;
    let mut bytes = avif_of(pixels, quality)?;
    for _ in 0..AVIF_RETRIES {
        if bytes.len() <= limit {
            break;
        }
        #[expect(clippy::cast_precision_loss, reason = "a ratio needs no precision")]
        let excess = (bytes.len() as f32 / limit as f32).ln();
        quality = (quality - (excess / BYTES_PER_QUALITY).ceil()).max(AVIF_LEAST_QUALITY);
        bytes = avif_of(pixels, quality)?;
    }
    Ok(bytes)
}

fn avif_of(pixels: &RgbImage, quality: f32) -> Result<Vec<u8>, PictureError> {
    let rgb: Vec<RGB8> = pixels.pixels().map(|pixel| RGB8::from(pixel.0)).collect();
    let picture = Img::new(rgb.as_slice(), pixels.width() as usize, pixels.height() as usize);
    ravif::Encoder::new()
        .with_quality(quality)
        .with_speed(AVIF_SPEED)
        .with_bit_depth(AVIF_DEPTH)
        .with_num_threads(Some(AVIF_THREADS))
        .encode_rgb(picture)
        .map(|encoded| encoded.avif_file)
        .map_err(|_| PictureError::Unreadable)
}
