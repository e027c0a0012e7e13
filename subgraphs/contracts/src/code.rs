/// The error codes that clients act on, in `extensions.code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The request is not signed in, or the password is wrong.
    Unauthenticated,
    /// The viewer may not do this.
    Forbidden,
    /// The item does not exist.
    NotFound,
    /// The input is invalid; `extensions.field` names the input.
    InvalidInput,
    /// The value is taken or has changed; `extensions.field` names the input.
    Conflict,
    /// Too many requests; `extensions.retryAfterSeconds` says when to try again.
    RateLimited,
    /// A needed service is unavailable; the same request may succeed later.
    Unavailable,
    /// An error of the site. Only the log has the cause, with the request id.
    Internal,
}

impl Code {
    pub const ALL: [Self; 8] = [
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::InvalidInput,
        Self::Conflict,
        Self::RateLimited,
        Self::Unavailable,
        Self::Internal,
    ];

    /// Returns the code as sent to clients.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::InvalidInput => "INVALID_INPUT",
            Self::Conflict => "CONFLICT",
            Self::RateLimited => "RATE_LIMITED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Internal => "INTERNAL",
        }
    }

    /// Returns the code with this text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn codes_can_be_parsed() {
        for code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), Some(code));
        }
        assert_eq!(Code::parse("not_found"), None);
    }
}
