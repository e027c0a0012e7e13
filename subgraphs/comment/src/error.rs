//! Errors of this service, with their codes and messages for clients.

use chassis::{Classify, Code};
use subgraph::error::Common;

use crate::domain::InvalidKey;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error that every service has.
    #[error(transparent)]
    Common(#[from] Common),
    /// The idempotency key is malformed.
    #[error(transparent)]
    Key(#[from] InvalidKey),
    /// The idempotency key was used with another input.
    #[error("This idempotency key was used for another comment. Send this one with a new key.")]
    KeyUsed,
    /// The photo does not exist or was deleted.
    #[error("This photo does not exist.")]
    NoSuchPhoto,
    /// The comment does not exist or was deleted.
    #[error("This comment does not exist.")]
    NoSuchComment,
    /// The parent of the reply does not exist or was deleted.
    #[error("The comment that you reply to does not exist.")]
    NoSuchParent,
    /// The parent of the reply is a reply.
    #[error("A reply cannot be replied to. Reply to the comment above it.")]
    ReplyToReply,
    /// The parent of the reply belongs to another photo.
    #[error("The comment that you reply to belongs to another photo.")]
    OtherPhoto,
    /// The viewer is not the author.
    #[error("Only its author may change a comment.")]
    NotTheAuthor,
    /// The viewer is not the author, the photo's author, or a moderator.
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
