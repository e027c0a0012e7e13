//! Loads comments, pages of them and their numbers, each kind by one statement.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::dataloader::{DataLoader, Loader};
use chassis::database::Pool;
use chassis::{database, telemetry};

use crate::domain::{Comment, CommentId, List, ListPage, PhotoId};
use crate::store;

/// Everything that is loaded by a key.
pub struct Comments {
    pool: Pool,
}

/// A loader over `pool`.
pub fn comments(pool: Pool) -> DataLoader<Comments> {
    DataLoader::new(Comments { pool }, telemetry::spawn).delay(Duration::ZERO)
}

/// A comment, or its tombstone.
impl Loader<CommentId> for Comments {
    type Value = Comment;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, ids: &[CommentId]) -> Result<HashMap<CommentId, Comment>, Self::Error> {
        database::read(&self.pool, || store::comments_by_ids(&self.pool, ids))
            .await
            .map_err(Arc::new)
    }
}

/// The rows of a page.
impl Loader<ListPage> for Comments {
    type Value = Vec<Comment>;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, pages: &[ListPage]) -> Result<HashMap<ListPage, Vec<Comment>>, Self::Error> {
        database::read(&self.pool, || store::pages(&self.pool, pages))
            .await
            .map_err(Arc::new)
    }
}

/// How many comments a list has.
impl Loader<List> for Comments {
    type Value = i64;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, lists: &[List]) -> Result<HashMap<List, i64>, Self::Error> {
        database::read(&self.pool, || store::totals(&self.pool, lists))
            .await
            .map_err(Arc::new)
    }
}

/// How many comments and replies that are not deleted a photo has.
impl Loader<PhotoId> for Comments {
    type Value = i64;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, photos: &[PhotoId]) -> Result<HashMap<PhotoId, i64>, Self::Error> {
        database::read(&self.pool, || store::comment_counts(&self.pool, photos))
            .await
            .map_err(Arc::new)
    }
}
