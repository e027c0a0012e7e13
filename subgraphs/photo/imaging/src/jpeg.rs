//! Decodes JPEG files with libjpeg after cleaning them.
//!
//! libjpeg fills missing data with gray, and decodes data after the picture as part of it. So only the needed segments
//! (ITU-T T.81, annex B) are passed to the decoder: up to the scan that completes the picture, and an end marker.

use std::hash::{DefaultHasher, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use moxcms::ColorProfile;
use mozjpeg::{ColorSpace, Decompress};

use crate::color::{Converter, Depth, Model};
use crate::{PictureError, Size};

/// The relevant segments of a JPEG file.
pub(crate) struct Jpeg<'a> {
    pub(crate) size: Size,
    channels: u8,
    segments: Vec<Segment<'a>>,
    exif: Option<&'a [u8]>,
    profile: Vec<(u8, &'a [u8])>,
}

enum Segment<'a> {
    /// Including its marker.
    Header(&'a [u8]),
    Scan {
        data: &'a [u8],
        /// The number of the restart marker that would follow.
        next_restart: u8,
    },
}

/// Whether all coefficients of all components are present in full precision.
#[derive(Default)]
struct Coverage {
    is_progressive: bool,
    components: Vec<(u8, [bool; 64])>,
}

impl Coverage {
    fn add_scan(&mut self, header: &[u8]) -> Option<()> {
        let count = usize::from(*header.first()?);
        let components = header.get(1..1 + count * 2)?.as_chunks::<2>().0;
        let [start, end, approximation] = *header.get(1 + count * 2..)?.first_chunk()?;
        let (first, last, low_bit) = if self.is_progressive {
            (usize::from(start), usize::from(end), approximation & 0x0F)
        } else {
            (0, 63, 0)
        };
        for [id, _] in components {
            for (_, done) in self.components.iter_mut().filter(|(own, _)| own == id) {
                done.get_mut(first..=last)?.fill(low_bit == 0);
            }
        }
        Some(())
    }

    fn is_complete(&self) -> bool {
        !self.components.is_empty()
            && self
                .components
                .iter()
                .all(|(_, done)| done.iter().all(|done| *done))
    }
}

impl<'a> Jpeg<'a> {
    /// Finds the segments. Unsupported files and files with missing scans are errors.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, PictureError> {
        let mut segments = Vec::new();
        let mut frame = None;
        let mut coverage = Coverage::default();
        let (mut exif, mut profile) = (None, Vec::new());
        let mut at = 2;
        while !coverage.is_complete() {
            let marker_at = next_marker(bytes, at).ok_or(PictureError::Truncated)?;
            let marker = bytes[marker_at + 1];
            at = marker_at + 2;
            let has_scans = segments
                .iter()
                .any(|segment| matches!(segment, Segment::Scan { .. }));
            match marker {
                // Another picture, or the end.
                0xD8 | 0xC0..=0xC2 if has_scans => return Err(PictureError::Truncated),
                0xD9 => return Err(PictureError::Truncated),
                0xF7 if frame.is_none() => return Err(PictureError::JpegLs),
                // Markers without a length, and unknown ones.
                0x00..=0xBF | 0xD0..=0xD8 | 0xF0..=0xFD => continue,
                _ => {}
            }
            let length = bytes.get(at..at + 2).ok_or(PictureError::Truncated)?;
            let end = at + usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
            let body = bytes.get(at + 2..end).ok_or(PictureError::Truncated)?;
            let header = &bytes[marker_at..end];
            at = end;
            match marker {
                0xC0..=0xC2 => {
                    let found = Frame::parse(body)?;
                    coverage.is_progressive = marker == 0xC2;
                    coverage.components = found.components.iter().map(|&id| (id, [false; 64])).collect();
                    frame = Some(found);
                    segments.push(Segment::Header(header));
                }
                0xC3 => return Err(PictureError::LosslessJpeg),
                0xC5..=0xC7 | 0xDE | 0xDF => return Err(PictureError::HierarchicalJpeg),
                0xC9..=0xCF => return Err(PictureError::ArithmeticJpeg),
                0xC4 | 0xDB | 0xDD => segments.push(Segment::Header(header)),
                0xE0 if body.starts_with(b"JFIF\0") => segments.push(Segment::Header(header)),
                0xEE if body.starts_with(b"Adobe") => segments.push(Segment::Header(header)),
                0xE1 if exif.is_none() => exif = body.strip_prefix(b"Exif\0"),
                0xE2 => {
                    if let Some([number, _, chunk @ ..]) = body.strip_prefix(b"ICC_PROFILE\0") {
                        profile.push((*number, chunk));
                    }
                }
                0xDA => {
                    coverage.add_scan(body).ok_or(PictureError::Unreadable)?;
                    segments.push(Segment::Header(header));
                    let (data, next_restart) = scan_data(&bytes[at..]);
                    at += data.len();
                    segments.push(Segment::Scan { data, next_restart });
                }
                _ => {}
            }
        }
        let frame = frame.ok_or(PictureError::Unreadable)?;
        profile.sort_by_key(|(number, _)| *number);
        Ok(Self {
            size: frame.size,
            channels: u8::try_from(frame.components.len()).unwrap_or(u8::MAX),
            segments,
            exif,
            profile,
        })
    }

    /// Returns the first EXIF block.
    pub(crate) fn exif(&self) -> Option<&'a [u8]> {
        self.exif
    }

    /// Returns the converter to sRGB.
    pub(crate) fn converter(&self) -> Converter {
        let model = match self.channels {
            1 => Model::Gray,
            3 => Model::Rgb,
            _ => Model::InvertedCmyk,
        };
        let icc: Vec<u8> = self
            .profile
            .iter()
            .flat_map(|(_, chunk)| *chunk)
            .copied()
            .collect();
        Converter::new(model, Depth::Eight, ColorProfile::new_from_slice(&icc).ok())
    }

    /// Decodes the picture, and passes each row to `row`, from the top.
    ///
    /// Decodes twice with different padding after each scan: if the pixels differ, data is missing.
    pub(crate) fn decode(&self, mut row: impl FnMut(&[u8])) -> Result<(), PictureError> {
        let (mut first, mut second) = (DefaultHasher::new(), DefaultHasher::new());
        self.decode_padded(0x00, |samples| first.write(samples))?;
        self.decode_padded(0x6B, |samples| {
            second.write(samples);
            row(samples);
        })?;
        if first.finish() == second.finish() {
            Ok(())
        } else {
            Err(PictureError::Truncated)
        }
    }

    fn decode_padded(&self, padding: u8, mut row: impl FnMut(&[u8])) -> Result<(), PictureError> {
        let stream = self.stream(padding);
        let (space, channels) = match self.channels {
            1 => (ColorSpace::JCS_GRAYSCALE, 1),
            3 => (ColorSpace::JCS_RGB, 3),
            4 => (ColorSpace::JCS_CMYK, 4),
            _ => return Err(PictureError::Unreadable),
        };
        // libjpeg reports errors by unwinding.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut started = Decompress::new_mem(&stream)?.to_colorspace(space)?;
            let mut samples = vec![0; usize::from(self.size.width) * channels];
            for _ in 0..self.size.height {
                started.read_scanlines_into(&mut samples)?;
                row(&samples);
            }
            Ok::<_, std::io::Error>(())
        }));
        match outcome {
            Ok(decoded) => decoded.map_err(|_| PictureError::Unreadable),
            Err(message) => match message.downcast_ref::<String>() {
                Some(message) if message.contains("memory") => Err(PictureError::TooMuchMemory),
                _ => Err(PictureError::Unreadable),
            },
        }
    }

    /// The segments with padding after each scan, and an end marker.
    fn stream(&self, padding: u8) -> Vec<u8> {
        let mut stream = b"\xFF\xD8".to_vec();
        for segment in &self.segments {
            match *segment {
                Segment::Header(bytes) => stream.extend_from_slice(bytes),
                Segment::Scan { data, next_restart } => {
                    stream.extend_from_slice(data);
                    for number in next_restart..next_restart + 64 {
                        stream.extend_from_slice(&[padding; 32]);
                        stream.extend_from_slice(&[0xFF, 0xD0 + number % 8]);
                    }
                }
            }
        }
        stream.extend_from_slice(b"\xFF\xD9");
        stream
    }
}

