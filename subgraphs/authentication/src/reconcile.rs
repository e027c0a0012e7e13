//! Deletes expired rows, and repairs manual changes of the database.

use chassis::database::Pool;
use chassis::{Clock, transaction};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::domain::{Email, SessionId};
use crate::error::Error;
use crate::store::{accounts, attempts, sessions};

/// How long the addresses of an account are kept after its last session from there.
const ADDRESS_RETENTION: TimeDelta = TimeDelta::days(90);

/// The numbers of repairs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Repaired {
    /// Deleted sessions without an account.
    pub sessions: u64,
}

/// Deletes expired rows, and repairs manual changes of the database. Other services find differences to their data by
/// their own reconciliation.
pub async fn run(pool: &Pool, clock: &Clock) -> Result<Repaired, Error> {
    let now = clock.now();
    delete_expired(pool, now).await?;
    canonicalise_emails(pool).await?;
    let sessions = remove_orphans(pool).await?;
    metrics::counter!("proofsheet_reconcile_repairs_total", "what" => "sessions").increment(sessions);
    Ok(Repaired { sessions })
}

/// Converts e-mails of earlier releases to the canonical form, so that every spelling finds the account.
async fn canonicalise_emails(pool: &Pool) -> Result<(), Error> {
    loop {
        let page = transaction!(pool, Error, |tx, _| {
            let page = accounts::not_canonical(&mut *tx).await?;
            for (id, email) in &page {
                match Email::parse_known(email) {
                    Ok(parsed) if parsed.folded() != parsed.folded_before() => {
                        accounts::set_canonical(&mut *tx, *id, email, parsed.folded()).await?;
                    }
                    // Already canonical, or written manually.
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

async fn delete_expired(pool: &Pool, now: DateTime<Utc>) -> Result<(), Error> {
    while sessions::delete_expired(pool, now).await? == 1000 {}
    while sessions::delete_expired_tokens(pool, now).await? == 1000 {}
    while attempts::delete_expired(pool, now).await? == 1000 {}
    while attempts::delete_unused_addresses(pool, now - ADDRESS_RETENTION).await? == 1000 {}
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
