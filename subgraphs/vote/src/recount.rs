//! Verifies the fold: counts all votes again, compares, and repairs.

use chassis::database::Pool;
use chassis::{Clock, transaction};
use serde::Serialize;
use uuid::Uuid;

use crate::domain::PhotoId;
use crate::error::Error;
use crate::fold;
use crate::store::deltas::{self, Delta};
use crate::store::{photos, votes};

/// The result of a recount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Recount {
    /// The number of compared photos.
    pub photos: u64,
    /// The number of wrong tallies, which were corrected.
    pub differed: u64,
}

/// Recounts every photo. Votes may arrive meanwhile, because repairs are deltas too.
pub async fn run(pool: &Pool, clock: &Clock) -> Result<Recount, Error> {
    let mut recount = Recount::default();
    let mut after = PhotoId(Uuid::nil());
    loop {
        let photos = photos::counted_after(pool, after).await?;
        let Some(last) = photos.last() else {
            break;
        };
        after = *last;
        recount.photos += photos.len() as u64;
        for (photo, _, _) in votes::differences(pool, &photos).await? {
            if repair(pool, photo, clock).await? {
                recount.differed += 1;
                tracing::warn!(%photo, "corrected a tally that was not the sum of its votes");
            }
        }
    }
    fold::run(pool).await?;
    Ok(recount)
}

/// Appends the difference to the photo's tally. Returns false if another recount was faster.
async fn repair(pool: &Pool, photo: PhotoId, clock: &Clock) -> Result<bool, Error> {
    let now = clock.now();
    let id = chassis::id::new_uuid(now);
    transaction!(pool, Error, |tx, _| {
        // So that the comparison below includes the deltas of another recount.
        votes::claim_recount(&mut *tx, photo, now).await?;
        let differences = votes::differences(&mut *tx, &[photo]).await?;
        let repairs: Vec<Delta> = differences
            .iter()
            .map(|&(photo, up, down)| Delta { id, photo, up, down })
            .collect();
        deltas::append(tx, &repairs).await?;
        Ok(!repairs.is_empty())
    })
}
