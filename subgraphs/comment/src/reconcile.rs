//! Compares what this service knows with photo and authentication, and repairs what a lost event left behind.

use chassis::{deleted_accounts, mirror};
use chrono::TimeDelta;
use serde::Serialize;

use crate::error::Error;
use crate::{State, store, sweep};

/// Rows younger than this are skipped: they may not have reached the other service yet.
const SETTLE_TIME: TimeDelta = TimeDelta::minutes(15);

/// How much was repaired.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// Photos that this service had not heard of.
    pub photos: u64,
    /// Deleted photos that were not known to be.
    pub deleted_photos: u64,
    /// Deleted accounts that were not known to be.
    pub departed: u64,
}

/// Compares everything once.
pub async fn run(state: &State) -> Result<Repaired, Error> {
    let (pool, now) = (&state.pool, state.clock.now());
    let authors = |after| store::authors_after(pool, after, now - SETTLE_TIME);
    let repaired = Repaired {
        photos: mirror::adopt_missing(state, &state.photos).await?,
        deleted_photos: mirror::delete_gone(state, &state.photos, now).await?,
        departed: deleted_accounts::reconcile(pool, state.accounts.as_ref(), now, authors).await?,
    };
    sweep::run(state).await?;
    metrics::counter!("proofsheet_reconcile_repairs_total", "what" => "photos").increment(repaired.photos);
    metrics::counter!("proofsheet_reconcile_repairs_total", "what" => "deleted_photos")
        .increment(repaired.deleted_photos);
    metrics::counter!("proofsheet_reconcile_repairs_total", "what" => "departed")
        .increment(repaired.departed);
    Ok(repaired)
}
