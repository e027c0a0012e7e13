//! Adds what votes have changed to the scores that the timelines are ranked by.
//!
//! One worker at a time does this, by a lease, which its transactions confirm; two that overlap all the same do no
//! harm, because each deletes exactly the deltas that it adds, in the transaction that adds them, and gives up where
//! another was faster.

use std::collections::BTreeMap;

use chassis::database::Pool;
use chassis::lease::Held;
use chassis::{Classify as _, transaction};

use crate::domain::PhotoId;
use crate::error::Error;
use crate::store::deltas;

/// How many deltas one transaction folds: at this many MariaDB still seeks each of them by its id.
const BATCH: u32 = 500;

/// Folds all that there is. Returns how many deltas.
pub async fn run(pool: &Pool) -> Result<u64, Error> {
    run_under(pool, None).await
}

/// The same by the holder of a lease, who stops where another one has taken it.
pub async fn run_under(pool: &Pool, lease: Option<Held>) -> Result<u64, Error> {
    let mut folded = 0;
    loop {
        let batch = match fold_batch(pool, lease).await {
            Err(Error::FoldedElsewhere) => return Ok(folded),
            // Tried again and again: what is left is for the next time.
            Err(error) if error.database().is_some_and(deltas::changed_since_read) => return Ok(folded),
            batch => batch?,
        };
        folded += u64::from(batch);
        if batch < BATCH {
            return Ok(folded);
        }
    }
}

async fn fold_batch(pool: &Pool, lease: Option<Held>) -> Result<u32, Error> {
    let mut votes_come_in = false;
    transaction!(pool, Error, |tx, _| {
        let mut batch = deltas::oldest(&mut *tx, BATCH).await?;
        if batch.is_empty() {
            return Ok(0);
        }
        if votes_come_in && batch.len() > 1 {
            batch.pop();
        }
        match deltas::remove(tx, &batch).await {
            Ok(removed) if removed == batch.len() as u64 => {}
            Ok(_) => return Err(Error::FoldedElsewhere),
            Err(error) => {
                // MariaDB also looks at the row behind the last one, and takes a vote that came in there for a change.
                // Behind the last but one is a row that has been read.
                votes_come_in = deltas::changed_since_read(&error);
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
        deltas::bump(tx, &days).await?;
        if let Some(lease) = lease
            && !lease.confirm(tx).await?
        {
            return Err(Error::FoldedElsewhere);
        }
        Ok(u32::try_from(batch.len()).unwrap_or(BATCH))
    })
}
