//! Streams uploads to the photo service, and photos from it. No file is ever held in memory as a whole.

use std::error::Error;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use contracts::Code;
use contracts::headers::{AUTHORISED_BY, CLIENT_IP, CSRF, REQUEST_ID};
use contracts::limits::{MAX_UPLOAD_BYTES, UPLOAD_IDLE_TIMEOUT, UPLOAD_TIMEOUT, UploadPace};
use futures::StreamExt as _;
use hive_router::ntex::http::body::{BoxedBodyStream, SizedStream};
use hive_router::ntex::http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, RANGE,
};
use hive_router::ntex::http::{HeaderMap, Method, StatusCode};
use hive_router::ntex::util::Bytes;
use hive_router::ntex::web::types::Payload;
use hive_router::ntex::web::{HttpRequest, HttpResponse};
use tokio::sync::mpsc;
use tokio::time::{timeout, timeout_at};
use url::Url;

use crate::error_response::ErrorResponse;
use crate::request_body::{content_length, discard};
use crate::traces::TRACEPARENT;

/// Timeouts for the first byte of a photo, at the first and the second attempt. A dead machine does not refuse
/// connections, and another replica can serve the photo.
const FIRST_BYTE_TIMEOUTS: [Duration; 2] = [Duration::from_millis(1_500), Duration::from_secs(5)];

/// Request headers that are forwarded to the photo service.
const FORWARDED_REQUEST_HEADERS: [HeaderName; 5] =
    [ACCEPT, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE];
/// Response headers of the photo service that are forwarded to the client.
const FORWARDED_RESPONSE_HEADERS: [&str; 12] = [
    "accept-ranges",
    "cache-control",
    "content-disposition",
    "content-range",
    "content-security-policy",
    "content-type",
    "cross-origin-resource-policy",
    "etag",
    "last-modified",
    "retry-after",
    "vary",
    "x-content-type-options",
];

const SIGNED_OUT: ErrorResponse = ErrorResponse::new(
    StatusCode::UNAUTHORIZED,
    Code::Unauthenticated,
    "Sign in to upload photos.",
);
const CROSS_SITE: ErrorResponse = ErrorResponse::new(
    StatusCode::FORBIDDEN,
    Code::Forbidden,
    "An upload that is authorised by a cookie needs the header x-proofsheet.",
);
const TOO_LARGE: ErrorResponse = ErrorResponse::new(
    StatusCode::PAYLOAD_TOO_LARGE,
    Code::InvalidInput,
    "This file is too large: the limit is 25 MiB.",
);
const STALLED: ErrorResponse = ErrorResponse::new(
    StatusCode::REQUEST_TIMEOUT,
    Code::InvalidInput,
    "The connection is too slow for this upload. Try again on a faster one.",
);
const CUT_OFF: ErrorResponse = ErrorResponse::new(
    StatusCode::BAD_REQUEST,
    Code::InvalidInput,
    "The upload was interrupted. Try again.",
);
const UNREACHABLE: ErrorResponse = ErrorResponse::new(
    StatusCode::SERVICE_UNAVAILABLE,
    Code::Unavailable,
    "Photos are unavailable right now. Try again in a minute.",
);
const NOT_FOUND: ErrorResponse =
    ErrorResponse::new(StatusCode::NOT_FOUND, Code::NotFound, "There is nothing here.");

/// The HTTP API of the photo service: uploads and files.
pub(crate) struct PhotoService {
    base: String,
    client: reqwest::Client,
}

impl PhotoService {
    pub(crate) fn new(base: &Url, client: reqwest::Client) -> Self {
        Self {
            base: base.as_str().trim_end_matches('/').to_owned(),
            client,
        }
    }

    /// The size in bytes of the file at `path`; `None` if the photo service does not respond in time.
    pub(crate) async fn length(&self, path: &str) -> Option<u64> {
        let asked = self.client.head(format!("{}{path}", self.base));
        let response = asked.timeout(FIRST_BYTE_TIMEOUTS[0]).send().await.ok()?;
        let response = response.error_for_status().ok()?;
        let length = response.headers().get(reqwest::header::CONTENT_LENGTH)?;
        length.to_str().ok()?.parse().ok()
    }
}

/// How reading a client's upload ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadOutcome {
    Whole,
    TooLarge,
    Stalled,
    CutOff,
    /// The photo service has responded and reads no more.
    Unwanted,
}

