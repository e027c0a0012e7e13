//! The motifs of the pictures. Each is a function from a point to a colour; x is from 0 to the aspect ratio, y from 0
//! (top) to 1.

use std::f32::consts::{PI, TAU};

use crate::paint::{
    Rgb, coverage, distance, fractal_noise, gradient, hex, mix, noise, random, screen, shade, smoothstep,
};

/// One picture of a motif.
pub(super) struct Scene {
    pub(super) motif: Motif,
    pub(super) seed: u32,
    /// The colours, whose meaning depends on the motif.
    pub(super) colours: [u32; 5],
}

#[derive(Clone, Copy)]
pub(super) enum Motif {
    Hills,
    Lake,
    Sea,
    Lights,
    Shapes,
    Dunes,
    City,
    Aurora,
    Forest,
    Citrus,
    Balloons,
    Contours,
}

/// A point of the picture.
#[derive(Clone, Copy)]
pub(super) struct Point {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) aspect: f32,
    /// The size of a pixel, for soft edges.
    pub(super) pixel: f32,
}

impl Scene {
    pub(super) fn colour(&self, at: Point) -> Rgb {
        let colours = self.colours.map(hex);
        match self.motif {
            Motif::Hills => hills(self.seed, &colours, at),
            Motif::Lake => lake(self.seed, &colours, at),
            Motif::Sea => sea(self.seed, &colours, at),
            Motif::Lights => lights(self.seed, &colours, at),
            Motif::Shapes => shapes(self.seed, &colours, at),
            Motif::Dunes => dunes(self.seed, &colours, at),
            Motif::City => city(self.seed, &colours, at),
            Motif::Aurora => aurora(self.seed, &colours, at),
            Motif::Forest => forest(self.seed, &colours, at),
            Motif::Citrus => citrus(self.seed, &colours, at),
            Motif::Balloons => balloons(self.seed, &colours, at),
            Motif::Contours => contours(self.seed, &colours, at),
        }
    }
}

/// A sun with its halo; colours: sky above, sky at the horizon, sun.
fn sky(colours: &[Rgb; 5], at: Point, sun: (f32, f32), horizon: f32) -> Rgb {
    let mut colour = mix(colours[0], colours[1], (at.y / horizon).powf(1.2));
    let from_sun = distance(at.x, at.y, sun.0, sun.1);
    colour = screen(colour, colours[2], 0.55 * (-from_sun * 5.0).exp());
    mix(
        colour,
        screen(colours[2], [1.0; 3], 0.5),
        coverage(from_sun - 0.06, at.pixel * 1.5),
    )
}

/// Ridges behind ridges in the haze; colours: sky, horizon, sun, far, near.
fn hills(seed: u32, colours: &[Rgb; 5], at: Point) -> Rgb {
    let sun = (
        at.aspect * (0.25 + 0.5 * random(seed, 1, 0)),
        0.28 + 0.14 * random(seed, 2, 0),
    );
    let mut colour = sky(colours, at, sun, 0.62);
    for layer in 0..6_i32 {
        let depth = layer as f32 / 5.0;
        let frequency = 1.3 + 1.1 * (1.0 - depth);
        let height = 0.24 - 0.06 * depth;
        let line = fractal_noise(seed + 17 * layer as u32, at.x * frequency + 31.0 * depth, 0.5, 6);
        let ridge = 0.50 + 0.40 * depth.powf(1.15) - height * line;
        let body = mix(colours[3], colours[4], depth);
        // Mist gathers at the foot of each ridge, less on the near ones.
        let misty = mix(
            body,
            colours[1],
            smoothstep(0.0, 0.26, at.y - ridge) * 0.75 * (1.0 - depth),
        );
        colour = mix(colour, misty, smoothstep(-at.pixel, at.pixel, at.y - ridge));
    }
    colour
}

