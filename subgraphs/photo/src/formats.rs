//! Detects the format of a file by its first bytes: an accepted picture, or a known format that is refused.
//!
//! File names and media types are ignored, because they are often wrong.

use imaging::PictureFormat;

/// The number of first bytes that determine the format.
pub const HEAD_BYTES: usize = 1024;
/// The minimum size of a picture in bytes.
const MIN_PICTURE_BYTES: usize = 12;

/// The format that the first bytes of a file indicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sniffed {
    Picture(PictureFormat),
    /// A known format that is not accepted.
    Foreign(Foreign),
    /// The beginning of a picture, or a picture that was modified by a transfer.
    Damaged,
    Unknown,
}

/// A format that is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreign {
    pub name: &'static str,
    pub advice: Advice,
}

/// The advice for a file in a refused format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Programs that open it can save it in another format.
    Export,
    /// The format of iPhones.
    Heic,
    /// Raw formats of cameras.
    Raw,
    /// A vector format.
    Draw,
    /// Not a picture.
    ExportStill,
}

impl Advice {
    /// Returns the advice as a sentence.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Export => "Save or export it as JPEG, PNG or WebP, then upload that.",
            Self::Heic => {
                "Export it as JPEG, then upload that. On an iPhone, Settings > Camera > Formats > Most Compatible makes the camera save JPEG."
            }
            Self::Raw => {
                "Develop it in your camera or in a RAW program, export it as JPEG, then upload that."
            }
            Self::Draw => "Export it as PNG, then upload that.",
            Self::ExportStill => "Export a still picture as JPEG, PNG or WebP, then upload that.",
        }
    }
}

/// Detects the format of a file by its first [`HEAD_BYTES`] bytes, or all bytes of a smaller file.
pub fn sniff(head: &[u8]) -> Sniffed {
    if let Some(foreign) = foreign(head) {
        return Sniffed::Foreign(foreign);
    }
    if head.len() < MIN_PICTURE_BYTES {
        return Sniffed::Damaged;
    }
    match PictureFormat::sniff(head) {
        Some(kind) => Sniffed::Picture(kind),
        // Transfers in text mode change the line breaks after these bytes.
        None if head.starts_with(b"\x89PNG") || head.starts_with(b"\xFF\xD8") => Sniffed::Damaged,
        None => Sniffed::Unknown,
    }
}

