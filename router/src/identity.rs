//! The identity of a request: a bearer token, or the app's cookie.
//!
//! The library's token validation does not check `typ`, does not cover uploads, and forwards invalid tokens. The router
//! therefore uses the verifier of the services: an invalid token makes the request anonymous.

use std::time::Duration;

use chassis::tokens::TokenVerifier;
use chassis::viewer::Caller;
use contracts::cookies::Names;
use cookie::Cookie;
use hive_router::ntex::http::HeaderMap;
use hive_router::ntex::http::header::{AUTHORIZATION, COOKIE};
use moka::sync::Cache;
use url::Url;

/// Longer tokens are ignored. In bytes.
const MAX_TOKEN_LENGTH: usize = 4096;
/// How long a verified token is cached. An expired token may pass the router for this long; the subgraphs verify it
/// again.
const TOKEN_CACHE_TTL: Duration = Duration::from_secs(5);

/// The source of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CredentialSource {
    Bearer,
    Cookie,
}

/// A token that is valid, or cannot be verified because the issuer's keys are unavailable.
#[derive(Debug, Clone)]
pub(crate) struct Credential {
    pub(crate) token: String,
    pub(crate) source: CredentialSource,
}

/// Finds and verifies the token of a request.
pub(crate) struct Identifier {
    verifier: TokenVerifier,
    cookie: &'static str,
    verified: Cache<String, ()>,
}

impl Identifier {
    pub(crate) fn new(verifier: TokenVerifier, public_url: &Url) -> Self {
        let cookie = Names::new(public_url.scheme() == "https").access;
        Self {
            verifier,
            cookie,
            verified: Cache::builder()
                .max_capacity(50_000)
                .time_to_live(TOKEN_CACHE_TTL)
                .build(),
        }
    }

    /// Returns the token in the headers unless it is invalid. A bearer token takes precedence, and an invalid one does
    /// not fall back to the cookie.
    pub(crate) async fn credential(&self, headers: &HeaderMap) -> Option<Credential> {
        let credential = find_credential(headers, self.cookie)?;
        if self.verified.contains_key(&credential.token) {
            return Some(credential);
        }
        match self.verifier.verify(&credential.token).await {
            Caller::Viewer(_) => {
                self.verified.insert(credential.token.clone(), ());
                Some(credential)
            }
            // The subgraphs decide about tokens that cannot be verified now.
            Caller::Unverified => Some(credential),
            // Only the services know which sessions have ended.
            Caller::Anonymous | Caller::SessionEnded => None,
        }
    }
}

fn find_credential(headers: &HeaderMap, cookie: &str) -> Option<Credential> {
    let (token, source) = match headers.get(AUTHORIZATION) {
        Some(value) => (bearer(value.to_str().ok()?)?, CredentialSource::Bearer),
        None => (cookie_value(headers, cookie)?, CredentialSource::Cookie),
    };
    let well_formed = !token.is_empty()
        && token.len() <= MAX_TOKEN_LENGTH
        && token
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    well_formed.then(|| Credential {
        token: token.to_owned(),
        source,
    })
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn cookie_value<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get_all(COOKIE)
        .filter_map(|line| line.to_str().ok())
        .flat_map(Cookie::split_parse)
        .filter_map(Result::ok)
        .find(|cookie| cookie.name() == name)?
        .value_raw()
}

#[cfg(test)]
mod tests {
    use hive_router::ntex::http::header::HeaderValue;

    use super::*;

    fn token(
        headers: &[(hive_router::ntex::http::header::HeaderName, &str)],
    ) -> Option<(String, CredentialSource)> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        find_credential(&map, "proofsheet_access").map(|credential| (credential.token, credential.source))
    }

    #[test]
    fn a_bearer_token_takes_precedence_even_if_invalid() {
        let cookie = (COOKIE, "theme=dark; proofsheet_access=c.c.c");
        assert_eq!(
            token(std::slice::from_ref(&cookie)),
            Some(("c.c.c".to_owned(), CredentialSource::Cookie))
        );
        assert_eq!(
            token(&[(AUTHORIZATION, "bearer b.b.b"), cookie.clone()]),
            Some(("b.b.b".to_owned(), CredentialSource::Bearer))
        );
        assert_eq!(token(&[(AUTHORIZATION, "Basic abc"), cookie.clone()]), None);
        assert_eq!(token(&[(AUTHORIZATION, "Bearer <script>"), cookie]), None);
    }

    #[test]
    fn only_our_cookie_counts() {
        assert_eq!(
            token(&[(COOKIE, "xproofsheet_access=c.c.c; proofsheet_access2=d")]),
            None
        );
        assert_eq!(
            token(&[(COOKIE, "a=b"), (COOKIE, "proofsheet_access=c")]),
            Some(("c".to_owned(), CredentialSource::Cookie))
        );
        assert_eq!(token(&[(COOKIE, "proofsheet_access=")]), None);
    }
}
