//! Uploads all kinds of pictures and checks the stored files.

use std::io::Cursor;

use axum::http::StatusCode;
use image::codecs::png::PngEncoder;
use image::{
    DynamicImage, ExtendedColorType, ImageEncoder as _, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage,
};
use photo::domain::{Ladder, Size};
use photo::reconcile;
use proptest::prelude::*;
use serde_json::Value;

use crate::support::{TestService, encoded, jpeg, new_user_id, picture, png, with_exif, with_segment};

/// Uploads a picture, and returns its largest JPEG.
async fn processed(site: &TestService, media_type: &str, bytes: Vec<u8>) -> (Value, RgbImage) {
    let (status, answer) = site.upload(new_user_id(), media_type, bytes).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let folder = site.folder_of(answer["uploadId"].as_str().unwrap()).await;
    let [width, height] =
        ["width", "height"].map(|side| u16::try_from(answer[side].as_u64().unwrap()).unwrap());
    let largest = Size { width, height }.largest(Ladder::LongerSide);
    let pixels = image::open(folder.join(format!("{}.jpg", largest.width)))
        .unwrap()
        .into_rgb8();
    (answer, pixels)
}

fn is_similar(pixel: Rgb<u8>, expected: [u8; 3]) -> bool {
    pixel
        .0
        .into_iter()
        .zip(expected)
        .all(|(a, b)| a.abs_diff(b) <= 24)
}

#[tokio::test]
async fn every_orientation_is_applied() {
    let site = TestService::new().await;
    // The corner to which the red upper left of the stored picture is moved.
    let corners = [
        (8, 8),
        (56, 8),
        (56, 40),
        (8, 40),
        (8, 8),
        (40, 8),
        (40, 56),
        (8, 56),
    ];
    for (orientation, (x, y)) in (1..).zip(corners) {
        let bytes = with_exif(&jpeg(&picture(64, 48)), orientation);
        let (answer, pixels) = processed(&site, "image/jpeg", bytes).await;
        let upright: (u32, u32) = if orientation < 5 { (64, 48) } else { (48, 64) };
        assert_eq!(answer["width"], upright.0, "{orientation}");
        assert_eq!(answer["height"], upright.1, "{orientation}");
        assert_eq!(pixels.dimensions(), upright);
        assert!(
            is_similar(*pixels.get_pixel(x, y), [220, 30, 30]),
            "orientation {orientation}: {:?}",
            pixels.get_pixel(x, y)
        );
    }
}

#[tokio::test]
async fn only_the_pixels_of_the_original_are_stored() {
    let site = TestService::new().await;
    let original = with_segment(
        &with_exif(&jpeg(&picture(700, 500)), 6),
        0xED,
        b"Photoshop 3.0\0 Secret Caption",
    );
    let original = with_segment(&original, 0xFE, b"Secret Comment");
    let original = [&original[..], b"<script>alert('Secret Tail')</script>PK\x03\x04"].concat();
    let (status, answer) = site.upload(new_user_id(), "image/jpeg", original).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let folder = site.folder_of(answer["uploadId"].as_str().unwrap()).await;
    let mut names = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        for secret in [&b"Secret"[..], b"Exif", b"Photoshop", b"<script", b"GPS"] {
            assert!(
                !bytes.windows(secret.len()).any(|window| window == secret),
                "{secret:?} in {:?}",
                file.path()
            );
        }
        names.push(file.file_name().into_string().unwrap());
    }
    names.sort();
    insta::assert_json_snapshot!(names, @r#"
    [
      "229.avif",
      "229.jpg",
      "457.avif",
      "457.jpg",
      "500.avif",
      "500.jpg",
      "master.jpg"
    ]
    "#);
}

#[tokio::test]
async fn transparency_becomes_white() {
    let site = TestService::new().await;
    let pixels = RgbaImage::from_fn(64, 64, |x, _| {
        if x < 32 {
            Rgba([0, 0, 0, 0])
        } else {
            Rgba([0, 0, 0, 128])
        }
    });
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let bytes = encoded(&DynamicImage::ImageRgba8(pixels.clone()), format);
        let (_, shown) = processed(&site, format.to_mime_type(), bytes).await;
        assert!(is_similar(*shown.get_pixel(8, 8), [255, 255, 255]), "{format:?}");
        assert!(is_similar(*shown.get_pixel(56, 8), [127, 127, 127]), "{format:?}");
    }
}

