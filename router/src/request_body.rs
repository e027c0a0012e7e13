//! Request bodies: an operation's is read before the operation takes a permit, and that of a refused request is
//! discarded.

use std::error::Error;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use contracts::Code;
use contracts::limits::UPLOAD_TIMEOUT;
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use hive_router::ntex::http::body::{Body, BodySize, MessageBody, ResponseBody};
use hive_router::ntex::http::header::CONTENT_LENGTH;
use hive_router::ntex::http::{ConnectionType, HeaderMap, Payload, StatusCode};
use hive_router::ntex::util::{Bytes, BytesMut};
use hive_router::ntex::web::{HttpRequest, HttpResponse};
use tokio::time::timeout;

use crate::error_response::ErrorResponse;

/// Maximum size of an operation's body in bytes. `router.yaml` gives the library the same number.
pub(crate) const MAX_OPERATION_SIZE: usize = 64 * 1024;
/// Time in which the body of an operation must arrive.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(8);
/// How much of a refused body is discarded before the connection is closed. In bytes.
const MAX_DISCARDED_BYTES: u64 = 64 * 1024 * 1024;
/// How long a client may pause in a body that is discarded.
const DISCARD_IDLE_TIMEOUT: Duration = Duration::from_secs(5);

const TOO_LARGE: ErrorResponse = ErrorResponse::new(
    StatusCode::PAYLOAD_TOO_LARGE,
    Code::InvalidInput,
    "This request is too large: the limit is 64 KiB.",
);
const TIMED_OUT: ErrorResponse = ErrorResponse::new(
    StatusCode::REQUEST_TIMEOUT,
    Code::InvalidInput,
    "The request did not arrive in time.",
);
const CUT_OFF: ErrorResponse = ErrorResponse::new(
    StatusCode::BAD_REQUEST,
    Code::InvalidInput,
    "The request could not be read.",
);

/// The announced size of a body in bytes.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads the body of an operation.
pub(crate) async fn read_operation(
    headers: &HeaderMap,
    payload: &mut Payload,
) -> Result<Bytes, ErrorResponse> {
    if content_length(headers).is_some_and(|length| length > MAX_OPERATION_SIZE as u64) {
        return Err(TOO_LARGE);
    }
    let read = async {
        let mut body = BytesMut::new();
        while let Some(chunk) = payload.recv().await {
            let chunk = chunk.map_err(|_| CUT_OFF)?;
            if chunk.len() > MAX_OPERATION_SIZE - body.len() {
                return Err(TOO_LARGE);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    timeout(OPERATION_TIMEOUT, read).await.unwrap_or(Err(TIMED_OUT))
}

/// Discards the rest of a refused body after the response, which is sent at once.
///
/// If the connection were closed while the client sends, the client would lose the response. The connection is closed
/// after the body, unless the body is known to be short.
pub(crate) fn discard(request: &HttpRequest, mut payload: Payload, response: HttpResponse) -> HttpResponse {
    if let Some(None | Some(Err(_))) = payload.recv().now_or_never() {
        return response;
    }
    let mut response = response.map_body(|_, body| {
        let body = DiscardAfter {
            body: Some(body),
            discard: Some(discard_rest(payload).boxed_local()),
        };
        ResponseBody::Body(Body::from_message(body))
    });
    if content_length(request.headers()).is_none_or(|length| length > MAX_OPERATION_SIZE as u64) {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

async fn discard_rest(mut payload: Payload) {
    let mut left = MAX_DISCARDED_BYTES;
    let discarded = async {
        while let Ok(Some(Ok(chunk))) = timeout(DISCARD_IDLE_TIMEOUT, payload.recv()).await {
            match left.checked_sub(chunk.len() as u64) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    let _ = timeout(UPLOAD_TIMEOUT, discarded).await;
}

/// The body of a response that ends only when the rest of the request is discarded. The client knows its length and
/// does not wait for the end. ntex reads the payload while it sends a response, but not reliably after that.
struct DiscardAfter {
    body: Option<ResponseBody<Body>>,
    discard: Option<LocalBoxFuture<'static, ()>>,
}

impl MessageBody for DiscardAfter {
    fn size(&self) -> BodySize {
        self.body.as_ref().map_or(BodySize::None, MessageBody::size)
    }

    fn poll_next_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Rc<dyn Error>>>> {
        if let Some(body) = &mut self.body {
            if let Some(chunk) = ready!(body.poll_next_chunk(context)) {
                return Poll::Ready(Some(chunk));
            }
            self.body = None;
        }
        if let Some(discard) = &mut self.discard {
            ready!(discard.as_mut().poll(context));
            self.discard = None;
        }
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_the_limit() {
        let limit = format!("the limit is {} KiB.", MAX_OPERATION_SIZE / 1024);
        assert!(TOO_LARGE.message.ends_with(&limit));
    }
}
