//! The only network code.
//!
//! Both tokens live in cookies that no script can read; an expired access token makes a request anonymous instead of
//! refused. So the app stores when it last got tokens, and refreshes them before they expire. Only one refresh runs at
//! a time, in this tab and, with the Web Locks API, among all tabs.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use contracts::limits::ACCESS_TOKEN_LIFETIME;
use contracts::{Code, headers};
use cynic::{MutationBuilder, Operation};
use futures::channel::oneshot;
use futures::future::{FutureExt, LocalBoxFuture, Shared};
use js_sys::{Function, Promise, Reflect};
use leptos::prelude::*;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, future_to_promise};
use web_sys::{AbortController, File, ProgressEvent, RequestInit, Response, XmlHttpRequest};

use crate::{first_page, storage};
use ui::graphql::{DateTime, schema};

/// Timeout of a request. The timeouts of the services are shorter.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Access tokens are refreshed a minute before they expire. The time counts from their arrival, so a wrong clock does
/// not matter.
const REFRESH_AFTER_MS: u64 = (ACCESS_TOKEN_LIFETIME.as_secs() - 60) * 1000;
/// The local storage key of the next refresh time, shared by all tabs. Absent when signed out.
pub(crate) const SESSION_KEY: &str = "proofsheet.session";

/// Why a request failed. The app derives the user-visible message from `code` and `field`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) code: ErrorCode,
    /// The invalid argument.
    pub(crate) field: Option<String>,
    pub(crate) request_id: Option<String>,
}

/// The code of a response, or the reason why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorCode {
    Response(Code),
    /// The server is unreachable.
    Unreachable,
    /// The browser blocks cookies.
    NoCookies,
    /// A required field is empty.
    Missing,
}

impl From<Code> for ErrorCode {
    fn from(code: Code) -> Self {
        Self::Response(code)
    }
}

impl PartialEq<Code> for ErrorCode {
    fn eq(&self, code: &Code) -> bool {
        *self == Self::Response(*code)
    }
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        Self {
            code,
            field: None,
            request_id: None,
        }
    }
}

impl From<Code> for ApiError {
    fn from(code: Code) -> Self {
        ErrorCode::from(code).into()
    }
}

impl ApiError {
    /// Whether the input named `field` was refused.
    pub(crate) fn is_about(&self, field: &str) -> bool {
        self.field.as_deref() == Some(field)
    }
}

/// Notified when the session has expired or was ended elsewhere.
pub(crate) static SESSION_ENDED_TRIGGER: LazyLock<ArcTrigger> = LazyLock::new(ArcTrigger::new);

/// Runs a query or a mutation. Fields of an unavailable service are null. If all root fields are null, the result is an
/// error.
///
/// The future is boxed, so that callers are compiled once and not for every operation.
pub(crate) fn run<T, V>(operation: Operation<T, V>) -> LocalBoxFuture<'static, Result<T, ApiError>>
where
    T: DeserializeOwned + 'static,
    V: Serialize,
{
    let body = serde_json::to_string(&operation).expect("an operation is plain data");
    send_operation(body).map(|answer| decode(answer?)).boxed_local()
}

/// The part of running an operation that does not depend on its type, compiled once.
async fn send_operation(body: String) -> Result<GraphQlResponse, ApiError> {
    if let Some(data) = first_page::take_response(&body) {
        return Ok(GraphQlResponse {
            data: Some(data),
            error: None,
        });
    }
    refresh_if_due().await;
    let answer = post(&body).await?;
    match &answer {
        GraphQlResponse {
            data: None,
            error: Some(error),
        } if error.code == Code::Unauthenticated && has_session() => {
            refresh().await?;
            post(&body).await
        }
        _ => Ok(answer),
    }
}

fn decode<T: DeserializeOwned>(answer: GraphQlResponse) -> Result<T, ApiError> {
    let GraphQlResponse { data, error } = answer;
    let data = data.and_then(|data| serde_json::from_str(data.get()).ok());
    // Without an error, the response does not match the operation.
    data.ok_or_else(|| error.unwrap_or(Code::Internal.into()))
}

/// The data of a response, and its first error.
struct GraphQlResponse {
    data: Option<Box<RawValue>>,
    error: Option<ApiError>,
}