fn foreign(head: &[u8]) -> Option<Foreign> {
    use Advice::{Draw, Export, ExportStill, Raw};
    let (name, advice) = match head {
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => return Some(iso_media(head)),
        [0xFF, 0x0A, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => ("JPEG XL", Export),
        [0xFF, 0x4F, 0xFF, 0x51, ..] | [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] => ("JPEG 2000", Export),
        [0xFF, 0xD8, 0xFF, 0xF7, ..] => ("JPEG-LS", Export),
        [b'I', b'I', 0xBC, ..] => ("JPEG XR", Export),
        [b'G', b'I', b'F', b'8', ..] => ("GIF", Export),
        [b'B', b'M', ..] if is_bmp(head) => ("BMP", Export),
        [0, 0, 1 | 2, 0, 1..=255, 0, ..] => ("icon (ICO)", Export),
        [b'8', b'B', b'P', b'S', ..] => ("Photoshop (PSD)", Export),
        [b'g', b'i', b'm', b'p', b' ', b'x', b'c', b'f', ..] => ("GIMP (XCF)", Export),
        [0x76, 0x2F, 0x31, 0x01, ..] => ("OpenEXR", Export),
        [b'#', b'?', b'R', b'A', b'D', ..] | [b'#', b'?', b'R', b'G', b'B', ..] => ("Radiance HDR", Export),
        [b'q', b'o', b'i', b'f', ..] => ("QOI", Export),
        [0x8A, b'M', b'N', b'G', ..] => ("MNG", Export),
        [b'P', b'1'..=b'7', b' ' | b'\t' | b'\n' | b'\r' | b'#', ..] => ("PNM", Export),
        [
            b'F',
            b'U',
            b'J',
            b'I',
            b'F',
            b'I',
            b'L',
            b'M',
            b'C',
            b'C',
            b'D',
            ..,
        ] => ("Fujifilm RAW (RAF)", Raw),
        [b'F', b'O', b'V', b'b', ..] => ("Sigma RAW (X3F)", Raw),
        [0, b'M', b'R', b'M', ..] => ("Minolta RAW (MRW)", Raw),
        [b'I', b'I', b'R', b'O' | b'S', ..] | [b'M', b'M', b'O', b'R', ..] => ("Olympus RAW (ORF)", Raw),
        [b'I', b'I', b'U', 0, ..] => ("Panasonic RAW (RW2)", Raw),
        [b'I', b'I', 0x1A, 0, _, _, b'H', b'E', b'A', b'P', ..] => ("Canon RAW (CRW)", Raw),
        [b'I', b'I', 42, 0, _, _, _, _, b'C', b'R', ..] => ("Canon RAW (CR2)", Raw),
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => tiff(head),
        [b'%', b'P', b'D', b'F', ..] => ("PDF", ExportStill),
        [b'%', b'!', b'P', b'S', ..] | [0xC5, 0xD0, 0xD3, 0xC6, ..] => ("PostScript", Draw),
        [0x1A, 0x45, 0xDF, 0xA3, ..] => ("video (Matroska or WebM)", ExportStill),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => ("video (AVI)", ExportStill),
        [b'P', b'K', 3, 4, ..] => ("archive (ZIP)", ExportStill),
        [0x1F, 0x8B, ..] => ("archive (gzip)", ExportStill),
        _ => return markup(head),
    };
    Some(Foreign { name, advice })
}

/// ISO base media (ISO/IEC 14496-12, section 4.3): the brands in the box `ftyp` determine the format.
fn iso_media(head: &[u8]) -> Foreign {
    let end = head
        .first_chunk()
        .map_or(0, |length| u32::from_be_bytes(*length))
        .try_into()
        .unwrap_or(usize::MAX)
        .min(head.len());
    let major = head.get(8..12).unwrap_or_default();
    let compatible = head.get(16..end).unwrap_or_default();
    let has = |brands: &[&[u8; 4]]| {
        let is_one = |brand: &[u8]| brands.iter().any(|wanted| brand == *wanted);
        is_one(major) || compatible.as_chunks::<4>().0.iter().any(|brand| is_one(brand))
    };
    let (name, advice) = if major == b"crx " {
        ("Canon RAW (CR3)", Advice::Raw)
    } else if has(&[b"avif", b"avis"]) {
        ("AVIF", Advice::Export)
    } else if has(&[
        b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1",
    ]) {
        ("HEIC", Advice::Heic)
    } else {
        ("video (MP4 or QuickTime)", Advice::ExportStill)
    };
    Foreign { name, advice }
}

/// Raw formats of many cameras are TIFF (revision 6.0, section 2) with additional tags in the first directory.
fn tiff(head: &[u8]) -> (&'static str, Advice) {
    const SUB_IFDS: u16 = 0x014A;
    const DNG_VERSION: u16 = 0xC612;
    let is_little = head.starts_with(b"II");
    let u16_at = |at: usize| {
        let bytes = *head.get(at..)?.first_chunk()?;
        Some(if is_little {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        })
    };
    let offset = head.get(4..).and_then(<[u8]>::first_chunk).map(|bytes| {
        if is_little {
            u32::from_le_bytes(*bytes)
        } else {
            u32::from_be_bytes(*bytes)
        }
    });
    let directory = offset
        .and_then(|offset| usize::try_from(offset).ok())
        .unwrap_or(usize::MAX);
    let count = u16_at(directory).unwrap_or(0);
    let has = |wanted| {
        (0..usize::from(count))
            .map_while(|entry| u16_at(directory.checked_add(2 + entry * 12)?))
            .any(|tag| tag == wanted)
    };
    if has(DNG_VERSION) {
        ("RAW (DNG)", Advice::Raw)
    } else if has(SUB_IFDS) {
        ("RAW", Advice::Raw)
    } else {
        ("TIFF", Advice::Export)
    }
}

fn markup(head: &[u8]) -> Option<Foreign> {
    let text = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
    let text = text.trim_ascii_start();
    if text.first() != Some(&b'<') {
        return None;
    }
    let contains = |wanted: &[u8]| {
        text.windows(wanted.len())
            .any(|window| window.eq_ignore_ascii_case(wanted))
    };
    let (name, advice) = if contains(b"<html") || contains(b"<!doctype html") {
        ("web page (HTML)", Advice::ExportStill)
    } else if contains(b"<svg") || contains(b"<!doctype svg") {
        ("SVG", Advice::Draw)
    } else {
        return None;
    };
    Some(Foreign { name, advice })
}

fn is_bmp(head: &[u8]) -> bool {
    // The header sizes of the format's versions.
    matches!(
        head.get(14..18),
        Some([12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0])
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(head: &[u8]) -> &'static str {
        match sniff(head) {
            Sniffed::Foreign(Foreign { name, .. }) => name,
            other => panic!("{other:?}"),
        }
    }

    fn ftyp(brands: &[&str]) -> Vec<u8> {
        let length = u32::try_from(12 + 4 * brands.len()).unwrap();
        let compatible: String = brands[1..].concat();
        [
            &length.to_be_bytes(),
            b"ftyp".as_slice(),
            brands[0].as_bytes(),
            &[0; 4],
            compatible.as_bytes(),
            b"\0\0\0\x08mdat-and-what-follows-heic",
        ]
        .concat()
    }

    fn tiff_with(tag: u16) -> Vec<u8> {
        let mut bytes = b"II\x2A\0\x08\0\0\0\x02\0".to_vec();
        for tag in [0x0100, tag] {
            bytes.extend(tag.to_le_bytes());
            bytes.extend([0; 10]);
        }
        bytes
    }

    #[test]
    fn iso_media_is_detected_by_its_brands() {
        assert_eq!(name(&ftyp(&["heic", "mif1", "heic"])), "HEIC");
        assert_eq!(name(&ftyp(&["mif1", "heic"])), "HEIC");
        assert_eq!(name(&ftyp(&["avif", "mif1", "miaf"])), "AVIF");
        assert_eq!(name(&ftyp(&["mif1", "avif"])), "AVIF");
        assert_eq!(name(&ftyp(&["crx ", "isom"])), "Canon RAW (CR3)");
        assert_eq!(name(&ftyp(&["isom", "mp42"])), "video (MP4 or QuickTime)");
        assert_eq!(name(&ftyp(&["qt  "])), "video (MP4 or QuickTime)");
    }

    #[test]
    fn raw_is_distinguished_from_tiff() {
        assert_eq!(name(&tiff_with(0xC612)), "RAW (DNG)");
        assert_eq!(name(&tiff_with(0x014A)), "RAW");
        assert_eq!(name(&tiff_with(0x0101)), "TIFF");
        assert_eq!(name(b"MM\0\x2A\0\0\0\x08"), "TIFF");
        assert_eq!(name(b"II\x2A\0\x10\0\0\0CR\x02\0"), "Canon RAW (CR2)");
    }

    #[test]
    fn markup_is_distinguished_from_text() {
        assert_eq!(
            name(b"\xEF\xBB\xBF <?xml version='1.0'?><!-- drawn --><svg/>"),
            "SVG"
        );
        assert_eq!(name(b"<SVG xmlns='http://www.w3.org/2000/svg'/>"), "SVG");
        assert_eq!(name(b"<!DOCTYPE html><html><svg>"), "web page (HTML)");
        assert_eq!(sniff(b"less < more, said the <svg>"), Sniffed::Unknown);
    }

    #[test]
    fn short_and_modified_files_are_damaged() {
        for head in [
            &b"\xFF"[..],
            b"a",
            b"\x89PNG",
            b"RIFF\0\0\0\0WEB",
            b"\x89PNG\n\x1A\n\0\0\0\rIHDR",
        ] {
            assert_eq!(sniff(head), Sniffed::Damaged, "{head:?}");
        }
        assert_eq!(sniff(b"BM is a film, not a bitmap"), Sniffed::Unknown);
    }

    proptest! {
        #[test]
        fn sniffing_never_panics(bytes: Vec<u8>) {
            for start in [&b""[..], b"II\x2A\0", b"MM\0\x2A", b"\0\0\0\x18ftyp", b"<"] {
                sniff(&[start, &bytes].concat());
            }
        }
    }
}
