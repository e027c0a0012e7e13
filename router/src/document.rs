//! A cacheable text or file with an `ETag`, compressed for clients that accept it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::sync::OnceLock;

use hive_router::ntex::http::header::{ACCEPT_ENCODING, HeaderName, IF_NONE_MATCH};
use hive_router::ntex::http::{HeaderMap, StatusCode};
use hive_router::ntex::util::Bytes;
use hive_router::ntex::web::{HttpRequest, HttpResponse};

/// `Cache-Control` of files whose name contains a hash of the content.
pub(crate) const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// `Cache-Control` of documents that change under the same name.
pub(crate) const REVALIDATE: &str = "no-cache";

/// The content type of a page.
pub(crate) const HTML: &str = "text/html; charset=utf-8";

/// Smaller texts are not compressed, because that would save no packet. In bytes.
const MIN_COMPRESSED_SIZE: usize = 1024;
/// Low, because a page is compressed again whenever its content changes. The build compresses files with a higher
/// quality.
const BROTLI_QUALITY: u32 = 4;

/// A response body with its headers.
pub(crate) struct Document {
    status: StatusCode,
    content_type: &'static str,
    cache_control: &'static str,
    /// The value of `Vary`.
    vary: &'static str,
    /// The value of `Retry-After`.
    retry_after_seconds: Option<u32>,
    /// The Content-Security-Policy of a page.
    policy: Option<String>,
    /// Hash of the uncompressed content.
    hash: u64,
    plain: Bytes,
    brotli: OnceLock<Option<Bytes>>,
    gzip: OnceLock<Option<Bytes>>,
}

/// Content codings, the preferred one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Brotli,
    Gzip,
    Identity,
}

impl Coding {
    const ALL: [Self; 3] = [Self::Brotli, Self::Gzip, Self::Identity];

    fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Identity => "identity",
        }
    }
}

impl Document {
    /// A generated text. It is compressed on first use.
    pub(crate) fn new(content_type: &'static str, text: String) -> Self {
        Self::with_codings(content_type, text.into(), OnceLock::new(), OnceLock::new())
    }

    /// A file with its precompressed versions, if there are any.
    pub(crate) fn file(
        content_type: &'static str,
        plain: Bytes,
        brotli: Option<Bytes>,
        gzip: Option<Bytes>,
    ) -> Self {
        Self::with_codings(content_type, plain, brotli.into(), gzip.into())
    }

    fn with_codings(
        content_type: &'static str,
        plain: Bytes,
        brotli: OnceLock<Option<Bytes>>,
        gzip: OnceLock<Option<Bytes>>,
    ) -> Self {
        let mut hasher = DefaultHasher::new();
        plain.hash(&mut hasher);
        Self {
            status: StatusCode::OK,
            content_type,
            cache_control: REVALIDATE,
            vary: "accept-encoding",
            retry_after_seconds: None,
            policy: None,
            hash: hasher.finish(),
            plain,
            brotli,
            gzip,
        }
    }

    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Makes it the response of an unavailable page.
    pub(crate) fn with_retry_after(self, seconds: u32) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            retry_after_seconds: Some(seconds),
            ..self
        }
    }

    pub(crate) fn with_policy(self, policy: String) -> Self {
        Self {
            policy: Some(policy),
            ..self
        }
    }

    /// Adds the visitor's language to `Vary`.
    pub(crate) fn vary_by_language(self) -> Self {
        Self {
            vary: "accept-encoding, accept-language, cookie",
            ..self
        }
    }

    pub(crate) fn with_cache_control(self, cache_control: &'static str) -> Self {
        Self {
            cache_control,
            ..self
        }
    }

    /// The uncompressed content.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.plain
    }

    /// An upper bound of its size in memory, in bytes.
    pub(crate) fn size(&self) -> usize {
        2 * self.plain.len()
    }

    /// The response to `request`: 200, or 304 if the client has the current version.
    pub(crate) fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let coding = self.choose_coding(&join_lines(request.headers(), &ACCEPT_ENCODING));
        let etag = self.etag(coding);
        let unchanged = self.status == StatusCode::OK
            && matches_any(&join_lines(request.headers(), &IF_NONE_MATCH), &etag);
        let mut response = HttpResponse::build(if unchanged {
            StatusCode::NOT_MODIFIED
        } else {
            self.status
        });
        response
            .header("cache-control", self.cache_control)
            .header("etag", etag)
            .header("vary", self.vary)
            .header("cross-origin-resource-policy", "same-origin");
        if let Some(policy) = &self.policy {
            response
                .header("content-security-policy", policy.as_str())
                .header("referrer-policy", "same-origin")
                .header("cross-origin-opener-policy", "same-origin")
                .header("permissions-policy", "camera=(), geolocation=(), microphone=()");
        }
        if let Some(seconds) = self.retry_after_seconds {
            response.header("retry-after", seconds.to_string());
        }
        if unchanged {
            return response.finish();
        }
        if coding != Coding::Identity {
            response.header("content-encoding", coding.name());
        }
        response.content_type(self.content_type).body(self.body(coding))
    }

    /// A strong tag, different for each coding because the bytes differ.
    fn etag(&self, coding: Coding) -> String {
        let hash = self.hash;
        match coding {
            Coding::Identity => format!("\"{hash:016x}\""),
            Coding::Brotli | Coding::Gzip => format!("\"{hash:016x}-{}\"", coding.name()),
        }
    }

    /// The best available coding that `Accept-Encoding` allows.
    fn choose_coding(&self, accepted: &str) -> Coding {
        let mut best = (Coding::Identity, 0.0);
        for coding in Coding::ALL
            .into_iter()
            .filter(|coding| self.is_available(*coding))
        {
            let quality = quality(accepted, coding);
            if quality > best.1 {
                best = (coding, quality);
            }
        }
        best.0
    }

    fn is_available(&self, coding: Coding) -> bool {
        let made = match coding {
            Coding::Identity => return true,
            Coding::Brotli => self.brotli.get(),
            Coding::Gzip => self.gzip.get(),
        };
        made.map_or(self.plain.len() >= MIN_COMPRESSED_SIZE, Option::is_some)
    }

    fn body(&self, coding: Coding) -> Bytes {
        let compressed = match coding {
            Coding::Identity => None,
            Coding::Brotli => self.brotli.get_or_init(|| Some(brotli(&self.plain))).as_ref(),
            Coding::Gzip => self.gzip.get_or_init(|| Some(gzip(&self.plain))).as_ref(),
        };
        compressed.unwrap_or(&self.plain).clone()
    }
}

