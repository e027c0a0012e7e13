//! Encodes the renditions and their master.
//!
//! Renditions are encoded from the stored master, not from the original, so that a lost rendition can be encoded again
//! with the same bytes, as long as the encoders stay the same.

use std::panic::catch_unwind;

use image::RgbImage;
use mozjpeg::{ColorSpace, Compress};
use ravif::{BitDepth, Img, RGB8};

use crate::{File, FileName, Format, Ladder, PictureError, Rendition, Size, scale};

/// High enough that encoding twice makes no visible difference.
const MASTER_QUALITY: f32 = 95.0;
/// With full colour resolution. Compared to 82 with halved colour resolution: 25 % more bytes, and looks better.
const JPEG_QUALITY: f32 = 78.0;
const MIN_AVIF_QUALITY: f32 = 1.0;
/// The maximum number of encodings of an AVIF to reach the size of its JPEG.
const MAX_AVIF_RETRIES: i32 = 3;
/// The assumed growth of the logarithm of the size per step of quality, until two encodings are known.
const BYTES_PER_QUALITY: f32 = 0.065;
/// Of 1 to 10. Speed 8 takes more CPU time, and changes the size by +3 to -5 %.
const AVIF_SPEED: u8 = 9;
/// The number of threads for an AVIF. Constant, because the tiles and so the bytes depend on it.
const AVIF_THREADS: usize = 2;

/// Encodes the master and all renditions. `size` is that of the original, upright.
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

/// Encodes renditions from a master, or from the largest JPEG rendition if the master is lost.
pub fn reencode(master: &[u8], wanted: &[Rendition]) -> Result<Vec<File>, PictureError> {
    let master = crate::decode_own_jpeg(master)?;
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

/// Full colour resolution, because thin coloured lines lose their colour otherwise.
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

/// The settings of an AVIF encoding.
#[derive(Debug, Clone, Copy)]
struct AvifSettings {
    quality: f32,
    depth: BitDepth,
    /// If the first encoding is larger than the JPEG: the minimum size of the next ones relative to the JPEG, to keep
    /// the quality.
    min_share: f32,
}

impl AvifSettings {
    /// Settings that score higher than the JPEG (SSIMULACRA2) with fewer bytes for most pictures:
    /// `docs/measurements/imaging.md`. Larger and smoother pictures have higher scores as JPEG.
    fn for_jpeg(pixels: usize, jpeg_bytes: usize) -> Self {
        let is_smooth = jpeg_bytes * 8 < pixels * 3 / 5;
        if pixels <= 500_000 {
            Self {
                quality: 90.0,
                // A higher score in twice the time.
                depth: BitDepth::Ten,
                min_share: 0.97,
            }
        } else {
            Self {
                quality: if is_smooth { 92.0 } else { 91.0 },
                depth: BitDepth::Eight,
                min_share: 0.95,
            }
        }
    }
}

/// Encodes an AVIF that is not larger than the JPEG of the same pixels.
fn avif(pixels: &RgbImage) -> Result<Vec<u8>, PictureError> {
    let limit = jpeg(pixels, JPEG_QUALITY)?.len();
    let first = AvifSettings::for_jpeg(pixels.as_raw().len() / 3, limit);
    let aim = f32::midpoint(first.min_share, 1.0);
    let mut quality = first.quality;
    let mut growth = BYTES_PER_QUALITY;
    let mut previous: Option<(f32, f32)> = None;
    let mut best: Option<Vec<u8>> = None;
    for retry in 0.. {
        let bytes = encode_avif(pixels, AvifSettings { quality, ..first })?;
        let share = ratio(bytes.len(), limit);
        if quality <= MIN_AVIF_QUALITY || (share <= 1.0 && (retry == 0 || share >= first.min_share)) {
            return Ok(bytes);
        }
        if share <= 1.0 && best.as_ref().is_none_or(|best| best.len() < bytes.len()) {
            best = Some(bytes);
        }
        if retry >= MAX_AVIF_RETRIES
            && let Some(best) = best
        {
            return Ok(best);
        }
        if let Some((other_quality, other_share)) = previous {
            growth = ((other_share / share).ln() / (other_quality - quality)).clamp(0.02, 0.15);
        }
        previous = Some((quality, share));
        let haste = 2_f32.powi((retry - MAX_AVIF_RETRIES).max(0));
        let step = (share / aim).ln() / growth * haste;
        quality = (quality - step).clamp(MIN_AVIF_QUALITY, first.quality);
    }
    unreachable!("the steps grow until a file is small enough, or of the least quality")
}

#[expect(clippy::cast_precision_loss, reason = "a ratio needs no precision")]
fn ratio(a: usize, b: usize) -> f32 {
    a as f32 / b as f32
}

fn encode_avif(pixels: &RgbImage, settings: AvifSettings) -> Result<Vec<u8>, PictureError> {
    let rgb: Vec<RGB8> = pixels.pixels().map(|pixel| RGB8::from(pixel.0)).collect();
    let picture = Img::new(rgb.as_slice(), pixels.width() as usize, pixels.height() as usize);
    ravif::Encoder::new()
        .with_quality(settings.quality)
        .with_speed(AVIF_SPEED)
        .with_bit_depth(settings.depth)
        .with_num_threads(Some(AVIF_THREADS))
        .encode_rgb(picture)
        .map(|encoded| encoded.avif_file)
        .map_err(|_| PictureError::Unreadable)
}
