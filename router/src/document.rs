//! One text or file as it is served: with an `ETag`, so that having it already costs a 304, and compressed.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::sync::OnceLock;

use hive_router::ntex::http::header::{ACCEPT_ENCODING, HeaderName, IF_NONE_MATCH};
use hive_router::ntex::http::{HeaderMap, StatusCode};
use hive_router::ntex::util::Bytes;
use hive_router::ntex::web::{HttpRequest, HttpResponse};

/// For what has a hash of its content in its name.
pub(crate) const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// For what changes under the same name.
pub(crate) const ASK_AGAIN: &str = "no-cache";

/// The type of a page.
pub(crate) const HTML: &str = "text/html; charset=utf-8";

/// Below this, compressing saves no packet.
const WORTH_COMPRESSING: usize = 1024;
/// Every page is compressed anew when its content changes, so this must be quick; the build takes its time over files.
const BROTLI_QUALITY: u32 = 4;

/// Something to be read, ready to be sent.
pub(crate) struct Document {
    status: StatusCode,
    content_type: &'static str,
    cache_control: &'static str,
    /// The headers of a request that its content depends on.
    vary: &'static str,
    /// The content security policy of a page.
    policy: Option<String>,
    /// Of the uncompressed content.
    hash: u64,
    plain: Bytes,
    brotli: OnceLock<Option<Bytes>>,
    gzip: OnceLock<Option<Bytes>>,
}

/// A content coding, the preferred one first.
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
    /// A text that was written just now. It is compressed when a client first asks for that.
    pub(crate) fn new(content_type: &'static str, text: String) -> Self {
        Self::with_codings(content_type, text.into(), OnceLock::new(), OnceLock::new())
    }

    /// A file, with those of its codings that lay beside it.
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
            cache_control: ASK_AGAIN,
            vary: "accept-encoding",
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

    pub(crate) fn with_policy(self, policy: String) -> Self {
        Self {
            policy: Some(policy),
            ..self
        }
    }

    /// Says that it depends on the visitor's language too.
    pub(crate) fn in_a_language(self) -> Self {
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

    /// Its content, uncompressed.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.plain
    }

    /// An upper bound of its size in memory, in bytes.
    pub(crate) fn size(&self) -> usize {
        2 * self.plain.len()
    }

    /// The answer to this request for it.
    pub(crate) fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let coding = self.coding(&joined(request.headers(), &ACCEPT_ENCODING));
        let etag = self.etag(coding);
        let unchanged =
            self.status == StatusCode::OK && matches_any(&joined(request.headers(), &IF_NONE_MATCH), &etag);
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
        if unchanged {
            return response.finish();
        }
        if coding != Coding::Identity {
            response.header("content-encoding", coding.name());
        }
        response.content_type(self.content_type).body(self.body(coding))
    }

    /// A strong tag: each coding has its own, because its bytes are others.
    fn etag(&self, coding: Coding) -> String {
        let hash = self.hash;
        match coding {
            Coding::Identity => format!("\"{hash:016x}\""),
            Coding::Brotli | Coding::Gzip => format!("\"{hash:016x}-{}\"", coding.name()),
        }
    }

    /// The best of the codings that there are and that `Accept-Encoding` takes.
    fn coding(&self, accepted: &str) -> Coding {
        let mut best = (Coding::Identity, 0.0);
        for coding in Coding::ALL.into_iter().filter(|coding| self.has(*coding)) {
            let quality = quality(accepted, coding);
            if quality > best.1 {
                best = (coding, quality);
            }
        }
        best.0
    }

    fn has(&self, coding: Coding) -> bool {
        let made = match coding {
            Coding::Identity => return true,
            Coding::Brotli => self.brotli.get(),
            Coding::Gzip => self.gzip.get(),
        };
        made.map_or(self.plain.len() >= WORTH_COMPRESSING, Option::is_some)
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

/// All lines of a header that is a list.
fn joined(headers: &HeaderMap, name: &HeaderName) -> String {
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
    // A comma may stand inside a tag.
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

/// How welcome `Accept-Encoding` says that a coding is; 0 is not at all (RFC 9110, 12.5.3).
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
        // Unless it is excluded it is always there, but no client prefers it.
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
            assert_eq!(text.coding(accepted), coding, "{accepted}");
        }
    }

    #[test]
    fn a_text_is_compressed_when_it_is_long_enough_and_a_file_only_by_the_build() {
        let long = "photo ".repeat(1000);
        let text = Document::new("text/plain", long.clone());
        let mut plain = Vec::new();
        brotli::BrotliDecompress(&mut text.body(Coding::Brotli).as_ref(), &mut plain).unwrap();
        assert_eq!(plain, long.as_bytes());
        let short = Document::new("text/plain", "short".to_owned());
        assert_eq!(short.coding("br"), Coding::Identity);
        let file = Document::file("text/plain", Bytes::from(long), None, None);
        assert_eq!(file.coding("br"), Coding::Identity);
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
    fn each_coding_has_a_tag_of_its_own() {
        let text = Document::new("text/plain", "photo".to_owned());
        let tags = Coding::ALL.map(|coding| text.etag(coding));
        assert!(
            tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2],
            "{tags:?}"
        );
    }
}
