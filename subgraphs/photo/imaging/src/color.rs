//! Converts rows of decoded samples to 8-bit sRGB over white.

use std::sync::Arc;

use moxcms::{
    Chromaticity, CicpColorPrimaries, CicpProfile, ColorPrimaries, ColorProfile, DataColorSpace, Layout,
    MatrixCoefficients, ToneReprCurve, TransferCharacteristics, Transform8BitExecutor,
    Transform16BitExecutor, TransformOptions, XyY, curve_from_gamma,
};

/// The meaning of a pixel's samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Model {
    Gray,
    GrayAlpha,
    Rgb,
    Rgba,
    /// As in JPEG files: 0 is full ink.
    InvertedCmyk,
}

impl Model {
    pub(crate) const fn channels(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::GrayAlpha => 2,
            Self::Rgb => 3,
            Self::Rgba | Self::InvertedCmyk => 4,
        }
    }

    const fn has_alpha(self) -> bool {
        matches!(self, Self::GrayAlpha | Self::Rgba)
    }

    const fn is_gray(self) -> bool {
        matches!(self, Self::Gray | Self::GrayAlpha)
    }
}

/// Bits per sample. Rows of 16 bits are big-endian, as in PNG.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    Eight,
    Sixteen,
}

enum Transform {
    Eight(Arc<Transform8BitExecutor>),
    Sixteen(Arc<Transform16BitExecutor>),
}

/// Converts the rows of a picture.
pub(crate) struct Converter {
    model: Model,
    depth: Depth,
    /// Whether gray is copied to three channels first, for an RGB profile.
    copies_gray: bool,
    transform: Option<Transform>,
}

impl Converter {
    /// A profile that does not match the model of the pixels is ignored, as in browsers.
    pub(crate) fn new(model: Model, depth: Depth, profile: Option<ColorProfile>) -> Self {
        let mut converter = Self {
            model,
            depth,
            copies_gray: false,
            transform: None,
        };
        let Some(mut profile) = profile else {
            return converter;
        };
        let fits = match profile.color_space {
            DataColorSpace::Gray => model.is_gray(),
            DataColorSpace::Rgb => model != Model::InvertedCmyk,
            DataColorSpace::Cmyk => model == Model::InvertedCmyk,
            _ => false,
        };
        if !fits {
            return converter;
        }
        if profile.color_space == DataColorSpace::Gray && profile.pcs == DataColorSpace::Lab {
            connect_gray_through_xyz(&mut profile);
        }
        converter.copies_gray = model.is_gray() && profile.color_space == DataColorSpace::Rgb;
        let (from, to) = match (profile.color_space, model.has_alpha()) {
            (DataColorSpace::Gray, false) => (Layout::Gray, Layout::Rgb),
            (DataColorSpace::Gray, true) => (Layout::GrayAlpha, Layout::Rgba),
            (DataColorSpace::Cmyk, _) => (Layout::Rgba, Layout::Rgb),
            (_, false) => (Layout::Rgb, Layout::Rgb),
            (_, true) => (Layout::Rgba, Layout::Rgba),
        };
        let srgb = ColorProfile::new_srgb();
        let options = TransformOptions::default();
        converter.transform = match depth {
            Depth::Eight => profile
                .create_transform_8bit(from, &srgb, to, options)
                .ok()
                .map(Transform::Eight),
            Depth::Sixteen => profile
                .create_transform_16bit(from, &srgb, to, options)
                .ok()
                .map(Transform::Sixteen),
        };
        converter
    }

    /// Appends the row with three bytes per pixel.
    pub(crate) fn append(&self, row: &[u8], rgb: &mut Vec<u8>) {
        match (self.depth, &self.transform) {
            (Depth::Eight, Some(Transform::Eight(transform))) => {
                let mut samples = row.to_vec();
                if self.model == Model::InvertedCmyk {
                    for sample in &mut samples {
                        *sample = !*sample;
                    }
                }
                if self.copies_gray {
                    samples = copy_gray(&samples, self.model);
                }
                let mut converted = vec![0; row.len() / self.model.channels() * self.converted_channels()];
                if transform.transform(&samples, &mut converted).is_ok() {
                    flatten(&converted, self.converted_model(), rgb);
                } else {
                    flatten(row, self.model, rgb);
                }
            }
            (Depth::Sixteen, Some(Transform::Sixteen(transform))) => {
                let mut samples: Vec<u16> = samples_of_16_bits(row).collect();
                if self.copies_gray {
                    samples = copy_gray(&samples, self.model);
                }
                let mut converted =
                    vec![0_u16; row.len() / 2 / self.model.channels() * self.converted_channels()];
                if transform.transform(&samples, &mut converted).is_ok() {
                    let converted: Vec<u8> = converted.into_iter().map(to_eight_bits).collect();
                    flatten(&converted, self.converted_model(), rgb);
                } else {
                    let samples: Vec<u8> = samples_of_16_bits(row).map(to_eight_bits).collect();
                    flatten(&samples, self.model, rgb);
                }
            }
            (Depth::Sixteen, _) => {
                let samples: Vec<u8> = samples_of_16_bits(row).map(to_eight_bits).collect();
                flatten(&samples, self.model, rgb);
            }
            (Depth::Eight, _) => flatten(row, self.model, rgb),
        }
    }

