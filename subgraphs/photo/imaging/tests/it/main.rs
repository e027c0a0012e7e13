//! Files that caused problems in other software. Each shows the scene of `control.png` unless its test says otherwise.

mod avif;
mod difference;
mod quality;

use std::path::Path;

use difference::{ciede2000, lab};
use image::RgbImage;
use image::imageops::thumbnail;
use imaging::{
    FileName, Format, Ladder, PictureError, PictureFormat, Processed, Rendition, Size, process, reencode,
};
use moxcms::ColorProfile;

fn read(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/cases")
        .join(name);
    std::fs::read(path).unwrap()
}

fn process_bytes(bytes: &[u8]) -> Result<Processed, PictureError> {
    process(PictureFormat::sniff(bytes).unwrap(), bytes)
}

/// Returns the largest JPEG rendition.
fn largest(processed: &Processed) -> RgbImage {
    let file = processed
        .files
        .iter()
        .filter(|file| {
            matches!(
                file.name,
                FileName::Rendition {
                    format: Format::Jpeg,
                    ..
                }
            )
        })
        .max_by_key(|file| match file.name {
            FileName::Rendition { width, .. } => width,
            FileName::Master => 0,
        })
        .unwrap();
    image::load_from_memory(&file.bytes).unwrap().into_rgb8()
}

#[derive(Clone, Copy)]
enum Scene {
    Control,
    GrayControl,
    /// Rotated by 90 degrees, clockwise.
    TurnedControl,
    /// The scene in another size, decoded by another library.
    Own,
}

impl Scene {
    fn pixels(self, bytes: &[u8]) -> RgbImage {
        let control = || image::load_from_memory(&read("control.png")).unwrap();
        match self {
            Self::Own => image::load_from_memory(bytes).unwrap().into_rgb8(),
            Self::TurnedControl => control().rotate90().into_rgb8(),
            Self::Control | Self::GrayControl => control().into_rgb8(),
        }
    }

    fn lab(self, rgb: [u8; 3]) -> [f64; 3] {
        match (self, lab(rgb)) {
            (Self::GrayControl, [lightness, ..]) => [lightness, 0.0, 0.0],
            (_, lab) => lab,
        }
    }
}

/// Checks the mean and the 95th percentile of the colour difference to the scene.
fn assert_shows(scene: Scene, name: &str, bytes: &[u8]) {
    let processed = process_bytes(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    let (expected, shown) = (scene.pixels(bytes), largest(&processed));
    assert_eq!(shown.dimensions(), expected.dimensions(), "{name}");
    // Some of the files have a third of the colour resolution.
    let reduced = |pixels: &RgbImage| thumbnail(pixels, pixels.width() / 3, pixels.height() / 3);
    let (expected, shown) = (reduced(&expected), reduced(&shown));
    let mut differences: Vec<f64> = expected
        .pixels()
        .zip(shown.pixels())
        .map(|(a, b)| ciede2000(scene.lab(a.0), lab(b.0)))
        .collect();
    differences.sort_by(f64::total_cmp);
    let mean = differences.iter().sum::<f64>() / f64::from(u32::try_from(differences.len()).unwrap());
    let percentile = differences[differences.len() * 95 / 100];
    println!("{name}: mean {mean:.2}, 95th percentile {percentile:.2}");
    assert!(
        mean < 2.0 && percentile < 6.0,
        "{name}: mean {mean:.2}, 95th percentile {percentile:.2}"
    );
}

#[test]
fn files_show_the_scene() {
    for (name, scene) in [
        ("control.png", Scene::Control),
        ("no-eoi.jpg", Scene::Control),
        ("samsung-panorama-no-eoi.jpg", Scene::Own),
        ("cmyk-rgb-profile.jpg", Scene::Control),
        ("own-gray-lab.jpg", Scene::GrayControl),
        ("noninterleaved-2x2.jpg", Scene::Control),
        ("noninterleaved-1x2.jpg", Scene::Control),
        ("sample-3x1.jpg", Scene::Control),
        ("ori-webp-exif-prefix.webp", Scene::TurnedControl),
        ("o-png-as-jpeg.jpg", Scene::Own),
    ] {
        assert_shows(scene, name, &read(name));
    }
}

/// Adds a segment after the first marker.
fn with_segment(jpeg: &[u8], marker: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xFF, marker], &length, body, &jpeg[2..]].concat()
}

/// EXIF (TIFF 6.0, section 2) with an orientation.
fn exif(orientation: u8) -> Vec<u8> {
    [
        &b"Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0"[..],
        &[orientation],
        &[0; 6],
    ]
    .concat()
}

#[test]
fn data_after_a_jpeg_is_ignored() {
    let pixels = read("no-eoi.jpg");
    let ends: [(&str, &[u8]); 6] = [
        ("an end", b"\xFF\xD9"),
        ("zeros", &[0; 64]),
        ("a marker without meaning", b"\xFF\x35\xFF\xD9"),
        ("a lone byte of a marker", b"\xFF"),
        ("a trailer", b"\0\x0A\xFF\xC4\x7F\xFF\0Image_UTC_DataSEFT"),
        ("another picture", &pixels[..4000]),
    ];
    for (name, end) in ends {
        assert_shows(Scene::Control, name, &[&pixels, end].concat());
    }
}

