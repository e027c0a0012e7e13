//! Compares this service with the photo and the authentication service, and repairs the effects of lost events.

use chassis::{deleted_accounts, mirror};
use serde::Serialize;

use crate::error::Error;
use crate::store::votes;
use crate::{State, recount, sweep};

/// The numbers of repairs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// Added photos.
    pub published: u64,
    /// Newly found deleted photos.
    pub deleted: u64,
    /// Newly found deleted accounts.
    pub deleted_accounts: u64,
    /// Corrected tallies.
    pub tallies: u64,
}

/// Compares everything once.
pub async fn run(state: &State) -> Result<Repaired, Error> {
    let (pool, now) = (&state.pool, state.clock.now());
    let voters = |after| votes::voters_after(pool, after);
    let mut repaired = Repaired {
        published: mirror::adopt_missing(state, &state.photos).await?,
        deleted: mirror::delete_gone(state, &state.photos, now).await?,
        deleted_accounts: deleted_accounts::reconcile(pool, state.accounts.as_ref(), now, voters).await?,
        tallies: 0,
    };
    sweep::run(state).await?;
    repaired.tallies = recount::run(pool, &state.clock).await?.differed;
    for (what, how_many) in [
        ("published", repaired.published),
        ("deleted", repaired.deleted),
        ("departed", repaired.deleted_accounts),
        ("tallies", repaired.tallies),
    ] {
        metrics::counter!("proofsheet_reconcile_repairs_total", "what" => what).increment(how_many);
    }
    Ok(repaired)
}
