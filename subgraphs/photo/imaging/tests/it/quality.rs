//! The quality of an encoded picture.

use std::path::Path;
use std::process::Command;

use image::RgbImage;
use ssimulacra2::{ColorPrimaries, Rgb, TransferCharacteristic, compute_frame_ssimulacra2};

/// Returns the SSIMULACRA2 score (github.com/cloudinary/ssimulacra2): 100 is identical, above 70 is high quality.
pub(crate) fn score(original: &RgbImage, shown: &RgbImage) -> f64 {
    let frame = |pixels: &RgbImage| {
        let samples = pixels
            .pixels()
            .map(|pixel| pixel.0.map(|value| f32::from(value) / 255.0));
        Rgb::new(
            samples.collect(),
            pixels.width() as usize,
            pixels.height() as usize,
            TransferCharacteristic::SRGB,
            ColorPrimaries::BT709,
        )
        .expect("a picture has a sample for each pixel")
    };
    compute_frame_ssimulacra2(frame(original), frame(shown))
        .expect("both pictures have one size, of 8 pixels or more")
}

/// Decodes an AVIF file with avifdec, because the image crate has no decoder in Rust.
pub(crate) fn read_avif(file: &Path) -> RgbImage {
    let png = file.with_extension("avif.png");
    let output = Command::new("avifdec")
        .args(["--png-compress", "0"])
        .args([file, &png])
        .output()
        .expect("avifdec is in Debian's package libavif-bin, which ./dev installs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    image::open(png).expect("avifdec writes PNG").into_rgb8()
}
