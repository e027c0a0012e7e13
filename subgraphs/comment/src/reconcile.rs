//! Compares this service with the photo and the authentication service, and repairs the effects of lost events.

use chassis::{deleted_accounts, mirror};
use chrono::TimeDelta;
use serde::Serialize;

use crate::error::Error;
use crate::{State, store, sweep};

/// Younger rows are skipped, because they may be missing in the other service.
const SETTLE_TIME: TimeDelta = TimeDelta::minutes(15);

/// The numbers of repairs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// Added photos.
    pub photos: u64,
    /// Newly found deleted photos.
    pub deleted_photos: u64,
    /// Newly found deleted accounts.
    pub deleted_accounts: u64,
}

/// Compares everything once.
pub async fn run(state: &State) -> Result<Repaired, Error> {
    let (pool, now) = (&state.pool, state.clock.now());
    let authors = |after| store::authors_after(pool, after, now - SETTLE_TIME);
    let repaired = Repaired {
        photos: mirror::adopt_missing(state, &state.photos).await?,
        deleted_photos: mirror::delete_gone(state, &state.photos, now).await?,
        deleted_accounts: deleted_accounts::reconcile(pool, state.accounts.as_ref(), now, authors).await?,
    };
    sweep::run(state).await?;
    metrics::counter!("proofsheet_reconcile_repairs_total", "what" => "photos").increment(repaired.photos);
    metrics::counter!("proofsheet_reconcile_repairs_total", "what" => "deleted_photos")
        .increment(repaired.deleted_photos);
    metrics::counter!("proofsheet_reconcile_repairs_total", "what" => "departed")
        .increment(repaired.deleted_accounts);
    Ok(repaired)
}
