//! Limits the number of concurrent operations.
//!
//! A site that starts every operation at once gets slower under overload until it finishes none in time. So only a
//! limited number runs at once. Another operation waits briefly for a permit, which costs nothing, and is refused with
//! `Retry-After` if none is free by then.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use contracts::Code;
use hive_router::ntex::http::StatusCode;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::error_response::ErrorResponse;

/// More operations per core do not raise throughput, and each waits longer.
const PERMITS_PER_CORE: usize = 16;
/// The time that a request waits for a permit: long enough to bridge a short stall behind the router.
const PERMIT_TIMEOUT: Duration = Duration::from_millis(500);
/// An operation that takes longer is probably waiting for an unresponsive service. It uses no CPU, so its permit is
/// released and other operations can start.
const PERMIT_HOLD_TIME: Duration = Duration::from_secs(1);
/// The shortest time between two log lines about refused operations.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

const OVERLOADED: ErrorResponse = ErrorResponse::new(
    StatusCode::SERVICE_UNAVAILABLE,
    Code::Unavailable,
    "The site is busy right now. Try again in a moment.",
);

/// The concurrency limit of one router.
pub(crate) struct ConcurrencyLimit {
    semaphore: Option<Semaphore>,
    started: Instant,
    /// Seconds after `started` of the last log line, plus [`LOG_INTERVAL`]; 0 before the first.
    last_logged: AtomicU64,
}

/// Permission to run one operation.
pub(crate) struct Permit<'a>(Option<SemaphorePermit<'a>>);

impl ConcurrencyLimit {
    /// Allows `max_operations` concurrent operations; by default [`PERMITS_PER_CORE`] per core. 0 disables the limit.
    pub(crate) fn new(max_operations: Option<usize>) -> Self {
        let max_operations = max_operations.unwrap_or_else(|| {
            let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
            PERMITS_PER_CORE * cores
        });
        Self {
            semaphore: (max_operations > 0).then(|| Semaphore::new(max_operations)),
            started: Instant::now(),
            last_logged: AtomicU64::new(0),
        }
    }

    /// Waits up to [`PERMIT_TIMEOUT`] for a permit; fails with 503 `UNAVAILABLE` after that.
    pub(crate) async fn acquire(&self) -> Result<Permit<'_>, ErrorResponse> {
        let Some(semaphore) = &self.semaphore else {
            return Ok(Permit(None));
        };
        if let Ok(permit) = timeout(PERMIT_TIMEOUT, semaphore.acquire()).await {
            return Ok(Permit(permit.ok()));
        }
        self.log_rejection();
        Err(ErrorResponse {
            retry_after_seconds: Some(1),
            ..OVERLOADED
        })
    }

    fn log_rejection(&self) {
        metrics::counter!("proofsheet_router_concurrency_limited_total").increment(1);
        let now = self.started.elapsed().as_secs() + LOG_INTERVAL.as_secs();
        let last_logged = self.last_logged.load(Ordering::Relaxed);
        let is_due = now >= last_logged + LOG_INTERVAL.as_secs();
        let swap = |now| {
            self.last_logged
                .compare_exchange(last_logged, now, Ordering::Relaxed, Ordering::Relaxed)
        };
        if is_due && swap(now).is_ok() {
            tracing::warn!("operations are refused: the concurrency limit of this router is reached");
        }
    }
}

impl Permit<'_> {
    /// Runs `work`, and releases the permit when it ends or after [`PERMIT_HOLD_TIME`].
    pub(crate) async fn run<T>(self, work: impl Future<Output = T>) -> T {
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
    async fn requests_wait_briefly_and_are_then_refused() {
        let limit = ConcurrencyLimit::new(Some(2));
        let work = async |time| {
            limit.acquire().await?.run(sleep(time)).await;
            Ok::<_, ErrorResponse>(())
        };
        let short = Duration::from_millis(1);
        let (one, two, three) = tokio::join!(work(short), work(PERMIT_HOLD_TIME), work(short));
        assert!(one.is_ok() && two.is_ok() && three.is_ok());
        let (one, two, three) = tokio::join!(work(PERMIT_HOLD_TIME), work(PERMIT_HOLD_TIME), work(short));
        assert!(one.is_ok() && two.is_ok());
        let error = three.unwrap_err();
        assert_eq!(
            (
                error.status.as_u16(),
                error.code.as_str(),
                error.retry_after_seconds
            ),
            (503, "UNAVAILABLE", Some(1))
        );
    }

    #[tokio::test]
    async fn a_hanging_operation_releases_its_permit() {
        let limit = ConcurrencyLimit::new(Some(1));
        let hangs = async { limit.acquire().await.ok().unwrap().run(pending::<()>()).await };
        let others = async {
            assert!(limit.acquire().await.is_err());
            sleep(PERMIT_HOLD_TIME).await;
            assert!(limit.acquire().await.is_ok());
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
            held.push(limit.acquire().await.ok().unwrap());
        }
    }
}
