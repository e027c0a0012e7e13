use chassis::{Classify, Code};
use subgraph::error::Common;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error that every service has.
    #[error(transparent)]
    Common(#[from] Common),
    /// Also for another user's upload, whose existence is private.
    #[error("There is no such upload. Uploads that are not published disappear after a day.")]
    NoSuchUpload,
    #[error(
        "This upload was already published with another title or description. Change them on the photo's page."
    )]
    PublishedDifferently,
    #[error("This photo does not exist.")]
    NoSuchPhoto,
    #[error("Only its author may change a photo.")]
    NotTheAuthor,
    #[error("Only its author or a moderator may delete a photo.")]
    NeitherAuthorNorModerator,
    #[error("the media store failed")]
    Files(#[from] object_store::Error),
    #[error("the media folder failed")]
    Folder(#[from] std::io::Error),
    #[error("an imaging worker could not be run")]
    Worker(#[source] std::io::Error),
    #[error("a background thread ended early")]
    Thread(#[from] tokio::task::JoinError),
}

subgraph::common_errors!(Error);

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::Common(error) => error.code(),
            Self::NoSuchUpload | Self::NoSuchPhoto => Code::NotFound,
            Self::PublishedDifferently => Code::Conflict,
            Self::NotTheAuthor | Self::NeitherAuthorNorModerator => Code::Forbidden,
            Self::Files(_) | Self::Folder(_) | Self::Worker(_) => Code::Unavailable,
            Self::Thread(_) => Code::Internal,
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::Common(error) => error.field(),
            Self::PublishedDifferently => Some("uploadId"),
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
