//! Generates small pictures from numbers. The same number gives the same bytes.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use image::{ImageFormat, RgbImage};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};

const PICTURE_WIDTH: u32 = 48;
const PICTURE_HEIGHT: u32 = 32;

/// Returns the JPEG of a number.
pub(crate) fn jpeg(number: u64) -> Vec<u8> {
    let mut rng = StdRng::seed_from_u64(number);
    let corners: [[u8; 3]; 4] = rng.random();
    let picture = RgbImage::from_fn(PICTURE_WIDTH, PICTURE_HEIGHT, |x, y| {
        let corner = corners[usize::from(x > PICTURE_WIDTH / 2) + 2 * usize::from(y > PICTURE_HEIGHT / 2)];
        image::Rgb(corner.map(|value| value.wrapping_add(rng.random_range(0..32))))
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, ImageFormat::Jpeg)
        .expect("a picture can be written to memory");
    bytes.into_inner()
}

/// The expected stored files by name, with their SHA-256. Processing is deterministic.
pub(crate) fn files(number: u64) -> Result<BTreeMap<String, [u8; 32]>> {
    let processed = imaging::process(imaging::PictureFormat::Jpeg, &jpeg(number))
        .map_err(|error| anyhow!("a generated picture cannot be processed: {error}"))?;
    let files = processed.files.into_iter();
    Ok(files
        .map(|file| (file.name.to_string(), hash(&file.bytes)))
        .collect())
}

pub(crate) fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_give_different_pictures() {
        assert_eq!(jpeg(1), jpeg(1));
        assert_ne!(jpeg(1), jpeg(2));
        assert_eq!(files(1).unwrap(), files(1).unwrap());
    }
}
