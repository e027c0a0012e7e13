//! The two cookies with a browser's tokens: authentication sets them, the router reads the access token.

/// Names of the cookies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// The cookie of the access token.
    pub access: &'static str,
    /// The cookie of the refresh token.
    pub refresh: &'static str,
}

impl Names {
    /// Returns the names for a site with https or http. With the prefix `__Host-` browsers require `Secure`, and accept
    /// the cookie only from this host.
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
