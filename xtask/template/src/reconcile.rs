//! Compares the owners of samples with the accounts, and repairs the effects of lost events.

use chassis::deleted_accounts;
use chrono::TimeDelta;
use serde::Serialize;

use crate::error::Error;
use crate::{State, store, sweep};

/// Rows younger than this are skipped: they may not have reached the other service yet.
const SETTLE_TIME: TimeDelta = TimeDelta::minutes(15);

/// The numbers of repairs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// Newly found deleted accounts.
    pub deleted_accounts: u64,
}

/// Compares everything once. Without our own authentication service there is nothing to compare with.
pub async fn run(state: &State) -> Result<Repaired, Error> {
    let (pool, now) = (&state.pool, state.clock.now());
    let owners = |after| store::owners_after(pool, after, now - SETTLE_TIME);
    let repaired = Repaired {
        deleted_accounts: deleted_accounts::reconcile(pool, state.accounts.as_ref(), now, owners).await?,
    };
    sweep::run(state).await?;
    metrics::counter!("proofsheet_reconcile_repairs_total", "what" => "departed")
        .increment(repaired.deleted_accounts);
    Ok(repaired)
}