impl GraphQlResponse {
    fn read(body: &str, request_id: Option<String>) -> Self {
        let Envelope { data, errors } = serde_json::from_str(body).unwrap_or_default();
        let error = errors.into_iter().next().map(|GraphQlError { extensions }| {
            let Extensions {
                code,
                field,
                request_id: id,
            } = extensions.unwrap_or_default();
            ApiError {
                code: code
                    .as_deref()
                    .and_then(Code::parse)
                    .unwrap_or(Code::Internal)
                    .into(),
                field,
                request_id: id.or(request_id),
            }
        });
        let data = data.filter(|data| error.is_none() || !is_all_null(data));
        Self { data, error }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Envelope {
    data: Option<Box<RawValue>>,
    errors: Vec<GraphQlError>,
}

#[derive(Deserialize)]
struct GraphQlError {
    extensions: Option<Extensions>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Extensions {
    code: Option<String>,
    field: Option<String>,
    request_id: Option<String>,
}

/// Whether every root field is null.
fn is_all_null(data: &RawValue) -> bool {
    serde_json::from_str::<HashMap<String, Option<IgnoredAny>>>(data.get())
        .is_ok_and(|roots| roots.values().all(Option::is_none))
}

/// Random bits from the browser's cryptographic generator.
pub(crate) fn random_bits() -> u128 {
    let mut bytes = [0_u8; 16];
    let crypto = window()
        .crypto()
        .expect("every browser that runs WebAssembly has it");
    crypto
        .get_random_values_with_u8_array(&mut bytes)
        .expect("sixteen bytes are not too many");
    u128::from_be_bytes(bytes)
}

/// A `traceparent` header for a new trace (W3C Trace Context). The server decides about sampling.
fn new_trace() -> String {
    format!("00-{:032x}-{:016x}-00", random_bits(), random_bits() >> 64)
}

async fn post(body: &str) -> Result<GraphQlResponse, ApiError> {
    let request = AbortOnDrop::new();
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_body(&JsValue::from_str(body));
    init.set_signal(Some(&request.controller.signal()));
    // The request is sent even if the page is closed right away.
    Reflect::set(&init, &"keepalive".into(), &true.into()).expect("a plain object takes any key");
    let sent = web_sys::Headers::new().and_then(|sent| {
        sent.set("content-type", "application/json")?;
        sent.set(headers::CSRF, "1")?;
        sent.set(headers::TRACE_CONTEXT, &new_trace())?;
        Ok(sent)
    });
    init.set_headers(&sent.expect("the names and values are valid"));

    let unreachable = |_| ApiError::from(ErrorCode::Unreachable);
    let response = JsFuture::from(window().fetch_with_str_and_init("/graphql", &init))
        .await
        .map_err(unreachable)?;
    let response: Response = response.unchecked_into();
    let request_id = response.headers().get(headers::REQUEST_ID).ok().flatten();
    let text = response.text().map_err(unreachable)?;
    let body = JsFuture::from(text)
        .await
        .map_err(unreachable)?
        .as_string()
        .unwrap_or_default();
    match response.status() {
        429 => Err(ApiError {
            code: Code::RateLimited.into(),
            field: None,
            request_id,
        }),
        // A proxy in front of the site responds with its own page.
        502..=504 if !body.starts_with('{') => Err(ApiError {
            code: Code::Unavailable.into(),
            field: None,
            request_id,
        }),
        _ => Ok(GraphQlResponse::read(&body, request_id)),
    }
}

/// Aborts the request when its future is dropped and after [`REQUEST_TIMEOUT`].
struct AbortOnDrop {
    controller: AbortController,
    deadline: Option<TimeoutHandle>,
}

impl AbortOnDrop {
    fn new() -> Self {
        let controller = AbortController::new().expect("every browser that runs WebAssembly has it");
        let deadline = {
            let controller = controller.clone();
            set_timeout_with_handle(move || controller.abort(), REQUEST_TIMEOUT).ok()
        };
        Self { controller, deadline }
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(deadline) = &self.deadline {
            deadline.clear();
        }
        self.controller.abort();
    }
}

// Sessions

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Mutation")]
pub(crate) struct RefreshSession {
    #[expect(dead_code, reason = "the new tokens come as cookies")]
    refresh_session: NewTokens,
}

#[derive(cynic::QueryFragment)]
#[cynic(graphql_type = "Session")]
struct NewTokens {
    #[expect(dead_code, reason = "a selection needs a field")]
    access_token_expires_at: DateTime,
}

/// A pending refresh, shared by the waiting requests.
type Refresh = Shared<LocalBoxFuture<'static, Result<(), ApiError>>>;

thread_local! {
    static PENDING_REFRESH: RefCell<Option<Refresh>> = const { RefCell::new(None) };
}

/// Stores the next refresh time, or that the viewer is signed out.
pub(crate) fn store_session(signed_in: bool) {
    let refresh_at = signed_in.then(|| (now_ms() + REFRESH_AFTER_MS).to_string());
    storage::write(storage::local().as_ref(), SESSION_KEY, refresh_at.as_deref());
}

/// Whether this browser signed in and has not signed out since.
pub(crate) fn has_session() -> bool {
    refresh_at().is_some()
}

fn refresh_at() -> Option<u64> {
    storage::read(storage::local().as_ref(), SESSION_KEY)?
        .parse()
        .ok()
}

fn refresh_is_due() -> bool {
    // A time beyond the lifetime of a token is from before a correction of the clock.
    refresh_at().is_some_and(|at| !(now_ms()..=now_ms() + REFRESH_AFTER_MS).contains(&at))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole milliseconds since 1970"
)]
fn now_ms() -> u64 {
    js_sys::Date::now() as u64
}

/// If the refresh fails, the waiting request is sent anonymously.
async fn refresh_if_due() {
    if refresh_is_due() {
        let _ = refresh().await;
    }
}

/// Waits for the pending refresh of this tab, or starts one.
pub(crate) async fn refresh() -> Result<(), ApiError> {
    let shared = PENDING_REFRESH.with_borrow_mut(|refreshing| {
        refreshing
            .get_or_insert_with(|| refresh_with_lock().boxed_local().shared())
            .clone()
    });
    let result = shared.await;
    PENDING_REFRESH.set(None);
    result
}

/// Takes a lock among all tabs; the first tab refreshes for all. The Web Locks API needs a secure origin. Without it
/// two tabs may refresh at once, which the server tolerates.
async fn refresh_with_lock() -> Result<(), ApiError> {
    let before = refresh_at();
    let (sender, receiver) = oneshot::channel();
    let callback = Closure::once_into_js(move || {
        future_to_promise(async move {
            let result = if refresh_at() == before {
                refresh_now().await
            } else {
                Ok(())
            };
            // The receiver may be gone; the result is then dropped.
            let _ = sender.send(result);
            Ok(JsValue::UNDEFINED)
        })
    });
    match request_lock(&callback) {
        Some(_) => receiver
            .await
            .unwrap_or_else(|_| Err(ErrorCode::Unreachable.into())),
        None => refresh_now().await,
    }
}

fn request_lock(callback: &JsValue) -> Option<Promise> {
    let navigator = window().navigator();
    let locks = Reflect::get(&navigator, &"locks".into()).ok()?;
    let request: Function = Reflect::get(&locks, &"request".into()).ok()?.dyn_into().ok()?;
    request
        .call2(&locks, &SESSION_KEY.into(), callback)
        .ok()?
        .dyn_into()
        .ok()
}

async fn refresh_now() -> Result<(), ApiError> {
    let body = serde_json::to_string(&RefreshSession::build(())).expect("an operation is plain data");
    let result = decode::<RefreshSession>(post(&body).await?);
    match &result {
        Ok(_) => store_session(true),
        Err(error) if error.code == Code::Unauthenticated => {
            store_session(false);
            SESSION_ENDED_TRIGGER.notify();
        }
        Err(_) => {}
    }
    result.map(drop)
}

// Uploads

/// The response to `POST /media/uploads`: the file is stored and not published.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Uploaded {
    pub(crate) upload_id: String,
}

/// Why an upload was refused.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(crate) struct UploadError {
    /// The HTTP status; 0 without a response.
    #[serde(skip)]
    pub(crate) status: u16,
    /// The photo service's reason for refusing the file.
    pub(crate) reason: Option<String>,
    /// The format of an unsupported file.
    pub(crate) format: Option<String>,
    /// A message in English.
    pub(crate) message: Option<String>,
}

