//! Streams uploads to the photo service, and photos from it. At no time is a whole file in memory.

use std::error::Error;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

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
use tokio::time::timeout;
use url::Url;

use crate::error_response::Refusal;
use crate::negotiation::CSRF_HEADER;
use crate::traces::TRACEPARENT;

/// The largest photo that we take, in bytes.
const LARGEST_UPLOAD: u64 = 25 * 1024 * 1024;
/// So much of a refused upload is read and thrown away, so that its sender gets to see the answer.
const MAX_DISCARDED_BYTES: u64 = 64 * 1024 * 1024;
/// A transfer in which nothing moves for this long is given up.
const IDLE: Duration = Duration::from_secs(30);
/// An upload, with its decoding and encoding, may take this long.
const IN_ALL: Duration = Duration::from_secs(600);
/// A photo must begin to arrive within this, at the first try and at the second: the process that was asked first may
/// have died with its machine, which says nothing, and another one has the photo too.
const FIRST_BYTE: [Duration; 2] = [Duration::from_millis(1_500), Duration::from_secs(5)];

/// Headers of a download that the photo service should see.
const ASKED: [HeaderName; 5] = [ACCEPT, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE];
/// Headers of the photo service that the client should see.
const ANSWERED: [&str; 12] = [
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

const SIGNED_OUT: Refusal = Refusal::new(
    StatusCode::UNAUTHORIZED,
    "UNAUTHENTICATED",
    "Sign in to upload photos.",
);
const CROSS_SITE: Refusal = Refusal::new(
    StatusCode::FORBIDDEN,
    "FORBIDDEN",
    "An upload that is authorised by a cookie needs the header x-proofsheet.",
);
const TOO_LARGE: Refusal = Refusal::new(
    StatusCode::PAYLOAD_TOO_LARGE,
    "INVALID_INPUT",
    "This file is too large: the limit is 25 MiB.",
);
const STALLED: Refusal = Refusal::new(
    StatusCode::REQUEST_TIMEOUT,
    "INVALID_INPUT",
    "The upload stopped half-way. Please try again.",
);
const CUT_OFF: Refusal = Refusal::new(
    StatusCode::BAD_REQUEST,
    "INVALID_INPUT",
    "The upload was cut off half-way.",
);
const UNREACHABLE: Refusal = Refusal::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "UNAVAILABLE",
    "Photos are unavailable right now. Try again in a minute.",
);
const NOT_FOUND: Refusal = Refusal::new(StatusCode::NOT_FOUND, "NOT_FOUND", "There is nothing here.");

/// The photo service's side that is not GraphQL.
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

    /// The size in bytes of the file at this path, unless the photo service does not say so in time.
    pub(crate) async fn length(&self, path: &str) -> Option<u64> {
        let asked = self.client.head(format!("{}{path}", self.base));
        let response = asked.timeout(FIRST_BYTE[0]).send().await.ok()?;
        let response = response.error_for_status().ok()?;
        let length = response.headers().get(reqwest::header::CONTENT_LENGTH)?;
        length.to_str().ok()?.parse().ok()
    }
}

/// How reading a client's upload ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Received {
    Whole,
    TooLarge,
    Stalled,
    CutOff,
    /// The photo service has answered and wants no more.
    Unwanted,
}

pub(crate) async fn upload(
    request: &HttpRequest,
    mut payload: Payload,
    photos: &PhotoService,
) -> HttpResponse {
    if let Some(refusal) = refused(request.headers()) {
        discard(&mut payload).await;
        return refusal.as_json();
    }
    match timeout(IN_ALL, forward(request, &mut payload, photos)).await {
        Ok(outcome) => {
            // The photo service, or we, may have had enough before the client had sent everything.
            discard(&mut payload).await;
            outcome.map_or_else(|refusal| refusal.as_json(), answer)
        }
        Err(_) => STALLED.as_json(),
    }
}

