//! A copy of the photo service's photos, for permissions to comment.

use std::collections::HashSet;

use chassis::internal::Lookup;
use chassis::mirror::{self, Mirror};
use chassis::{database, transaction};
use chrono::{DateTime, Utc};
use contracts::photos::PublishedPhoto;

use crate::State;
use crate::domain::PhotoId;
use crate::error::Error;
use crate::store;

/// Returns an error if the photo does not exist. Unknown photos are looked up in the photo service.
pub async fn require(state: &State, id: PhotoId) -> Result<(), Error> {
    let known = match database::read(&state.pool, || store::photo_author(&state.pool, id)).await? {
        Lookup::Unknown => mirror::look_up(state, &state.photos, id).await?.is_present(),
        known => known.is_present(),
    };
    if known { Ok(()) } else { Err(Error::NoSuchPhoto) }
}

impl Mirror for State {
    type Item = PublishedPhoto;
    type Id = PhotoId;
    type Error = Error;
    type State = ();

    async fn adopt(&self, photo: PublishedPhoto) -> Result<(), Error> {
        store::adopt(&self.pool, &photo.into()).await?;
        Ok(())
    }

    async fn delete(&self, id: PhotoId) -> Result<bool, Error> {
        let now = self.clock.now();
        transaction!(self.pool, Error, |tx, _| Ok(
            store::record_deleted(tx, id, now).await?
        ))
    }

    fn id(photo: &PublishedPhoto) -> PhotoId {
        PhotoId(photo.photo_id)
    }

    async fn known_among(&self, ids: &[PhotoId]) -> Result<HashSet<PhotoId>, Error> {
        let known = store::known_among(&self.pool, ids).await?;
        Ok(known.into_iter().collect())
    }

    async fn page_after(
        &self,
        after: PhotoId,
        settled_before: DateTime<Utc>,
    ) -> Result<Vec<(PhotoId, bool)>, Error> {
        let settled = store::photos_after(&self.pool, after, settled_before).await?;
        Ok(settled.into_iter().map(|id| (id, true)).collect())
    }
}