/// The hills and their reflection in water.
fn lake(seed: u32, colours: &[Rgb; 5], at: Point) -> Rgb {
    const SHORE: f32 = 0.60;
    if at.y <= SHORE {
        return hills(
            seed,
            colours,
            Point {
                y: at.y * 0.80 / SHORE * 0.92,
                ..at
            },
        );
    }
    let depth = at.y - SHORE;
    let ripple =
        (noise(seed + 5, at.x * 9.0, depth * 240.0 / (0.3 + depth * 4.0)) - 0.5) * 0.05 * (0.2 + depth * 2.2);
    let mirrored = hills(
        seed,
        colours,
        Point {
            x: at.x + ripple * 0.6,
            y: (SHORE - depth * 0.95 + ripple) * 0.80 / SHORE * 0.92,
            ..at
        },
    );
    let water = mix(mirrored, colours[4], 0.18 + 0.35 * depth);
    screen(water, colours[1], 0.16 * smoothstep(0.012, 0.0, depth))
}

/// A low sun over open water; colours: sky, horizon, sun, far water, near water.
fn sea(seed: u32, colours: &[Rgb; 5], at: Point) -> Rgb {
    const HORIZON: f32 = 0.55;
    let sun = (
        at.aspect * (0.3 + 0.4 * random(seed, 1, 0)),
        0.36 + 0.12 * random(seed, 2, 0),
    );
    if at.y < HORIZON {
        let colour = sky(colours, at, sun, HORIZON);
        let cloud = fractal_noise(seed + 3, at.x * 1.6, at.y * 9.0, 5);
        return mix(
            colour,
            mix(colours[1], colours[2], 0.35),
            smoothstep(0.56, 0.78, cloud) * 0.55 * smoothstep(0.0, 0.3, at.y),
        );
    }
    let depth = (at.y - HORIZON) / (1.0 - HORIZON);
    let mut colour = mix(colours[3], colours[4], depth.powf(0.7));
    // Waves look larger the nearer they are: the pattern is stretched with the distance.
    let near = 0.04 + depth;
    let wave = fractal_noise(
        seed + 9,
        (at.x - at.aspect / 2.0) * 5.0 / near,
        26.0 * near.ln(),
        4,
    );
    colour = mix(
        colour,
        colours[1],
        smoothstep(0.50, 0.80, wave) * 0.55 * (1.0 - 0.5 * depth),
    );
    let path = (-((at.x - sun.0) / (0.07 + 0.22 * depth)).powi(2)).exp();
    screen(colour, colours[2], path * smoothstep(0.40, 0.66, wave) * 0.95)
}

/// Lamps far out of focus; colours: dark, less dark, and three of the lamps.
fn lights(seed: u32, colours: &[Rgb; 5], at: Point) -> Rgb {
    let mut colour = mix(
        colours[0],
        colours[1],
        at.y * 0.7 + 0.3 * noise(seed, at.x * 1.5, at.y * 1.5),
    );
    for lamp in 0..80_i32 {
        let size = 0.018 + 0.085 * random(seed, lamp, 3).powi(2);
        let x = random(seed, lamp, 1) * at.aspect;
        let y = 0.5 + (random(seed, lamp, 2) - 0.5) * 1.1;
        let from = distance(at.x, at.y, x, y);
        if from > size * 1.2 {
            continue;
        }
        let disc = coverage(from - size, size * 0.06 + at.pixel);
        // A lens draws its blur discs a little brighter at the rim.
        let rim = 0.72 + 0.28 * smoothstep(size * 0.75, size * 0.97, from);
        let light = colours[2 + (random(seed, lamp, 4) * 2.99) as usize];
        colour = screen(colour, light, disc * rim * (0.18 + 0.5 * random(seed, lamp, 5)));
    }
    colour
}

