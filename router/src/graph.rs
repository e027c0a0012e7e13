//! Asks the graph for what the router writes into pages and feeds, as a visitor who is not signed in.
//!
//! The questions go to a server of the router's own that only this machine can reach, past the edge: the visitor who
//! opened the page is not charged for them.

use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use chassis::telemetry::traces;
use hive_router::telemetry::logging::request_id::REQUEST_IDENTIFIERS;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::operations::{OF_THE_APP, OF_THE_ROUTER, Operations};

/// So many questions may be under way at once; who comes then does without an answer. A crowd that opens a thousand
/// different photos must not take the graph away from those who vote.
const MAX_CONCURRENT_REQUESTS: usize = 64;
/// An answer that takes longer is none; the one who waits may have less patience.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// The graph, for everybody.
pub(crate) struct Graph {
    client: reqwest::Client,
    url: String,
    operations: Operations,
    room: Semaphore,
}

/// The response of the graph.
#[derive(Debug)]
pub(crate) struct Answer {
    /// As it came, for the app to read.
    pub(crate) data: Box<RawValue>,
    /// The reason why the response is incomplete, if it is.
    complaint: Option<NoAnswer>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// The requested object does not exist.
    NotThere,
    /// It may exist, but cannot be had now.
    Unavailable,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotThere => "it does not exist",
            Self::Unavailable => "it cannot be had now",
        })
    }
}

impl std::error::Error for NoAnswer {}

impl Answer {
    /// The part that `root` picks. Where it is null, it does not exist, unless the answer says why it is missing.
    pub(crate) fn read<D: DeserializeOwned, R>(
        &self,
        root: impl FnOnce(D) -> Option<R>,
    ) -> Result<R, NoAnswer> {
        let data = serde_json::from_str(self.data.get()).map_err(|error| {
            tracing::warn!(%error, "the graph answered in another shape than it was asked for");
            NoAnswer::Unavailable
        })?;
        root(data).ok_or(self.complaint.unwrap_or(NoAnswer::NotThere))
    }
}

#[derive(Deserialize)]
struct Envelope {
    data: Option<Box<RawValue>>,
    #[serde(default)]
    errors: Vec<Value>,
}

impl Envelope {
    fn complaint(&self) -> Option<NoAnswer> {
        let code = self.errors.first()?["extensions"]["code"].as_str();
        Some(match code {
            // A malformed id, day or name is treated as missing.
            Some("NOT_FOUND" | "INVALID_INPUT") => NoAnswer::NotThere,
            _ => NoAnswer::Unavailable,
        })
    }
}

impl Graph {
    /// The graph that answers at this URL.
    pub(crate) fn new(url: String) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            // It is this machine's own; no proxy that the environment names stands between.
            .no_proxy()
            .timeout(REQUEST_TIMEOUT)
            .build()
            .context("cannot make an HTTP client")?;
        Ok(Self {
            client,
            url,
            operations: Operations::parse(&[OF_THE_APP, OF_THE_ROUTER])?,
            room: Semaphore::new(MAX_CONCURRENT_REQUESTS),
        })
    }

    /// The answer to one of the known operations.
    pub(crate) async fn ask(&self, operation: &str, variables: &Value) -> Result<Answer, NoAnswer> {
        let query = self.operations.text(operation).ok_or(NoAnswer::Unavailable)?;
        let Ok(_seat) = self.room.try_acquire() else {
            metrics::counter!("proofsheet_router_pages_without_answer_total", "why" => "crowded")
                .increment(1);
            return Err(NoAnswer::Unavailable);
        };
        let body = json!({ "query": query, "operationName": operation, "variables": variables });
        let mut question = self.client.post(&self.url).json(&body);
        // Its traces belong to the request for the page.
        if let Ok(id) = REQUEST_IDENTIFIERS.try_with(|ids| ids.req_id().to_owned()) {
            question = question.header("x-request-id", id);
        }
        if let Some(trace) = traces::current_header() {
            question = question.header(traces::HEADER, trace);
        }
        let answered = async { question.send().await?.json::<Envelope>().await };
        let envelope = answered.await.map_err(|error| {
            tracing::warn!(operation, error = %error.without_url(), "the graph does not answer the router's own question");
            NoAnswer::Unavailable
        })?;
        let complaint = envelope.complaint();
        match envelope.data {
            Some(data) if data.get() != "null" => Ok(Answer { data, complaint }),
            _ => Err(complaint.unwrap_or(NoAnswer::Unavailable)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, NoAnswer> {
        #[derive(Deserialize)]
        struct Data {
            photo: Option<String>,
        }
        let envelope: Envelope = serde_json::from_str(text).unwrap();
        let complaint = envelope.complaint();
        let data = envelope.data.ok_or(NoAnswer::Unavailable)?;
        Answer { data, complaint }.read(|data: Data| data.photo)
    }

    #[test]
    fn a_hole_is_not_the_same_as_nothing() {
        assert_eq!(read(r#"{"data":{"photo":"heron"}}"#), Ok("heron".to_owned()));
        assert_eq!(read(r#"{"data":{"photo":null}}"#), Err(NoAnswer::NotThere));
        for (code, meaning) in [
            ("INVALID_INPUT", NoAnswer::NotThere),
            ("UNAVAILABLE", NoAnswer::Unavailable),
            ("INTERNAL", NoAnswer::Unavailable),
        ] {
            let errors = format!(r#"[{{"message":"","extensions":{{"code":"{code}"}}}}]"#);
            let answer = read(&format!(r#"{{"data":{{"photo":null}},"errors":{errors}}}"#));
            assert_eq!(answer, Err(meaning), "{code}");
            let answer = read(&format!(r#"{{"data":{{"photo":"heron"}},"errors":{errors}}}"#));
            assert_eq!(answer, Ok("heron".to_owned()), "what is there is shown");
        }
        assert_eq!(read(r#"{"data":{"photo":7}}"#), Err(NoAnswer::Unavailable));
    }
}
