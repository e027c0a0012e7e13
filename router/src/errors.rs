//! Rewrites errors for clients: each has one of eight codes and reveals no internals.
//!
//! Messages of the services pass, because they are written for users. Errors of the library are translated: limits are
//! explained, outages become UNAVAILABLE, and the rest becomes INTERNAL without a cause. The log has the cause with the
//! request id.

use std::borrow::Cow;

use contracts::Code;
use hive_router::GraphQLError;
use hive_router::async_trait;
use hive_router::plugins::hooks::on_graphql_error::{OnGraphQLErrorHookPayload, OnGraphQLErrorHookResult};
use hive_router::plugins::hooks::on_plugin_init::{OnPluginInitPayload, OnPluginInitResult};
use hive_router::plugins::plugin_trait::RouterPlugin;
use hive_router::sonic_rs::Value;
use hive_router::telemetry::logging::request_id::REQUEST_IDENTIFIERS;

/// The `extensions` that pass, besides the code.
const ALLOWED_EXTENSIONS: [&str; 3] = ["field", "requestId", "retryAfterSeconds"];

/// Maximum length of a message of the library and of a field's name in it, in characters. Both may repeat parts of the
/// request.
const MAX_MESSAGE_LENGTH: usize = 300;
const MAX_NAME_LENGTH: usize = 64;

/// Rewrites errors on their way out.
pub(crate) struct ErrorsPlugin {
    limits: RequestLimits,
}

/// The limits in `router.yaml`, for messages.
#[derive(Debug, Clone, Copy)]
struct RequestLimits {
    depth: usize,
    aliases: usize,
    directives: usize,
    tokens: usize,
    body: u64,
}

/// How an error is reported to the client.
#[derive(Debug, PartialEq, Eq)]
enum Translation {
    /// The code is one of [`Code`].
    PassThrough,
    /// Invalid input; the library's message passes.
    Invalid,
    /// Invalid input, with our message.
    InvalidWithMessage(String),
    /// The request came from another site.
    Forbidden,
    /// A service is unreachable or too slow.
    Unavailable,
    /// A defect of the site.
    Internal,
}

