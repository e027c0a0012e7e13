//! What can go wrong here, and what a client is told of it.

use std::sync::Arc;

use chassis::departed::{PresenceError, ReconcileError};
use chassis::events::MalformedEvent;
use chassis::internal::InternalError;
use chassis::pagination::PageError;
use chassis::viewer::NoViewer;
use chassis::{Classify, Code, InvalidId};

use crate::domain::InvalidDay;

/// Every failure of this service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody is signed in.
    #[error(transparent)]
    NoViewer(#[from] NoViewer),
    /// The account was deleted, or that could not be looked up.
    #[error(transparent)]
    Presence(#[from] PresenceError),
    /// The id is malformed.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// The page cannot be had.
    #[error(transparent)]
    Page(#[from] PageError),
    /// The day is malformed.
    #[error(transparent)]
    Day(#[from] InvalidDay),
    /// The photo does not exist, or not any more.
    #[error("There is no such photo.")]
    NoSuchPhoto,
    /// The photo is the viewer's.
    #[error("One cannot vote on one's own photo.")]
    OwnPhoto,
    /// Another service did not answer.
    #[error(transparent)]
    Internal(#[from] InternalError),
    /// The comparison with the accounts did not finish.
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
    /// An event makes no sense.
    #[error(transparent)]
    Event(#[from] MalformedEvent),
    /// Another worker folded the same deltas first.
    #[error("another worker folds as well")]
    FoldedElsewhere,
    /// Another replica does this job now.
    #[error("another replica has taken the lease of this job")]
    LeaseLost,
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// The database failed for many keys at once.
    #[error("the database failed")]
    Loader(#[from] Arc<sqlx::Error>),
}

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::NoViewer(error) => error.code(),
            Self::Presence(error) => error.code(),
            Self::Id(error) => error.code(),
            Self::Page(error) => error.code(),
            Self::Day(_) => Code::InvalidInput,
            Self::NoSuchPhoto => Code::NotFound,
            Self::OwnPhoto => Code::Forbidden,
            Self::Internal(error) => error.code(),
            Self::Reconcile(error) => error.code(),
            Self::Event(error) => error.code(),
            Self::FoldedElsewhere | Self::LeaseLost => Code::Unavailable,
            Self::Database(error) => error.code(),
            Self::Loader(error) => error.code(),
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::Id(error) => error.field(),
            Self::Page(error) => error.field(),
            Self::Day(_) => Some("day"),
            _ => None,
        }
    }

    fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Presence(error) => error.database(),
            Self::Reconcile(error) => error.database(),
            Self::Database(error) => Some(error),
            Self::Loader(error) => Some(error),
            _ => None,
        }
    }
}