/// Cut paper in squares: quarter circles, halves, rings and triangles.
fn shapes(seed: u32, colours: &[Rgb; 5], at: Point) -> Rgb {
    let rows = 3.0 + (random(seed, 0, 9) * 2.99).floor();
    let size = at.aspect / (at.aspect * rows).round();
    let (column, row) = ((at.x / size).floor(), (at.y * rows).floor());
    let (u, v) = (at.x / size - column, at.y * rows - row);
    let (c, r) = (column as i32, row as i32);
    let pick = |n: i32| colours[(random(seed + n as u32, c, r) * 4.99) as usize];
    let ground = pick(1);
    let figure = if pick(2) == ground {
        colours[(((random(seed + 1, c, r) * 4.99) as usize) + 2) % 5]
    } else {
        pick(2)
    };
    // Turned by quarters.
    let (u, v) = match (random(seed + 3, c, r) * 3.99) as u32 {
        0 => (u, v),
        1 => (1.0 - v, u),
        2 => (1.0 - u, 1.0 - v),
        _ => (v, 1.0 - u),
    };
    let soft = at.pixel * rows * 1.5;
    let form = match (random(seed + 4, c, r) * 5.99) as u32 {
        0 => coverage(u.hypot(v) - 1.0, soft),
        1 => coverage(distance(u, v, 0.5, 0.0) - 0.5, soft),
        2 => coverage((distance(u, v, 0.5, 0.5) - 0.32).abs() - 0.12, soft),
        3 => coverage(u + v - 1.0, soft),
        4 => coverage(distance(u, v, 0.5, 0.5) - 0.36, soft),
        _ => coverage(((u * 4.0).fract() - 0.5).abs() - 0.25, soft * 4.0),
    };
    let paper =
        0.965 + 0.07 * noise(seed, at.x * 260.0, at.y * 260.0) * noise(seed + 1, at.x * 40.0, at.y * 40.0);
    shade(mix(ground, figure, form), paper)
}

/// Sand in low light; colours: sky, horizon, sun, lit sand, sand in shadow.
fn dunes(seed: u32, colours: &[Rgb; 5], at: Point) -> Rgb {
    let sun = (at.aspect * 0.8, 0.16);
    let mut colour = sky(colours, at, sun, 0.45);
    for layer in 0..4_i32 {
        let near = layer as f32 / 3.0;
        let crest = |x: f32| {
            let phase = random(seed, layer, 0) * TAU;
            0.42 + 0.17 * layer as f32
                - 0.10 * ((x * (1.5 - 0.3 * near) + phase).sin() + 0.4 * (x * 2.9 + phase * 2.0).sin())
        };
        let line = crest(at.x);
        let below = at.y - line;
        if below < -at.pixel {
            continue;
        }
        // The crest winds towards the viewer: lit on its left, shaded on its right.
        let spine = (at.x * 1.7 + random(seed, layer, 1) * TAU + below * 5.0).sin()
            + (crest(at.x + 0.02) - line) * 22.0;
        let ripples = (below * 190.0 / (1.0 + 2.0 * near) + 5.0 * noise(seed, at.x * 5.0, at.y * 5.0)).sin()
            * 0.035
            * near;
        let sand = mix(
            colours[3],
            colours[4],
            smoothstep(-0.35, 0.55, spine) * 0.85 + ripples + below * 0.35,
        );
        let hazy = mix(colours[1], sand, 0.55 + 0.45 * near);
        colour = mix(colour, hazy, smoothstep(-at.pixel, at.pixel, below));
    }
    colour
}