/// The frame header (ITU-T T.81, section B.2.2).
struct Frame {
    size: Size,
    components: Vec<u8>,
}

impl Frame {
    fn parse(body: &[u8]) -> Result<Self, PictureError> {
        let &[precision, y1, y0, x1, x0, count] = body.first_chunk().ok_or(PictureError::Unreadable)?;
        if precision != 8 {
            return Err(PictureError::TwelveBitJpeg);
        }
        let (width, height) = (u16::from_be_bytes([x1, x0]), u16::from_be_bytes([y1, y0]));
        if width == 0 || height == 0 {
            return Err(PictureError::Unreadable);
        }
        let size = Size::within_limits(width.into(), height.into()).ok_or(PictureError::TooLarge)?;
        let specifications = body
            .get(6..6 + usize::from(count) * 3)
            .ok_or(PictureError::Unreadable)?;
        Ok(Self {
            size,
            components: specifications
                .as_chunks::<3>()
                .0
                .iter()
                .map(|[id, ..]| *id)
                .collect(),
        })
    }
}

/// Returns the position of the next marker. Skips fill bytes.
fn next_marker(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let found = rest
        .windows(2)
        .position(|pair| pair[0] == 0xFF && pair[1] != 0xFF)?;
    Some(from + found)
}

/// Data at the end of a file, without the zeros that replace lost data, and without the first half of a marker.
fn without_fill(data: &[u8]) -> &[u8] {
    /// Fewer zeros may be data.
    const MIN_ZEROS: usize = 4;
    let zeros = data.iter().rev().take_while(|byte| **byte == 0).count();
    let data = match zeros {
        MIN_ZEROS.. => &data[..data.len() - zeros],
        _ => data,
    };
    data.strip_suffix(b"\xFF").unwrap_or(data)
}

/// Returns the data of a scan with its restart markers, and the number of the next restart marker.
fn scan_data(bytes: &[u8]) -> (&[u8], u8) {
    let (mut at, mut next_restart) = (0, 0);
    loop {
        let Some(marker_at) = next_marker(bytes, at) else {
            return (without_fill(bytes), next_restart);
        };
        match bytes[marker_at + 1] {
            0x00 => {}
            marker @ 0xD0..=0xD7 => next_restart = (marker - 0xD0 + 1) % 8,
            _ => return (&bytes[..marker_at], next_restart),
        }
        at = marker_at + 2;
    }
}
