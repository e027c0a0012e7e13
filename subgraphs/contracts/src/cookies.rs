//! The two cookies that hold a browser's tokens: authentication sets them, the router reads the access token.

/// Names of the cookies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// Holds the access token.
    pub access: &'static str,
    /// Holds the refresh token.
    pub refresh: &'static str,
}

impl Names {
    /// The names on a site that is served over https, or over http. The `__Host-` prefix makes browsers insist on
    /// `Secure`, and on no other host having set the cookie.
    pub const fn new(is_https: bool) -> Self {
        if is_https {
            Self {
                access: "__Host-proofsheet_access",
                refresh: "__Host-proofsheet_refresh",
            }
        } else {
            Self {
                access: "proofsheet_access",
                refresh: "proofsheet_refresh",
            }
        }
    }
}