impl RequestLimits {
    fn translate(&self, code: &str) -> Translation {
        use Translation::{Forbidden, Internal, Invalid, InvalidWithMessage, PassThrough, Unavailable};
        let Self {
            depth,
            aliases,
            directives,
            tokens,
            body,
        } = self;
        match code {
            _ if Code::parse(code).is_some() => PassThrough,
            "MAX_DEPTH_EXCEEDED" => InvalidWithMessage(format!(
                "This operation is nested too deeply: the limit is {depth} levels."
            )),
            "MAX_ALIASES_EXCEEDED" => InvalidWithMessage(format!(
                "This operation has too many aliases: the limit is {aliases}."
            )),
            "MAX_DIRECTIVES_EXCEEDED" => InvalidWithMessage(format!(
                "This operation has too many directives: the limit is {directives}."
            )),
            "TOKEN_LIMIT_EXCEEDED" => InvalidWithMessage(format!(
                "This operation is too long: the limit is {tokens} tokens."
            )),
            "PAYLOAD_TOO_LARGE_CONTENT_LENGTH" | "PAYLOAD_TOO_LARGE_BODY_STREAM" => InvalidWithMessage(
                format!("This request is too large: the limit is {} KiB.", body / 1024),
            ),
            "PAYLOAD_READ_TIMEOUT" => InvalidWithMessage("The request did not arrive in time.".to_owned()),
            "PAYLOAD_READ_ERROR" => InvalidWithMessage("The request could not be read.".to_owned()),
            "UNPROCESSABLE_QUERY_PARAMS" | "BAD_REQUEST" => InvalidWithMessage(
                "The request must be JSON with a query, and variables as an object.".to_owned(),
            ),
            "MISSING_CONTENT_TYPE_HEADER" | "UNSUPPORTED_CONTENT_TYPE" => {
                InvalidWithMessage("Send operations as application/json.".to_owned())
            }
            "METHOD_NOT_ALLOWED" => {
                InvalidWithMessage("Send operations by POST, or queries by GET.".to_owned())
            }
            "MUTATION_NOT_ALLOWED_OVER_HTTP_GET" => InvalidWithMessage("Send mutations by POST.".to_owned()),
            "OPERATION_RESOLUTION_FAILURE" => {
                InvalidWithMessage("The document has no operation of that name and kind.".to_owned())
            }
            "GRAPHQL_PARSE_FAILED"
            | "GRAPHQL_VALIDATION_FAILED"
            | "BAD_USER_INPUT"
            | "INVALID_HEADER"
            | "UNSUPPORTED_CONTENT_ENCODING"
            | "REQUEST_HEADER_FIELDS_TOO_LARGE"
            | "MISSING_QUERY_PARAM"
            | "INTROSPECTION_DISABLED"
            | "SUBSCRIPTIONS_NOT_SUPPORTED"
            | "SUBSCRIPTIONS_TRANSPORT_NOT_SUPPORTED"
            | "PERSISTED_DOCUMENT_NOT_FOUND"
            | "PERSISTED_DOCUMENT_ID_REQUIRED"
            | "PERSISTED_DOCUMENT_EXTRACTION_FAILED" => Invalid,
            "CSRF_PREVENTION_FAILED" => Forbidden,
            "SUBREQUEST_HTTP_ERROR"
            | "SUBREQUEST_MALFORMED_RESPONSE"
            | "SUBGRAPH_RESPONSE_FAILURE"
            | "SUBGRAPH_REQUEST_TIMEOUT"
            | "SUBGRAPH_RESPONSE_BODY_READ_FAILURE"
            | "SUBGRAPH_RESPONSE_BODY_EMPTY"
            | "SUBGRAPH_CIRCUIT_BREAKER_REJECTED"
            | "NO_SUPERGRAPH_AVAILABLE"
            | "GATEWAY_TIMEOUT" => Unavailable,
            _ => Internal,
        }
    }
}

/// The kind of an error, in ascending severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ErrorKind {
    /// Invalid input or missing rights.
    Client,
    /// A service is unavailable.
    Outage,
    /// A defect of the site.
    Defect,
}

/// The most severe kind among `errors`, before or after rewriting; `None` without errors.
pub(crate) fn worst_kind(errors: &[GraphQLError]) -> Option<ErrorKind> {
    // The numbers matter for messages only.
    const NO_LIMITS: RequestLimits = RequestLimits {
        depth: 0,
        aliases: 0,
        directives: 0,
        tokens: 0,
        body: 0,
    };
    let kind = |error: &GraphQLError| {
        let code = error.extensions.code.as_deref().unwrap_or_default();
        match NO_LIMITS.translate(code) {
            Translation::Internal => ErrorKind::Defect,
            Translation::Unavailable => ErrorKind::Outage,
            Translation::PassThrough if code == Code::Internal.as_str() => ErrorKind::Defect,
            Translation::PassThrough if code == Code::Unavailable.as_str() => ErrorKind::Outage,
            Translation::PassThrough
            | Translation::Invalid
            | Translation::InvalidWithMessage(_)
            | Translation::Forbidden => ErrorKind::Client,
        }
    };
    errors.iter().map(kind).max()
}

