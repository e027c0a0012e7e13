use std::sync::Arc;

use chassis::departed::{PresenceError, ReconcileError};
use chassis::events::MalformedEvent;
use chassis::pagination::PageError;
use chassis::text::InvalidText;
use chassis::viewer::NoViewer;
use chassis::{Classify, Code, InvalidId};

/// Everything that can go wrong here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    NoViewer(#[from] NoViewer),
    #[error(transparent)]
    Presence(#[from] PresenceError),
    #[error(transparent)]
    Id(#[from] InvalidId),
    #[error(transparent)]
    Text(#[from] InvalidText),
    #[error(transparent)]
    Page(#[from] PageError),
    /// Somebody else's upload is answered like this too: an upload is private, and so is its existence.
    #[error("There is no such upload. Uploads that are not published disappear after a day.")]
    NoUpload,
    #[error("There is no such photo.")]
    NoPhoto,
    #[error("Only its author may change a photo.")]
    NotTheAuthor,
    #[error("Only its author or a moderator may delete a photo.")]
    NeitherAuthorNorModerator,
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// Loaders share one error among many keys.
    #[error("the database failed")]
    Shared(#[from] Arc<sqlx::Error>),
    #[error("the media store failed")]
    Files(#[from] object_store::Error),
    #[error("the media folder failed")]
    Folder(#[from] std::io::Error),
    #[error(transparent)]
    Event(#[from] MalformedEvent),
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
    #[error("a background thread ended early")]
    Thread(#[from] tokio::task::JoinError),
}

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::NoViewer(error) => error.code(),
            Self::Presence(error) => error.code(),
            Self::Id(error) => error.code(),
            Self::Text(error) => error.code(),
            Self::Page(error) => error.code(),
            Self::NoUpload | Self::NoPhoto => Code::NotFound,
            Self::NotTheAuthor | Self::NeitherAuthorNorModerator => Code::Forbidden,
            Self::Database(error) => error.code(),
            Self::Shared(error) => error.code(),
            Self::Files(_) | Self::Folder(_) => Code::Unavailable,
            Self::Event(error) => error.code(),
            Self::Reconcile(error) => error.code(),
            Self::Thread(_) => Code::Internal,
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::Id(error) => error.field(),
            Self::Text(error) => error.field(),
            Self::Page(error) => error.field(),
            _ => None,
        }
    }

    fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Presence(error) => error.database(),
            Self::Database(error) => Some(error),
            Self::Shared(error) => Some(error),
            Self::Reconcile(error) => error.database(),
            _ => None,
        }
    }
}
