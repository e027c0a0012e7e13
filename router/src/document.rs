//! One text or file as it is served: with an `ETag`, so that having it already costs a 304, and compressed.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::sync::OnceLock;

use hive_router::ntex::http::header::{ACCEPT_ENCODING, IF_NONE_MATCH};
use hive_router::ntex::http::{Method, StatusCode};
use hive_router::ntex::util::Bytes;
use hive_router::ntex::web::{HttpRequest, HttpResponse};

use crate::answers::Refusal;

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

const NOT_ALLOWED: Refusal = Refusal::new(
    StatusCode::METHOD_NOT_ALLOWED,
    "INVALID_INPUT",
    "This address can only be read.",
);

/// Something to be read, ready to be sent.
pub(crate) struct Document {
    status: StatusCode,
    content_type: &'static str,
    cache_control: &'static str,
    /// The headers of a request that its content depends on.
    vary: &'static str,
    /// The content security policy of a page.
    policy: Option<String>,
    etag: String,
    plain: Bytes,
    brotli: OnceLock<Option<Bytes>>,
    gzip: OnceLock<Option<Bytes>>,
}

impl Document {
    /// A text that was written just now; whoever asks first for a coding of it makes it.
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
            etag: format!("\"{:016x}\"", hasher.finish()),
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

    /// What it takes up in memory at most.
    pub(crate) fn size(&self) -> usize {
        2 * self.plain.len()
    }

    /// The answer to this request for it.
    pub(crate) fn answer(&self, request: &HttpRequest) -> HttpResponse {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return NOT_ALLOWED.as_json();
        }
        let header = |name| {
            request
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let unchanged = self.status == StatusCode::OK
            && header(IF_NONE_MATCH)
                .split(',')
                .any(|tag| tag.trim().trim_start_matches("W/") == self.etag);
        let mut response = HttpResponse::build(if unchanged {
            StatusCode::NOT_MODIFIED
        } else {
            self.status
        });
        response
            .header("cache-control", self.cache_control)
            .header("etag", self.etag.as_str())
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
        let (body, coding) = self.coded(header(ACCEPT_ENCODING));
        if let Some(coding) = coding {
            response.header("content-encoding", coding);
        }
        response.content_type(self.content_type).body(body.clone())
    }

    /// The best coding that is accepted, and its name.
    fn coded(&self, accepted: &str) -> (&Bytes, Option<&'static str>) {
        if accepts(accepted, "br")
            && let Some(brotli) = self.brotli.get_or_init(|| compressed(&self.plain, brotli))
        {
            return (brotli, Some("br"));
        }
        if accepts(accepted, "gzip")
            && let Some(gzip) = self.gzip.get_or_init(|| compressed(&self.plain, gzip))
        {
            return (gzip, Some("gzip"));
        }
        (&self.plain, None)
    }
}

/// Nothing if it would not be worth it.
fn compressed(plain: &[u8], by: fn(&[u8]) -> std::io::Result<Vec<u8>>) -> Option<Bytes> {
    if plain.len() < WORTH_COMPRESSING {
        return None;
    }
    // Writing into memory does not fail; if it did, the plain text is as good.
    by(plain).ok().map(Bytes::from)
}

fn brotli(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut writer = brotli::CompressorWriter::new(Vec::new(), 64 * 1024, BROTLI_QUALITY, 20);
    writer.write_all(plain)?;
    Ok(writer.into_inner())
}

fn gzip(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(plain)?;
    writer.finish()
}

/// Whether `Accept-Encoding` names this coding, and not with a quality of zero.
fn accepts(header: &str, coding: &str) -> bool {
    header.split(',').any(|entry| {
        let (name, parameters) = entry.split_once(';').unwrap_or((entry, ""));
        let quality = parameters
            .trim()
            .strip_prefix("q=")
            .and_then(|quality| quality.trim().parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case(coding) && quality != Some(0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_negotiated() {
        assert!(accepts("gzip, deflate, br", "br"));
        assert!(accepts("BR;q=0.5", "br"));
        assert!(!accepts("br;q=0, gzip", "br"));
        assert!(!accepts("", "gzip"));
    }

    #[test]
    fn a_text_is_compressed_when_it_is_long_enough_and_a_file_only_by_the_build() {
        let long = "photo ".repeat(1000);
        let text = Document::new("text/plain", long.clone());
        let (body, coding) = text.coded("gzip, br");
        assert_eq!(coding, Some("br"));
        let mut plain = Vec::new();
        brotli::BrotliDecompress(&mut body.as_ref(), &mut plain).unwrap();
        assert_eq!(plain, long.as_bytes());
        assert_eq!(text.coded("gzip").1, Some("gzip"));
        assert_eq!(text.coded("").1, None);
        assert_eq!(
            Document::new("text/plain", "short".to_owned()).coded("br").1,
            None
        );
        let file = Document::file("text/plain", Bytes::from(long), None, None);
        assert_eq!(file.coded("br").1, None);
    }
}
