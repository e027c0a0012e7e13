//! An AVIF rendition is not larger than the JPEG of the same size, and its quality is not lower.

use std::collections::BTreeMap;
use std::fs;

use image::codecs::png::PngEncoder;
use image::imageops::{FilterType, resize};
use image::{Rgb, RgbImage};
use imaging::{FileName, Format, PictureFormat, Processed, process};
use proptest::prelude::*;

use crate::quality::{read_avif, score};
use crate::read;

pub(crate) fn png(pixels: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    pixels.write_with_encoder(PngEncoder::new(&mut bytes)).unwrap();
    bytes
}

/// Returns the AVIF and the JPEG of each width.
fn pairs(processed: &Processed) -> BTreeMap<u16, (&[u8], &[u8])> {
    let mut pairs: BTreeMap<_, (&[u8], &[u8])> = BTreeMap::new();
    for file in &processed.files {
        if let FileName::Rendition { width, format } = file.name {
            let pair = pairs.entry(width).or_default();
            match format {
                Format::Avif => pair.0 = &file.bytes,
                Format::Jpeg => pair.1 = &file.bytes,
            }
        }
    }
    pairs
}

/// Evenly distributed bytes (xorshift, Marsaglia 2003).
fn noise(seed: u32) -> impl FnMut() -> [u8; 4] {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()
    }
}

/// Noise of several scales, like leaves and stones. Each octave has `roughness` of the contrast of the coarser one.
pub(crate) fn foliage(width: u32, height: u32, roughness: f32) -> RgbImage {
    let mut sum = vec![[128.0_f32; 3]; (width * height) as usize];
    let mut contrast = 90.0;
    for octave in 2..=9_u32 {
        let cells = 1 << octave;
        let mut next = noise(octave);
        let coarse = RgbImage::from_fn(cells, cells, |_, _| {
            let [r, g, b, shared] = next().map(u16::from);
            // Neighbouring colours are similar: most of the contrast is in the lightness.
            Rgb([r, g, b].map(|own| u8::try_from((shared * 3 + own) / 4).unwrap()))
        });
        let fine = resize(&coarse, width, height, FilterType::CatmullRom);
        for (sum, pixel) in sum.iter_mut().zip(fine.pixels()) {
            for (sum, value) in sum.iter_mut().zip(pixel.0) {
                *sum += (f32::from(value) / 255.0 - 0.5) * contrast;
            }
        }
        contrast *= roughness;
    }
    let mut pixels = sum.into_iter();
    RgbImage::from_fn(width, height, |_, _| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        Rgb(pixels.next().unwrap().map(|value| value.clamp(0.0, 255.0) as u8))
    })
}

/// Text, lines and flat areas.
fn drawing(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| match (x * 4 / width, y * 4 / height) {
        (0, _) if (x / 3 + y / 11) % 3 == 0 && y % 11 > 3 => Rgb([20, 20, 20]),
        (1, 1 | 2) => Rgb([200, 40, 30]),
        (2, _) if (x + y) % 40 < 2 => Rgb([0, 70, 160]),
        (3, 0 | 1) if (x * x + y * y) % 1000 < 30 => Rgb([10, 120, 60]),
        _ => Rgb([250, 250, 245]),
    })
}

#[test]
fn avif_files_are_not_larger_or_worse_than_jpeg() {
    let scene = image::load_from_memory(&read("control.png")).unwrap().into_rgb8();
    let sky = RgbImage::from_fn(1280, 800, |x, y| {
        let [x, y] = [x / 14, y / 9].map(|part| u8::try_from(part).unwrap());
        Rgb([60 + x / 2, 110 + y, 200])
    });
    let folder = tempfile::tempdir().unwrap();
    for (name, original) in [
        ("scene", scene),
        ("leaves", foliage(960, 640, 0.8)),
        ("hills", foliage(2048, 1366, 0.5)),
        ("gravel", foliage(640, 430, 0.9)),
        ("sky", sky),
        ("drawing", drawing(1280, 850)),
    ] {
        let processed = process(PictureFormat::Png, &png(&original)).unwrap();
        for (width, (avif, jpeg)) in pairs(&processed) {
            let file = folder.path().join("rendition.avif");
            fs::write(&file, avif).unwrap();
            let shown = [
                read_avif(&file),
                image::load_from_memory(jpeg).unwrap().into_rgb8(),
            ];
            let (width, height) = (u32::from(width), shown[0].height());
            let expected = resize(&original, width, height, FilterType::Lanczos3);
            let [of_avif, of_jpeg] = shown.map(|shown| score(&expected, &shown));
            println!(
                "{name}, {width}: AVIF {} bytes, {of_avif:.1}; JPEG {} bytes, {of_jpeg:.1}",
                avif.len(),
                jpeg.len()
            );
            assert!(avif.len() <= jpeg.len(), "{name}, {width}");
            assert!(of_avif >= of_jpeg, "{name}, {width}: {of_avif:.2}, {of_jpeg:.2}");
        }
    }
}

#[test]
fn noise_and_extreme_shapes_have_small_avif_files() {
    let mut next = noise(7);
    let noise = RgbImage::from_fn(640, 480, |_, _| Rgb([next()[0], next()[1], next()[2]]));
    for pixels in [
        noise,
        RgbImage::new(1, 1),
        RgbImage::new(2, 3000),
        RgbImage::new(3000, 2),
        RgbImage::new(8, 8),
    ] {
        let processed = process(PictureFormat::Png, &png(&pixels)).unwrap();
        for (width, (avif, jpeg)) in pairs(&processed) {
            let dimensions = pixels.dimensions();
            assert!(
                avif.len() <= jpeg.len(),
                "{dimensions:?}, {width}: {}, {}",
                avif.len(),
                jpeg.len()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn small_pictures_have_small_avif_files(
        width in 1_u32..80,
        height in 1_u32..80,
        seed: u32,
        levels in 1_u8..=255,
    ) {
        let mut next = noise(seed);
        let pixels = RgbImage::from_fn(width, height, |_, _| {
            let [r, g, b, _] = next();
            Rgb([r, g, b].map(|value| value % levels))
        });
        let processed = process(PictureFormat::Png, &png(&pixels)).unwrap();
        for (avif, jpeg) in pairs(&processed).into_values() {
            prop_assert!(avif.len() <= jpeg.len(), "{} {}", avif.len(), jpeg.len());
        }
    }
}