/// Uploads a file and reports the sent percentage. Uses `XMLHttpRequest`, because `fetch` has no upload progress.
pub(crate) async fn upload(
    file: &File,
    on_progress: impl Fn(u8) + Clone + 'static,
) -> Result<Uploaded, UploadError> {
    refresh_if_due().await;
    match send_file(file, on_progress.clone()).await {
        Err(UploadError { status: 401, .. }) if refresh().await.is_ok() => send_file(file, on_progress).await,
        result => result,
    }
}

async fn send_file(file: &File, on_progress: impl Fn(u8) + 'static) -> Result<Uploaded, UploadError> {
    let unreachable = UploadError::default();
    let request = XmlHttpRequest::new().map_err(|_| unreachable.clone())?;
    let _abort = AbortUploadOnDrop(request.clone());
    let (sender, receiver) = oneshot::channel();
    let mut sender = Some(sender);
    let ended = Closure::<dyn FnMut()>::new(move || {
        sender.take().map(|sender| sender.send(()));
    });
    let progressed = Closure::<dyn Fn(ProgressEvent)>::new(move |event: ProgressEvent| {
        if event.length_computable() {
            on_progress(percent(event.loaded(), event.total()));
        }
    });
    request.set_onloadend(Some(ended.as_ref().unchecked_ref()));
    if let Ok(sending) = request.upload() {
        sending.set_onprogress(Some(progressed.as_ref().unchecked_ref()));
    }
    let sent = request.open("POST", "/media/uploads").and_then(|()| {
        request.set_request_header("content-type", &file.type_())?;
        request.set_request_header(headers::CSRF, "1")?;
        request.set_request_header(headers::TRACE_CONTEXT, &new_trace())?;
        request.send_with_opt_blob(Some(file))
    });
    sent.map_err(|_| unreachable.clone())?;
    // `ended` owns the sender and is alive until here.
    let _ = receiver.await;
    request.set_onloadend(None);
    let status = request.status().unwrap_or(0);
    match (status, request.response_text()) {
        (201, Ok(Some(body))) => serde_json::from_str(&body).map_err(|_| unreachable),
        (_, body) => {
            let body = body.ok().flatten().unwrap_or_default();
            // The body is not JSON if a proxy responds.
            let error: UploadError = serde_json::from_str(&body).unwrap_or_default();
            Err(UploadError { status, ..error })
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most a hundred"
)]
fn percent(part: f64, whole: f64) -> u8 {
    (part * 100.0 / whole) as u8
}

/// Aborts an upload whose future was dropped; without effect on a finished one.
struct AbortUploadOnDrop(XmlHttpRequest);

impl Drop for AbortUploadOnDrop {
    fn drop(&mut self) {
        let _ = self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Debug, PartialEq)]
    struct Data {
        photo: Option<String>,
    }

    fn decoded(body: &str) -> Result<Data, ApiError> {
        decode(GraphQlResponse::read(body, Some("r1".into())))
    }

    #[test]
    fn a_null_without_an_error_is_valid() {
        assert_eq!(decoded(r#"{"data":{"photo":null}}"#), Ok(Data { photo: None }));
    }

    #[test]
    fn a_response_without_data_is_its_error() {
        let error = decoded(
            r#"{"data":{"photo":null},"errors":[{"message":"m","extensions":{"code":"UNAVAILABLE"}}]}"#,
        );
        assert_eq!(
            error,
            Err(ApiError {
                code: Code::Unavailable.into(),
                field: None,
                request_id: Some("r1".into())
            })
        );
    }

    #[test]
    fn a_partial_response_is_no_error() {
        let answer = decoded(
            r#"{"data":{"photo":"p"},"errors":[{"message":"m","extensions":{"code":"UNAVAILABLE"}}]}"#,
        );
        assert_eq!(
            answer,
            Ok(Data {
                photo: Some("p".into())
            })
        );
    }

    #[test]
    fn an_error_has_its_field_and_request_id() {
        let error = decoded(
            r#"{"data":null,"errors":[{"message":"m","extensions":{"code":"CONFLICT","field":"email","requestId":"r2"}}]}"#,
        );
        assert_eq!(
            error,
            Err(ApiError {
                code: Code::Conflict.into(),
                field: Some("email".into()),
                request_id: Some("r2".into())
            })
        );
    }

    #[test]
    fn a_malformed_response_is_internal() {
        assert_eq!(
            decoded("<html>").map_err(|error| error.code),
            Err(Code::Internal.into())
        );
    }
}