pub(crate) async fn upload(
    request: &HttpRequest,
    mut payload: Payload,
    photos: &PhotoService,
) -> HttpResponse {
    if let Some(error) = check_headers(request.headers()) {
        return discard(request, payload.into_inner(), error.as_json());
    }
    match timeout(UPLOAD_TIMEOUT, forward(request, &mut payload, photos)).await {
        Ok(outcome) => {
            let response = outcome.map_or_else(|error| error.as_json(), stream_response);
            // The response may be ready before the client has sent everything.
            discard(request, payload.into_inner(), response)
        }
        Err(_) => STALLED.as_json(),
    }
}

/// Refuses an upload by its headers, before any byte of the file is read.
fn check_headers(headers: &HeaderMap) -> Option<ErrorResponse> {
    // The edge has turned valid credentials into a bearer token, and marked those from a cookie.
    if !headers.contains_key(AUTHORIZATION) {
        return Some(SIGNED_OUT);
    }
    if headers.contains_key(AUTHORISED_BY) && !headers.contains_key(CSRF) {
        return Some(CROSS_SITE);
    }
    content_length(headers)
        .filter(|length| *length > MAX_UPLOAD_BYTES)
        .map(|_| TOO_LARGE)
}

/// Streams the file to the photo service, which may respond before it has read everything.
async fn forward(
    request: &HttpRequest,
    payload: &mut Payload,
    photos: &PhotoService,
) -> Result<reqwest::Response, ErrorResponse> {
    // Buffers at most four chunks, then applies back-pressure to the client.
    let (chunks, body) = mpsc::channel::<Result<bytes::Bytes, std::io::Error>>(4);
    let body = futures::stream::unfold(body, |mut body| async move { Some((body.recv().await?, body)) });
    let mut outgoing = photos.client.post(format!("{}/media/uploads", photos.base));
    for name in [AUTHORIZATION, CONTENT_TYPE, CONTENT_LENGTH] {
        outgoing = copy_header(outgoing, request.headers(), &name);
    }
    outgoing = with_identifiers(outgoing, request.headers());
    let sending = outgoing.body(reqwest::Body::wrap_stream(body)).send();

    let mut sending = pin!(sending);
    let mut receiving = pin!(receive(payload, chunks));
    let mut received = None;
    loop {
        tokio::select! {
            outcome = &mut receiving, if received.is_none() => {
                received = Some(outcome);
                match outcome {
                    ReadOutcome::TooLarge => return Err(TOO_LARGE),
                    ReadOutcome::Stalled => return Err(STALLED),
                    ReadOutcome::CutOff => return Err(CUT_OFF),
                    ReadOutcome::Whole | ReadOutcome::Unwanted => {}
                }
            }
            response = &mut sending => {
                return response.map_err(|error| {
                    tracing::warn!(error = %error.without_url(), "cannot forward an upload to the photo service");
                    UNREACHABLE
                });
            }
        }
    }
}

/// Reads the client's file into `chunks`.
async fn receive(
    payload: &mut Payload,
    chunks: mpsc::Sender<Result<bytes::Bytes, std::io::Error>>,
) -> ReadOutcome {
    let received = metrics::counter!("proofsheet_router_media_bytes_total", "direction" => "received");
    let mut size = 0;
    let mut pace = UploadPace::new(Instant::now());
    loop {
        let outcome = match timeout_at(pace.deadline().into(), payload.recv()).await {
            Err(_) => ReadOutcome::Stalled,
            Ok(None) => return ReadOutcome::Whole,
            Ok(Some(Err(_))) => ReadOutcome::CutOff,
            Ok(Some(Ok(chunk))) => {
                size += chunk.len() as u64;
                pace.receive(chunk.len(), Instant::now());
                received.increment(chunk.len() as u64);
                if size <= MAX_UPLOAD_BYTES {
                    if chunks
                        .send(Ok(bytes::Bytes::copy_from_slice(&chunk)))
                        .await
                        .is_err()
                    {
                        return ReadOutcome::Unwanted;
                    }
                    continue;
                }
                ReadOutcome::TooLarge
            }
        };
        // Aborts the request, so that the photo service does not take a part for the whole file.
        let _ = chunks
            .send(Err(std::io::Error::other("the upload broke off")))
            .await;
        return outcome;
    }
}

