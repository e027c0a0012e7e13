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
    /// The login session of the token, if the issuer names it.
    pub session: Option<Uuid>,
    /// May delete photos and comments of other users.
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
    /// A token that cannot be verified now, because the issuer's keys or the ended sessions are unavailable.
    Unverified,
}

/// Why a request has no viewer.
#[derive(Debug, thiserror::Error)]
pub enum NoViewer {
    /// The request is anonymous.
    #[error("Sign in to do this.")]
    SignedOut,
    /// The account was deleted, and the token has not expired yet.
    #[error("This account was deleted.")]
    AccountDeleted,
    /// The login session has ended, and the token has not expired yet.
    #[error("This session has ended. Please sign in again.")]
    SessionEnded,
    /// The token cannot be verified now.
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
