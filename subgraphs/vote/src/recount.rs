//! Proves the fold: counts every vote in the ledger anew, compares, and repairs.

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
    /// Photos that were compared.
    pub photos: u64,
    /// Those of them whose tally was wrong and has been repaired.
    pub differed: u64,
}

/// Recounts every photo. Votes may arrive meanwhile: a repair is one more delta, and commutes with theirs.
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
                tracing::warn!(%photo, "a tally was not the sum of its votes and has been repaired");
            }
        }
    }
    fold::run(pool).await?;
    Ok(recount)
}

/// Appends what is missing from the photo's tally. False where another recount was faster.
async fn repair(pool: &Pool, photo: PhotoId, clock: &Clock) -> Result<bool, Error> {
    let now = clock.now();
    let id = chassis::id::new_uuid(now);
    transaction!(pool, Error, |tx, _| {
        // The comparison below then sees what another recount has appended.
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
