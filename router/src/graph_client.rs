//! Queries the graph for pages, feeds and sitemaps, as an anonymous visitor.
//!
//! Requests go to the router's loopback server, which has no rate limit: they do not count against the visitor who
//! opened the page.

use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use chassis::telemetry::traces;
use contracts::{Code, headers};
use hive_router::telemetry::logging::request_id::REQUEST_IDENTIFIERS;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::operations::{APP_OPERATIONS, Operations, ROUTER_OPERATIONS};

/// Maximum number of pages and feeds that query the graph at once. They must not use up the capacity that votes need.
const MAX_CONCURRENT_PAGES: usize = 32;
/// The time that a page waits for a permit.
const PERMIT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Timeout of a request. Callers may have a shorter one.
const GRAPH_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A client for the graph, without a session.
pub(crate) struct GraphClient {
    client: reqwest::Client,
    url: String,
    operations: Operations,
    permits: Semaphore,
}

/// The response to an operation.
#[derive(Debug)]
pub(crate) struct QueryResponse {
    /// The unparsed `data`.
    pub(crate) data: Box<RawValue>,
    /// Why the response is incomplete, if it is.
    error: Option<QueryError>,
}

/// Why data is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueryError {
    /// The requested object does not exist.
    NotFound,
    /// A service is unavailable.
    Unavailable,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "it does not exist",
            Self::Unavailable => "it is unavailable",
        })
    }
}

impl std::error::Error for QueryError {}

impl QueryResponse {
    /// Returns the value that `root` selects. A null value means that it does not exist, unless the response has an
    /// error.
    pub(crate) fn read<D: DeserializeOwned, R>(
        &self,
        root: impl FnOnce(D) -> Option<R>,
    ) -> Result<R, QueryError> {
        let data = serde_json::from_str(self.data.get()).map_err(|error| {
            tracing::warn!(%error, "the response does not match the operation");
            QueryError::Unavailable
        })?;
        root(data).ok_or(self.error.unwrap_or(QueryError::NotFound))
    }
}

#[derive(Deserialize)]
struct Envelope {
    data: Option<Box<RawValue>>,
    #[serde(default)]
    errors: Vec<Value>,
}

impl Envelope {
    fn error(&self) -> Option<QueryError> {
        let code = self.errors.first()?["extensions"]["code"].as_str();
        Some(match code.and_then(Code::parse) {
            // A malformed id, day or name is treated as missing.
            Some(Code::NotFound | Code::InvalidInput) => QueryError::NotFound,
            _ => QueryError::Unavailable,
        })
    }
}

impl GraphClient {
    /// Creates a client for the GraphQL endpoint at `url`.
    pub(crate) fn new(url: String) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            // Loopback only, so proxy settings of the environment do not apply.
            .no_proxy()
            .timeout(GRAPH_REQUEST_TIMEOUT)
            .build()
            .context("cannot make an HTTP client")?;
        Ok(Self {
            client,
            url,
            operations: Operations::parse(&[APP_OPERATIONS, ROUTER_OPERATIONS])?,
            permits: Semaphore::new(MAX_CONCURRENT_PAGES),
        })
    }

    /// Waits up to [`PERMIT_TIMEOUT`] for a permit to render one page or feed.
    pub(crate) async fn acquire(&self) -> Result<SemaphorePermit<'_>, QueryError> {
        if let Ok(Ok(permit)) = timeout(PERMIT_TIMEOUT, self.permits.acquire()).await {
            return Ok(permit);
        }
        metrics::counter!("proofsheet_router_page_queries_failed_total", "reason" => "concurrency_limit")
            .increment(1);
        Err(QueryError::Unavailable)
    }

    /// Runs one of the operations in `operations.graphql` of the app or the router, by its name. The caller holds a
    /// permit.
    pub(crate) async fn query(
        &self,
        operation: &str,
        variables: &Value,
    ) -> Result<QueryResponse, QueryError> {
        let document = self.operations.text(operation).ok_or(QueryError::Unavailable)?;
        let body = json!({ "query": document, "operationName": operation, "variables": variables });
        let mut request = self.client.post(&self.url).json(&body);
        // Traces belong to the request for the page.
        if let Ok(id) = REQUEST_IDENTIFIERS.try_with(|ids| ids.req_id().to_owned()) {
            request = request.header(headers::REQUEST_ID, id);
        }
        if let Some(trace) = traces::current_header() {
            request = request.header(headers::TRACE_CONTEXT, trace);
        }
        let response = async { request.send().await?.json::<Envelope>().await };
        let envelope = response.await.map_err(|error| {
            tracing::warn!(operation, error = %error.without_url(), "a query for a page or feed failed");
            QueryError::Unavailable
        })?;
        let error = envelope.error();
        match envelope.data {
            Some(data) if data.get() != "null" => Ok(QueryResponse { data, error }),
            _ => Err(error.unwrap_or(QueryError::Unavailable)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, QueryError> {
        #[derive(Deserialize)]
        struct Data {
            photo: Option<String>,
        }
        let envelope: Envelope = serde_json::from_str(text).unwrap();
        let error = envelope.error();
        let data = envelope.data.ok_or(QueryError::Unavailable)?;
        QueryResponse { data, error }.read(|data: Data| data.photo)
    }

    #[test]
    fn an_unavailable_part_is_not_a_missing_one() {
        assert_eq!(read(r#"{"data":{"photo":"heron"}}"#), Ok("heron".to_owned()));
        assert_eq!(read(r#"{"data":{"photo":null}}"#), Err(QueryError::NotFound));
        for (code, meaning) in [
            ("INVALID_INPUT", QueryError::NotFound),
            ("UNAVAILABLE", QueryError::Unavailable),
            ("INTERNAL", QueryError::Unavailable),
        ] {
            let errors = format!(r#"[{{"message":"","extensions":{{"code":"{code}"}}}}]"#);
            let answer = read(&format!(r#"{{"data":{{"photo":null}},"errors":{errors}}}"#));
            assert_eq!(answer, Err(meaning), "{code}");
            let answer = read(&format!(r#"{{"data":{{"photo":"heron"}},"errors":{errors}}}"#));
            assert_eq!(answer, Ok("heron".to_owned()), "what is there is shown");
        }
        assert_eq!(read(r#"{"data":{"photo":7}}"#), Err(QueryError::Unavailable));
    }
}
