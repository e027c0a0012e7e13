//! A client of the public API, for tests and tools.
//!
//! [`Site`] sends requests to one or several routers, and classifies each error by whether the request may have taken
//! effect. [`Member`] is a signed-in user whose requests are repeated until they succeed. [`operations`] has the GraphQL
//! operations.

mod member;
pub mod operations;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

pub use member::Member;
pub use operations::GraphqlRequest;

const SITE_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The number of attempts of [`Site::run_with_retries`].
const SITE_REQUEST_ATTEMPTS: u32 = 6;

/// Error codes that guarantee that the operation had no effect.
const REFUSAL_CODES: [&str; 6] = [
    "UNAUTHENTICATED",
    "FORBIDDEN",
    "NOT_FOUND",
    "INVALID_INPUT",
    "CONFLICT",
    "RATE_LIMITED",
];

/// A client of a site.
#[derive(Debug)]
pub struct Site {
    client: reqwest::Client,
    urls: Vec<String>,
    /// The index of the last used URL.
    turn: AtomicUsize,
    internal_errors: Mutex<Vec<String>>,
}

/// Why a request failed.
#[derive(Debug)]
pub struct RequestError {
    /// The API's code, if the site responded with one.
    pub code: Option<String>,
    message: String,
    retry_after: Option<Duration>,
    /// Whether the operation has certainly not taken effect.
    pub had_no_effect: bool,
}

/// The response to an operation: `data` and `errors`.
#[derive(Debug)]
pub struct ApiResponse(pub Value);

impl Site {
    /// Creates a client of a site with these URLs. A request is sent to another URL if the first one is unreachable or
    /// closes an idle connection, as in browsers. `timeout` limits a request.
    pub fn new(urls: Vec<String>, timeout: Duration) -> Result<Self> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(SITE_CONNECT_TIMEOUT)
            .timeout(timeout)
            .build()?;
        Ok(Self::with_client(client, urls))
    }

    pub fn with_client(client: reqwest::Client, urls: Vec<String>) -> Self {
        Self {
            client,
            urls,
            turn: AtomicUsize::new(0),
            internal_errors: Mutex::default(),
        }
    }

    /// Sends the request that `request` creates for a URL.
    async fn send(
        &self,
        request: impl Fn(&reqwest::Client, &str) -> reqwest::RequestBuilder,
    ) -> reqwest::Result<reqwest::Response> {
        let mut left = self.urls.len();
        loop {
            let turn = self.turn.load(Ordering::Relaxed);
            left -= 1;
            match request(&self.client, &self.urls[turn % self.urls.len()])
                .send()
                .await
            {
                Err(error) if left > 0 && (error.is_connect() || was_closed(&error)) => {
                    self.turn.store(turn + 1, Ordering::Relaxed);
                }
                outcome => return outcome,
            }
        }
    }

    /// Checks that the site responds. The error says what to do.
    pub async fn check(&self) -> Result<()> {
        let health = self.fetch("/health").await;
        health.map(drop).with_context(|| {
            format!(
                "No site answers at {}. Start it with ./dev up, or give another --url.",
                self.urls.join(", ")
            )
        })
    }

    /// Downloads a file.
    pub async fn fetch(&self, path: &str) -> Result<Vec<u8>> {
        let response = self
            .send(|client, url| client.get(format!("{url}{path}")))
            .await?;
        Ok(response.error_for_status()?.bytes().await?.to_vec())
    }

    /// Sends an operation, and returns the response, also if it contains errors.
    pub async fn ask(
        &self,
        token: Option<&str>,
        request: &GraphqlRequest,
    ) -> Result<ApiResponse, RequestError> {
        let response = self
            .send(|client, url| {
                let post = client.post(format!("{url}/graphql")).json(request);
                match token {
                    Some(token) => post.bearer_auth(token),
                    None => post,
                }
            })
            .await
            .map_err(|error| RequestError::of_connection(&error))?;
        let status = response.status();
        let Ok(body) = response.json().await else {
            return Err(RequestError::unclear(format!(
                "the response ({status}) is not JSON"
            )));
        };
        let response = ApiResponse(body);
        let internal = response
            .errors()
            .filter(|error| code(error) == "INTERNAL")
            .map(|error| format!("{error} in the response to {}", request.query));
        self.internal_errors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(internal);
        Ok(response)
    }

    /// Sends an operation, and returns its data.
    pub async fn run(&self, token: Option<&str>, request: &GraphqlRequest) -> Result<Value, RequestError> {
        self.ask(token, request).await?.into_data()
    }

    /// Sends an idempotent operation until it succeeds or is refused permanently, and returns its data.
    pub async fn run_with_retries(
        &self,
        token: Option<&str>,
        request: &GraphqlRequest,
    ) -> Result<Value, RequestError> {
        let mut attempt = 1;
        loop {
            match self.run(token, request).await {
                Err(error) if attempt < SITE_REQUEST_ATTEMPTS && error.is_temporary() => {
                    tokio::time::sleep(error.pause(attempt)).await;
                }
                outcome => return outcome,
            }
            attempt += 1;
        }
    }

    /// Uploads a picture, and returns the id of the upload.
    pub async fn upload(
        &self,
        token: &str,
        picture: Vec<u8>,
        media_type: &str,
    ) -> Result<String, RequestError> {
        let response = self
            .send(|client, url| {
                client
                    .post(format!("{url}/media/uploads"))
                    .bearer_auth(token)
                    .header("content-type", media_type)
                    .body(picture.clone())
            })
            .await
            .map_err(|error| RequestError::of_connection(&error))?;
        let status = response.status();
        let body: Value = response.json().await.unwrap_or_default();
        match body["uploadId"].as_str() {
            Some(upload) if status == reqwest::StatusCode::CREATED => Ok(upload.to_owned()),
            _ => Err(RequestError {
                code: body["code"].as_str().map(str::to_owned),
                message: format!(
                    "status {status}: {}",
                    body["message"].as_str().unwrap_or_default()
                ),
                retry_after: None,
                had_no_effect: status.is_client_error(),
            }),
        }
    }

    /// Returns the errors with the code INTERNAL since the last call. Each is a defect.
    pub fn take_internal_errors(&self) -> Vec<String> {
        let mut errors = self
            .internal_errors
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *errors)
    }
}