    const fn converted_model(&self) -> Model {
        if self.model.has_alpha() {
            Model::Rgba
        } else {
            Model::Rgb
        }
    }

    const fn converted_channels(&self) -> usize {
        self.converted_model().channels()
    }
}

fn samples_of_16_bits(row: &[u8]) -> impl Iterator<Item = u16> {
    row.as_chunks().0.iter().map(|&sample| u16::from_be_bytes(sample))
}

fn to_eight_bits(sample: u16) -> u8 {
    let rounded = (u32::from(sample) * 255 + 32_767) / 65_535;
    u8::try_from(rounded).unwrap_or(u8::MAX)
}

fn copy_gray<T: Copy>(samples: &[T], model: Model) -> Vec<T> {
    match model {
        Model::GrayAlpha => samples
            .as_chunks()
            .0
            .iter()
            .flat_map(|&[gray, alpha]| [gray, gray, gray, alpha])
            .collect(),
        _ => samples.iter().flat_map(|&gray| [gray; 3]).collect(),
    }
}

/// Appends pixels of any model with three bytes each, over white.
fn flatten(samples: &[u8], model: Model, rgb: &mut Vec<u8>) {
    match model {
        Model::Rgb => rgb.extend_from_slice(samples),
        Model::Gray => rgb.extend(samples.iter().flat_map(|&gray| [gray; 3])),
        Model::GrayAlpha => rgb.extend(
            samples
                .as_chunks()
                .0
                .iter()
                .flat_map(|&[gray, alpha]| [over_white(gray, alpha); 3]),
        ),
        Model::Rgba => rgb.extend(
            samples
                .as_chunks()
                .0
                .iter()
                .flat_map(|&[r, g, b, alpha]| [r, g, b].map(|value| over_white(value, alpha))),
        ),
        // Without a profile, as in browsers.
        Model::InvertedCmyk => rgb.extend(
            samples
                .as_chunks()
                .0
                .iter()
                .flat_map(|&[c, m, y, k]| [c, m, y].map(|ink| multiply(ink, k))),
        ),
    }
}

fn over_white(value: u8, alpha: u8) -> u8 {
    multiply(value, alpha).saturating_add(255 - alpha)
}

/// The product of two values, where 255 means one.
fn multiply(a: u8, b: u8) -> u8 {
    let product = (u32::from(a) * u32::from(b) + 127) / 255;
    u8::try_from(product).unwrap_or(u8::MAX)
}

/// Rewrites a gray profile whose curve returns lightness instead of luminance (ICC.1:2022, section 8.3.4), because
/// moxcms only supports gray profiles that connect through XYZ.
fn connect_gray_through_xyz(profile: &mut ColorProfile) {
    const CURVE_STEPS: u16 = 4095;
    profile.pcs = DataColorSpace::Xyz;
    let inputs: Vec<u16> = (0..=CURVE_STEPS)
        .map(|step| {
            let input = u32::from(step) * 65_535 / u32::from(CURVE_STEPS);
            u16::try_from(input).unwrap_or(u16::MAX)
        })
        .collect();
    let mut lightness = vec![0; inputs.len()];
    // The curve alone: a linear gray profile.
    let linear = ColorProfile::new_gray_with_gamma(1.0);
    let Ok(transform) =
        profile.create_transform_16bit(Layout::Gray, &linear, Layout::Gray, TransformOptions::default())
    else {
        return;
    };
    if transform.transform(&inputs, &mut lightness).is_ok() {
        let luminance = lightness
            .into_iter()
            .map(|value| to_sixteen_bits(luminance_of(f64::from(value) / 65_535.0 * 100.0)));
        profile.gray_trc = Some(ToneReprCurve::Lut(luminance.collect()));
    }
}

/// CIE 1976 L* to Y (CIE 15:2004, section 8.2.1).
fn luminance_of(lightness: f64) -> f64 {
    if lightness > 8.0 {
        ((lightness + 16.0) / 116.0).powi(3)
    } else {
        lightness * 27.0 / 24_389.0
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 16 bits before"
)]
fn to_sixteen_bits(value: f64) -> u16 {
    (value.clamp(0.0, 1.0) * 65_535.0).round() as u16
}

