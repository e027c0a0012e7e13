//! A copy of the photo service's photos, for permissions to vote.

use std::collections::HashSet;

use chassis::internal::Lookup;
use chassis::mirror::{self, Mirror};
use chassis::{database, transaction};
use chrono::{DateTime, Utc};
use contracts::photos::PublishedPhoto;

use crate::State;
use crate::domain::{PhotoId, Standing};
use crate::error::Error;
use crate::store::photos::{self, Removal};

/// Returns the state of a photo. Unknown photos are looked up in the photo service.
pub async fn standing(state: &State, id: PhotoId) -> Result<Standing, Error> {
    if let Some(standing) = database::read(&state.pool, || photos::standing(&state.pool, id)).await? {
        return Ok(standing);
    }
    match mirror::look_up(state, &state.photos, id).await? {
        Lookup::Present(standing) => standing.ok_or(Error::NoSuchPhoto),
        Lookup::Unknown => Err(Error::NoSuchPhoto),
        Lookup::Deleted => Ok(Standing::Deleted),
    }
}

impl Mirror for State {
    type Item = PublishedPhoto;
    type Id = PhotoId;
    type Error = Error;
    type State = Option<Standing>;

    /// Reads the photo again, because it may have been deleted meanwhile. In the same transaction, because another
    /// connection may lead to a node that has not replicated the row yet.
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
