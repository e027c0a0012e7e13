//! The only network code.
//!
//! Both tokens live in cookies that no script can read; an expired access token makes a request anonymous instead of
//! refused. So the app remembers when it last got tokens, and refreshes before they expire: one refresh at a time in
//! this tab, and one among all tabs where the browser has locks.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

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

use crate::graphql::{DateTime, schema};
use crate::{first_page, storage};

/// After this long an answer is no longer worth waiting for; the services give up well before.
const DEADLINE: Duration = Duration::from_secs(10);
/// Access tokens live ten minutes; the app asks for the next ones a minute early. Counted from when they came, so a
/// clock that is wrong does no harm.
const REFRESH_AFTER_MS: u64 = 9 * 60 * 1000;
/// Where every tab finds when to refresh; absent when signed out.
pub(crate) const SESSION_KEY: &str = "proofsheet.session";
/// Proves to the server that the request does not come from another site's form.
const APP_HEADER: &str = "x-proofsheet";

/// Why a request failed. The wording that people read is the app's own, from `code` and `field`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) code: Code,
    /// The argument that was refused.
    pub(crate) field: Option<String>,
    pub(crate) request_id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Code {
    Unauthenticated,
    Forbidden,
    NotFound,
    InvalidInput,
    Conflict,
    RateLimited,
    Unavailable,
    /// No answer came at all. Never sent by a server.
    #[serde(skip)]
    Unreachable,
    /// The browser would not keep what signing in brings. Never sent by a server.
    #[serde(skip)]
    NoCookies,
    /// A field was left empty. Never sent by a server.
    #[serde(skip)]
    Missing,
    #[serde(other)]
    Internal,
}

impl From<Code> for ApiError {
    fn from(code: Code) -> Self {
        Self {
            code,
            field: None,
            request_id: None,
        }
    }
}

impl ApiError {
    /// Whether the input named `field` was refused.
    pub(crate) fn is_about(&self, field: &str) -> bool {
        self.field.as_deref() == Some(field)
    }
}

/// Tells that the session ended without anybody signing out: elsewhere, or by itself.
pub(crate) static SESSION_ENDED: LazyLock<ArcTrigger> = LazyLock::new(ArcTrigger::new);

/// Runs a query or a mutation. A hole that an outage left inside the answer is a null there; an answer that is nothing
/// but holes is an error.
///
/// The future is boxed, so that what waits for it is compiled once and not for every operation.
pub(crate) fn run<T, V>(operation: Operation<T, V>) -> LocalBoxFuture<'static, Result<T, ApiError>>
where
    T: DeserializeOwned + 'static,
    V: Serialize,
{
    let body = serde_json::to_string(&operation).expect("an operation is plain data");
    exchange(body).map(|answer| decode(answer?)).boxed_local()
}

/// Everything about an operation that its type plays no part in: there are dozens of types, and one of this.
async fn exchange(body: String) -> Result<Answer, ApiError> {
    if let Some(data) = first_page::answer(&body) {
        return Ok(Answer {
            data: Some(data),
            error: None,
        });
    }
    keep_session_fresh().await;
    let answer = post(&body).await?;
    match &answer {
        Answer {
            data: None,
            error: Some(error),
        } if error.code == Code::Unauthenticated && session_known() => {
            refresh().await?;
            post(&body).await
        }
        _ => Ok(answer),
    }
}

fn decode<T: DeserializeOwned>(answer: Answer) -> Result<T, ApiError> {
    let Answer { data, error } = answer;
    let data = data.and_then(|data| serde_json::from_str(data.get()).ok());
    // Without an error beside it, the answer was none to this operation.
    data.ok_or_else(|| error.unwrap_or(Code::Internal.into()))
}

/// The data of a response, and its first error.
struct Answer {
    data: Option<Box<RawValue>>,
    error: Option<ApiError>,
}