/// Houses at night, their windows lit; colours: sky, glow above the roofs, moon, far houses, near houses.
fn city(seed: u32, colours: &[Rgb; 5], at: Point) -> Rgb {
    let mut colour = mix(colours[0], colours[1], at.y.powf(1.6));
    let star = random(seed, (at.x * 420.0) as i32, (at.y * 420.0) as i32);
    colour = screen(
        colour,
        [1.0; 3],
        smoothstep(0.997, 1.0, star) * (1.0 - at.y) * 0.8,
    );
    let moon = (at.aspect * (0.2 + 0.6 * random(seed, 7, 7)), 0.2);
    let from_moon = distance(at.x, at.y, moon.0, moon.1);
    colour = screen(colour, colours[2], 0.35 * (-from_moon * 7.0).exp());
    colour = mix(colour, colours[2], coverage(from_moon - 0.05, at.pixel));
    for layer in 0..3_i32 {
        let near = layer as f32 / 2.0;
        let width = 0.055 + 0.035 * near;
        let house = (at.x / width + 0.37 * near).floor();
        let id = house as i32 + 1_000 * layer;
        let tall = 0.16 + 0.34 * random(seed, id, 1).powf(1.5) - 0.06 * near;
        let roof = 1.0 - tall - 0.14 * (1.0 - near);
        if at.y < roof {
            continue;
        }
        let wall = mix(colours[3], colours[4], near);
        colour = shade(wall, 1.0 + 0.25 * (1.0 - at.y));
        let (u, v) = (
            (at.x / width + 0.37 * near - house) * 5.0,
            (at.y - roof) * (46.0 - 14.0 * near),
        );
        let window = (u.fract() - 0.5).abs() < 0.28
            && (v.fract() - 0.5).abs() < 0.3
            && (0.5..4.5).contains(&u)
            && v > 0.6;
        let lit = random(seed + 11, id * 7 + u as i32, v as i32);
        if window && lit > 0.62 {
            colour = mix(
                colour,
                mix(hex(0xFF_C8_66), hex(0xFF_EE_C2), lit),
                0.55 + 0.45 * near,
            );
        }
    }
    colour
}

/// Northern lights over water; colours: night, horizon, the lower and the upper light, the land.
fn aurora(seed: u32, colours: &[Rgb; 5], at: Point) -> Rgb {
    const SHORE: f32 = 0.74;
    let mirrored = at.y > SHORE;
    let depth = at.y - SHORE;
    let ripple = if mirrored {
        (noise(seed, at.x * 12.0, depth * 130.0) - 0.5) * 0.03
    } else {
        0.0
    };
    let (x, y) = (at.x + ripple, if mirrored { SHORE - depth * 1.4 } else { at.y });
    let mut colour = mix(colours[0], colours[1], (y / SHORE).powi(2));
    let star = random(seed, (at.x * 380.0) as i32, (y * 380.0) as i32);
    colour = screen(colour, [1.0; 3], smoothstep(0.995, 1.0, star) * 0.9);
    for curtain in 0..3_i32 {
        let wind = seed + 40 * curtain as u32;
        let foot = 0.34 + 0.13 * curtain as f32 + 0.22 * (fractal_noise(wind, x * 1.1, 0.0, 3) - 0.5);
        let above = foot - y;
        if above < -0.03 {
            continue;
        }
        let rays = 0.45
            + 0.55
                * noise(wind + 1, x * 26.0 + above * 3.0, 0.0)
                * (0.6 + 0.8 * noise(wind + 2, x * 3.0, 0.0));
        let strength = smoothstep(-0.03, 0.02, above) * (-above.max(0.0) * 5.5).exp() * rays;
        colour = screen(
            colour,
            mix(colours[2], colours[3], above * 3.2),
            strength * (0.95 - 0.18 * curtain as f32),
        );
    }
    let ridge = SHORE - 0.05 - 0.14 * fractal_noise(seed + 77, x * 2.1, 0.0, 6);
    colour = mix(colour, colours[4], smoothstep(-at.pixel, at.pixel, y - ridge));
    if mirrored {
        mix(shade(colour, 0.72), colours[4], 0.12 + depth)
    } else {
        colour
    }
}

