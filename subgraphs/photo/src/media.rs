//! `GET /media/{key}/{file}`: serves renditions, which never change.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use headers::{AcceptRanges, ContentRange, ETag, HeaderMapExt as _, IfNoneMatch, IfRange};
use object_store::{GetOptions, GetRange, GetResult};
use subgraph::Failure;

use crate::domain::{FileKey, FileName, Format};
use crate::error::Error;
use crate::files::Files;

/// The maximum size of files that are not streamed, in bytes.
const MAX_UNSTREAMED_SIZE: u64 = 512 * 1024;

pub fn routes(files: Files) -> Router {
    Router::new()
        .route("/media/{key}/{file}", get(serve))
        .with_state(files)
}

async fn serve(
    State(files): State<Files>,
    method: Method,
    Path((key, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let name = FileName::parse(&file);
    let (Some(key), Some(name @ FileName::Rendition { format, .. })) = (FileKey::parse(&key), name) else {
        return missing();
    };
    match respond(
        &files,
        MediaRequest {
            key,
            name,
            format,
            method,
            headers,
        },
    )
    .await
    {
        Ok(response) => response,
        Err(error) => {
            Failure::from(Error::from(error)).log();
            (
                StatusCode::SERVICE_UNAVAILABLE,
                [(header::CACHE_CONTROL, "no-store")],
            )
                .into_response()
        }
    }
}

struct MediaRequest {
    key: FileKey,
    name: FileName,
    format: Format,
    method: Method,
    headers: HeaderMap,
}

async fn respond(files: &Files, request: MediaRequest) -> Result<Response, object_store::Error> {
    let etag = format!("\"{}-{}\"", request.key, request.name);
    let etag: ETag = etag.parse().expect("keys and names are letters and digits");
    // Deleted files must not be "not modified", so the store is always asked.
    let known = request
        .headers
        .typed_get::<IfNoneMatch>()
        .is_some_and(|tags| !tags.precondition_passes(&etag));
    let head = known || request.method == Method::HEAD;
    let requested = request
        .headers
        .get(header::RANGE)
        .and_then(|range| range.to_str().ok());
    let whole = request.headers.contains_key(header::IF_RANGE)
        && request
            .headers
            .typed_get::<IfRange>()
            .is_none_or(|version| version.is_modified(Some(&etag), None));
    let requested = requested.filter(|_| !head && !whole);

    let mut options = GetOptions {
        head,
        ..GetOptions::default()
    };
    let mut status = StatusCode::OK;
    if let Some(requested) = requested {
        let head = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        let Some(found) = files.open_file(request.key, request.name, head).await? else {
            return Ok(missing());
        };
        match byte_range(requested, found.meta.size) {
            ByteRange::Whole => {}
            ByteRange::Part(range) => {
                options.range = Some(GetRange::Bounded(range));
                status = StatusCode::PARTIAL_CONTENT;
            }
            ByteRange::Nothing => {
                let refused = [(header::CACHE_CONTROL, "no-store")];
                let mut response = (StatusCode::RANGE_NOT_SATISFIABLE, refused).into_response();
                let headers = response.headers_mut();
                headers.typed_insert(ContentRange::unsatisfied_bytes(found.meta.size));
                protect(headers);
                return Ok(response);
            }
        }
    }
    let Some(found) = files.open_file(request.key, request.name, options).await? else {
        return Ok(missing());
    };

    let (range, total) = (found.range.clone(), found.meta.size);
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else if head {
        ([(header::CONTENT_LENGTH, total)], Body::empty()).into_response()
    } else {
        let length = range.end - range.start;
        (
            status,
            [(header::CONTENT_LENGTH, length)],
            body(found, length).await?,
        )
            .into_response()
    };
    if status == StatusCode::PARTIAL_CONTENT {
        let part = ContentRange::bytes(range, total).expect("the range has both ends");
        response.headers_mut().typed_insert(part);
    }
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(request.format.media_type()),
    );
    headers.typed_insert(etag);
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=31536000, immutable"),
    );
    headers.typed_insert(AcceptRanges::bytes());
    protect(headers);
    Ok(response)
}

async fn body(found: GetResult, length: u64) -> Result<Body, object_store::Error> {
    if length <= MAX_UNSTREAMED_SIZE {
        Ok(found.bytes().await?.into())
    } else {
        Ok(Body::from_stream(found.into_stream()))
    }
}

fn missing() -> Response {
    // Not cached: the file may be on its way from another replica of the store.
    let mut response = (StatusCode::NOT_FOUND, [(header::CACHE_CONTROL, "no-store")]).into_response();
    protect(response.headers_mut());
    response
}

/// Sets headers so that browsers show the file only as a picture.
fn protect(headers: &mut HeaderMap) {
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; default-src 'none'"),
    );
}

#[derive(Debug, PartialEq, Eq)]
enum ByteRange {
    Whole,
    Part(std::ops::Range<u64>),
    Nothing,
}

/// Parses a `Range` header (RFC 9110, section 14.1.2) with one range. Anything else returns the whole file.
/// `headers::Range` accepts neither `Bytes=` nor numbers beyond 2^64, which the RFC allows.
fn byte_range(header: &str, size: u64) -> ByteRange {
    let range = header
        .split_once('=')
        .filter(|(unit, _)| unit.eq_ignore_ascii_case("bytes"))
        .and_then(|(_, range)| range.split_once('-'));
    let Some((first, last)) = range else {
        return ByteRange::Whole;
    };
    let (first, last) = (first.trim(), last.trim());
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Some(first), None) if last.is_empty() => first..size,
        (None, Some(count)) if first.is_empty() => size.saturating_sub(count)..size,
        _ => return ByteRange::Whole,
    };
    if range.start < range.end {
        ByteRange::Part(range)
    } else {
        ByteRange::Nothing
    }
}

/// Digits only; a number that is too large counts as the maximum.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::{ByteRange, byte_range};

    #[test]
    fn ranges_are_parsed() {
        assert_eq!(byte_range("bytes=0-9", 100), ByteRange::Part(0..10));
        assert_eq!(byte_range("bytes=90-", 100), ByteRange::Part(90..100));
        assert_eq!(byte_range("bytes=-10", 100), ByteRange::Part(90..100));
        assert_eq!(byte_range("bytes=-1000", 100), ByteRange::Part(0..100));
        assert_eq!(
            byte_range("bytes=0-18446744073709551615", 100),
            ByteRange::Part(0..100)
        );
        assert_eq!(
            byte_range("bytes=0-99999999999999999999", 100),
            ByteRange::Part(0..100)
        );
        assert_eq!(byte_range("Bytes=0-9", 100), ByteRange::Part(0..10));
        assert_eq!(byte_range("bytes=100-", 100), ByteRange::Nothing);
        assert_eq!(byte_range("bytes=99999999999999999999-", 100), ByteRange::Nothing);
        assert_eq!(byte_range("bytes=-0", 100), ByteRange::Nothing);
        for whole in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=9-0",
            "bytes=0-1,5-6",
            "items=0-1",
            "bytes=a-b",
            "bytes=+1-5",
            "bytes=-+5",
        ] {
            assert_eq!(byte_range(whole, 100), ByteRange::Whole, "{whole}");
        }
    }
}