/// Joins all lines of a list header.
fn join_lines(headers: &HeaderMap, name: &HeaderName) -> String {
    let lines: Vec<&str> = headers
        .get_all(name)
        .filter_map(|line| line.to_str().ok())
        .collect();
    lines.join(", ")
}

/// Whether `If-None-Match` names this tag, or any by `*`. The comparison is weak (RFC 9110, 13.1.2).
fn matches_any(header: &str, etag: &str) -> bool {
    let mut rest = header.trim();
    if rest == "*" {
        return true;
    }
    // A tag may contain a comma.
    while let Some((_, tag)) = rest.split_once('"') {
        let Some((tag, after)) = tag.split_once('"') else {
            return false;
        };
        if etag.trim_matches('"') == tag {
            return true;
        }
        rest = after;
    }
    false
}

fn brotli(plain: &[u8]) -> Bytes {
    let mut writer = brotli::CompressorWriter::new(Vec::new(), 64 * 1024, BROTLI_QUALITY, 20);
    // Writing into memory does not fail.
    let _ = writer.write_all(plain);
    writer.into_inner().into()
}

fn gzip(plain: &[u8]) -> Bytes {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    // Writing into memory does not fail.
    let _ = writer.write_all(plain);
    writer.finish().unwrap_or_default().into()
}

/// The quality that `Accept-Encoding` gives a coding, from 0 (not accepted) to 1 (RFC 9110, 12.5.3).
fn quality(header: &str, coding: Coding) -> f32 {
    let mut any = None;
    for entry in header.split(',') {
        let (name, parameters) = entry.split_once(';').unwrap_or((entry, ""));
        let quality = match parameters.trim().split_once('=') {
            Some((name, quality)) if name.trim().eq_ignore_ascii_case("q") => {
                quality.trim().parse().unwrap_or(0.0)
            }
            _ => 1.0,
        };
        let name = name.trim();
        if name.eq_ignore_ascii_case(coding.name()) {
            return quality;
        }
        if name == "*" {
            any = Some(quality);
        }
    }
    match coding {
        // Identity is acceptable unless excluded, but never preferred.
        Coding::Identity => any.unwrap_or(0.0).min(0.001),
        Coding::Brotli | Coding::Gzip => any.unwrap_or(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_accepted_coding_is_chosen() {
        let text = Document::new("text/plain", "photo ".repeat(1000));
        for (accepted, coding) in [
            ("gzip, deflate, br", Coding::Brotli),
            ("BR;q=0.5", Coding::Brotli),
            ("br;q=0.5, gzip;q=0.8", Coding::Gzip),
            ("br;q=0, gzip", Coding::Gzip),
            ("br ; q=0.0, gzip", Coding::Gzip),
            ("*", Coding::Brotli),
            ("br;q=0, *", Coding::Gzip),
            ("identity, br;q=0.5", Coding::Identity),
            ("*;q=0", Coding::Identity),
            ("br;q=x", Coding::Identity),
            ("", Coding::Identity),
        ] {
            assert_eq!(text.choose_coding(accepted), coding, "{accepted}");
        }
    }

    #[test]
    fn long_texts_are_compressed_and_files_only_by_the_build() {
        let long = "photo ".repeat(1000);
        let text = Document::new("text/plain", long.clone());
        let mut plain = Vec::new();
        brotli::BrotliDecompress(&mut text.body(Coding::Brotli).as_ref(), &mut plain).unwrap();
        assert_eq!(plain, long.as_bytes());
        let short = Document::new("text/plain", "short".to_owned());
        assert_eq!(short.choose_coding("br"), Coding::Identity);
        let file = Document::file("text/plain", Bytes::from(long), None, None);
        assert_eq!(file.choose_coding("br"), Coding::Identity);
    }

    #[test]
    fn tags_are_compared_weakly_and_one_by_one() {
        let etag = "\"a1-br\"";
        for header in [
            "*",
            " * ",
            "\"a1-br\"",
            "W/\"a1-br\"",
            "\"x\", \"a1-br\"",
            "\"x\",W/\"a1-br\"",
            "\"x,y\", \"a1-br\"",
        ] {
            assert!(matches_any(header, etag), "{header}");
        }
        for header in [
            "",
            "\"a1\"",
            "a1-br",
            "\"a1-br",
            "\"x, a1-br\"",
            "\"*\"",
            "\"A1-BR\"",
        ] {
            assert!(!matches_any(header, etag), "{header}");
        }
    }

    #[test]
    fn each_coding_has_a_different_tag() {
        let text = Document::new("text/plain", "photo".to_owned());
        let tags = Coding::ALL.map(|coding| text.etag(coding));
        assert!(
            tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2],
            "{tags:?}"
        );
    }
}