impl ApiResponse {
    fn errors(&self) -> impl Iterator<Item = &Value> {
        self.0["errors"].as_array().into_iter().flatten()
    }

    /// The code of the first error.
    pub fn code(&self) -> Option<&str> {
        self.errors().next().map(code)
    }

    fn into_error(self) -> Option<RequestError> {
        self.errors().next().map(RequestError::of_response)
    }

    /// The data, if there are no errors.
    pub fn into_data(mut self) -> Result<Value, RequestError> {
        let data = self.0["data"].take();
        self.into_error().map_or(Ok(data), Err)
    }

    /// The value of the only field, also beside errors in other services' parts of it.
    pub fn into_value(mut self) -> Result<Value, RequestError> {
        let mut fields = self.0["data"].as_object_mut().into_iter().flatten();
        let value = fields.next().map(|(_, value)| value.take()).unwrap_or_default();
        if value.is_null() {
            self.into_error().map_or(Ok(value), Err)
        } else {
            Ok(value)
        }
    }
}

impl RequestError {
    /// A failed request has certainly had no effect only if the connection was never established.
    fn of_connection(error: &reqwest::Error) -> Self {
        let message = if error.is_connect() {
            "no connection"
        } else if error.is_timeout() {
            "timeout"
        } else {
            "the connection was interrupted"
        };
        Self {
            had_no_effect: error.is_connect(),
            ..Self::unclear(message.to_owned())
        }
    }

    fn of_response(error: &Value) -> Self {
        let extensions = &error["extensions"];
        Self {
            had_no_effect: REFUSAL_CODES.contains(&code(error)),
            code: Some(code(error).to_owned()),
            message: error["message"].as_str().unwrap_or_default().to_owned(),
            retry_after: extensions["retryAfterSeconds"].as_u64().map(Duration::from_secs),
        }
    }

    /// An error after which the operation may have taken effect.
    fn unclear(message: String) -> Self {
        Self {
            code: None,
            message,
            retry_after: None,
            had_no_effect: false,
        }
    }

    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// The error of a later attempt, after one that may have taken effect.
    #[must_use]
    pub fn without_certainty(self) -> Self {
        Self {
            had_no_effect: false,
            ..self
        }
    }

    /// Whether the same request may succeed later.
    fn is_temporary(&self) -> bool {
        self.is("RATE_LIMITED") || self.is("UNAVAILABLE")
    }

    /// Returns the pause after an attempt, which are numbered from 1.
    fn pause(&self, attempt: u32) -> Duration {
        self.retry_after
            .unwrap_or(Duration::from_secs(1 << (attempt - 1)))
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => write!(formatter, "{code}: {}", self.message),
            None => formatter.write_str(&self.message),
        }
    }
}

impl std::error::Error for RequestError {}

fn code(error: &Value) -> &str {
    error["extensions"]["code"].as_str().unwrap_or("INTERNAL")
}

/// Whether the connection ended before the first byte of a response.
fn was_closed(error: &reqwest::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error
            .to_string()
            .contains("connection closed before message completed")
        {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn response(data: &Value, code: Option<&str>) -> ApiResponse {
        let errors = code.map(|code| json!([{ "message": "No.", "extensions": { "code": code } }]));
        ApiResponse(json!({ "data": data, "errors": errors }))
    }

    #[test]
    fn errors_say_whether_the_operation_had_no_effect() {
        let error = |code| response(&Value::Null, Some(code)).into_value().unwrap_err();
        assert!(error("CONFLICT").had_no_effect);
        assert!(!error("UNAVAILABLE").had_no_effect);
        assert!(!error("INTERNAL").had_no_effect);
        assert_eq!(error("UNAUTHENTICATED").to_string(), "UNAUTHENTICATED: No.");
    }

    #[test]
    fn a_value_beside_errors_is_acknowledged() {
        let data = json!({ "castVote": { "id": "1" } });
        assert_eq!(
            response(&data, Some("UNAVAILABLE")).into_value().unwrap()["id"],
            "1"
        );
        assert!(response(&data, Some("UNAVAILABLE")).into_data().is_err());
        assert_eq!(response(&data, None).into_data().unwrap(), data);
        // A field that is null without errors, such as a deleted photo.
        let gone = json!({ "photo": null });
        assert_eq!(response(&gone, None).into_value().unwrap(), Value::Null);
    }
}
