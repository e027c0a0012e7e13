//! A client of the public API that classifies each response: acknowledged, refused or unknown.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::history::Outcome;

/// The same timeout as the app's.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);

/// Error codes that guarantee that the operation had no effect.
const REFUSAL_CODES: [&str; 6] = [
    "UNAUTHENTICATED",
    "FORBIDDEN",
    "NOT_FOUND",
    "INVALID_INPUT",
    "CONFLICT",
    "RATE_LIMITED",
];

#[derive(Clone, Debug)]
pub(crate) struct SiteClient {
    client: reqwest::Client,
    url: String,
    /// Errors with the code INTERNAL, which are always defects.
    internal_errors: Arc<Mutex<Vec<String>>>,
}

/// The result of an operation: the value of its field, which is null unless the operation was acknowledged.
#[derive(Debug)]
pub(crate) struct OperationResult {
    pub(crate) value: Value,
    pub(crate) outcome: Outcome,
}

impl OperationResult {
    fn unknown(why: &str) -> Self {
        Self {
            value: Value::Null,
            outcome: Outcome::Unknown(why.to_string()),
        }
    }

    fn failed(why: &str) -> Self {
        Self {
            value: Value::Null,
            outcome: Outcome::Failed(why.to_string()),
        }
    }

    fn ok(value: Value) -> Self {
        Self {
            value,
            outcome: Outcome::Ok,
        }
    }

    /// A failed request has certainly had no effect only if the connection was never established.
    fn broken(error: &reqwest::Error) -> Self {
        if error.is_connect() {
            Self::failed("no connection")
        } else if error.is_timeout() {
            Self::unknown("timeout")
        } else {
            Self::unknown("the connection was interrupted")
        }
    }

    /// Parses the response to an operation with one field.
    fn read(body: &Value) -> Self {
        let value = body["data"].as_object().and_then(|data| data.values().next());
        if let Some(value) = value.filter(|value| !value.is_null()) {
            return Self::ok(value.clone());
        }
        let Some(error) = body["errors"].get(0) else {
            return Self::ok(Value::Null);
        };
        let code = error["extensions"]["code"].as_str().unwrap_or("INTERNAL");
        let message = error["message"].as_str().unwrap_or_default();
        let said = format!("{code}: {message}");
        if REFUSAL_CODES.contains(&code) {
            Self::failed(&said)
        } else {
            Self::unknown(&said)
        }
    }

    pub(crate) fn is_ok(&self) -> bool {
        self.outcome == Outcome::Ok
    }
}

impl SiteClient {
    pub(crate) fn new(url: String) -> Result<Self> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(CLIENT_TIMEOUT)
            .build()?;
        Ok(Self {
            client,
            url,
            internal_errors: Arc::default(),
        })
    }

    /// Sends an operation with one field.
    pub(crate) async fn ask(
        &self,
        token: Option<&str>,
        operation: &str,
        variables: Value,
    ) -> OperationResult {
        let mut request = self
            .client
            .post(format!("{}/graphql", self.url))
            .json(&json!({ "query": operation, "variables": variables }));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return OperationResult::broken(&error),
        };
        match answer.json().await {
            Ok(body) => {
                self.note_internal_errors(operation, &body);
                OperationResult::read(&body)
            }
            Err(_) => OperationResult::unknown("the response is not JSON"),
        }
    }

    fn note_internal_errors(&self, operation: &str, body: &Value) {
        let errors = body["errors"].as_array().into_iter().flatten();
        let internal = errors
            .filter(|error| {
                error["extensions"]["code"]
                    .as_str()
                    .is_none_or(|code| code == "INTERNAL")
            })
            .map(|error| format!("{error} in the response to {operation}"));
        self.internal_errors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(internal);
    }

    /// The errors with the code INTERNAL since the last call.
    pub(crate) fn take_internal_errors(&self) -> Vec<String> {
        std::mem::take(
            &mut *self
                .internal_errors
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Uploads a picture; the value is the upload's id.
    pub(crate) async fn upload(&self, token: &str, picture: Vec<u8>) -> OperationResult {
        let request = self
            .client
            .post(format!("{}/media/uploads", self.url))
            .bearer_auth(token)
            .header("content-type", "image/jpeg")
            .body(picture);
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return OperationResult::broken(&error),
        };
        let status = answer.status().as_u16();
        match answer.json::<Value>().await {
            Ok(body) if status == 201 => OperationResult::ok(body["uploadId"].clone()),
            Ok(body) if (400..500).contains(&status) => {
                OperationResult::failed(&format!("{status}: {}", body["code"]))
            }
            _ => OperationResult::unknown(&format!("status {status}")),
        }
    }

    /// Downloads a file.
    pub(crate) async fn fetch(&self, path: &str) -> Result<Vec<u8>> {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await?;
        Ok(answer.error_for_status()?.bytes().await?.to_vec())
    }
}
