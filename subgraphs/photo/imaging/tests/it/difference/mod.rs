//! Colour differences.
#![expect(clippy::many_single_char_names, reason = "the names of the formulas")]

/// sRGB (IEC 61966-2-1) to CIELAB under D65.
pub(crate) fn lab(rgb: [u8; 3]) -> [f64; 3] {
    let [r, g, b] = rgb.map(|value| {
        let value = f64::from(value) / 255.0;
        if value <= 0.040_45 {
            value / 12.92
        } else {
            ((value + 0.055) / 1.055).powf(2.4)
        }
    });
    let f = |t: f64| {
        if t > 216.0 / 24_389.0 {
            t.cbrt()
        } else {
            (t * 24_389.0 / 27.0 + 16.0) / 116.0
        }
    };
    let x = f((0.412_456 * r + 0.357_576 * g + 0.180_438 * b) / 0.950_47);
    let y = f(0.212_673 * r + 0.715_152 * g + 0.072_175 * b);
    let z = f((0.019_334 * r + 0.119_192 * g + 0.950_304 * b) / 1.088_83);
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// CIEDE2000 (Sharma, Wu and Dalal 2005).
pub(crate) fn ciede2000([l1, a1, b1]: [f64; 3], [l2, a2, b2]: [f64; 3]) -> f64 {
    let seventh = |c: f64| (c.powi(7) / (c.powi(7) + 25_f64.powi(7))).sqrt();
    let mean_c = f64::midpoint(a1.hypot(b1), a2.hypot(b2));
    let g = 1.5 - 0.5 * seventh(mean_c);
    let (a1, a2) = (a1 * g, a2 * g);
    let (c1, c2) = (a1.hypot(b1), a2.hypot(b2));
    let hue = |a: f64, b: f64| b.atan2(a).to_degrees().rem_euclid(360.0);
    let (h1, h2) = (hue(a1, b1), hue(a2, b2));
    let is_gray = c1 * c2 < 1e-9;
    let turn = (h2 - h1 + 540.0).rem_euclid(360.0) - 180.0;
    let dh = if is_gray { 0.0 } else { turn };
    let (dl, dc) = (l2 - l1, c2 - c1);
    let dh_chroma = 2.0 * (c1 * c2).sqrt() * (dh / 2.0).to_radians().sin();
    let (mean_l, mean_c) = (f64::midpoint(l1, l2), f64::midpoint(c1, c2));
    let mean_h = if is_gray {
        h1 + h2
    } else {
        (h1 + dh / 2.0).rem_euclid(360.0)
    };
    let cos = |degrees: f64| degrees.to_radians().cos();
    let t = 1.0 - 0.17 * cos(mean_h - 30.0) + 0.24 * cos(2.0 * mean_h) + 0.32 * cos(3.0 * mean_h + 6.0)
        - 0.20 * cos(4.0 * mean_h - 63.0);
    let lightness = (mean_l - 50.0).powi(2);
    let sl = 1.0 + 0.015 * lightness / (20.0 + lightness).sqrt();
    let (sc, sh) = (1.0 + 0.045 * mean_c, 1.0 + 0.015 * mean_c * t);
    let rotation = 60.0 * (-((mean_h - 275.0) / 25.0).powi(2)).exp();
    let rt = -2.0 * seventh(mean_c) * rotation.to_radians().sin();
    let (l, c, h) = (dl / sl, dc / sc, dh_chroma / sh);
    (l * l + c * c + h * h + rt * c * h).sqrt()
}
