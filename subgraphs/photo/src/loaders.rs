//! Loads many photos with one statement.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_graphql::dataloader::{DataLoader, Loader};
use chassis::UserId;
use chassis::database::Pool;
use chassis::{database, telemetry};
use subgraph::pagination::Page;

use crate::domain::{Photo, PhotoId};
use crate::store::{self, PhotoCursor};

/// Photos by id.
pub struct Photos(Pool);

/// Returns a loader that collects the ids of all resolvers that are ready.
pub fn photos(pool: Pool) -> DataLoader<Photos> {
    DataLoader::new(Photos(pool), telemetry::spawn).delay(Duration::ZERO)
}

impl Loader<PhotoId> for Photos {
    type Value = Photo;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, ids: &[PhotoId]) -> Result<HashMap<PhotoId, Photo>, Self::Error> {
        let photos = database::read(&self.0, || store::by_ids(&self.0, ids)).await?;
        Ok(photos.into_iter().map(|photo| (photo.id, photo)).collect())
    }
}

/// A page of an author's photos.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AuthorPage {
    pub author: UserId,
    pub page: Page<PhotoCursor>,
}

impl Loader<AuthorPage> for Photos {
    type Value = Vec<Photo>;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[AuthorPage]) -> Result<HashMap<AuthorPage, Vec<Photo>>, Self::Error> {
        let mut loaded: HashMap<AuthorPage, Vec<Photo>> = keys.iter().map(|&key| (key, Vec::new())).collect();
        // One request may have several pages of an author, and the rows do not tell to which page they belong.
        let mut rounds: BTreeMap<usize, Vec<AuthorPage>> = BTreeMap::new();
        let mut seen: HashMap<UserId, usize> = HashMap::new();
        for &key in keys {
            let round = seen.entry(key.author).or_default();
            rounds.entry(*round).or_default().push(key);
            *round += 1;
        }
        for round in rounds.into_values() {
            let arms: Vec<_> = round.iter().map(|key| (key.author, key.page)).collect();
            let mut photos = database::read(&self.0, || store::by_authors(&self.0, &arms)).await?;
            // SQL orders each part of a union, but not the whole.
            photos.sort_by_key(|photo| std::cmp::Reverse((photo.published_at, photo.id)));
            for photo in photos {
                if let Some(key) = round.iter().find(|key| key.author == photo.author_id) {
                    loaded.entry(*key).or_default().push(photo);
                }
            }
        }
        Ok(loaded)
    }
}