#[test]
fn mismatched_segments_are_ignored() {
    let whole = [&read("no-eoi.jpg")[..], b"\xFF\xD9"].concat();
    let adobe = with_segment(&whole, 0xEE, b"Adobe\0\x64\0\0\0\0\x09");
    assert_shows(Scene::Control, "an unknown Adobe transform", &adobe);
    let gray = ColorProfile::new_gray_with_gamma(1.0).encode().unwrap();
    let gray = with_segment(&whole, 0xE2, &[b"ICC_PROFILE\0\x01\x01", &gray[..]].concat());
    assert_shows(Scene::Control, "a gray profile in a colour picture", &gray);
    let second = with_segment(&whole, 0xE1, &exif(1));
    let both = with_segment(&second, 0xE1, &exif(6));
    assert_shows(Scene::TurnedControl, "two EXIF blocks", &both);
}

#[test]
fn the_profile_of_a_cmyk_picture_is_applied() {
    let shown = largest(&process_bytes(&read("own-cmyk-icc.jpg")).unwrap());
    // The result of `LittleCMS`.
    for ((x, y), expected) in [
        ((30, 280), [205, 82, 53]),
        ((50, 280), [59, 144, 104]),
        ((70, 280), [77, 92, 150]),
        ((90, 280), [235, 209, 75]),
        ((110, 280), [199, 100, 138]),
        ((130, 280), [0, 146, 194]),
        ((150, 280), [169, 159, 157]),
        ((170, 280), [237, 238, 242]),
    ] {
        let found = shown.get_pixel(x, y).0;
        let difference = ciede2000(lab(found), lab(expected));
        assert!(difference < 3.0, "{x} {y}: {found:?}, {difference:.1}");
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg())
        })
    })
}

fn with_chunk(png: &[u8], kind: [u8; 4], data: &[u8]) -> Vec<u8> {
    const HEADER_END: usize = 33;
    let body = [&kind, data].concat();
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    let checksum = crc32(&body).to_be_bytes();
    [&png[..HEADER_END], &length, &body, &checksum, &png[HEADER_END..]].concat()
}

/// The scene in linear light, changed by `encode`, with 16 bits per sample.
fn png_of_16_bits(encode: impl Fn([f64; 3]) -> [f64; 3]) -> Vec<u8> {
    let linear = |value: u8| {
        let value = f64::from(value) / 255.0;
        if value <= 0.040_45 {
            value / 12.92
        } else {
            ((value + 0.055) / 1.055).powf(2.4)
        }
    };
    let scene = image::load_from_memory(&read("control.png")).unwrap().into_rgb8();
    let samples: Vec<u8> = scene
        .pixels()
        .flat_map(|pixel| encode(pixel.0.map(linear)))
        .flat_map(|value| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "from 0 to 65,535"
            )]
            let sample = (value.clamp(0.0, 1.0) * 65_535.0).round() as u16;
            sample.to_be_bytes()
        })
        .collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, scene.width(), scene.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Sixteen);
    encoder.set_compression(png::Compression::Fastest);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&samples).unwrap();
    writer.finish().unwrap();
    bytes
}

#[test]
fn the_colour_chunks_of_a_png_are_applied() {
    const SRGB: [u8; 4] = *b"sRGB";
    let gamma = |value: u32| value.to_be_bytes();
    let linear = png_of_16_bits(|rgb| rgb);
    let with_gamma = with_chunk(&linear, *b"gAMA", &gamma(100_000));
    assert_shows(Scene::Control, "gAMA", &with_gamma);
    let signal = with_chunk(&with_chunk(&linear, SRGB, &[0]), *b"cICP", &[1, 8, 0, 1]);
    assert_shows(Scene::Control, "cICP before sRGB", &signal);
    for invalid in [&[255; 4][..], &[1, 13, 0, 2], &[1, 13, 1, 1], &[1, 13, 0], &[]] {
        let png = with_chunk(&read("control.png"), *b"cICP", invalid);
        assert_shows(
            Scene::Control,
            "an invalid cICP",
            &with_chunk(&png, *b"cICP", invalid),
        );
    }
    let scene = with_chunk(&read("control.png"), *b"gAMA", &gamma(100_000));
    assert_shows(
        Scene::Control,
        "sRGB before gAMA",
        &with_chunk(&scene, SRGB, &[0]),
    );

    // Adobe RGB (1998): other primaries, and a gamma of 563/256.
    let adobe = png_of_16_bits(|[r, g, b]| {
        [0.715_163 * r + 0.284_837 * g, g, 0.041_169 * g + 0.958_831 * b]
            .map(|value| value.powf(256.0 / 563.0))
    });
    let points = [31_270, 32_900, 64_000, 33_000, 21_000, 71_000, 15_000, 6_000_u32];
    let points: Vec<u8> = points.into_iter().flat_map(u32::to_be_bytes).collect();
    let adobe = with_chunk(&with_chunk(&adobe, *b"gAMA", &gamma(45_471)), *b"cHRM", &points);
    assert_shows(Scene::Control, "cHRM", &adobe);
}

