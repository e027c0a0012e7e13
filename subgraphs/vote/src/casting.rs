//! Casting a vote.

use chassis::{UserId, transaction};

use crate::domain::{Choice, PhotoId, Standing, Tally};
use crate::error::Error;
use crate::store::votes::{self, Ballot};
use crate::{State, photos};

/// Sets `user`'s vote on another user's photo, and returns the photo's new tally.
pub async fn cast_vote(state: &State, user: UserId, photo: PhotoId, choice: Choice) -> Result<Tally, Error> {
    match photos::standing(state, photo).await? {
        Standing::Deleted => return Err(Error::NoSuchPhoto),
        Standing::Listed { author } if author == user => return Err(Error::OwnPhoto),
        Standing::Listed { .. } => {}
    }
    let now = state.clock.now();
    let ballot = Ballot {
        photo,
        user,
        choice,
        now,
        delta: chassis::id::new_uuid(now),
    };
    transaction!(state.pool, Error, |tx, _| {
        votes::cast(tx, &ballot).await?;
        // Read before the commit: another connection may lead to a node that has not replicated the vote yet.
        let tallies = votes::tallies(&mut *tx, &[photo]).await?;
        Ok(tallies.get(&photo).map(|(tally, _)| *tally).unwrap_or_default())
    })
}
