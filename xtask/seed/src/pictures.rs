//! Generated pictures that `./dev seed` uploads to an empty site.

use std::io::Cursor;

use anyhow::Result;
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};

use crate::paint::{random, shade};
use crate::scenes::{Motif, Point, Scene};

/// A picture that `./dev seed` paints and uploads.
pub(super) struct Painting {
    pub(super) title: &'static str,
    pub(super) alt_text: &'static str,
    scene: Scene,
    /// Width and height, in any unit.
    ratio: (u32, u32),
}

/// Number of pixels of each picture: enough for a large screen, and quick to encode on a small machine.
const PIXEL_COUNT: f32 = 1_500_000.0;

impl Painting {
    /// Paints the picture and returns it as a JPEG. The bytes are the same in each run.
    pub(super) fn jpeg(&self) -> Result<Vec<u8>> {
        let aspect = self.ratio.0 as f32 / self.ratio.1 as f32;
        let height = (PIXEL_COUNT / aspect).sqrt().round();
        let (width, height) = ((height * aspect).round() as u32, height as u32);
        let pixel = 1.0 / height as f32;
        let image = RgbImage::from_fn(width, height, |column, row| {
            let point = Point {
                x: (column as f32 + 0.5) * pixel,
                y: (row as f32 + 0.5) * pixel,
                aspect,
                pixel,
            };
            let colour = add_film_effects(self.scene.colour(point), point, (column, row));
            Rgb(colour.map(|channel| (channel.clamp(0.0, 1.0) * 255.0).round() as u8))
        });
        let mut bytes = Cursor::new(Vec::new());
        JpegEncoder::new_with_quality(&mut bytes, 90).encode_image(&image)?;
        Ok(bytes.into_inner())
    }
}

/// Adds the effects of lens and film: darker corners, and grain.
fn add_film_effects(colour: [f32; 3], point: Point, (column, row): (u32, u32)) -> [f32; 3] {
    let (dx, dy) = (point.x / point.aspect - 0.5, point.y - 0.5);
    let grain = (random(7, column as i32, row as i32) - 0.5) * 0.022;
    shade(colour, 1.0 - 0.28 * (dx * dx + dy * dy)).map(|channel| channel + grain)
}

macro_rules! paintings {
    ($($title:literal, $alt:literal, $motif:ident $seed:literal [$($colour:literal)*] $width:literal:$height:literal;)*) => {
        /// The pictures, in the order in which they are published.
        pub(super) const PAINTINGS: &[Painting] = &[$(Painting {
            title: $title,
            alt_text: $alt,
            scene: Scene { motif: Motif::$motif, seed: $seed, colours: [$($colour),*] },
            ratio: ($width, $height),
        }),*];
    };
}

