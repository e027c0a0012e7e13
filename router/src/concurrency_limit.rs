//! Limits the number of concurrent operations.
//!
//! A site that starts every operation at once gets slower under overload until it finishes none in time. So only a
//! limited number runs at once. Another operation waits briefly for a permit, which costs nothing, and is refused with
//! `Retry-After` if none is free by then.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hive_router::ntex::http::StatusCode;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::error_response::Refusal;

/// More operations per core do not raise throughput, and each waits longer.
const PERMITS_PER_CORE: usize = 16;
/// The time that a request waits for a permit: long enough to bridge a short stall behind the router.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(500);
/// An operation that takes longer waits for a service that does not answer. It uses no CPU, so its permit is released
/// and other operations can start.
const PERMIT_HOLD_TIME: Duration = Duration::from_secs(1);
/// The shortest time between two log lines about refused operations.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

const OVERLOADED: Refusal = Refusal::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "UNAVAILABLE",
    "The site is busy right now. Try again in a moment.",
);

/// The concurrency limit of one router.
pub(crate) struct ConcurrencyLimit {
    free: Option<Semaphore>,
    began: Instant,
    /// Seconds after `began` at which the log was told last.
    said: AtomicU64,
}

/// The right to work on one operation.
pub(crate) struct Permit<'a>(Option<SemaphorePermit<'a>>);

impl ConcurrencyLimit {
    /// Allows this many operations at once; by default [`PERMITS_PER_CORE`] per core. 0 is no limit.
    pub(crate) fn new(at_once: Option<usize>) -> Self {
        let at_once = at_once.unwrap_or_else(|| {
            let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
            PERMITS_PER_CORE * cores
        });
        Self {
            free: (at_once > 0).then(|| Semaphore::new(at_once)),
            began: Instant::now(),
            said: AtomicU64::new(0),
        }
    }

    /// Waits up to [`ACQUIRE_TIMEOUT`] for a permit.
    pub(crate) async fn wait(&self) -> Result<Permit<'_>, Refusal> {
        let Some(free) = &self.free else {
            return Ok(Permit(None));
        };
        if let Ok(permit) = timeout(ACQUIRE_TIMEOUT, free.acquire()).await {
            return Ok(Permit(permit.ok()));
        }
        self.tell();
        Err(Refusal {
            retry_after_seconds: Some(1),
            ..OVERLOADED
        })
    }

    fn tell(&self) {
        metrics::counter!("proofsheet_router_turned_away_total").increment(1);
        let now = self.began.elapsed().as_secs() + LOG_INTERVAL.as_secs();
        let said = self.said.load(Ordering::Relaxed);
        let is_due = now >= said + LOG_INTERVAL.as_secs();
        let swap = |now| {
            self.said
                .compare_exchange(said, now, Ordering::Relaxed, Ordering::Relaxed)
        };
        if is_due && swap(now).is_ok() {
            tracing::warn!("operations are refused: the concurrency limit of this router is reached");
        }
    }
}

impl Permit<'_> {
    /// Gives `work` its turn.
    pub(crate) async fn work<T>(self, work: impl Future<Output = T>) -> T {
        let Self(permit) = self;
        let mut work = std::pin::pin!(work);
        if let Ok(done) = timeout(PERMIT_HOLD_TIME, &mut work).await {
            return done;
        }
        drop(permit);
        work.await
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    #[tokio::test]
    async fn a_few_wait_and_the_others_are_told_soon() {
        let limit = ConcurrencyLimit::new(Some(2));
        let work = async |time| {
            limit.wait().await?.work(sleep(time)).await;
            Ok::<_, Refusal>(())
        };
        let short = Duration::from_millis(1);
        let (one, two, three) = tokio::join!(work(short), work(PERMIT_HOLD_TIME), work(short));
        assert!(one.is_ok() && two.is_ok() && three.is_ok());
        let (one, two, three) = tokio::join!(work(PERMIT_HOLD_TIME), work(PERMIT_HOLD_TIME), work(short));
        assert!(one.is_ok() && two.is_ok());
        let refusal = three.unwrap_err();
        assert_eq!(
            (refusal.status.as_u16(), refusal.code, refusal.retry_after_seconds),
            (503, "UNAVAILABLE", Some(1))
        );
    }

    #[tokio::test]
    async fn whoever_waits_for_a_part_that_hangs_is_in_nobodys_way() {
        let limit = ConcurrencyLimit::new(Some(1));
        let hangs = async { limit.wait().await.ok().unwrap().work(pending::<()>()).await };
        let others = async {
            assert!(limit.wait().await.is_err());
            sleep(PERMIT_HOLD_TIME).await;
            assert!(limit.wait().await.is_ok());
        };
        tokio::select! {
            biased;
            () = hangs => unreachable!("it hangs"),
            () = others => {}
        }
    }

    #[tokio::test]
    async fn zero_is_no_limit() {
        let limit = ConcurrencyLimit::new(Some(0));
        let mut held = Vec::new();
        for _ in 0..1000 {
            held.push(limit.wait().await.ok().unwrap());
        }
    }
}