/// Streams a photo from the photo service. `file` is the decoded path below `/media/`.
pub(crate) async fn download(request: &HttpRequest, file: &str, photos: &PhotoService) -> HttpResponse {
    if !is_file(file) {
        return NOT_FOUND.as_json();
    }
    for first_byte_timeout in FIRST_BYTE_TIMEOUTS {
        match timeout(first_byte_timeout, download_request(request, file, photos).send()).await {
            // The response of the photo service has no body.
            Ok(Ok(response)) if response.status() == reqwest::StatusCode::NOT_FOUND => {
                return NOT_FOUND.as_json();
            }
            Ok(Ok(response)) => return stream_response(response),
            Ok(Err(error)) => tracing::warn!(error = %error.without_url(), "cannot fetch a photo"),
            Err(_) => tracing::warn!("the photo service did not respond in time"),
        }
    }
    UNREACHABLE.as_json()
}

/// The request for a photo to the photo service.
fn download_request(request: &HttpRequest, file: &str, photos: &PhotoService) -> reqwest::RequestBuilder {
    let method = if request.method() == Method::HEAD {
        reqwest::Method::HEAD
    } else {
        reqwest::Method::GET
    };
    let mut outgoing = photos
        .client
        .request(method, format!("{}/media/{file}", photos.base));
    for name in &FORWARDED_REQUEST_HEADERS {
        outgoing = copy_header(outgoing, request.headers(), name);
    }
    with_identifiers(outgoing, request.headers())
}

/// Whether `path` can be a file name. The route has no dot segments; other special characters are rejected too.
fn is_file(path: &str) -> bool {
    !path.is_empty()
        && path
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte))
}

/// Streams the response of the photo service to the client.
fn stream_response(response: reqwest::Response) -> HttpResponse {
    let status = StatusCode::from_u16(response.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut answer = HttpResponse::build(status);
    for name in FORWARDED_RESPONSE_HEADERS {
        for value in response.headers().get_all(name) {
            answer.header(name, HeaderValue::from(value));
        }
    }
    let length = response
        .headers()
        .get(reqwest::header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let sent = metrics::counter!("proofsheet_router_media_bytes_total", "direction" => "sent");
    let body = Box::pin(response.bytes_stream());
    let chunks = futures::stream::unfold((body, sent), |(mut body, sent)| async move {
        let chunk = match timeout(UPLOAD_IDLE_TIMEOUT, body.next()).await {
            Ok(None) => return None,
            Ok(Some(Ok(chunk))) => {
                sent.increment(chunk.len() as u64);
                Ok(Bytes::copy_from_slice(&chunk))
            }
            Ok(Some(Err(error))) => Err(abort(error.without_url())),
            Err(idle) => Err(abort(idle)),
        };
        Some((chunk, (body, sent)))
    });
    match length {
        _ if status == StatusCode::NOT_MODIFIED || status == StatusCode::NO_CONTENT => answer.finish(),
        Some(length) => answer.body(SizedStream::new(length, Box::pin(chunks))),
        None => answer.body(BoxedBodyStream::new(Box::pin(chunks))),
    }
}

/// An error in the stream closes the connection, so that the client does not take a part for the whole.
fn abort(error: impl Error + 'static) -> Rc<dyn Error> {
    Rc::new(error)
}

fn copy_header(
    outgoing: reqwest::RequestBuilder,
    from: &HeaderMap,
    name: &HeaderName,
) -> reqwest::RequestBuilder {
    match from.get(name) {
        Some(value) => outgoing.header(name, reqwest::header::HeaderValue::from(value)),
        None => outgoing,
    }
}

fn with_identifiers(outgoing: reqwest::RequestBuilder, from: &HeaderMap) -> reqwest::RequestBuilder {
    let names = [
        TRACEPARENT,
        HeaderName::from_static(REQUEST_ID),
        HeaderName::from_static(CLIENT_IP),
    ];
    names
        .iter()
        .fold(outgoing, |outgoing, name| copy_header(outgoing, from, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_the_limit() {
        let limit = format!("the limit is {} MiB.", MAX_UPLOAD_BYTES / 1024 / 1024);
        assert!(TOO_LARGE.message.ends_with(&limit));
    }

    #[test]
    fn file_names_are_checked() {
        assert!(is_file("0192/640.avif"));
        for path in ["", "a b", "a?b", "a;b", "%61", "é"] {
            assert!(!is_file(path), "{path}");
        }
    }
}
