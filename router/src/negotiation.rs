//! Content negotiation and CSRF protection of GraphQL requests, before the library reads them.

use std::str::FromStr as _;

use contracts::{Code, headers};
use headers_accept::Accept;
use hive_router::ntex::http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use hive_router::ntex::http::{HeaderMap, Method, StatusCode};
use mediatype::names::{APPLICATION, CHARSET, JSON, Q};
use mediatype::{MediaType, Name, ReadParams as _, WriteParams as _};

use crate::error_response::ErrorResponse;

const JSON_TYPE: MediaType = MediaType::new(APPLICATION, JSON);
/// The media types of responses, the preferred one first. The router has no streamed responses.
static OFFERED: [MediaType; 2] = [
    JSON_TYPE,
    MediaType::from_parts(
        APPLICATION,
        Name::new_unchecked("graphql-response"),
        Some(JSON),
        &[],
    ),
];

const CROSS_SITE: ErrorResponse = ErrorResponse::new(
    StatusCode::FORBIDDEN,
    Code::Forbidden,
    "This request may come from another site: send application/json, or the header x-proofsheet.",
);
const UNSUPPORTED: ErrorResponse = ErrorResponse::new(
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    Code::InvalidInput,
    "Send operations as application/json.",
);
const NOT_ACCEPTABLE: ErrorResponse = ErrorResponse::new(
    StatusCode::NOT_ACCEPTABLE,
    Code::InvalidInput,
    "Responses are application/json or application/graphql-response+json. Accept one of them.",
);

/// Checks the headers of an operation, and replaces `Accept` by the negotiated type.
pub(crate) fn negotiate(method: &Method, headers: &mut HeaderMap) -> Result<(), ErrorResponse> {
    let is_json = is_json(headers);
    // Browsers send GET, and POST of the three types that forms have, without a preflight. Browsers differ in how they
    // read an unusual Content-Type, so anything but plain JSON needs our header.
    if (method != Method::POST || !is_json) && !headers.contains_key(headers::CSRF) {
        return Err(CROSS_SITE);
    }
    if method == Method::POST && !is_json {
        return Err(UNSUPPORTED);
    }
    let agreed = agreed(headers)?;
    headers.insert(ACCEPT, agreed);
    Ok(())
}

/// Whether there is one `Content-Type`, and it is JSON in UTF-8.
fn is_json(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(CONTENT_TYPE);
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return false;
    };
    let Some(Ok(content_type)) = line.to_str().ok().map(|line| MediaType::parse(line.trim())) else {
        return false;
    };
    content_type.essence() == JSON_TYPE
        && content_type
            .params()
            .filter(|(name, _)| *name == CHARSET)
            .all(|(_, charset)| charset.unquoted_str().eq_ignore_ascii_case("utf-8"))
}

/// The value that replaces `Accept`. A malformed header counts as absent.
fn agreed(headers: &HeaderMap) -> Result<HeaderValue, ErrorResponse> {
    const DEFAULT: HeaderValue = HeaderValue::from_static("application/json");
    let lines: Vec<&str> = all(headers, &ACCEPT).collect();
    let Ok(accept) = Accept::from_str(&lines.join(", ")) else {
        return Ok(DEFAULT);
    };
    if accept.media_types().next().is_none() {
        return Ok(DEFAULT);
    }
    let accept: Accept = without_parameters(&accept).collect();
    let agreed = accept.negotiate(&OFFERED).ok_or(NOT_ACCEPTABLE)?;
    Ok(HeaderValue::from_str(&agreed.to_string()).unwrap_or(DEFAULT))
}

/// The accepted types with their quality only: JSON has no other parameters, and many clients send `charset=utf-8`.
fn without_parameters(accept: &Accept) -> impl Iterator<Item = MediaType<'_>> {
    accept.media_types().map(|accepted| {
        let mut media_type = MediaType::from_parts(accepted.ty(), accepted.subty(), accepted.suffix(), &[]);
        if let Some(quality) = accepted.get_param(Q) {
            media_type.set_param(Q, quality);
        }
        media_type
    })
}