#[test]
fn the_canvas_around_an_animation_is_white() {
    let processed = process_bytes(&read("webp-animated-small-frame-none-noalpha.webp")).unwrap();
    let shown = largest(&processed);
    assert_eq!(shown.dimensions(), (240, 160));
    for (x, y) in [(4, 4), (235, 4), (4, 155), (235, 155)] {
        assert!(
            shown.get_pixel(x, y).0.iter().all(|&value| value > 250),
            "{x} {y}"
        );
    }
    let inside = shown.get_pixel(48, 34).0;
    assert!(inside[0] > 150 && inside[1] < 110 && inside[2] < 90, "{inside:?}");
}

#[test]
fn a_picture_with_missing_pixels_is_refused() {
    let whole = read("no-eoi.jpg");
    assert_eq!(
        process_bytes(&[&whole[..whole.len() / 2], b"\xFF\xD9"].concat()).err(),
        Some(PictureError::Truncated)
    );
    let half = read("control.png");
    assert_eq!(
        process_bytes(&half[..half.len() / 2]).err(),
        Some(PictureError::Truncated)
    );
    for length in [whole.len() - 40, whole.len() * 9 / 10, whole.len() / 2, 40] {
        assert_eq!(
            process_bytes(&whole[..length]).err(),
            Some(PictureError::Truncated),
            "{length}"
        );
    }
}

/// As a download that was interrupted leaves it.
fn with_zeros_from(bytes: &[u8], start: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[start..].fill(0);
    bytes
}

#[test]
fn zeros_in_place_of_the_rest_of_a_jpeg_are_no_pixels() {
    let whole = [&read("no-eoi.jpg")[..], b"\xFF\xD9"].concat();
    assert_shows(
        Scene::Control,
        "only the end is zeros",
        &with_zeros_from(&whole, whole.len() - 2),
    );
    let progressive = process_bytes(&read("control.png")).unwrap().files;
    let progressive = progressive
        .iter()
        .map(|file| &file.bytes)
        .find(|bytes| bytes.windows(2).any(|pair| pair == b"\xFF\xC2"))
        .unwrap();
    for (name, whole) in [("baseline", &whole), ("progressive", progressive)] {
        for per_cent in [10, 30, 50, 70, 90, 98] {
            assert_eq!(
                process_bytes(&with_zeros_from(whole, whole.len() * per_cent / 100)).err(),
                Some(PictureError::Truncated),
                "{name} to {per_cent} %"
            );
        }
    }
}

#[test]
fn a_png_without_its_end_is_accepted() {
    let whole = read("control.png");
    // IEND has twelve bytes.
    for length in [whole.len() - 2, whole.len() - 12, whole.len() - 16] {
        let processed = process_bytes(&whole[..length]).unwrap();
        assert_eq!((processed.size.width, processed.size.height), (480, 320));
    }
}

#[test]
fn colours_of_thin_lines_are_kept() {
    let processed = process_bytes(&read("stripes-red-blue.png")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for file in processed.files {
        let path = folder.path().join(file.name.to_string());
        std::fs::write(&path, &file.bytes).unwrap();
        let shown = if path.extension().unwrap() == "avif" {
            quality::read_avif(&path)
        } else {
            image::load_from_memory(&file.bytes).unwrap().into_rgb8()
        };
        let count = u64::from(shown.width()) * u64::from(shown.height());
        let mean = [0, 1, 2].map(|channel| {
            let values = shown.pixels().map(|pixel| u64::from(pixel.0[channel]));
            values.sum::<u64>() / count
        });
        for (mean, expected) in mean.into_iter().zip([120_u64, 40, 120]) {
            assert!(mean.abs_diff(expected) <= 6, "{}: {mean:?}", file.name);
        }
    }
}

/// A tile is 320 pixels high, and a panorama is shown with a ratio of 5:2. On a phone, a very high photo is shown up to
/// twice as high as the window is wide, here 400 pixels. Screens have one or two device pixels per CSS pixel.
#[test]
fn tiles_of_very_wide_and_high_photos_are_small_files() {
    const MAX_TILE_BYTES: usize = 60_000;
    for (width, height, shown) in [(6000, 250, [800, 1600]), (250, 6000, [14, 67])] {
        let pixels = avif::foliage(width.into(), height.into(), 0.8);
        let mut master = Vec::new();
        let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut master, 95);
        pixels.write_with_encoder(encoder).unwrap();
        let sizes = Size { width, height }.stored(Ladder::LongerSide);
        for shown in shown {
            // As browsers choose from a srcset.
            let size = *sizes.iter().find(|size| size.width >= shown).unwrap();
            let wanted = Format::BEST_FIRST.map(|format| Rendition { size, format });
            for file in reencode(&master, &wanted).unwrap() {
                let bytes = file.bytes.len();
                println!(
                    "{width} x {height}, shown {shown} wide: {}, {bytes} bytes",
                    file.name
                );
                assert!(
                    bytes < MAX_TILE_BYTES,
                    "{width} x {height}: {}, {bytes} bytes",
                    file.name
                );
            }
        }
    }
}