impl ErrorsPlugin {
    fn rewrite(&self, error: &mut GraphQLError, request_id: Option<String>) {
        let mut code = error.extensions.code.take().unwrap_or_default();
        if error.extensions.service_name.take().is_some() {
            // These locations refer to the request to the subgraph, not to the client's document.
            error.locations = None;
        } else if code.contains(|letter: char| letter.is_ascii_lowercase()) {
            // Validation errors use the names of rules as codes: FieldsOnCorrectType and about 25 others.
            "GRAPHQL_VALIDATION_FAILED".clone_into(&mut code);
        } else if code == "GRAPHQL_PARSE_FAILED" && is_one_token_too_long(&error.message) {
            "TOKEN_LIMIT_EXCEEDED".clone_into(&mut code);
        }
        error.extensions.affected_path = None;
        error
            .extensions
            .extensions
            .retain(|key, _| ALLOWED_EXTENSIONS.contains(&key.as_str()));
        if error
            .path
            .as_ref()
            .is_some_and(|path| path.entity_index_and_path().is_some())
        {
            error.path = None;
        }
        let code = match self.limits.translate(&code) {
            Translation::PassThrough if code == Code::Internal.as_str() => Code::Internal.as_str(),
            Translation::PassThrough => return error.extensions.code = Some(code),
            Translation::Invalid => {
                if let Some(field) = field_of(&error.message) {
                    let field = Value::from(shortened(field, MAX_NAME_LENGTH).as_ref());
                    error.extensions.set("field".to_owned(), field);
                }
                let message = without_value(&error.message);
                error.message = shortened(&message, MAX_MESSAGE_LENGTH).into_owned();
                Code::InvalidInput.as_str()
            }
            Translation::InvalidWithMessage(message) => {
                error.message = message;
                Code::InvalidInput.as_str()
            }
            Translation::Forbidden => {
                "This request may come from another site: send application/json, or the header x-proofsheet."
                    .clone_into(&mut error.message);
                Code::Forbidden.as_str()
            }
            Translation::Unavailable => {
                tracing::warn!(code, cause = error.message, "a subgraph is unavailable");
                "A part of the site is unavailable right now. Try again in a minute."
                    .clone_into(&mut error.message);
                Code::Unavailable.as_str()
            }
            Translation::Internal => {
                tracing::error!(code, cause = error.message, "an operation failed");
                Code::Internal.as_str()
            }
        };
        if code == Code::Internal.as_str() {
            "Something went wrong on our side. Try again later.".clone_into(&mut error.message);
            if let Some(id) = request_id {
                error
                    .extensions
                    .set("requestId".to_owned(), Value::from(id.as_str()));
            }
        }
        error.extensions.code = Some(code.to_owned());
    }
}

/// The input field that is invalid or missing, taken from the library's message.
fn field_of(message: &str) -> Option<&str> {
    if !message.starts_with("Variable \"$") {
        return None;
    }
    let (_, problem) = message.split_once("\" has invalid value")?;
    if let Some((_, missing)) = problem.split_once("to include required field \"") {
        return Some(missing.split_once('"')?.0);
    }
    let (path, _) = problem.strip_prefix(" at ")?.split_once(": ")?;
    path.rsplit('.')
        .find_map(|step| step.split('[').next().filter(|name| !name.is_empty()))
}

/// The library's message about a variable without the variable's value, which may be a password. Other messages are
/// unchanged.
fn without_value(message: &str) -> Cow<'_, str> {
    let Some((name, problem)) = message
        .strip_prefix("Variable \"$")
        .and_then(|rest| rest.split_once("\" has invalid "))
    else {
        return message.into();
    };
    // The path to the value, with names of the schema only, ends at the colon.
    let Some((place, reason)) = problem.split_once(": ") else {
        return message.into();
    };
    let reason = if let Some(of_enum) = reason.strip_prefix("Value \"") {
        match of_enum.rsplit_once("\" does not exist in ") {
            Some((_, name)) => format!("The value does not exist in {}", name.trim_end_matches('.')),
            None => "The value is not of the expected type".to_owned(),
        }
    } else {
        let end = [", found: ", ": "]
            .iter()
            .filter_map(|end| reason.find(end))
            .min();
        reason[..end.unwrap_or(reason.len())]
            .trim_end_matches('.')
            .to_owned()
    };
    format!("Variable \"${name}\" has invalid {place}: {reason}.").into()
}

fn shortened(text: &str, max_length: usize) -> Cow<'_, str> {
    match text.char_indices().nth(max_length) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

/// With exactly one token too many, the library reports a missing end without an unexpected token.
fn is_one_token_too_long(message: &str) -> bool {
    message.contains("Expected end of input") && !message.contains("Unexpected")
}

