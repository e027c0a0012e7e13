//! Errors of this service, and the codes and messages that clients get.

use chassis::{Classify, Code};
use subgraph::error::Common;

use crate::domain::InvalidKey;

/// Every failure of this service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error that every service has.
    #[error(transparent)]
    Common(#[from] Common),
    /// The idempotency key breaks its rule.
    #[error(transparent)]
    Key(#[from] InvalidKey),
    /// The idempotency key was used before with another input.
    #[error("This idempotency key was used for another comment. Send this one with a new key.")]
    KeyUsed,
    /// There is no such photo (any more).
    #[error("This photo does not exist.")]
    NoSuchPhoto,
    /// There is no such comment (any more).
    #[error("This comment does not exist.")]
    NoSuchComment,
    /// The comment that is answered does not exist (any more).
    #[error("The comment that you reply to does not exist.")]
    NoSuchParent,
    /// The comment that is answered is a reply itself.
    #[error("A reply cannot be replied to. Reply to the comment above it.")]
    ReplyToReply,
    /// The comment that is answered is about another photo.
    #[error("The comment that you reply to belongs to another photo.")]
    OtherPhoto,
    /// The comment has another author.
    #[error("Only its author may change a comment.")]
    NotTheAuthor,
    /// Neither the author, nor the photo's, nor a moderator.
    #[error("Only its author, the photo's author or a moderator may delete a comment.")]
    MayNotDelete,
}

subgraph::common_errors!(Error);

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::Common(error) => error.code(),
            Self::Key(_) | Self::ReplyToReply | Self::OtherPhoto => Code::InvalidInput,
            Self::KeyUsed => Code::Conflict,
            Self::NoSuchPhoto | Self::NoSuchComment | Self::NoSuchParent => Code::NotFound,
            Self::NotTheAuthor | Self::MayNotDelete => Code::Forbidden,
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::Common(error) => error.field(),
            Self::Key(_) | Self::KeyUsed => Some("idempotencyKey"),
            Self::ReplyToReply | Self::OtherPhoto => Some("replyToId"),
            _ => None,
        }
    }

    fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Common(error) => error.database(),
            _ => None,
        }
    }
}
