//! This service's copy of the photos: whether a photo may be voted on.

use std::collections::HashSet;

use chassis::internal::Known;
use chassis::mirror::{self, Mirror};
use chassis::{database, transaction};
use chrono::{DateTime, Utc};
use contracts::photos::PublishedPhoto;

use crate::State;
use crate::domain::{PhotoId, Standing};
use crate::error::Error;
use crate::store::photos::{self, Removal};

/// The state of a photo. One that this service has not heard of yet is looked up.
pub async fn standing(state: &State, id: PhotoId) -> Result<Standing, Error> {
    if let Some(standing) = database::read(&state.pool, || photos::standing(&state.pool, id)).await? {
        return Ok(standing);
    }
    match mirror::look_up(state, &state.photos, id).await? {
        Known::Present(standing) => standing.ok_or(Error::NoSuchPhoto),
        Known::Unknown => Err(Error::NoSuchPhoto),
        Known::Deleted => Ok(Standing::Deleted),
    }
}

impl Mirror for State {
    type Item = PublishedPhoto;
    type Id = PhotoId;
    type Error = Error;
    type State = Option<Standing>;

    /// Reads the photo back, because a deletion may have arrived meanwhile; in the transaction, because another connection
    /// of the pool may lead to a node that has not got it yet.
    async fn adopt(&self, photo: PublishedPhoto) -> Result<Option<Standing>, Error> {
        let (photo, delta) = (photo.into(), chassis::id::new_uuid(self.clock.now()));
        transaction!(self.pool, Error, |tx, _| {
            photos::adopt(&mut *tx, &photo, delta).await?;
            Ok(photos::standing(tx, photo.photo_id).await?)
        })
    }

    async fn delete(&self, photo: PhotoId) -> Result<bool, Error> {
        let now = self.clock.now();
        let removal = Removal {
            photo,
            author: None,
            now,
            delta: chassis::id::new_uuid(now),
        };
        transaction!(self.pool, Error, |tx, _| Ok(photos::remove(tx, &removal).await?))?;
        Ok(true)
    }

    fn id(photo: &PublishedPhoto) -> PhotoId {
        PhotoId(photo.photo_id)
    }

    async fn known_among(&self, ids: &[PhotoId]) -> Result<HashSet<PhotoId>, Error> {
        Ok(photos::settled(&self.pool, ids).await?)
    }

    async fn page_after(
        &self,
        after: PhotoId,
        settled_before: DateTime<Utc>,
    ) -> Result<Vec<(PhotoId, bool)>, Error> {
        let listed = photos::listed_after(&self.pool, after).await?;
        let settled = |(id, published_at)| (id, published_at <= settled_before);
        Ok(listed.into_iter().map(settled).collect())
    }
}