/// Firs that fade into fog; colours: fog above, fog below, light, far trees, near trees.
fn forest(seed: u32, colours: &[Rgb; 5], at: Point) -> Rgb {
    let mut colour = mix(colours[0], colours[1], at.y);
    let from_sun = distance(at.x, at.y, at.aspect * 0.5, 0.2);
    colour = screen(colour, colours[2], 0.5 * (-from_sun * 3.0).exp());
    for layer in 0..5_i32 {
        let near = layer as f32 / 4.0;
        let width = 0.05 + 0.11 * near;
        let ground = 0.62 + 0.30 * near + 0.06 * (noise(seed + layer as u32, at.x * 1.2, 0.0) - 0.5);
        let cell = (at.x / width).floor() as i32;
        let mut covered = smoothstep(-at.pixel, 0.02, at.y - ground);
        for neighbour in cell - 1..=cell + 1 {
            let id = neighbour + 500 * layer;
            let trunk = (neighbour as f32 + 0.2 + 0.6 * random(seed, id, 1)) * width;
            let height = width * (2.6 + 2.2 * random(seed, id, 2));
            let top = ground + 0.03 - height;
            let down = (at.y - top) / height;
            if !(0.0..=1.0).contains(&down) {
                continue;
            }
            // Branches hang in tiers, each wider than the one above it.
            let tier = 0.55 + 0.45 * (down * (7.0 + 4.0 * random(seed, id, 3))).fract();
            let reach =
                width * 0.52 * down * tier * (0.8 + 0.4 * noise(seed + 2, at.y * 160.0, neighbour as f32));
            covered = covered.max(coverage((at.x - trunk).abs() - reach - 0.002, at.pixel));
        }
        let tree = mix(colours[3], colours[4], near);
        let foggy = mix(
            tree,
            colours[1],
            smoothstep(0.0, 0.35, at.y - ground + 0.12) * 0.6 * (1.0 - near),
        );
        colour = mix(colour, foggy, covered);
    }
    colour
}

/// Slices of fruit on a table; colours: table, peel, pith, flesh, another flesh.
fn citrus(seed: u32, colours: &[Rgb; 5], at: Point) -> Rgb {
    let size = 0.30 + 0.12 * random(seed, 0, 0);
    let grain = 1.0 - 0.05 * noise(seed, at.x * 3.0, at.y * 90.0);
    let mut colour = shade(colours[0], grain);
    let row_height = size * 0.86;
    let row = (at.y / row_height).floor() as i32;
    for r in row - 1..=row + 1 {
        let shift = if r.rem_euclid(2) == 1 { size / 2.0 } else { 0.0 };
        let column = ((at.x - shift) / size).floor() as i32;
        for c in column - 1..=column + 1 {
            let x = (c as f32 + 0.5) * size + shift + (random(seed, c, r) - 0.5) * size * 0.12;
            let y = (r as f32 + 0.5) * row_height + (random(seed + 1, c, r) - 0.5) * size * 0.12;
            let radius = size * (0.40 + 0.05 * random(seed + 2, c, r));
            let shadow = distance(at.x, at.y, x + size * 0.035, y + size * 0.05);
            colour = shade(colour, 1.0 - 0.38 * coverage(shadow - radius, size * 0.05));
            let from = distance(at.x, at.y, x, y);
            if from > radius + at.pixel {
                continue;
            }
            let angle = (at.y - y).atan2(at.x - x) + random(seed + 3, c, r) * TAU;
            let flesh = if random(seed + 4, c, r) > 0.5 {
                colours[3]
            } else {
                colours[4]
            };
            // Ten segments with thin walls between them.
            let wall = ((angle * 10.0 / TAU).rem_euclid(1.0) - 0.5).abs() * from * TAU / 10.0;
            let segment = coverage(wall - (from * PI / 10.0 - size * 0.012), at.pixel * 2.0)
                * coverage(from - radius * 0.84, at.pixel * 2.0)
                * smoothstep(radius * 0.07, radius * 0.12, from);
            let juice = 0.86 + 0.22 * noise(seed + 5, angle * 24.0, from / radius * 5.0);
            let slice = mix(colours[2], shade(flesh, juice), segment);
            let slice = mix(colours[1], slice, coverage(from - radius * 0.93, at.pixel * 2.0));
            colour = mix(colour, slice, coverage(from - radius, at.pixel * 1.5));
        }
    }
    colour
}

