//! Loads comments, pages and counts, each with one statement.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::dataloader::{DataLoader, Loader};
use chassis::database::Pool;
use chassis::{database, telemetry};

use crate::domain::{Comment, CommentId, List, ListPage, PhotoId};
use crate::store;

/// The loaders of this service.
pub struct Comments {
    pool: Pool,
}

pub fn comments(pool: Pool) -> DataLoader<Comments> {
    DataLoader::new(Comments { pool }, telemetry::spawn).delay(Duration::ZERO)
}

/// Comments and tombstones by id.
impl Loader<CommentId> for Comments {
    type Value = Comment;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, ids: &[CommentId]) -> Result<HashMap<CommentId, Comment>, Self::Error> {
        database::read(&self.pool, || store::comments_by_ids(&self.pool, ids))
            .await
            .map_err(Arc::new)
    }
}

/// The rows of pages.
impl Loader<ListPage> for Comments {
    type Value = Vec<Comment>;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, pages: &[ListPage]) -> Result<HashMap<ListPage, Vec<Comment>>, Self::Error> {
        database::read(&self.pool, || store::pages(&self.pool, pages))
            .await
            .map_err(Arc::new)
    }
}

/// The lengths of lists.
impl Loader<List> for Comments {
    type Value = i64;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, lists: &[List]) -> Result<HashMap<List, i64>, Self::Error> {
        database::read(&self.pool, || store::totals(&self.pool, lists))
            .await
            .map_err(Arc::new)
    }
}

/// The numbers of comments and replies of photos that are not deleted.
impl Loader<PhotoId> for Comments {
    type Value = i64;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, photos: &[PhotoId]) -> Result<HashMap<PhotoId, i64>, Self::Error> {
        database::read(&self.pool, || store::comment_counts(&self.pool, photos))
            .await
            .map_err(Arc::new)
    }
}
