//! Decodes and checks paths.

/// Maximum length of a username in a path, in bytes: more than any username has.
const MAX_USERNAME_LENGTH: usize = 64;

/// Why a path is not a valid address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathError {
    /// The path violates HTTP, for this reason.
    Malformed(&'static str),
    /// The path is valid, but no page of the site has it.
    Nowhere,
}

/// Percent-decodes a path once. Paths with escaped slashes, empty segments or dot segments are rejected instead of
/// resolved, because programs resolve them differently.
pub fn decode(path: &str) -> Result<String, PathError> {
    if !path.starts_with('/') {
        return Err(PathError::Malformed(
            "The request needs a path that begins with a slash.",
        ));
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut is_nowhere = false;
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(PathError::Malformed(
                "A % in the path must be followed by two hexadecimal digits.",
            ));
        };
        let byte = u8::try_from(high * 16 + low).unwrap_or_default();
        is_nowhere |= matches!(byte, b'/' | b'\\');
        decoded.push(byte);
    }
    let Ok(decoded) = String::from_utf8(decoded) else {
        return Err(PathError::Malformed("The path must be UTF-8."));
    };
    if decoded.chars().any(char::is_control) {
        return Err(PathError::Malformed(
            "The path must not contain control characters.",
        ));
    }
    let mut segments = decoded.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        is_nowhere |= match segment {
            "." | ".." => true,
            "" => segments.peek().is_some(),
            _ => segment.contains('\\'),
        };
    }
    if is_nowhere {
        return Err(PathError::Nowhere);
    }
    Ok(decoded)
}

/// Removes a trailing slash.
pub fn without_trailing_slash(path: &str) -> &str {
    match path.strip_suffix('/') {
        Some(trimmed) if !trimmed.is_empty() => trimmed,
        _ => path,
    }
}

/// Whether the text is a valid date in the format `YYYY-MM-DD`.
pub fn is_day(text: &str) -> bool {
    let is_plain = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if !is_plain {
        return false;
    }
    let number = |from: usize, to: usize| text[from..to].parse::<u32>().unwrap_or_default();
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let is_leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 0,
    };
    (1..=days).contains(&day)
}

/// Whether the text is a UUID with hyphens. Other forms are rejected, so that each photo has one address.
pub fn is_photo_id(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Whether the text can be a username, in any case.
pub fn is_name(text: &str) -> bool {
    (1..=MAX_USERNAME_LENGTH).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}
