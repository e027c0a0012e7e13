//! The shapes of tiles and the `sizes` attributes of their images. Sides are in pixels.

/// Target height of a row of tiles, in CSS pixels.
pub const ROW_HEIGHT: i32 = 240;
/// Rows are stretched, usually by about a third.
const STRETCHED_ROW_HEIGHT: i64 = 320;

/// Width and height.
pub type Shape = (i32, i32);

/// The shape of a photo's tile. Strips and panoramas get a less extreme one.
pub fn tile_shape((width, height): Shape) -> Shape {
    let (wide, high) = (i64::from(width), i64::from(height));
    if is_strip((width, height)) {
        (1, 2)
    } else if wide * 2 > high * 5 {
        (5, 2)
    } else {
        (width, height)
    }
}

/// Whether the photo is narrower than its tile.
pub fn is_strip((width, height): Shape) -> bool {
    i64::from(height) > 2 * i64::from(width)
}

/// The `sizes` attribute of a tile's image, according to `photo_grid.css`.
pub fn tile_sizes(photo: Shape, leads: bool) -> String {
    let (width, height) = photo;
    let (wide, high) = tile_shape(photo);
    // A strip never fills a row.
    if is_strip(photo) {
        let height = i64::from(height).max(1);
        let shown = (i64::from(width) * STRETCHED_ROW_HEIGHT + height - 1) / height;
        format!("(min-width: 600px) {shown}px, calc(200vw * {width} / {height})")
    } else if leads {
        format!("(min-width: 600px) min(100vw, 68vh * {wide} / {high}), 100vw")
    } else {
        let width = i64::from(wide) * STRETCHED_ROW_HEIGHT / i64::from(high).max(1);
        format!("(min-width: 600px) {width}px, 100vw")
    }
}

/// The `sizes` attribute of the image on a photo's page.
pub fn stage_sizes((width, height): Shape) -> String {
    format!(
        "(min-width: 1000px) min(100vw - 380px, 100vh * {width} / {height}), min(100vw, 70vh * {width} / {height})"
    )
}

/// The CSS aspect ratio.
pub fn aspect_ratio((width, height): Shape) -> String {
    format!("{width} / {height}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_of_a_strip_is_as_narrow_as_it_is_shown() {
        for leads in [false, true] {
            assert_eq!(
                tile_sizes((500, 12_000), leads),
                "(min-width: 600px) 14px, calc(200vw * 500 / 12000)"
            );
        }
        assert_eq!(tile_sizes((300, 200), false), "(min-width: 600px) 480px, 100vw");
        assert_eq!(
            tile_sizes((12_000, 500), false),
            "(min-width: 600px) 800px, 100vw"
        );
        assert_eq!(
            tile_sizes((300, 200), true),
            "(min-width: 600px) min(100vw, 68vh * 300 / 200), 100vw"
        );
    }
}
