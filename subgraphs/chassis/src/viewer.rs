//! The viewer: the signed-in user of a request.

use uuid::Uuid;

use crate::{Classify, Code};

crate::id_newtype! {
    /// A person: the `sub` of their access tokens where that is a UUID, else a `UUIDv5` of issuer and `sub`.
    UserId
}

/// A user with a valid access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    pub id: UserId,
    /// The login session that the token belongs to, where the issuer names it.
    pub session: Option<Uuid>,
    /// May delete what others wrote.
    pub moderator: bool,
}

/// The sender of a request, by its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// No token, or an invalid one: forged, expired, for another audience.
    Anonymous,
    /// A valid token.
    Viewer(Viewer),
    /// A token that was valid until its login session ended.
    SessionEnded,
    /// There is a token, and the issuer's keys or the ended sessions cannot be had now.
    Unverified,
}

/// Why a resolver that needs a viewer has none.
#[derive(Debug, thiserror::Error)]
pub enum NoViewer {
    /// The request is anonymous.
    #[error("Sign in to do this.")]
    SignedOut,
    /// The account was deleted; its token has not expired yet.
    #[error("This account was deleted.")]
    AccountDeleted,
    /// The login session has ended; its token has not expired yet.
    #[error("This session has ended. Please sign in again.")]
    SessionEnded,
    /// The issuer's keys cannot be had.
    #[error("cannot get the issuer's keys")]
    Unverified,
}

impl Classify for NoViewer {
    fn code(&self) -> Code {
        match self {
            Self::SignedOut | Self::AccountDeleted | Self::SessionEnded => Code::Unauthenticated,
            Self::Unverified => Code::Unavailable,
        }
    }
}