impl Answer {
    fn read(body: &str, request_id: Option<String>) -> Self {
        let Envelope { data, errors } = serde_json::from_str(body).unwrap_or_default();
        let error = errors.into_iter().next().map(|GraphQlError { extensions }| {
            let Extensions {
                code,
                field,
                request_id: id,
            } = extensions.unwrap_or_default();
            ApiError {
                code: code.unwrap_or(Code::Internal),
                field,
                request_id: id.or(request_id),
            }
        });
        let data = data.filter(|data| error.is_none() || !is_all_holes(data));
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
    code: Option<Code>,
    field: Option<String>,
    request_id: Option<String>,
}

/// Whether every root field is null, so that nothing but the errors is left to show.
fn is_all_holes(data: &RawValue) -> bool {
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

/// Makes a request the beginning of a trace (W3C Trace Context). Whether it is collected, the server decides.
fn new_trace() -> String {
    format!("00-{:032x}-{:016x}-00", random_bits(), random_bits() >> 64)
}

async fn post(body: &str) -> Result<Answer, ApiError> {
    let request = AbortOnDrop::new();
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_body(&JsValue::from_str(body));
    init.set_signal(Some(&request.controller.signal()));
    // A vote or a comment is not lost when the page is left right after it.
    Reflect::set(&init, &"keepalive".into(), &true.into()).expect("a plain object takes any key");
    let headers = web_sys::Headers::new().and_then(|headers| {
        headers.set("content-type", "application/json")?;
        headers.set(APP_HEADER, "1")?;
        headers.set("traceparent", &new_trace())?;
        Ok(headers)
    });
    init.set_headers(&headers.expect("the names and values are valid"));

    let unreachable = |_| ApiError::from(Code::Unreachable);
    let response = JsFuture::from(window().fetch_with_str_and_init("/graphql", &init))
        .await
        .map_err(unreachable)?;
    let response: Response = response.unchecked_into();
    let request_id = response.headers().get("x-request-id").ok().flatten();
    let text = response.text().map_err(unreachable)?;
    let body = JsFuture::from(text)
        .await
        .map_err(unreachable)?
        .as_string()
        .unwrap_or_default();
    match response.status() {
        429 => Err(ApiError {
            code: Code::RateLimited,
            field: None,
            request_id,
        }),
        // A proxy before the site answers for it with its own page.
        502..=504 if !body.starts_with('{') => Err(ApiError {
            code: Code::Unavailable,
            field: None,
            request_id,
        }),
        _ => Ok(Answer::read(&body, request_id)),
    }
}

/// Aborts the request when the future that waits for it is dropped, and when the deadline has passed.
struct AbortOnDrop {
    controller: AbortController,
    deadline: Option<TimeoutHandle>,
}

impl AbortOnDrop {
    fn new() -> Self {
        let controller = AbortController::new().expect("every browser that runs WebAssembly has it");
        let deadline = {
            let controller = controller.clone();
            set_timeout_with_handle(move || controller.abort(), DEADLINE).ok()
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

/// A refresh that several requests wait for.
type Refresh = Shared<LocalBoxFuture<'static, Result<(), ApiError>>>;

thread_local! {
    static REFRESHING: RefCell<Option<Refresh>> = const { RefCell::new(None) };
}

/// Remembers that new tokens came just now, or that there are none any more.
pub(crate) fn remember_session(signed_in: bool) {
    let refresh_at = signed_in.then(|| (now_ms() + REFRESH_AFTER_MS).to_string());
    storage::write(storage::local().as_ref(), SESSION_KEY, refresh_at.as_deref());
}

/// Whether this browser signed in and has not signed out since.
pub(crate) fn session_known() -> bool {
    refresh_at().is_some()
}

fn refresh_at() -> Option<u64> {
    storage::read(storage::local().as_ref(), SESSION_KEY)?
        .parse()
        .ok()
}

fn refresh_is_due() -> bool {
    // A time further away than a token can live was written by a clock that has been corrected since.
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

/// If the refresh fails, the request that waited for it goes out anonymously or fails with its own reason.
async fn keep_session_fresh() {
    if refresh_is_due() {
        let _ = refresh().await;
    }
}

/// Joins the refresh that is under way in this tab, or begins one.
pub(crate) async fn refresh() -> Result<(), ApiError> {
    let shared = REFRESHING.with_borrow_mut(|refreshing| {
        refreshing
            .get_or_insert_with(|| refresh_among_tabs().boxed_local().shared())
            .clone()
    });
    let result = shared.await;
    REFRESHING.set(None);
    result
}

/// Waits for its turn among the tabs; the one that comes first refreshes for all. Browsers offer locks to secure
/// origins only: elsewhere two tabs may refresh at once, which the server allows for.
async fn refresh_among_tabs() -> Result<(), ApiError> {
    let before = refresh_at();
    let (sender, receiver) = oneshot::channel();
    let turn = Closure::once_into_js(move || {
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
    match request_lock(&turn) {
        Some(_) => receiver.await.unwrap_or_else(|_| Err(Code::Unreachable.into())),
        None => refresh_now().await,
    }
}

fn request_lock(turn: &JsValue) -> Option<Promise> {
    let navigator = window().navigator();
    let locks = Reflect::get(&navigator, &"locks".into()).ok()?;
    let request: Function = Reflect::get(&locks, &"request".into()).ok()?.dyn_into().ok()?;
    request
        .call2(&locks, &SESSION_KEY.into(), turn)
        .ok()?
        .dyn_into()
        .ok()
}

async fn refresh_now() -> Result<(), ApiError> {
    let body = serde_json::to_string(&RefreshSession::build(())).expect("an operation is plain data");
    let result = decode::<RefreshSession>(post(&body).await?);
    match &result {
        Ok(_) => remember_session(true),
        Err(error) if error.code == Code::Unauthenticated => {
            remember_session(false);
            SESSION_ENDED.notify();
        }
        Err(_) => {}
    }
    result.map(drop)
}

// Uploads

/// The answer to `POST /media/uploads`: stored, not yet published.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Uploaded {
    pub(crate) upload_id: String,
}

/// Why an upload was refused.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(crate) struct UploadError {
    /// HTTP's; 0 when no answer came.
    #[serde(skip)]
    pub(crate) status: u16,
    /// The photo service's reason for refusing the file.
    pub(crate) reason: Option<String>,
    /// The format of a file that is not taken.
    pub(crate) format: Option<String>,
    /// In English.
    pub(crate) message: Option<String>,
}

/// Sends a file, telling the percentage that has been sent so far. `fetch` cannot tell that, hence `XMLHttpRequest`.
pub(crate) async fn upload(
    file: &File,
    on_progress: impl Fn(u8) + Clone + 'static,
) -> Result<Uploaded, UploadError> {
    keep_session_fresh().await;
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
        request.set_request_header(APP_HEADER, "1")?;
        request.set_request_header("traceparent", &new_trace())?;
        request.send_with_opt_blob(Some(file))
    });
    sent.map_err(|_| unreachable.clone())?;
    // The sender lives in `ended`, which lives until here.
    let _ = receiver.await;
    request.set_onloadend(None);
    let status = request.status().unwrap_or(0);
    match (status, request.response_text()) {
        (201, Ok(Some(body))) => serde_json::from_str(&body).map_err(|_| unreachable),
        (_, body) => {
            let body = body.ok().flatten().unwrap_or_default();
            // A proxy answers in its own language.
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
        decode(Answer::read(body, Some("r1".into())))
    }

    #[test]
    fn a_null_without_an_error_is_an_answer() {
        assert_eq!(decoded(r#"{"data":{"photo":null}}"#), Ok(Data { photo: None }));
    }

    #[test]
    fn an_answer_of_nothing_but_holes_is_the_error_beside_it() {
        let error = decoded(
            r#"{"data":{"photo":null},"errors":[{"message":"m","extensions":{"code":"UNAVAILABLE"}}]}"#,
        );
        assert_eq!(
            error,
            Err(ApiError {
                code: Code::Unavailable,
                field: None,
                request_id: Some("r1".into())
            })
        );
    }

    #[test]
    fn a_hole_inside_an_answer_is_no_error() {
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
    fn a_refusal_names_its_field_and_its_own_request() {
        let error = decoded(
            r#"{"data":null,"errors":[{"message":"m","extensions":{"code":"CONFLICT","field":"email","requestId":"r2"}}]}"#,
        );
        assert_eq!(
            error,
            Err(ApiError {
                code: Code::Conflict,
                field: Some("email".into()),
                request_id: Some("r2".into())
            })
        );
    }

    #[test]
    fn what_is_no_graphql_answer_is_internal() {
        assert_eq!(decoded("<html>").map_err(|error| error.code), Err(Code::Internal));
    }
}
