//! Tools for painting the scenes: colours, noise and soft edges.

/// Red, green and blue in sRGB, each from 0 to 1.
pub(super) type Rgb = [f32; 3];

/// A colour as designers write it: `0xF2A33A`.
pub(super) fn hex(code: u32) -> Rgb {
    [16, 8, 0].map(|shift| f32::from(u8::try_from((code >> shift) & 0xFF).expect("eight bits")) / 255.0)
}

pub(super) fn mix(a: Rgb, b: Rgb, share: f32) -> Rgb {
    let share = share.clamp(0.0, 1.0);
    [0, 1, 2].map(|i| a[i] + (b[i] - a[i]) * share)
}

/// Adds `light` to `base` by screen blending, so that bright colours stay below white.
pub(super) fn screen(base: Rgb, light: Rgb, strength: f32) -> Rgb {
    [0, 1, 2].map(|i| 1.0 - (1.0 - base[i].min(1.0)) * (1.0 - (light[i] * strength).clamp(0.0, 1.0)))
}

pub(super) fn shade(base: Rgb, factor: f32) -> Rgb {
    base.map(|channel| channel * factor)
}

/// A gradient through any number of colours, evenly spaced from 0 to 1.
pub(super) fn gradient(stops: &[Rgb], at: f32) -> Rgb {
    let scaled = at.clamp(0.0, 0.999_9) * (stops.len() - 1) as f32;
    let index = scaled as usize;
    mix(stops[index], stops[index + 1], scaled.fract())
}

/// Smoothstep: 0 below `from`, 1 above `to`, smooth between them.
pub(super) fn smoothstep(from: f32, to: f32, value: f32) -> f32 {
    let t = ((value - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// The share of a pixel that lies inside a shape, given the signed distance to the shape (negative inside).
pub(super) fn coverage(distance: f32, pixel: f32) -> f32 {
    1.0 - smoothstep(-pixel, pixel, distance)
}

/// A pseudorandom number from 0 to 1, the same on every machine.
pub(super) fn random(seed: u32, x: i32, y: i32) -> f32 {
    let mut bits = seed
        .wrapping_mul(0x9E37_79B9)
        .wrapping_add((x as u32).wrapping_mul(0x85EB_CA6B))
        .wrapping_add((y as u32).wrapping_mul(0xC2B2_AE35));
    bits ^= bits >> 15;
    bits = bits.wrapping_mul(0x2C1B_3C6D);
    bits ^= bits >> 12;
    bits = bits.wrapping_mul(0x297A_2D39);
    bits ^= bits >> 15;
    (bits >> 8) as f32 / 16_777_216.0
}

/// Smooth noise from 0 to 1, about one bump per unit.
pub(super) fn noise(seed: u32, x: f32, y: f32) -> f32 {
    let (cell_x, cell_y) = (x.floor(), y.floor());
    let (fx, fy) = (smoothstep(0.0, 1.0, x - cell_x), smoothstep(0.0, 1.0, y - cell_y));
    let corner = |dx: i32, dy: i32| random(seed, cell_x as i32 + dx, cell_y as i32 + dy);
    let top = corner(0, 0) + (corner(1, 0) - corner(0, 0)) * fx;
    let bottom = corner(0, 1) + (corner(1, 1) - corner(0, 1)) * fx;
    top + (bottom - top) * fy
}

/// Fractal noise from 0 to 1: the sum of `octaves` noises, each finer and weaker than the one before.
pub(super) fn fractal_noise(seed: u32, x: f32, y: f32, octaves: u32) -> f32 {
    let (mut sum, mut weight, mut scale, mut total) = (0.0, 1.0, 1.0, 0.0);
    for octave in 0..octaves {
        sum += noise(seed.wrapping_add(octave * 101), x * scale, y * scale) * weight;
        total += weight;
        weight *= 0.5;
        scale *= 2.03;
    }
    sum / total
}

pub(super) fn distance(ax: f32, ay: f32, bx: f32, by: f32) -> f32 {
    (ax - bx).hypot(ay - by)
}
