//! Whether a photo may be commented on: known from events, else asked for once.

use chassis::internal::{InternalClient, Known};
use chassis::{Clock, database, transaction};
use contracts::photos::PublishedPhoto;
use sqlx::MySqlPool;

use crate::domain::PhotoId;
use crate::error::Error;
use crate::store;

/// Looks up photos, in this service's copy or by the photo service.
#[derive(Debug, Clone)]
pub struct Photos {
    /// Where it keeps what it knows.
    pub pool: MySqlPool,
    /// The photo service.
    pub service: InternalClient,
    /// Tells the time.
    pub clock: Clock,
}

impl Photos {
    /// Refuses a photo that does not exist. One that this service has not heard of yet is asked for, and noted.
    pub async fn require(&self, id: PhotoId) -> Result<(), Error> {
        match database::read(|| store::photo_author(&self.pool, id)).await? {
            Known::Present(_) => return Ok(()),
            Known::Deleted => return Err(Error::NoPhoto),
            Known::Unknown => {}
        }
        match self.service.look_up::<PublishedPhoto>(id).await? {
            Known::Present(photo) => {
                store::adopt(&self.pool, &photo.into()).await?;
                Ok(())
            }
            Known::Unknown => Err(Error::NoPhoto),
            Known::Deleted => {
                let now = self.clock.now();
                transaction!(self.pool, Error, |tx, _| {
                    store::record_deleted(tx, id, now).await?;
                    Ok(())
                })?;
                Err(Error::NoPhoto)
            }
        }
    }
}
