//! Background jobs: rotate the signing keys, delete expired rows.

use std::time::Duration;

use chassis::Clock;
use chassis::telemetry::measure::{Metric, describe};
use chassis::worker::Job;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::MySqlPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::domain::{Email, SessionId};
use crate::error::Error;
use crate::state::State;
use crate::store::{accounts, attempts, sessions};

/// How often each replica reads the keys again: soon enough for a key that was made elsewhere ten minutes before it signs.
const READ_KEYS_EVERY: Duration = Duration::from_secs(30);
const ROTATE_EVERY: Duration = Duration::from_secs(600);
const RECONCILE_EVERY: Duration = Duration::from_secs(600);
/// How long an address is remembered that an account is no longer signed in to from.
const ADDRESS_KEPT: TimeDelta = TimeDelta::days(90);

const METRICS: [Metric; 2] = [
    Metric::Counter(
        "proofsheet_password_hashes_total",
        "Passwords that were hashed, to be kept or to be compared.",
    ),
    Metric::Counter(
        "proofsheet_refresh_token_replays_total",
        "Sessions that ended because an old refresh token was used again.",
    ),
];

/// Starts the jobs of a process that serves.
pub fn spawn(state: &State, stop: &CancellationToken) -> Vec<JoinHandle<()>> {
    describe(&METRICS);
    let reading = spawn_reading_keys(state.clone(), stop.clone());
    let rotating = state.clone();
    let rotating = Job::new("rotate-keys", ROTATE_EVERY).spawn(state.pool.clone(), stop.clone(), move |_| {
        let state = rotating.clone();
        async move { Ok::<_, Error>(state.keys.rotate_when_due(state.clock.now()).await?) }
    });
    let reconciling = state.clone();
    let job = Job::new("reconcile", RECONCILE_EVERY);
    // A new release may have something to convert.
    job.wake.notify_one();
    let reconciling = job.spawn(state.pool.clone(), stop.clone(), move |_| {
        let state = reconciling.clone();
        async move { reconcile(&state.pool, &state.clock).await.map(drop) }
    });
    vec![reading, rotating, reconciling]
}

/// No job under a lease: every replica needs the keys.
fn spawn_reading_keys(state: State, stop: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        while stop
            .run_until_cancelled(tokio::time::sleep(READ_KEYS_EVERY))
            .await
            .is_some()
        {
            if let Err(error) = state.keys.reload().await {
                // The keys that are known go on working.
                tracing::warn!(
                    error = chassis::error::chain(&error),
                    "the signing keys could not be read again"
                );
            }
        }
    })
}

/// The repairs of one run of the reconciler.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Repaired {
    /// Sessions without an account.
    pub sessions: u64,
}

/// Removes what has run out, and repairs what only a hand in the database can have broken. That other services miss an
/// account, or still have one that is gone, their own reconcilers find out by asking here.
pub async fn reconcile(pool: &MySqlPool, clock: &Clock) -> Result<Repaired, Error> {
    let now = clock.now();
    prune(pool, now).await?;
    canonicalise_emails(pool).await?;
    let sessions = remove_orphans(pool).await?;
    metrics::counter!("proofsheet_reconcile_repairs_total", "what" => "sessions").increment(sessions);
    Ok(Repaired { sessions })
}

/// Brings e-mails from before into the canonical form, so that every spelling of them finds their account.
async fn canonicalise_emails(pool: &MySqlPool) -> Result<(), Error> {
    loop {
        let page = chassis::transaction!(pool, Error, |connection, _| {
            let page = accounts::not_canonical(&mut *connection).await?;
            for (id, email) in &page {
                match Email::parse_known(email) {
                    Ok(parsed) if parsed.folded() != parsed.folded_before() => {
                        accounts::set_canonical(&mut *connection, *id, email, parsed.folded()).await?;
                    }
                    // It is in that form, or a hand in the database has made it.
                    _ => {}
                }
            }
            if let Some((last, _)) = page.last() {
                accounts::mark_canonical(connection, *last).await?;
            }
            Ok(page.len())
        })?;
        if page < 1000 {
            return Ok(());
        }
    }
}

async fn prune(pool: &MySqlPool, now: DateTime<Utc>) -> Result<(), Error> {
    while sessions::prune(pool, now).await? == 1000 {}
    while sessions::prune_tokens(pool, now).await? == 1000 {}
    while attempts::prune(pool, now).await? == 1000 {}
    while attempts::prune_addresses(pool, now - ADDRESS_KEPT).await? == 1000 {}
    Ok(())
}

async fn remove_orphans(pool: &MySqlPool) -> Result<u64, Error> {
    let mut after = SessionId(Uuid::nil());
    let mut removed = 0;
    while let Some(last) = sessions::end_of_page(pool, after).await? {
        removed += sessions::remove_orphans(pool, after, last).await?;
        after = last;
    }
    Ok(removed)
}
