//! What the bytes themselves say: which format they are, and whether their end is there.
//!
//! Decoders fill what is missing of a cut-off JPEG with grey; a person wants to be told instead.

use crate::PictureError;

/// The formats that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Jpeg,
    Png,
    Webp,
}

const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

impl Kind {
    /// By the header `Content-Type`, without its parameters.
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "image/jpeg" => Some(Self::Jpeg),
            "image/png" => Some(Self::Png),
            "image/webp" => Some(Self::Webp),
            _ => None,
        }
    }

    /// By the first bytes.
    pub fn sniff(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(b"\xFF\xD8\xFF") {
            Some(Self::Jpeg)
        } else if bytes.starts_with(PNG_SIGNATURE) {
            Some(Self::Png)
        } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
            Some(Self::Webp)
        } else {
            None
        }
    }
}

/// Checks that the file's own end is there. What comes behind it does not matter: it is never read.
pub(super) fn require_end(kind: Kind, bytes: &[u8]) -> Result<(), PictureError> {
    let ended = match kind {
        Kind::Jpeg => jpeg_ends(bytes),
        Kind::Png => png_ends(bytes),
        Kind::Webp => webp_ends(bytes),
    };
    ended.ok_or(PictureError::Truncated)
}

/// Walks the markers (ITU-T T.81, annex B) to the end of the image, past the thumbnails that segments may hold.
fn jpeg_ends(bytes: &[u8]) -> Option<()> {
    let mut at = 2;
    loop {
        // In coded data FF is followed by 00, and restart markers belong to it; anything else is the next marker.
        // Between segments this skips fill bytes, and what some cameras leave there.
        let found = bytes.get(at..)?.iter().position(|&byte| byte == 0xFF)?;
        at += found + 1;
        match *bytes.get(at)? {
            0xD9 => return Some(()),
            // Another FF may begin the marker itself.
            0xFF => {}
            0x00 | 0x01 | 0xD0..=0xD8 => at += 1,
            _ => at += 1 + usize::from(u16::from_be_bytes([*bytes.get(at + 1)?, *bytes.get(at + 2)?])),
        }
    }
}

/// Walks the chunks (W3C PNG, section 5.3) to `IEND`.
fn png_ends(bytes: &[u8]) -> Option<()> {
    let mut at = PNG_SIGNATURE.len();
    loop {
        let header = bytes.get(at..at.checked_add(8)?)?;
        let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
        // Length, type, data, checksum.
        at = at.checked_add(12)?.checked_add(usize::try_from(length).ok()?)?;
        if at > bytes.len() {
            return None;
        }
        if &header[4..] == b"IEND" {
            return Some(());
        }
    }
}

/// The RIFF header says how long the file is (RFC 9649, section 2.4).
fn webp_ends(bytes: &[u8]) -> Option<()> {
    let size = bytes.get(4..8)?;
    let size = u32::from_le_bytes([size[0], size[1], size[2], size[3]]);
    (bytes.len() >= usize::try_from(size).ok()?.checked_add(8)?).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn media_types() {
        assert_eq!(Kind::of_media_type("image/jpeg"), Some(Kind::Jpeg));
        assert_eq!(Kind::of_media_type("Image/PNG; charset=binary"), Some(Kind::Png));
        for other in [
            "",
            "image/jpg",
            "image/svg+xml",
            "image/gif",
            "text/html",
            "multipart/form-data",
        ] {
            assert_eq!(Kind::of_media_type(other), None, "{other}");
        }
    }

    #[test]
    fn a_thumbnails_end_is_not_the_pictures_end() {
        let segment = b"\xFF\xE1\x00\x06\xFF\xD9..";
        let cut = [
            b"\xFF\xD8".as_slice(),
            segment,
            b"\xFF\xDA\x00\x02coded\xFF\x00\xFF\xD0data",
        ]
        .concat();
        assert_eq!(require_end(Kind::Jpeg, &cut), Err(PictureError::Truncated));
        assert_eq!(
            require_end(Kind::Jpeg, &[&cut[..], b"\xFF\xFF\xD9"].concat()),
            Ok(())
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            for (kind, head) in [(Kind::Jpeg, &b"\xFF\xD8\xFF"[..]), (Kind::Png, PNG_SIGNATURE), (Kind::Webp, b"RIFF")] {
                let _ = require_end(kind, &bytes);
                let _ = require_end(kind, &[head, &bytes].concat());
            }
        }
    }
}
