//! Background jobs: each runs repeatedly on one replica at a time until the process stops.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::database::Pool;
use crate::lease::Held;
use crate::{Classify, error};

/// A job with a lease of the same name.
#[derive(Debug, Clone)]
pub struct Job {
    /// The name of the job and of its lease.
    pub name: &'static str,
    /// The interval between runs.
    pub every: Duration,
    /// Notified when there is work, to run the job immediately.
    pub wake: Arc<Notify>,
}

impl Job {
    /// A job that runs only on schedule.
    pub fn new(name: &'static str, every: Duration) -> Self {
        Self {
            name,
            every,
            wake: Arc::default(),
        }
    }

    /// Runs `work` until `stop`. Failed runs are logged, and the next run follows as usual. The lease is renewed during
    /// a run, and a run whose lease is lost is aborted.
    pub fn spawn<E, W>(
        self,
        pool: Pool,
        stop: CancellationToken,
        mut work: impl FnMut(Held) -> W + Send + 'static,
    ) -> JoinHandle<()>
    where
        E: Classify + From<sqlx::Error>,
        W: Future<Output = Result<(), E>> + Send,
    {
        tokio::spawn(async move {
            // Longer than the interval, so that the holder keeps the lease; short, so that other replicas soon take
            // over.
            let term = self.every * 2 + Duration::from_secs(5);
            let lease = Held::new(self.name, Uuid::new_v4(), term);
            loop {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = self.wake.notified() => {}
                    () = tokio::time::sleep(self.every) => {}
                }
                if let Err(failure) = run_once(&pool, lease, RENEW_INTERVAL, &mut work).await {
                    tracing::warn!(
                        job = self.name,
                        error = error::chain(&failure),
                        "a background job failed; it will run again"
                    );
                }
            }
            // Without it another replica waits until the lease expires.
            let _ = lease.release(&pool).await;
        })
    }
}

/// The interval of renewals during a run: less than half of the shortest term.
const RENEW_INTERVAL: Duration = Duration::from_secs(2);

async fn run_once<E, W>(
    pool: &Pool,
    lease: Held,
    renew: Duration,
    work: &mut impl FnMut(Held) -> W,
) -> Result<(), E>
where
    E: Classify + From<sqlx::Error>,
    W: Future<Output = Result<(), E>>,
{
    let held = lease
        .renew(pool)
        .await
        .inspect_err(|_| record_lease(lease, false))?;
    record_lease(lease, held);
    if !held {
        return Ok(());
    }
    let started = Instant::now();
    let (outcome, name) = tokio::select! {
        outcome = work(lease) => {
            let name = if outcome.is_ok() { "done" } else { "failed" };
            (outcome, name)
        }
        () = wait_until_lost(pool, lease, renew) => {
            tracing::warn!(?lease, "a background job was aborted, because another replica has taken its lease");
            record_lease(lease, false);
            (Ok(()), "lost")
        }
    };
    metrics::counter!("proofsheet_job_runs_total", "task" => lease.name(), "outcome" => name).increment(1);
    metrics::histogram!("proofsheet_job_duration_seconds", "task" => lease.name()).record(started.elapsed());
    outcome
}

fn record_lease(lease: Held, held: bool) {
    metrics::gauge!("proofsheet_lease_held", "task" => lease.name()).set(f64::from(u8::from(held)));
}

/// Returns when the lease is lost.
async fn wait_until_lost(pool: &Pool, lease: Held, renew: Duration) {
    loop {
        tokio::time::sleep(renew).await;
        // If the database is unavailable, the statements of the job fail too.
        if let Ok(false) = lease.extend(pool).await {
            return;
        }
    }
}
