//! Names of headers, in lower case.

/// Identifies a request in all logs. Set by the router or the client.
pub const REQUEST_ID: &str = "x-request-id";
/// The address of the client. Set by the router.
pub const CLIENT_IP: &str = "x-client-ip";
/// How a request was authorised; absent for a bearer token of the client. Set by the router.
pub const AUTHORISED_BY: &str = "x-authorised-by";
/// The value of [`AUTHORISED_BY`] if the router took the token from the access cookie.
pub const BY_COOKIE: &str = "cookie";
/// The secret shared by all services.
pub const SECRET: &str = "x-internal-secret";
/// Proves that a request was not sent by a form of another site.
pub const CSRF: &str = "x-proofsheet";
/// The trace of a request (W3C Trace Context).
pub const TRACE_CONTEXT: &str = "traceparent";

/// Headers that services trust. The router removes them from requests of clients.
pub const TRUSTED: [&str; 3] = [CLIENT_IP, AUTHORISED_BY, SECRET];

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_in_lower_case() {
        for name in [super::REQUEST_ID, super::CSRF, super::TRACE_CONTEXT]
            .into_iter()
            .chain(super::TRUSTED)
        {
            assert_eq!(name, name.to_lowercase());
        }
    }
}