/// Refuses an upload by its headers, before any byte of the file is read.
fn refused(headers: &HeaderMap) -> Option<Refusal> {
    // The edge has turned valid credentials into a bearer token, and marked those from a cookie.
    if !headers.contains_key(AUTHORIZATION) {
        return Some(SIGNED_OUT);
    }
    if headers.contains_key("x-authorised-by") && !headers.contains_key(CSRF_HEADER) {
        return Some(CROSS_SITE);
    }
    content_length(headers)
        .filter(|length| *length > LARGEST_UPLOAD)
        .map(|_| TOO_LARGE)
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Sends the file on as it comes in. The photo service may answer before it has read everything.
async fn forward(
    request: &HttpRequest,
    payload: &mut Payload,
    photos: &PhotoService,
) -> Result<reqwest::Response, Refusal> {
    // Four chunks at most wait here; then the client has to.
    let (chunks, body) = mpsc::channel::<Result<bytes::Bytes, std::io::Error>>(4);
    let body = futures::stream::unfold(body, |mut body| async move { Some((body.recv().await?, body)) });
    let mut outgoing = photos.client.post(format!("{}/media/uploads", photos.base));
    for name in [AUTHORIZATION, CONTENT_TYPE, CONTENT_LENGTH] {
        outgoing = copy(outgoing, request.headers(), &name);
    }
    outgoing = with_identifiers(outgoing, request.headers());
    let sending = outgoing.body(reqwest::Body::wrap_stream(body)).send();

    let mut sending = pin!(sending);
    let mut receiving = pin!(receive(payload, chunks));
    let mut received = None;
    loop {
        tokio::select! {
            how = &mut receiving, if received.is_none() => {
                received = Some(how);
                match how {
                    Received::TooLarge => return Err(TOO_LARGE),
                    Received::Stalled => return Err(STALLED),
                    Received::CutOff => return Err(CUT_OFF),
                    Received::Whole | Received::Unwanted => {}
                }
            }
            response = &mut sending => {
                return response.map_err(|error| {
                    tracing::warn!(error = %error.without_url(), "cannot hand an upload to the photo service");
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
) -> Received {
    let received = metrics::counter!("proofsheet_router_media_bytes_total", "direction" => "received");
    let mut size = 0;
    loop {
        let how = match timeout(IDLE, payload.recv()).await {
            Err(_) => Received::Stalled,
            Ok(None) => return Received::Whole,
            Ok(Some(Err(_))) => Received::CutOff,
            Ok(Some(Ok(chunk))) => {
                size += chunk.len() as u64;
                received.increment(chunk.len() as u64);
                if size <= LARGEST_UPLOAD {
                    if chunks
                        .send(Ok(bytes::Bytes::copy_from_slice(&chunk)))
                        .await
                        .is_err()
                    {
                        return Received::Unwanted;
                    }
                    continue;
                }
                Received::TooLarge
            }
        };
        // The photo service must not take what it has for the whole.
        let _ = chunks
            .send(Err(std::io::Error::other("the upload broke off")))
            .await;
        return how;
    }
}

/// Reads what is left of a refused upload: a client that is still sending would not look at the answer.
pub(crate) async fn discard(payload: &mut Payload) {
    let mut left = MAX_DISCARDED_BYTES;
    while let Ok(Some(Ok(chunk))) = timeout(IDLE, payload.recv()).await {
        match left.checked_sub(chunk.len() as u64) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// `file` is the decoded path below `/media/`.
pub(crate) async fn download(request: &HttpRequest, file: &str, photos: &PhotoService) -> HttpResponse {
    if !is_file(file) {
        return NOT_FOUND.as_json();
    }
    for patience in FIRST_BYTE {
        match timeout(patience, ask(request, file, photos).send()).await {
            Ok(Ok(response)) => return answer(response),
            Ok(Err(error)) => tracing::warn!(error = %error.without_url(), "cannot get a photo"),
            Err(_) => tracing::warn!("the photo service does not answer in time"),
        }
    }
    UNREACHABLE.as_json()
}

/// The question for a photo, as the photo service gets it.
fn ask(request: &HttpRequest, file: &str, photos: &PhotoService) -> reqwest::RequestBuilder {
    let method = if request.method() == Method::HEAD {
        reqwest::Method::HEAD
    } else {
        reqwest::Method::GET
    };
    let mut outgoing = photos
        .client
        .request(method, format!("{}/media/{file}", photos.base));
    for name in &ASKED {
        outgoing = copy(outgoing, request.headers(), name);
    }
    with_identifiers(outgoing, request.headers())
}

/// Whether it can be the name of a file. The route has no dot segments; nothing else may have a meaning to the photo
/// service either.
fn is_file(path: &str) -> bool {
    !path.is_empty()
        && path
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte))
}

/// The photo service's answer, passed on as it comes in.
fn answer(response: reqwest::Response) -> HttpResponse {
    let status = StatusCode::from_u16(response.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut answer = HttpResponse::build(status);
    for name in ANSWERED {
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
        let chunk = match timeout(IDLE, body.next()).await {
            Ok(None) => return None,
            Ok(Some(Ok(chunk))) => {
                sent.increment(chunk.len() as u64);
                Ok(Bytes::copy_from_slice(&chunk))
            }
            Ok(Some(Err(error))) => Err(broken(error.without_url())),
            Err(idle) => Err(broken(idle)),
        };
        Some((chunk, (body, sent)))
    });
    match length {
        _ if status == StatusCode::NOT_MODIFIED || status == StatusCode::NO_CONTENT => answer.finish(),
        Some(length) => answer.body(SizedStream::new(length, Box::pin(chunks))),
        None => answer.body(BoxedBodyStream::new(Box::pin(chunks))),
    }
}

/// The connection to the client is closed without the rest, so that it cannot take a part for the whole.
fn broken(error: impl Error + 'static) -> Rc<dyn Error> {
    Rc::new(error)
}

fn copy(outgoing: reqwest::RequestBuilder, from: &HeaderMap, name: &HeaderName) -> reqwest::RequestBuilder {
    match from.get(name) {
        Some(value) => outgoing.header(name, reqwest::header::HeaderValue::from(value)),
        None => outgoing,
    }
}

fn with_identifiers(outgoing: reqwest::RequestBuilder, from: &HeaderMap) -> reqwest::RequestBuilder {
    let names = [
        TRACEPARENT,
        HeaderName::from_static("x-request-id"),
        HeaderName::from_static("x-client-ip"),
    ];
    names
        .iter()
        .fold(outgoing, |outgoing, name| copy(outgoing, from, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_asked_for() {
        assert!(is_file("0192/640.avif"));
        for path in ["", "a b", "a?b", "a;b", "%61", "é"] {
            assert!(!is_file(path), "{path}");
        }
    }
}