fn all<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    headers.get_all(name).filter_map(|line| line.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(method: &Method, lines: &[(HeaderName, &str)]) -> Result<String, u16> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        negotiate(method, &mut headers).map_err(|refusal| refusal.status.as_u16())?;
        Ok(all(&headers, &ACCEPT).collect())
    }

    #[test]
    fn only_json_passes_without_the_header() {
        for content_type in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            " application/json ",
            "application/json;",
        ] {
            let post = checked(&Method::POST, &[(CONTENT_TYPE, content_type)]);
            assert_eq!(post.as_deref(), Ok("application/json"), "{content_type}");
        }
        let ours = (HeaderName::from_static(headers::CSRF), "1");
        for content_types in [
            vec![],
            vec!["text/plain"],
            vec!["text/xml;application/json"],
            vec!["text/plain;application/json"],
            vec!["text/plain; x=application/json"],
            vec!["application/json, text/plain"],
            vec!["text/plain, application/json"],
            vec!["application/json", "application/json"],
            vec!["text/plain", "application/json"],
            vec!["application/jsonx"],
            vec!["application/json+text"],
            vec!["application/ json"],
            vec!["application"],
            vec!["application/json; charset=utf-16"],
            vec!["application/json; charset=utf-8; charset=utf-7"],
            vec!["application/graphql"],
            vec!["application/x-www-form-urlencoded"],
            vec!["multipart/form-data; boundary=x"],
            vec!["*/*"],
            vec![""],
        ] {
            let lines: Vec<_> = content_types.iter().map(|line| (CONTENT_TYPE, *line)).collect();
            assert_eq!(checked(&Method::POST, &lines), Err(403), "{content_types:?}");
            let lines = [lines, vec![ours.clone()]].concat();
            assert_eq!(checked(&Method::POST, &lines), Err(415), "{content_types:?}");
        }
    }

    #[test]
    fn a_get_always_needs_the_header() {
        for content_type in ["application/json", "text/plain", "x", ""] {
            assert_eq!(
                checked(&Method::GET, &[(CONTENT_TYPE, content_type)]),
                Err(403),
                "{content_type}"
            );
        }
        let ours = (HeaderName::from_static(headers::CSRF), "1");
        assert_eq!(checked(&Method::GET, &[ours]).as_deref(), Ok("application/json"));
    }

    #[test]
    fn the_response_type_is_negotiated() {
        let json = Ok("application/json");
        let graphql = Ok("application/graphql-response+json");
        for (accept, agreed) in [
            (vec![], json),
            (vec![""], json),
            (vec!["*/*"], json),
            (vec!["application/*"], json),
            (vec!["application/json"], json),
            (vec!["application/graphql-response+json"], graphql),
            (
                vec!["application/graphql-response+json, application/json;q=0.9"],
                graphql,
            ),
            (
                vec!["application/graphql-response+json;q=0.5, application/json;q=0.9"],
                json,
            ),
            (vec!["application/json;q=0, */*"], graphql),
            (vec!["image/png", "application/json"], json),
            (vec!["image/png, */*;q=0.1"], json),
            (
                vec!["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
                json,
            ),
            (vec!["text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"], json),
            (
                vec!["application/graphql-response+json; charset=utf-8, application/json; charset=utf-8"],
                graphql,
            ),
            (vec!["application/json; charset=utf-8"], json),
            (vec!["application/json;charset=\"UTF-8\";q=0.5"], json),
            (
                vec!["application/json;charset=utf-8;q=0.5, application/graphql-response+json;charset=utf-8"],
                graphql,
            ),
            (vec!["application/json;charset=utf-8;q=0"], Err(406)),
            (vec!["text/event-stream"], Err(406)),
            (vec!["multipart/mixed"], Err(406)),
            (vec!["text/*"], Err(406)),
            (vec!["multipart/*"], Err(406)),
            (vec!["text/event-stream, application/json;q=0.1"], json),
            (vec!["image/png"], Err(406)),
            (vec!["text/html"], Err(406)),
            (vec!["application/json;q=0"], Err(406)),
            (vec!["*/*;q=0"], Err(406)),
            (vec!["application/xml, text/*;q=0"], Err(406)),
        ] {
            let lines: Vec<_> = [(CONTENT_TYPE, "application/json")]
                .into_iter()
                .chain(accept.iter().map(|line| (ACCEPT, *line)))
                .collect();
            let answer = checked(&Method::POST, &lines);
            assert_eq!(answer.as_deref().map_err(|status| *status), agreed, "{accept:?}");
        }
    }
}
