//! The identity of a request: a bearer token, or the app's cookie.
//!
//! The library can check tokens too, but it looks neither at `typ` nor at uploads, and hands a bad token on to the
//! subgraphs. Here the rule is the same as theirs, by the same code: a bad token makes the request anonymous.

use std::time::Duration;

use chassis::tokens::TokenVerifier;
use chassis::viewer::Caller;
use hive_router::ntex::http::HeaderMap;
use hive_router::ntex::http::header::{AUTHORIZATION, COOKIE};
use moka::sync::Cache;
use url::Url;

/// A token longer than this is none of ours.
const MAX_TOKEN_LENGTH: usize = 4096;
/// For so long a good token is believed without another look; so much later than `exp` it may still pass here,
/// and the subgraphs look again.
const BELIEVED: Duration = Duration::from_secs(5);

/// Where a token came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Bearer,
    Cookie,
}

/// A token that is valid, or cannot be checked right now.
#[derive(Debug, Clone)]
pub(crate) struct Credential {
    pub(crate) token: String,
    pub(crate) source: Source,
}

/// Finds and checks tokens.
pub(crate) struct Identifier {
    verifier: TokenVerifier,
    cookie: &'static str,
    believed: Cache<String, ()>,
}

impl Identifier {
    pub(crate) fn new(verifier: TokenVerifier, public_url: &Url) -> Self {
        // The prefix makes browsers insist on Secure, and on no other host having set the cookie.
        let cookie = if public_url.scheme() == "https" {
            "__Host-proofsheet_access"
        } else {
            "proofsheet_access"
        };
        let believed = Cache::builder()
            .max_capacity(50_000)
            .time_to_live(BELIEVED)
            .build();
        Self {
            verifier,
            cookie,
            believed,
        }
    }

    /// The token that these headers show, unless it is bad. A bearer wins; a bad one does not fall back to the
    /// cookie.
    pub(crate) async fn credential(&self, headers: &HeaderMap) -> Option<Credential> {
        let credential = presented(headers, self.cookie)?;
        if self.believed.contains_key(&credential.token) {
            return Some(credential);
        }
        match self.verifier.verify(&credential.token).await {
            Caller::Viewer(_) => {
                self.believed.insert(credential.token.clone(), ());
                Some(credential)
            }
            // Without the issuer's keys the request goes on; the subgraphs know what to do.
            Caller::Unverified => Some(credential),
            // Only the services know which sessions have ended.
            Caller::Anonymous | Caller::SessionEnded => None,
        }
    }
}

fn presented(headers: &HeaderMap, cookie: &str) -> Option<Credential> {
    let (token, source) = match headers.get(AUTHORIZATION) {
        Some(value) => (bearer(value.to_str().ok()?)?, Source::Bearer),
        None => (cookie_value(headers, cookie)?, Source::Cookie),
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
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use hive_router::ntex::http::header::HeaderValue;

    use super::*;

    fn token(headers: &[(hive_router::ntex::http::header::HeaderName, &str)]) -> Option<(String, Source)> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        presented(&map, "proofsheet_access").map(|credential| (credential.token, credential.source))
    }

    #[test]
    fn a_bearer_wins_and_a_bad_one_does_not_fall_back() {
        let cookie = (COOKIE, "theme=dark; proofsheet_access=c.c.c");
        assert_eq!(
            token(std::slice::from_ref(&cookie)),
            Some(("c.c.c".to_owned(), Source::Cookie))
        );
        assert_eq!(
            token(&[(AUTHORIZATION, "bearer b.b.b"), cookie.clone()]),
            Some(("b.b.b".to_owned(), Source::Bearer))
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
            Some(("c".to_owned(), Source::Cookie))
        );
        assert_eq!(token(&[(COOKIE, "proofsheet_access=")]), None);
    }
}