#[tokio::test]
async fn gray_and_palette_pictures_are_decoded() {
    let site = TestService::new().await;
    let rgb = DynamicImage::ImageRgb8(picture(64, 48));
    for pixels in [
        DynamicImage::ImageLuma8(rgb.to_luma8()),
        DynamicImage::ImageLumaA8(rgb.to_luma_alpha8()),
        DynamicImage::ImageLuma16(rgb.to_luma16()),
        DynamicImage::ImageRgb16(rgb.to_rgb16()),
        DynamicImage::ImageRgba16(rgb.to_rgba16()),
    ] {
        let (_, shown) = processed(&site, "image/png", encoded(&pixels, ImageFormat::Png)).await;
        let expected = pixels.to_rgb8();
        assert!(
            is_similar(*shown.get_pixel(8, 8), expected.get_pixel(8, 8).0),
            "{:?}",
            pixels.color()
        );
    }
    let webp = encoded(&rgb, ImageFormat::WebP);
    let (_, shown) = processed(&site, "image/webp", webp).await;
    assert!(is_similar(*shown.get_pixel(8, 8), [220, 30, 30]));
}

#[tokio::test]
async fn cmyk_pictures_are_decoded() {
    let site = TestService::new().await;
    let inks: Vec<u8> = (0..64 * 64).flat_map(|_| [0, 255, 255, 0]).collect();
    let mut bytes = Vec::new();
    jpeg_encoder::Encoder::new(&mut bytes, 90)
        .encode(&inks, 64, 64, jpeg_encoder::ColorType::Cmyk)
        .unwrap();
    let (_, shown) = processed(&site, "image/jpeg", bytes).await;
    let Rgb([red, green, blue]) = *shown.get_pixel(32, 32);
    assert!(
        red > 150 && green < 100 && blue < 100,
        "magenta and yellow make red, not {red} {green} {blue}"
    );
}

#[tokio::test]
async fn an_embedded_profile_is_applied() {
    let site = TestService::new().await;
    let pixels = RgbImage::from_pixel(64, 64, Rgb([120, 200, 80]));
    let mut bytes = Vec::new();
    let mut encoder = PngEncoder::new(Cursor::new(&mut bytes));
    encoder
        .set_icc_profile(moxcms::ColorProfile::new_display_p3().encode().unwrap())
        .unwrap();
    encoder
        .write_image(pixels.as_raw(), 64, 64, ExtendedColorType::Rgb8)
        .unwrap();
    let (_, shown) = processed(&site, "image/png", bytes).await;
    // The same green has less red in sRGB, which is smaller.
    let Rgb([red, green, _]) = *shown.get_pixel(32, 32);
    assert!(
        red.abs_diff(86) <= 12 && green.abs_diff(203) <= 6,
        "{:?}",
        shown.get_pixel(32, 32)
    );
}

#[tokio::test]
async fn a_picture_may_have_one_pixel() {
    let site = TestService::new().await;
    let (answer, shown) = processed(
        &site,
        "image/png",
        png(&RgbImage::from_pixel(1, 1, Rgb([200, 100, 50]))),
    )
    .await;
    assert_eq!(
        (answer["width"].as_u64(), answer["height"].as_u64()),
        (Some(1), Some(1))
    );
    assert!(is_similar(*shown.get_pixel(0, 0), [200, 100, 50]));
    let (answer, _) = processed(&site, "image/png", png(&RgbImage::new(3, 3000))).await;
    assert_eq!(
        (answer["width"].as_u64(), answer["height"].as_u64()),
        (Some(3), Some(3000))
    );
}

#[tokio::test]
async fn the_longest_side_is_twelve_thousand_pixels() {
    let site = TestService::new().await;
    let (answer, shown) = processed(&site, "image/png", png(&RgbImage::new(12_000, 20))).await;
    assert_eq!(answer["width"], 12_000);
    assert_eq!(shown.dimensions(), (12_000, 20));
    let (status, answer) = site
        .upload(new_user_id(), "image/png", png(&RgbImage::new(12_001, 20)))
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    insta::assert_json_snapshot!(answer, @r#"
    {
      "code": "INVALID_INPUT",
      "message": "This picture is too large: it may have up to 50 megapixels and 12000 pixels a side.",
      "reason": "too_large"
    }
    "#);
}

#[tokio::test]
async fn decompression_bombs_are_refused_by_their_headers() {
    let site = TestService::new().await;
    // Headers with 144 megapixels, and with the maximum of the format.
    for side in [12_000_u32, 0x7FFF_FFFF] {
        let mut bomb = png(&picture(8, 8));
        bomb[16..20].copy_from_slice(&side.to_be_bytes());
        bomb[20..24].copy_from_slice(&side.to_be_bytes());
        let checksum = crc32(&bomb[12..29]).to_be_bytes();
        bomb[29..33].copy_from_slice(&checksum);
        let (status, answer) = site.upload(new_user_id(), "image/png", bomb).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{side}: {answer}");
    }
    let mut bomb = jpeg(&picture(8, 8));
    let frame = bomb.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    bomb[frame + 5..frame + 9].copy_from_slice(&[0xFF; 4]);
    let (status, answer) = site.upload(new_user_id(), "image/jpeg", bomb).await;
    assert_eq!(
        (status, answer["code"].as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, Some("INVALID_INPUT"))
    );
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg())
        })
    })
}