/// Returns the colour profile of a PNG's chunks (W3C PNG, third edition, section 4.3): `cICP` before `iCCP` before
/// `sRGB` before `gAMA` and `cHRM`. `None` means sRGB.
pub(crate) fn png_profile(info: &png::Info<'_>, model: Model) -> Option<ColorProfile> {
    let signal = info.coding_independent_code_points.and_then(cicp_profile);
    if signal.is_some() {
        return signal;
    }
    let embedded = info
        .icc_profile
        .as_deref()
        .and_then(|icc| ColorProfile::new_from_slice(icc).ok())
        .filter(|profile| {
            profile.color_space == DataColorSpace::Rgb
                || (profile.color_space == DataColorSpace::Gray && model.is_gray())
        });
    if embedded.is_some() {
        return embedded;
    }
    if info.srgb.is_some() {
        return None;
    }
    gamma_profile(info)
}

fn gamma_profile(info: &png::Info<'_>) -> Option<ColorProfile> {
    /// The gamma of sRGB as written by programs, in hundred-thousandths: 1/2.2.
    const SRGB_GAMMA: u32 = 45_455;
    let gamma = info.gama_chunk.filter(|gamma| gamma.into_scaled() > 0);
    let curve = gamma
        .filter(|gamma| gamma.into_scaled().abs_diff(SRGB_GAMMA) > 5)
        .map(|gamma| curve_from_gamma(1.0 / gamma.into_value()));
    if curve.is_none() && info.chrm_chunk.is_none() {
        return None;
    }
    let mut profile = ColorProfile::new_srgb();
    profile.cicp = None;
    if let Some(primaries) = info.chrm_chunk {
        let point = |(x, y): (png::ScaledFloat, png::ScaledFloat)| (x.into_value(), y.into_value());
        let [white, red, green, blue] =
            [primaries.white, primaries.red, primaries.green, primaries.blue].map(point);
        // Chromaticities without an area are invalid.
        let area = (green.0 - red.0) * (blue.1 - red.1) - (blue.0 - red.0) * (green.1 - red.1);
        if white.1 > 0.0 && area.abs() > 0.001 {
            let [red, green, blue] = [red, green, blue].map(|(x, y)| Chromaticity::new(x, y));
            profile.update_rgb_colorimetry(
                XyY::new(f64::from(white.0), f64::from(white.1), 1.0),
                ColorPrimaries { red, green, blue },
            );
        }
    }
    if let Some(curve) = curve {
        profile.red_trc = Some(curve.clone());
        profile.green_trc = Some(curve.clone());
        profile.blue_trc = Some(curve);
    }
    Some(profile)
}

fn cicp_profile(signal: png::CodingIndependentCodePoints) -> Option<ColorProfile> {
    let color_primaries = CicpColorPrimaries::try_from(signal.color_primaries).ok()?;
    let transfer_characteristics = TransferCharacteristics::try_from(signal.transfer_function).ok()?;
    // PNG only allows RGB in full range.
    if signal.matrix_coefficients != 0 || !signal.is_video_full_range_image {
        return None;
    }
    let mut profile = ColorProfile::new_from_cicp(CicpProfile {
        color_primaries,
        transfer_characteristics,
        matrix_coefficients: MatrixCoefficients::Identity,
        full_range: true,
    });
    if let Some(curve) = high_dynamic_range_curve(signal.transfer_function) {
        profile.cicp = None;
        profile.red_trc = Some(curve.clone());
        profile.green_trc = Some(curve.clone());
        profile.blue_trc = Some(curve);
    }
    profile.red_trc.is_some().then_some(profile)
}

/// PQ and HLG (ITU-R BT.2100, tables 4 and 5). White is the reference white of ITU-R BT.2408, 203 cd/m². Brighter
/// values are clipped.
fn high_dynamic_range_curve(transfer_function: u8) -> Option<ToneReprCurve> {
    let linear: fn(f64) -> f64 = match transfer_function {
        16 => |signal| {
            let power = signal.powf(1.0 / 78.843_75);
            let ratio = (power - 0.835_937_5).max(0.0) / (18.851_562_5 - 18.687_5 * power);
            ratio.powf(1.0 / 0.159_301_757_812_5) * 10_000.0 / 203.0
        },
        18 => |signal| {
            let scene = |signal: f64| {
                if signal <= 0.5 {
                    signal * signal / 3.0
                } else {
                    (((signal - 0.559_910_73) / 0.178_832_77).exp() + 0.284_668_92) / 12.0
                }
            };
            scene(signal) / scene(0.75)
        },
        _ => return None,
    };
    let table = (0..=4095_u16).map(|step| to_sixteen_bits(linear(f64::from(step) / 4095.0)));
    Some(ToneReprCurve::Lut(table.collect()))
}
