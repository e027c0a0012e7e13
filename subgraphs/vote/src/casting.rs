//! Casting a vote.

use chassis::internal::{InternalClient, Known};
use chassis::{Clock, UserId, database, transaction};
use contracts::photos::PublishedPhoto;
use sqlx::MySqlPool;

use crate::domain::{Choice, PhotoId, Standing, Tally};
use crate::error::Error;
use crate::store::photos::{self, Removal};
use crate::store::votes::{self, Ballot};

/// Votes are cast through this. Cheap to clone.
#[derive(Clone)]
pub struct Casting {
    /// This service's schema.
    pub pool: MySqlPool,
    /// Tells the time.
    pub clock: Clock,
    /// The photo service, asked about photos that have not been heard of yet.
    pub photos: InternalClient,
}

impl Casting {
    /// Sets `user`'s vote on another user's photo, and returns the photo's new tally.
    pub async fn cast(&self, user: UserId, photo: PhotoId, choice: Choice) -> Result<Tally, Error> {
        let standing = match database::read(|| photos::standing(&self.pool, photo)).await? {
            Some(standing) => standing,
            None => self.look_up(photo).await?,
        };
        match standing {
            Standing::Deleted => return Err(Error::NoSuchPhoto),
            Standing::Listed { author } if author == user => return Err(Error::OwnPhoto),
            Standing::Listed { .. } => {}
        }
        let now = self.clock.now();
        let ballot = Ballot {
            photo,
            user,
            choice,
            now,
            delta: chassis::id::new_uuid(now),
        };
        transaction!(self.pool, Error, |tx, _| {
            votes::cast(tx, &ballot).await?;
            // Read before the commit: another connection of the pool may lead to a node that has not got it yet.
            let tallies = votes::tallies(&mut *tx, &[photo]).await?;
            Ok(tallies.get(&photo).map(|(tally, _)| *tally).unwrap_or_default())
        })
    }

    /// Asks the photo service about a photo whose event has not arrived, and learns what that would have told.
    async fn look_up(&self, photo: PhotoId) -> Result<Standing, Error> {
        let answer = self.photos.look_up::<PublishedPhoto>(photo).await?;
        let now = self.clock.now();
        let delta = chassis::id::new_uuid(now);
        match answer {
            Known::Unknown => Err(Error::NoSuchPhoto),
            // Read back, because a deletion may have arrived meanwhile; in the transaction, because another connection
            // of the pool may lead to a node that has not got this yet.
            Known::Present(published) => transaction!(self.pool, Error, |tx, _| {
                photos::adopt(&mut *tx, &published.clone().into(), delta).await?;
                photos::standing(tx, photo).await?.ok_or(Error::NoSuchPhoto)
            }),
            Known::Deleted => {
                let removal = Removal {
                    photo,
                    author: None,
                    now,
                    delta,
                };
                transaction!(self.pool, Error, |tx, _| Ok(photos::remove(tx, &removal).await?))?;
                Ok(Standing::Deleted)
            }
        }
    }
}
