//! Background jobs: one replica at a time does each, again and again, until the process stops.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::database::Pool;
use crate::lease::Held;
use crate::{Classify, error};

/// A job that runs under a lease of the same name.
#[derive(Debug, Clone)]
pub struct Job {
    /// Of the job and of its lease.
    pub name: &'static str,
    /// How long from one run to the next.
    pub every: Duration,
    /// Runs the job at once when something is known to be there for it.
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

    /// Runs `work` until `stop`. A run that fails is logged, and the next one is tried as usual. The lease is renewed
    /// while it runs; a run that has lost its lease is given up.
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
            // Longer than the time between two runs, so that the holder keeps it; short, so that its death is soon noticed.
            let term = self.every * 2 + Duration::from_secs(5);
            let lease = Held::new(self.name, Uuid::new_v4(), term);
            loop {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = self.wake.notified() => {}
                    () = tokio::time::sleep(self.every) => {}
                }
                if let Err(failure) = run_once(&pool, lease, RENEW, &mut work).await {
                    tracing::warn!(
                        job = self.name,
                        error = error::chain(&failure),
                        "a background job failed; it will run again"
                    );
                }
            }
            // Without this another replica waits until the lease ends by itself.
            let _ = lease.release(&pool).await;
        })
    }
}

/// How often a lease is renewed while its job runs: more than twice in the shortest term.
const RENEW: Duration = Duration::from_secs(2);

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
    let held = lease.renew(pool).await.inspect_err(|_| tell_of(lease, false))?;
    tell_of(lease, held);
    if !held {
        return Ok(());
    }
    let started = Instant::now();
    let (outcome, name) = tokio::select! {
        outcome = work(lease) => {
            let name = if outcome.is_ok() { "done" } else { "failed" };
            (outcome, name)
        }
        () = lost(pool, lease, renew) => {
            tracing::warn!(?lease, "a background job was given up: another replica has taken its lease");
            tell_of(lease, false);
            (Ok(()), "lost")
        }
    };
    metrics::counter!("proofsheet_job_runs_total", "task" => lease.name(), "outcome" => name).increment(1);
    metrics::histogram!("proofsheet_job_duration_seconds", "task" => lease.name()).record(started.elapsed());
    outcome
}

fn tell_of(lease: Held, held: bool) {
    metrics::gauge!("proofsheet_lease_held", "task" => lease.name()).set(f64::from(u8::from(held)));
}

/// Returns when the lease was lost.
async fn lost(pool: &Pool, lease: Held, renew: Duration) {
    loop {
        tokio::time::sleep(renew).await;
        // Where the database does not answer, the job's own statements fail as well.
        if let Ok(false) = lease.extend(pool).await {
            return;
        }
    }
}
