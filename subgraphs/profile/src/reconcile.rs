//! Compares the profiles with the accounts, and repairs the effects of lost events.

use chassis::database::Pool;
use chassis::internal::InternalClient;
use chassis::{UserId, deleted_accounts};
use chrono::TimeDelta;
use contracts::accounts::KnownAccount;
use serde::Serialize;

use crate::error::Error;
use crate::{State, store, sweep};

/// Younger rows are skipped, because they may be missing in the other service.
const SETTLE_TIME: TimeDelta = TimeDelta::minutes(15);

/// The numbers of repairs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// Created profiles of accounts without one.
    pub profiles: u64,
    /// Newly found deleted accounts.
    pub deleted_accounts: u64,
}

/// Compares everything once. Does nothing if the issuer is external.
pub async fn run(state: &State) -> Result<Repaired, Error> {
    let (pool, accounts, now) = (&state.pool, state.accounts.as_ref(), state.clock.now());
    let people = |after| store::ids_after(pool, after, now - SETTLE_TIME);
    let repaired = Repaired {
        deleted_accounts: deleted_accounts::reconcile(pool, accounts, now, people).await?,
        profiles: match accounts {
            Some(accounts) => adopt(pool, accounts).await?,
            None => 0,
        },
    };
    sweep::run(state).await?;
    metrics::counter!("proofsheet_reconcile_repairs_total", "what" => "profiles")
        .increment(repaired.profiles);
    metrics::counter!("proofsheet_reconcile_repairs_total", "what" => "departed")
        .increment(repaired.deleted_accounts);
    Ok(repaired)
}

async fn adopt(pool: &Pool, accounts: &InternalClient) -> Result<u64, Error> {
    let mut adopted = 0;
    let mut after: Option<UserId> = None;
    loop {
        let page = accounts
            .list::<KnownAccount, UserId>(after.as_ref())
            .await
            .map_err(deleted_accounts::ReconcileError::from)?;
        let ids: Vec<_> = page
            .items
            .iter()
            .map(|account| UserId(account.account_id))
            .collect();
        let present = store::existing_among(pool, &ids).await?;
        for (id, account) in ids.iter().zip(&page.items) {
            if !present.contains(id) {
                adopted += u64::from(store::ensure(pool, *id, account.created_at).await?);
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(adopted);
        }
    }
}
