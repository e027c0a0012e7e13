//! What can go wrong here, and what a client is told of it.

use chassis::departed::{PresenceError, ReconcileError};
use chassis::events::MalformedEvent;
use chassis::internal::InternalError;
use chassis::pagination::PageError;
use chassis::text::InvalidText;
use chassis::viewer::NoViewer;
use chassis::{Classify, Code, InvalidId};

use crate::domain::InvalidKey;

/// Every failure of this service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody is signed in.
    #[error(transparent)]
    NoViewer(#[from] NoViewer),
    /// The account was deleted, or that could not be looked up.
    #[error(transparent)]
    Presence(#[from] PresenceError),
    /// An id is not one.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// A page cannot be had.
    #[error(transparent)]
    Page(#[from] PageError),
    /// The text breaks its rule.
    #[error(transparent)]
    Text(#[from] InvalidText),
    /// The idempotency key breaks its rule.
    #[error(transparent)]
    Key(#[from] InvalidKey),
    /// There is no such photo (any more).
    #[error("This photo does not exist.")]
    NoPhoto,
    /// There is no such comment (any more).
    #[error("This comment does not exist.")]
    NoComment,
    /// The comment that is answered does not exist (any more).
    #[error("The comment that you reply to does not exist.")]
    NoParent,
    /// The comment that is answered is a reply itself.
    #[error("A reply cannot be replied to. Reply to the comment above it.")]
    ReplyToReply,
    /// The comment that is answered is about another photo.
    #[error("The comment that you reply to belongs to another photo.")]
    OtherPhoto,
    /// Somebody else wrote it.
    #[error("Only its author may change a comment.")]
    NotAuthor,
    /// Neither the author, nor the photo's, nor a moderator.
    #[error("Only its author, the photo's author or a moderator may delete a comment.")]
    MayNotDelete,
    /// The photo service gave no answer.
    #[error(transparent)]
    Internal(#[from] InternalError),
    /// An event makes no sense.
    #[error(transparent)]
    Event(#[from] MalformedEvent),
    /// The comparison with another service did not finish.
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::NoViewer(error) => error.code(),
            Self::Presence(error) => error.code(),
            Self::Id(error) => error.code(),
            Self::Page(error) => error.code(),
            Self::Text(error) => error.code(),
            Self::Key(_) | Self::ReplyToReply | Self::OtherPhoto => Code::InvalidInput,
            Self::NoPhoto | Self::NoComment | Self::NoParent => Code::NotFound,
            Self::NotAuthor | Self::MayNotDelete => Code::Forbidden,
            Self::Internal(error) => error.code(),
            Self::Event(error) => error.code(),
            Self::Reconcile(error) => error.code(),
            Self::Database(error) => error.code(),
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::Id(error) => error.field(),
            Self::Page(error) => error.field(),
            Self::Text(error) => error.field(),
            Self::Key(_) => Some("idempotencyKey"),
            Self::ReplyToReply | Self::OtherPhoto => Some("replyToId"),
            _ => None,
        }
    }

    fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Presence(error) => error.database(),
            Self::Reconcile(error) => error.database(),
            Self::Database(error) => Some(error),
            _ => None,
        }
    }
}
