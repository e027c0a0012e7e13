/// The error codes that clients act on; sent as `extensions.code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The request is not signed in, or the password is wrong.
    Unauthenticated,
    /// The viewer may not do this.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// The input breaks a rule; `extensions.field` says which input.
    InvalidInput,
    /// The value is taken or has changed; `extensions.field` says which.
    Conflict,
    /// Too many of these; `extensions.retryAfterSeconds` says when to come back.
    RateLimited,
    /// A part that this needs is not there now; the same request may succeed later.
    Unavailable,
    /// Our fault. The cause is in the log under the request id, and nowhere else.
    Internal,
}

impl Code {
    /// All of them.
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

    /// The code as clients see it.
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

    /// The code with this text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn every_code_is_read_as_it_is_written() {
        for code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), Some(code));
        }
        assert_eq!(Code::parse("not_found"), None);
    }
}