paintings! {
    "First light on the ridge", "Blue ridges one behind another under a rising sun", Hills 11 [0x2B4C7E 0xF6C9A0 0xFFE3B0 0x8FA6BF 0x16263B] 3:2;
    "Segments", "Slices of orange and grapefruit on a dark table", Citrus 3 [0x23323A 0xF08A24 0xFFF3DC 0xF9A63A 0xE8604C] 4:5;
    "Rain on the windscreen", "Street lamps out of focus, amber and teal", Lights 21 [0x0D1117 0x1C2733 0xF2A33A 0xE85D4A 0x4FB3A5] 16:9;
    "Nobody out there", "A low sun over open water", Sea 5 [0x3A4E7A 0xF3B58C 0xFFD9A0 0x8C7F9B 0x1E2A45] 21:9;
    "Firs, second week of fog", "Fir trees fading into pale fog", Forest 8 [0xD9E2E4 0xC3D0D2 0xFFF6E0 0x9FB3B4 0x1D3233] 2:3;
    "Composition in five papers", "Quarter circles, rings and triangles of coloured paper", Shapes 4 [0xF3EBDD 0xD9482B 0xF0B23C 0x1F4E5F 0x1B1B1E] 1:1;
    "Ten past eleven", "Lit windows of a city under the moon", City 13 [0x0B1026 0x3A3F6B 0xFFF1CF 0x252C4E 0x0C0F1F] 3:4;
    "The green hour", "Green northern lights mirrored in a lake", Aurora 6 [0x060B1A 0x16324A 0x5BF2A3 0x7A5BF2 0x05080F] 3:2;
    "Morning flight", "Striped hot-air balloons above thin clouds", Balloons 9 [0x5FA8D3 0xFBE3C8 0xE4572E 0xF3A712 0x29335C] 4:3;
    "Erg", "Sand dunes, one side in light and the other in shade", Dunes 2 [0x6FA3C8 0xF7DDB5 0xFFF3D0 0xE9A75F 0x6B3B22] 2:1;
    "Map of an island that is not", "Layers of green and blue paper, cut like a map", Contours 14 [0x1B4965 0x5FA8D3 0xF4E9CD 0x84A98C 0x2F5D50] 5:4;
    "Still", "Violet mountains doubled in a lake", Lake 31 [0x3E3A6D 0xF3B0A0 0xFFE0C0 0x8A7BA8 0x201B38] 3:2;
    "Late bus", "Red and violet lamps, far out of focus", Lights 44 [0x120B1A 0x2A1633 0xFF5D8F 0x9B5DE5 0xFFC46B] 9:16;
    "Lemon, lime", "Slices of lemon and lime on pale wood", Citrus 17 [0xE9DCC6 0xC5D34A 0xFBFBE8 0xF6DF4F 0xA8CC4C] 3:2;
    "South slope", "Green hills in the haze of an afternoon", Hills 52 [0x8EC6E6 0xFDF3D8 0xFFFBE6 0xA9C9A0 0x24452F] 16:9;
    "Harbour mouth", "Grey morning sea with a white sun", Sea 23 [0x8FA3AD 0xE6E4DC 0xFFFDF2 0xA7B3B5 0x3B4A50] 3:4;
    "Four by five", "A poster of circles and stripes in pink and green", Shapes 19 [0xFFE5E0 0xF2727F 0x2D6A4F 0xFFC857 0x2E2E3A] 4:5;
    "Rooftops, blue hour", "Dark houses against a violet sky", City 37 [0x2B2A5A 0xE08E79 0xFFE9C9 0x4A3F6B 0x191530] 21:9;
    "Solar wind", "Violet and pink northern lights over mountains", Aurora 28 [0x090518 0x2B1D4A 0xF26BB0 0x5B6CF2 0x07040F] 4:5;
    "Under the ridge", "Dark firs before an orange dawn", Forest 41 [0xF5C28B 0xE9A27A 0xFFF0C4 0xB0726A 0x2A1B26] 3:2;
    "Festival", "Balloons in violet and yellow in an evening sky", Balloons 16 [0x40407A 0xF7B2A0 0xFFD23F 0xEE4266 0x3BCEAC] 2:3;
    "Wind all night", "Rose-coloured dunes in the evening", Dunes 33 [0x5B5F97 0xF6C6B8 0xFFE8D6 0xE29578 0x5A2A3C] 3:2;
    "Bathymetry", "Layers of blue paper, deepest in the middle", Contours 26 [0x03045E 0x0077B6 0x48CAE4 0xADE8F4 0xF1FAEE] 1:1;
    "Tarn", "Green hills reflected in dark water", Lake 47 [0x7FB3C8 0xEAF2DC 0xFFFBE0 0x8FB79B 0x173A2E] 4:3;
    "Last ridge before the border", "Red ridges under a yellow evening sky", Hills 73 [0xC44536 0xF9C74F 0xFFF1B8 0xD9775B 0x3A1420] 2:1;
    "Open kitchen", "Warm lamps out of focus", Lights 62 [0x1A1008 0x3A2414 0xFFB347 0xFF8C42 0xFFE0A3] 1:1;
    "Breakfast in Seville", "Slices of blood orange on blue", Citrus 29 [0x2F5D7C 0xE8762D 0xFFEBD2 0xC8323C 0xF2903A] 2:3;
    "Night ferry", "Moonlight on a dark sea", Sea 66 [0x0A1128 0x34507A 0xE8F1FF 0x2A4468 0x050A18] 5:7;
    "Kindergarten wall", "Bright squares with half circles and rings", Shapes 58 [0xFAF3E3 0x3DA5D9 0xFE7F2D 0xFCCA46 0x2364AA] 3:2;
    "Old town, new year", "Small lit windows under a cold sky", City 81 [0x07131F 0x1F4E5F 0xEAF6FF 0x14303D 0x06121A] 3:2;
    "Quiet sun", "Pale green northern lights over a wide lake", Aurora 54 [0x02111B 0x0F3B3F 0xB8F2C0 0x3FA7D6 0x020A0E] 16:9;
    "Larches", "Blue-green trees in evening fog", Forest 77 [0xAEC6CF 0x7C9EB2 0xF7EDE2 0x6E93A3 0x0F2A36] 4:3;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_unique() {
        let mut titles: Vec<_> = PAINTINGS.iter().map(|painting| painting.title).collect();
        titles.sort_unstable();
        titles.dedup();
        assert_eq!(titles.len(), PAINTINGS.len());
    }
}