/// Balloons above clouds; colours: sky above, sky below, and three for the balloons.
fn balloons(seed: u32, colours: &[Rgb; 5], at: Point) -> Rgb {
    let mut colour = mix(colours[0], colours[1], at.y);
    let cloud = fractal_noise(seed, at.x * 2.2, at.y * 5.5, 5);
    colour = mix(
        colour,
        [1.0, 0.98, 0.95],
        smoothstep(0.52, 0.75, cloud + 0.22 * (at.y - 0.5)) * 0.8,
    );
    for balloon in 0..7_i32 {
        let far = 1.0 - balloon as f32 / 6.0;
        let size = 0.045 + 0.085 * (1.0 - far) * (0.7 + 0.6 * random(seed, balloon, 3));
        let x = at.aspect * (0.08 + 0.84 * ((balloon as f32 * 0.618 + random(seed, 0, 1)).fract()));
        let y = 0.14 + 0.56 * random(seed, balloon, 2);
        let (u, v) = ((at.x - x) / size, (at.y - y) / size);
        if u.abs() > 1.3 || !(-1.3..=2.4).contains(&v) {
            continue;
        }
        // Round above, tapering to the mouth below.
        let half = if v < 0.0 {
            (1.0 - v * v).max(0.0).sqrt()
        } else {
            (1.0 - 0.52 * v - 0.10 * v * v).max(0.0)
        };
        let soft = at.pixel / size * 1.5;
        let envelope = coverage(u.abs() - half, soft) * coverage(v - 1.35, soft) * coverage(-1.0 - v, soft);
        let gore = ((u / half.max(0.01)).clamp(-1.0, 1.0).asin() / PI * 8.0 + 0.5).floor() as i32;
        let pair = [
            colours[2 + balloon.rem_euclid(3) as usize],
            colours[2 + (balloon + 1).rem_euclid(3) as usize],
        ];
        let cloth = shade(
            pair[gore.rem_euclid(2) as usize],
            1.08 - 0.30 * (u * 0.7 + v * 0.25).max(0.0),
        );
        let basket = coverage((u.abs() - 0.16).max((v - 1.85).abs() - 0.14), soft);
        let ropes = coverage((u.abs() - 0.16).abs() - 0.012, soft) * coverage((v - 1.55).abs() - 0.2, soft);
        let haze = 0.45 * far;
        colour = mix(colour, mix(cloth, colours[1], haze), envelope);
        colour = mix(
            colour,
            mix(hex(0x5A_3B_22), colours[1], haze),
            basket.max(ropes * 0.8),
        );
    }
    colour
}

/// A landscape as a map draws it, in layers of paper that cast shadows; colours from low to high.
fn contours(seed: u32, colours: &[Rgb; 5], at: Point) -> Rgb {
    let height = |x: f32, y: f32| fractal_noise(seed, x * 1.5 + 7.0, y * 1.5, 3) * 1.25 - 0.12;
    let level = |h: f32| (h * 11.0).floor().clamp(0.0, 10.0);
    let here = height(at.x, at.y);
    let step = level(here);
    let mut colour = gradient(colours, step / 10.0);
    // Higher points, up and to the left, cast their shadow here.
    for reach in 1..=4_u8 {
        let offset = f32::from(reach) * 0.0035;
        if level(height(at.x - offset, at.y - offset)) > step {
            colour = shade(colour, 0.93);
        }
    }
    let edge = (here * 11.0).fract();
    screen(colour, [1.0; 3], 0.10 * smoothstep(0.08, 0.0, edge))
}
