//! Error responses of the router itself: GraphQL clients get `errors`, other clients `{"code","message"}`.

use contracts::Code;
use hive_router::ntex::http::StatusCode;
use hive_router::ntex::web::HttpResponse;
use serde_json::json;

/// An error response: HTTP status, error code and message.
#[derive(Debug, Clone)]
pub(crate) struct ErrorResponse {
    pub(crate) status: StatusCode,
    pub(crate) code: Code,
    pub(crate) message: &'static str,
    pub(crate) retry_after_seconds: Option<u64>,
}

impl ErrorResponse {
    pub(crate) const fn new(status: StatusCode, code: Code, message: &'static str) -> Self {
        Self {
            status,
            code,
            message,
            retry_after_seconds: None,
        }
    }

    /// Returns a GraphQL response without data.
    pub(crate) fn as_graphql(&self) -> HttpResponse {
        let mut extensions = json!({ "code": self.code.as_str() });
        if let Some(seconds) = self.retry_after_seconds {
            extensions["retryAfterSeconds"] = seconds.into();
        }
        self.answer(&json!({ "errors": [{ "message": self.message, "extensions": extensions }] }))
    }

    /// Returns a response in plain JSON.
    pub(crate) fn as_json(&self) -> HttpResponse {
        let mut body = json!({ "code": self.code.as_str(), "message": self.message });
        if let Some(seconds) = self.retry_after_seconds {
            body["retryAfterSeconds"] = seconds.into();
        }
        self.answer(&body)
    }

    fn answer(&self, body: &serde_json::Value) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        response
            .content_type("application/json")
            .header("cache-control", "no-store");
        if let Some(seconds) = self.retry_after_seconds {
            response.header("retry-after", seconds.to_string());
        }
        response.body(body.to_string())
    }
}
