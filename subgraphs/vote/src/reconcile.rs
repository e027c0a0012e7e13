//! Compares what is here with the photo and the authentication service, and repairs what an event that was lost
//! left behind.

use chassis::{deleted_accounts, mirror};
use serde::Serialize;

use crate::error::Error;
use crate::store::votes;
use crate::{State, recount, sweep};

/// How much was repaired.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// Photos that had not been heard of.
    pub published: u64,
    /// Photos that are gone.
    pub deleted: u64,
    /// Accounts that are gone.
    pub departed: u64,
    /// Tallies that were not the sum of their votes.
    pub tallies: u64,
}

/// Compares everything once.
pub async fn run(state: &State) -> Result<Repaired, Error> {
    let (pool, now) = (&state.pool, state.clock.now());
    let voters = |after| votes::voters_after(pool, after);
    let mut repaired = Repaired {
        published: mirror::adopt_missing(state, &state.photos).await?,
        deleted: mirror::delete_gone(state, &state.photos, now).await?,
        departed: deleted_accounts::reconcile(pool, state.accounts.as_ref(), now, voters).await?,
        tallies: 0,
    };
    sweep::run(state).await?;
    repaired.tallies = recount::run(pool, &state.clock).await?.differed;
    for (what, how_many) in [
        ("published", repaired.published),
        ("deleted", repaired.deleted),
        ("departed", repaired.departed),
        ("tallies", repaired.tallies),
    ] {
        metrics::counter!("proofsheet_reconcile_repairs_total", "what" => what).increment(how_many);
    }
    Ok(repaired)
}
