//! The two cookies with a browser's tokens (RFC 6265).

use async_graphql::Context;
use axum::http::{HeaderMap, header};
use contracts::cookies::Names;
use contracts::headers::{AUTHORISED_BY, BY_COOKIE};
use contracts::limits::ACCESS_TOKEN_LIFETIME;
use cookie::{Cookie, SameSite, time::Duration};
use url::{Host, Url};

use crate::domain::REFRESH_TOKEN_LIFETIME;

/// The names and attributes of the cookies, which depend on the URL of the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cookies {
    names: Names,
    is_https: bool,
}

impl Cookies {
    /// Returns the cookies of the site with this URL.
    pub fn of(public_url: &Url) -> Self {
        let is_https = public_url.scheme() == "https";
        Self {
            names: Names::new(is_https),
            is_https,
        }
    }

    /// Sets both cookies.
    pub fn set(&self, ctx: &Context<'_>, access_token: &str, refresh_token: &str) {
        let access_lifetime = Duration::seconds(ACCESS_TOKEN_LIFETIME.as_secs().cast_signed());
        let refresh_lifetime = Duration::seconds(REFRESH_TOKEN_LIFETIME.num_seconds());
        self.write(ctx, self.names.access, access_token, access_lifetime);
        self.write(ctx, self.names.refresh, refresh_token, refresh_lifetime);
    }

    /// Deletes both cookies.
    pub fn clear(&self, ctx: &Context<'_>) {
        self.write(ctx, self.names.access, "", Duration::ZERO);
        self.write(ctx, self.names.refresh, "", Duration::ZERO);
    }

    fn write(&self, ctx: &Context<'_>, name: &str, value: &str, max_age: Duration) {
        let cookie = Cookie::build((name, value))
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.is_https)
            .path("/")
            .max_age(max_age);
        ctx.append_http_header(header::SET_COOKIE, cookie.to_string());
    }

    /// Returns the refresh token of a browser.
    pub fn refresh_token<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(Cookie::split_parse)
            .filter_map(Result::ok)
            .filter(|cookie| cookie.name() == self.names.refresh)
            .filter_map(|cookie| cookie.value_raw())
            .find(|value| !value.is_empty())
    }
}

/// Whether the request was authorised by the access cookie.
pub fn authorised_by_cookie(headers: &HeaderMap) -> bool {
    headers.get(AUTHORISED_BY).is_some_and(|value| value == BY_COOKIE)
}

/// Whether the cookies are sent unencrypted over a network.
pub fn are_sent_unencrypted(public_url: &Url) -> bool {
    let loopback = match public_url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    public_url.scheme() != "https" && !loopback
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::{Cookies, are_sent_unencrypted};

    fn token(cookies: Cookies, headers: &[&str]) -> Option<String> {
        let map: HeaderMap = headers
            .iter()
            .map(|value| (header::COOKIE, HeaderValue::from_str(value).unwrap()))
            .collect();
        cookies.refresh_token(&map).map(str::to_owned)
    }

    #[test]
    fn the_refresh_token_is_found_among_other_cookies() {
        let plain = Cookies::of(&"http://localhost:4999".parse().unwrap());
        let secure = Cookies::of(&"https://photos.example".parse().unwrap());
        assert_eq!(
            token(plain, &["a=b; proofsheet_refresh=t; c=d"]).as_deref(),
            Some("t")
        );
        assert_eq!(
            token(plain, &["a=b", "proofsheet_refresh=t"]).as_deref(),
            Some("t")
        );
        assert_eq!(
            token(
                plain,
                &["xproofsheet_refresh=t; proofsheet_refresh=; proofsheet_refresh"]
            ),
            None
        );
        assert_eq!(token(secure, &["proofsheet_refresh=t"]), None);
        assert_eq!(
            token(secure, &["__Host-proofsheet_refresh=t"]).as_deref(),
            Some("t")
        );
        assert_eq!(token(plain, &[]), None);
    }

    #[test]
    fn only_http_over_a_network_is_unencrypted() {
        for (url, clear) in [
            ("http://localhost:4999", false),
            ("http://127.0.0.1:4999", false),
            ("http://[::1]:4999", false),
            ("https://photos.example", false),
            ("http://photos.example", true),
            ("http://192.168.1.5:4999", true),
        ] {
            assert_eq!(are_sent_unencrypted(&url.parse().unwrap()), clear, "{url}");
        }
    }
}
