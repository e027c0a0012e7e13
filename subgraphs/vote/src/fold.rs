//! Adds the deltas of votes to the scores by which the timelines are ranked.
//!
//! One worker at a time does this, with a lease that its transactions confirm. Two concurrent workers would be
//! harmless: each transaction deletes exactly the deltas that it adds, and is rolled back if another one was faster.

use std::collections::BTreeMap;

use chassis::database::Pool;
use chassis::lease::Held;
use chassis::{Classify as _, transaction};

use crate::domain::PhotoId;
use crate::error::Error;
use crate::store::deltas;

/// The maximum number of deltas in a transaction: up to this number, MariaDB looks up each one by its id.
const FOLD_BATCH_SIZE: u32 = 500;

/// Folds all deltas. Returns their number.
pub async fn run(pool: &Pool) -> Result<u64, Error> {
    run_under(pool, None).await
}

/// Folds all deltas while the lease is held.
pub async fn run_under(pool: &Pool, lease: Option<Held>) -> Result<u64, Error> {
    let mut folded = 0;
    loop {
        let batch = match fold_batch(pool, lease).await {
            Err(Error::FoldedElsewhere) => return Ok(folded),
            // After several attempts, the rest is left for the next run.
            Err(error) if error.database().is_some_and(deltas::changed_since_read) => return Ok(folded),
            batch => batch?,
        };
        folded += u64::from(batch);
        if batch < FOLD_BATCH_SIZE {
            return Ok(folded);
        }
    }
}

async fn fold_batch(pool: &Pool, lease: Option<Held>) -> Result<u32, Error> {
    let mut conflicts_with_votes = false;
    transaction!(pool, Error, |tx, _| {
        let mut batch = deltas::oldest(&mut *tx, FOLD_BATCH_SIZE).await?;
        if batch.is_empty() {
            return Ok(0);
        }
        if conflicts_with_votes && batch.len() > 1 {
            batch.pop();
        }
        match deltas::remove(tx, &batch).await {
            Ok(removed) if removed == batch.len() as u64 => {}
            Ok(_) => return Err(Error::FoldedElsewhere),
            Err(error) => {
                // MariaDB also reads the row after the last one, and treats a vote inserted there as a conflict.
                // Without the last delta, that row has already been read.
                conflicts_with_votes = deltas::changed_since_read(&error);
                return Err(error.into());
            }
        }
        let mut changes: BTreeMap<PhotoId, (i32, i32)> = BTreeMap::new();
        for delta in &batch {
            let (up, down) = changes.entry(delta.photo).or_default();
            *up += delta.up;
            *down += delta.down;
        }
        let days = deltas::days_of(tx, changes.keys().copied()).await?;
        changes.retain(|_, change| *change != (0, 0));
        deltas::fold_into_scores(tx, &changes).await?;
        deltas::increment_versions(tx, &days).await?;
        if let Some(lease) = lease
            && !lease.confirm(tx).await?
        {
            return Err(Error::FoldedElsewhere);
        }
        Ok(u32::try_from(batch.len()).unwrap_or(FOLD_BATCH_SIZE))
    })
}
