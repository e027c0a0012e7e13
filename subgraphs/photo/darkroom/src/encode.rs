//! Renditions, and the master that they are made from.
//!
//! The renditions are made from the master as it is stored, never from the original: so a rendition that was lost
//! can be made again, byte for byte, for as long as the encoders stay the same.

use image::{ImageFormat, RgbImage};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use ravif::{BitDepth, Img, RGB8};

use crate::{File, FileName, Format, PictureError, Rendition, Size, scale};

/// High enough that nobody sees a difference between the original and a rendition's second encoding.
const MASTER_QUALITY: u8 = 95;
const JPEG_QUALITY: u8 = 82;
const AVIF_QUALITY: f32 = 62.0;
/// Of 1 to 10. A photo of 12 megapixels took 18 s of processor time at 8 and 6 s at 9, for files a fifth larger;
/// 10 is hardly faster, and a third larger again.
const AVIF_SPEED: u8 = 9;
/// Ten bits took twice the time, and their files were of the same size.
const AVIF_DEPTH: BitDepth = BitDepth::Eight;
/// How many threads encode one AVIF. Fixed, because the tiles of a picture, and so its bytes, follow from it.
const AVIF_THREADS: usize = 2;

/// The master and every rendition of an upright picture whose original has this size.
pub(super) fn all(upright: &RgbImage, size: Size) -> Result<Vec<File>, PictureError> {
    let master = File {
        name: FileName::Master,
        bytes: jpeg(
            upright,
            JpegQuality {
                quality: MASTER_QUALITY,
                sampling: SamplingFactor::F_1_1,
            },
        )?,
    };
    let renditions: Vec<_> = size.renditions().collect();
    let mut files = remake(&master.bytes, &renditions)?;
    files.push(master);
    Ok(files)
}

/// Makes renditions from the bytes of their master, or of the largest JPEG rendition where the master is lost.
pub fn remake(master: &[u8], wanted: &[Rendition]) -> Result<Vec<File>, PictureError> {
    let master = image::load_from_memory_with_format(master, ImageFormat::Jpeg)
        .map_err(|_| PictureError::Unreadable)?
        .into_rgb8();
    wanted
        .iter()
        .map(|&rendition| {
            let pixels = scale(master.clone(), rendition.size);
            let bytes = match rendition.format {
                Format::Avif => avif(&pixels)?,
                Format::Jpeg => jpeg(
                    &pixels,
                    JpegQuality {
                        quality: JPEG_QUALITY,
                        sampling: SamplingFactor::F_2_2,
                    },
                )?,
            };
            Ok(File {
                name: rendition.into(),
                bytes,
            })
        })
        .collect()
}

#[derive(Clone, Copy)]
struct JpegQuality {
    quality: u8,
    sampling: SamplingFactor,
}

fn jpeg(pixels: &RgbImage, settings: JpegQuality) -> Result<Vec<u8>, PictureError> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, settings.quality);
    encoder.set_sampling_factor(settings.sampling);
    encoder.set_progressive(true);
    encoder.set_optimized_huffman_tables(true);
    // The sides of a picture within the limits fit in 16 bits.
    let side = |pixels: u32| u16::try_from(pixels).map_err(|_| PictureError::TooLarge);
    encoder
        .encode(
            pixels.as_raw(),
            side(pixels.width())?,
            side(pixels.height())?,
            ColorType::Rgb,
        )
        .map_err(|_| PictureError::Unreadable)?;
    Ok(bytes)
}

fn avif(pixels: &RgbImage) -> Result<Vec<u8>, PictureError> {
    let rgb: Vec<RGB8> = pixels.pixels().map(|pixel| RGB8::from(pixel.0)).collect();
    let picture = Img::new(rgb.as_slice(), pixels.width() as usize, pixels.height() as usize);
    ravif::Encoder::new()
        .with_quality(AVIF_QUALITY)
        .with_speed(AVIF_SPEED)
        .with_bit_depth(AVIF_DEPTH)
        .with_num_threads(Some(AVIF_THREADS))
        .encode_rgb(picture)
        .map(|encoded| encoded.avif_file)
        .map_err(|_| PictureError::Unreadable)
}
