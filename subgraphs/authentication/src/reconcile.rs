//! Deletes expired rows, and repairs what only changes by hand can have broken.

use chassis::database::Pool;
use chassis::{Clock, transaction};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::domain::{Email, SessionId};
use crate::error::Error;
use crate::store::{accounts, attempts, sessions};

/// How long an address is remembered that an account is no longer signed in to from.
const ADDRESS_KEPT: TimeDelta = TimeDelta::days(90);

/// The repairs of one run of the reconciler.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Repaired {
    /// Sessions without an account.
    pub sessions: u64,
}

/// Removes what has run out, and repairs what only a hand in the database can have broken. That other services miss an
/// account, or still have one that is gone, their own reconcilers find out by asking here.
pub async fn run(pool: &Pool, clock: &Clock) -> Result<Repaired, Error> {
    let now = clock.now();
    prune(pool, now).await?;
    canonicalise_emails(pool).await?;
    let sessions = remove_orphans(pool).await?;
    metrics::counter!("proofsheet_reconcile_repairs_total", "what" => "sessions").increment(sessions);
    Ok(Repaired { sessions })
}

/// Brings e-mails from before into the canonical form, so that every spelling of them finds their account.
async fn canonicalise_emails(pool: &Pool) -> Result<(), Error> {
    loop {
        let page = transaction!(pool, Error, |tx, _| {
            let page = accounts::not_canonical(&mut *tx).await?;
            for (id, email) in &page {
                match Email::parse_known(email) {
                    Ok(parsed) if parsed.folded() != parsed.folded_before() => {
                        accounts::set_canonical(&mut *tx, *id, email, parsed.folded()).await?;
                    }
                    // It is in that form, or a hand in the database has made it.
                    _ => {}
                }
            }
            if let Some((last, _)) = page.last() {
                accounts::mark_canonical(tx, *last).await?;
            }
            Ok(page.len())
        })?;
        if page < 1000 {
            return Ok(());
        }
    }
}

async fn prune(pool: &Pool, now: DateTime<Utc>) -> Result<(), Error> {
    while sessions::prune(pool, now).await? == 1000 {}
    while sessions::prune_tokens(pool, now).await? == 1000 {}
    while attempts::prune(pool, now).await? == 1000 {}
    while attempts::prune_addresses(pool, now - ADDRESS_KEPT).await? == 1000 {}
    Ok(())
}

async fn remove_orphans(pool: &Pool) -> Result<u64, Error> {
    let mut after = SessionId(Uuid::nil());
    let mut removed = 0;
    while let Some(last) = sessions::end_of_page(pool, after).await? {
        removed += sessions::remove_orphans(pool, after, last).await?;
        after = last;
    }
    Ok(removed)
}