#[tokio::test]
async fn truncated_pictures_are_refused() {
    let site = TestService::new().await;
    let pixels = DynamicImage::ImageRgb8(picture(400, 300));
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
        let whole = encoded(&pixels, format);
        for length in [whole.len() - 40, whole.len() / 2, 40] {
            let (status, answer) = site
                .upload(new_user_id(), format.to_mime_type(), whole[..length].to_vec())
                .await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{format:?} {length}");
            assert_eq!(
                answer["message"],
                "This file is incomplete: a part of the picture is missing. Upload the original file again.",
                "{format:?} {length}"
            );
        }
    }
}

/// libjpeg reports these errors by unwinding through its C code.
#[tokio::test]
async fn pictures_that_libjpeg_cannot_decode_are_refused() {
    let site = TestService::new().await;
    let whole = jpeg(&picture(64, 48));
    let place = |marker: u8| whole.windows(2).position(|pair| pair == [0xFF, marker]).unwrap();
    let changed = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        bytes
    };
    for (what, bytes) in [
        ("a code table with too many codes", changed(place(0xC4) + 5, 0xFF)),
        (
            "a quantization table of no number",
            changed(place(0xDB) + 4, 0x0F),
        ),
        ("a sampling factor of zero", changed(place(0xC0) + 11, 0x01)),
        (
            "a scan of a component that is not there",
            changed(place(0xDA) + 5, 0x77),
        ),
    ] {
        let (status, answer) = site.upload(new_user_id(), "image/jpeg", bytes).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{what}: {answer}");
        assert_ne!(answer["reason"], "too_much_memory", "{what}");
    }
}

#[tokio::test]
async fn unsupported_jpeg_variants_are_named() {
    let site = TestService::new().await;
    let whole = jpeg(&picture(64, 48));
    let frame = whole.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    for (marker, precision, reason) in [
        (0xC9, 8, "arithmetic_jpeg"),
        (0xCA, 8, "arithmetic_jpeg"),
        (0xC1, 12, "twelve_bit_jpeg"),
        (0xC3, 8, "lossless_jpeg"),
        (0xC5, 8, "hierarchical_jpeg"),
        (0xF7, 8, "jpeg_ls"),
    ] {
        let mut bytes = whole.clone();
        (bytes[frame + 1], bytes[frame + 4]) = (marker, precision);
        let (status, answer) = site.upload(new_user_id(), "image/jpeg", bytes).await;
        assert_eq!(
            (status, &answer["reason"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &reason.into()),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_lost_rendition_is_restored_with_the_same_bytes() {
    let site = TestService::new().await;
    let (_, answer) = site
        .upload(new_user_id(), "image/png", png(&picture(900, 400)))
        .await;
    let id = answer["uploadId"].as_str().unwrap();
    let folder = site.folder_of(id).await;
    let lost = ["320.avif", "640.jpg", "900.avif"].map(|name| folder.join(name));
    let before: Vec<_> = lost.iter().map(|file| std::fs::read(file).unwrap()).collect();
    for file in &lost {
        std::fs::remove_file(file).unwrap();
    }
    let report = reconcile::run(&site.state).await.unwrap();
    assert_eq!(report.missing_files, 3);
    let after: Vec<_> = lost.iter().map(|file| std::fs::read(file).unwrap()).collect();
    assert!(before == after, "the bytes of a rendition never change");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn damage_never_makes_a_decoder_panic(at in 0_usize..4000, byte: u8, which in 0_usize..3) {
        use imaging::{PictureFormat, process};
        let pixels = DynamicImage::ImageRgb8(picture(20, 12));
        let (kind, format) =
            [(PictureFormat::Jpeg, ImageFormat::Jpeg), (PictureFormat::Png, ImageFormat::Png), (PictureFormat::Webp, ImageFormat::WebP)][which];
        let mut bytes = encoded(&pixels, format);
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = process(kind, &bytes);
    }
}
