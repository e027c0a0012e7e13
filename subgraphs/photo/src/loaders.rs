//! Many by-id fields of one request become one statement each.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_graphql::dataloader::{DataLoader, Loader};
use chassis::UserId;
use chassis::database::Pool;
use chassis::{database, telemetry};
use subgraph::pagination::Page;

use crate::domain::{Photo, PhotoId};
use crate::store::{self, Place};

/// Photos by id.
pub struct Photos(Pool);

/// A loader that asks as soon as every resolver of this moment has named its id.
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

/// A page of one author's photos.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AuthorPage {
    pub author: UserId,
    pub page: Page<Place>,
}

impl Loader<AuthorPage> for Photos {
    type Value = Vec<Photo>;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[AuthorPage]) -> Result<HashMap<AuthorPage, Vec<Photo>>, Self::Error> {
        let mut loaded: HashMap<AuthorPage, Vec<Photo>> = keys.iter().map(|&key| (key, Vec::new())).collect();
        // One author may be asked for twice, with different arguments; the rows of a statement do not say for which.
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
            // SQL promises an order to each arm of a union, but none to the whole.
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
