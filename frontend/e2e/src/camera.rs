//! Generates photos, also with an EXIF orientation and a GPS position.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, Rgb, RgbImage};

/// The colours of the upper and the lower half of [`phone_photo`].
pub const SKY: Rgb<u8> = Rgb([90, 150, 220]);
pub const MEADOW: Rgb<u8> = Rgb([70, 140, 60]);
/// Width and height of [`phone_photo`] in pixels, when it is upright.
pub const UPRIGHT: (u32, u32) = (600, 900);

/// Returns a JPEG as phones write it: rotated pixels, and EXIF data with the orientation and the GPS position.
pub fn phone_photo() -> Vec<u8> {
    let (width, height) = UPRIGHT;
    let upright = RgbImage::from_fn(width, height, |_, y| if y < height / 2 { SKY } else { MEADOW });
    // EXIF orientation 6: readers rotate the picture by 90 degrees clockwise.
    let stored = image::imageops::rotate270(&upright);
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 90)
        .encode_image(&stored)
        .expect("a small picture can be encoded");
    let (start, rest) = jpeg.split_at(2);
    [start, &exif_segment(), rest].concat()
}

/// Returns a JPEG with a colour gradient. Pictures with another `tint` look different.
pub fn picture((width, height): (u32, u32), tint: u8) -> Vec<u8> {
    let slope = |at: u32, of: u32| u8::try_from(at * 200 / of).expect("at most 200");
    let pixels = RgbImage::from_fn(width, height, |x, y| {
        Rgb([slope(x, width), slope(y, height), tint])
    });
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 80)
        .encode_image(&pixels)
        .expect("a small picture can be encoded");
    jpeg
}

/// Decodes a JPEG, and returns the colours in the middle of its upper and its lower half too.
pub fn half_colours(jpeg: &[u8]) -> (RgbImage, Rgb<u8>, Rgb<u8>) {
    let picture = image::load(Cursor::new(jpeg), ImageFormat::Jpeg)
        .expect("the site serves JPEG")
        .to_rgb8();
    let (width, height) = picture.dimensions();
    let (upper, lower) = (
        *picture.get_pixel(width / 2, height / 4),
        *picture.get_pixel(width / 2, height * 3 / 4),
    );
    (picture, upper, lower)
}

/// Whether two colours are equal within the loss of JPEG.
pub fn is_similar(a: Rgb<u8>, b: Rgb<u8>) -> bool {
    a.0.iter().zip(b.0).all(|(a, b)| a.abs_diff(b) < 16)
}

/// An APP1 segment with two directories: the orientation, and a position. Layout: TIFF 6.0 and Exif 2.32.
fn exif_segment() -> Vec<u8> {
    const ORIENTATION: u16 = 0x0112;
    const GPS: u16 = 0x8825;
    let mut tiff: Vec<u8> = b"MM\0\x2a\0\0\0\x08".to_vec();
    // The directories begin after the header of 8 bytes; each entry takes 12, a count 2, a link 4.
    let gps_at = 8 + 2 + 2 * 12 + 4;
    let positions_at = gps_at + 2 + 4 * 12 + 4;
    directory(
        &mut tiff,
        &[
            entry(ORIENTATION, 3, 1, [0, 6, 0, 0]),
            entry(GPS, 4, 1, u32::to_be_bytes(gps_at)),
        ],
    );
    directory(
        &mut tiff,
        &[
            entry(1, 2, 2, *b"N\0\0\0"),
            entry(2, 5, 3, u32::to_be_bytes(positions_at)),
            entry(3, 2, 2, *b"E\0\0\0"),
            entry(4, 5, 3, u32::to_be_bytes(positions_at + 24)),
        ],
    );
    for number in [52_u32, 31, 12, 13, 24, 18] {
        tiff.extend(number.to_be_bytes());
        tiff.extend(1_u32.to_be_bytes());
    }
    let length = u16::try_from(2 + 6 + tiff.len()).expect("a small segment");
    [&[0xff, 0xe1], length.to_be_bytes().as_slice(), b"Exif\0\0", &tiff].concat()
}

fn directory(tiff: &mut Vec<u8>, entries: &[[u8; 12]]) {
    tiff.extend(u16::try_from(entries.len()).expect("a few entries").to_be_bytes());
    for entry in entries {
        tiff.extend(entry);
    }
    tiff.extend([0; 4]);
}

fn entry(tag: u16, kind: u16, count: u32, value: [u8; 4]) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..2].copy_from_slice(&tag.to_be_bytes());
    bytes[2..4].copy_from_slice(&kind.to_be_bytes());
    bytes[4..8].copy_from_slice(&count.to_be_bytes());
    bytes[8..].copy_from_slice(&value);
    bytes
}