#[async_trait]
impl RouterPlugin for ErrorsPlugin {
    type Config = ();

    fn plugin_name() -> &'static str {
        "errors"
    }

    fn on_plugin_init(payload: OnPluginInitPayload<Self>) -> OnPluginInitResult<Self> {
        let limits = &payload.router_config().limits;
        let limits = RequestLimits {
            depth: limits.max_depth.as_ref().map_or(0, |limit| limit.n),
            aliases: limits.max_aliases.as_ref().map_or(0, |limit| limit.n),
            directives: limits.max_directives.as_ref().map_or(0, |limit| limit.n),
            // The library counts the end of the document too.
            tokens: limits.max_tokens.as_ref().map_or(0, |limit| limit.n - 1),
            body: limits.max_request_body_size.to_bytes(),
        };
        payload.initialize_plugin(Self { limits })
    }

    fn on_graphql_error<'req>(
        &'req self,
        mut payload: OnGraphQLErrorHookPayload<'req>,
    ) -> OnGraphQLErrorHookResult<'req> {
        let request_id = REQUEST_IDENTIFIERS.try_with(|ids| ids.req_id().to_owned()).ok();
        self.rewrite(&mut payload.error, request_id);
        if let Some(code) = &payload.error.extensions.code {
            metrics::counter!("proofsheet_router_errors_total", "code" => code.clone()).increment(1);
        }
        payload.proceed()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rewritten(error: &serde_json::Value) -> serde_json::Value {
        let limits = RequestLimits {
            depth: 10,
            aliases: 15,
            directives: 10,
            tokens: 1000,
            body: 64 * 1024,
        };
        let mut error: GraphQLError = hive_router::sonic_rs::from_str(&error.to_string()).unwrap();
        ErrorsPlugin { limits }.rewrite(&mut error, Some("r1".to_owned()));
        serde_json::from_str(&hive_router::sonic_rs::to_string(&error).unwrap()).unwrap()
    }

    #[test]
    fn messages_of_services_pass_without_internals() {
        let error = json!({
            "message": "That username is taken.",
            "locations": [{ "line": 1, "column": 2 }],
            "path": ["claimUsername"],
            "extensions": { "code": "CONFLICT", "field": "username", "service": "profile", "affectedPath": "x", "sql": "…" },
        });
        assert_eq!(
            rewritten(&error),
            json!({
                "message": "That username is taken.",
                "path": ["claimUsername"],
                "extensions": { "code": "CONFLICT", "field": "username" },
            })
        );
    }

    #[test]
    fn a_wrong_value_is_named_by_its_input_field() {
        let field =
            |rest: &str| field_of(&format!("Variable \"$input\" has invalid value{rest}")).map(str::to_owned);
        assert_eq!(
            field(" at .email: String cannot represent a non string value: 3").as_deref(),
            Some("email")
        );
        assert_eq!(
            field(" at .photos[3].title: String cannot represent a non string value: 3").as_deref(),
            Some("title")
        );
        assert_eq!(
            field(
                ": Expected value of type \"LoginInput\" to include required field \"password\", found: { }."
            )
            .as_deref(),
            Some("password")
        );
        assert_eq!(field(": Int cannot represent non-integer value: \"x: y\""), None);
        assert_eq!(field_of("Cannot query field \"at .x: \"."), None);
    }

    #[test]
    fn messages_about_variables_have_no_values() {
        for (reason, expected) in [
            (
                "value: Expected value of type \"LoginInput\" to include required field \"email\", found: { password: \"S3CRET\" }.",
                "value: Expected value of type \"LoginInput\" to include required field \"email\".",
            ),
            (
                "value: Expected value of type \"LoginInput\" not to include unknown field \"x\", found: { x: \"S3CRET\" }.",
                "value: Expected value of type \"LoginInput\" not to include unknown field \"x\".",
            ),
            (
                "value: Expected value of type \"LoginInput\" to be an object, found: \"S3CRET\".",
                "value: Expected value of type \"LoginInput\" to be an object.",
            ),
            (
                "value at .password: String cannot represent a non string value: { a: \"S3CRET\" }",
                "value at .password: String cannot represent a non string value.",
            ),
            (
                "value at .tokens[0]: ID cannot represent value: [\"S3CRET\"]",
                "value at .tokens[0]: ID cannot represent value.",
            ),
            (
                "value: Value \"S3CRET\" does not exist in \"S3CRET\" does not exist in \"VoteDirection\" enum.",
                "value: The value does not exist in \"VoteDirection\" enum.",
            ),
            (
                "value: Enum \"VoteDirection\" cannot represent non-string value: [\"S3CRET\"].",
                "value: Enum \"VoteDirection\" cannot represent non-string value.",
            ),
            (
                "default value at .first: Int cannot represent non-integer value: \"S3CRET: x\"",
                "default value at .first: Int cannot represent non-integer value.",
            ),
            (
                "value: Expected a value of non-null type \"LoginInput!\" to be provided.",
                "value: Expected a value of non-null type \"LoginInput!\" to be provided.",
            ),
        ] {
            let error = json!({
                "message": format!("Variable \"$input\" has invalid {reason}"),
                "extensions": { "code": "BAD_USER_INPUT" },
            });
            let error = rewritten(&error);
            let expected = format!("Variable \"$input\" has invalid {expected}");
            assert_eq!(error["message"], expected.as_str());
            assert!(!error.to_string().contains("S3CRET"), "{error}");
        }
    }

    #[test]
    fn messages_of_the_library_are_short() {
        let name = "ö".repeat(10_000);
        let message = format!(
            "Variable \"$input\" has invalid value: Expected value of type \"A\" not to include unknown field \"{name}\", found: 1."
        );
        for (code, message) in [
            ("BAD_USER_INPUT", message.as_str()),
            ("GRAPHQL_VALIDATION_FAILED", name.as_str()),
        ] {
            let error = rewritten(&json!({ "message": message, "extensions": { "code": code } }));
            let message = error["message"].as_str().unwrap();
            assert_eq!(message.chars().count(), MAX_MESSAGE_LENGTH + 1, "{message}");
        }
    }

    #[test]
    fn an_outage_names_no_service() {
        let error = json!({
            "message": "Failed to send request to subgraph: tcp connect error 127.0.0.1:5004",
            "extensions": { "code": "SUBREQUEST_HTTP_ERROR", "service": "comment" },
        });
        let error = rewritten(&error);
        assert_eq!(error["extensions"], json!({ "code": "UNAVAILABLE" }));
        assert!(
            !error.to_string().contains("5004") && !error.to_string().contains("comment"),
            "{error}"
        );
    }

    #[test]
    fn unknown_errors_are_internal_without_a_cause() {
        for code in [
            "QUERY_PLAN_BUILD_FAILED",
            "DOWNSTREAM_SERVICE_ERROR",
            "INTERNAL",
            "WHATEVER",
        ] {
            let error =
                rewritten(&json!({ "message": "panicked at src/lib.rs", "extensions": { "code": code } }));
            assert_eq!(
                error["extensions"],
                json!({ "code": "INTERNAL", "requestId": "r1" })
            );
            assert_eq!(
                error["message"],
                "Something went wrong on our side. Try again later."
            );
        }
    }

    #[test]
    fn limits_are_named() {
        for (code, number) in [
            ("MAX_DEPTH_EXCEEDED", "10"),
            ("MAX_ALIASES_EXCEEDED", "15"),
            ("MAX_DIRECTIVES_EXCEEDED", "10"),
            ("TOKEN_LIMIT_EXCEEDED", "1000"),
            ("PAYLOAD_TOO_LARGE_BODY_STREAM", "64 KiB"),
        ] {
            let error = rewritten(&json!({ "message": "limit exceeded.", "extensions": { "code": code } }));
            assert_eq!(error["extensions"]["code"], "INVALID_INPUT");
            assert!(error["message"].as_str().unwrap().contains(number), "{error}");
        }
    }
}
