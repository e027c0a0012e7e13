//! How many operations are worked on at once.
//!
//! A site that begins everything it is asked for gets slower and slower under a crowd, until it finishes nothing in time.
//! So only so many operations are worked on at once. Whoever comes then waits a moment for a turn, which costs nothing,
//! and is told to come back if none is free by then.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hive_router::ntex::http::StatusCode;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::answers::Refusal;

/// More than this keep no core busier, and each of them waits longer.
const PER_CORE: usize = 16;
/// How long a request waits for its turn. A short standstill behind the router passes unseen within this.
const PATIENCE: Duration = Duration::from_millis(500);
/// An operation that takes longer waits for a part that does not answer, and keeps nobody from anything: others may
/// begin, and get what the other parts have.
const LONGEST: Duration = Duration::from_secs(1);
/// The log says so often that requests are turned away.
const SAID: Duration = Duration::from_secs(10);

const CROWDED: Refusal = Refusal::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "UNAVAILABLE",
    "Too many people are here at the moment. Please try again soon.",
);

/// The turns of one router.
pub(crate) struct Turns {
    free: Option<Semaphore>,
    began: Instant,
    /// Seconds after `began` at which the log was told last.
    said: AtomicU64,
}

/// The right to work on one operation.
pub(crate) struct Turn<'a>(Option<SemaphorePermit<'a>>);

impl Turns {
    /// So many at once, or what this machine is good for; 0 is no limit.
    pub(crate) fn new(at_once: Option<usize>) -> Self {
        let at_once = at_once.unwrap_or_else(|| {
            let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
            PER_CORE * cores
        });
        Self {
            free: (at_once > 0).then(|| Semaphore::new(at_once)),
            began: Instant::now(),
            said: AtomicU64::new(0),
        }
    }

    /// Waits for a turn, but not for long.
    pub(crate) async fn wait(&self) -> Result<Turn<'_>, Refusal> {
        let Some(free) = &self.free else {
            return Ok(Turn(None));
        };
        if let Ok(permit) = timeout(PATIENCE, free.acquire()).await {
            return Ok(Turn(permit.ok()));
        }
        self.tell();
        Err(Refusal {
            retry_after_seconds: Some(1),
            ..CROWDED
        })
    }

    fn tell(&self) {
        metrics::counter!("proofsheet_router_turned_away_total").increment(1);
        let now = self.began.elapsed().as_secs() + SAID.as_secs();
        let said = self.said.load(Ordering::Relaxed);
        let is_due = now >= said + SAID.as_secs();
        let swap = |now| {
            self.said
                .compare_exchange(said, now, Ordering::Relaxed, Ordering::Relaxed)
        };
        if is_due && swap(now).is_ok() {
            tracing::warn!("operations are turned away: more come than this router may work on at once");
        }
    }
}

impl Turn<'_> {
    /// Gives `work` its turn.
    pub(crate) async fn work<T>(self, work: impl Future<Output = T>) -> T {
        let Self(permit) = self;
        let mut work = std::pin::pin!(work);
        if let Ok(done) = timeout(LONGEST, &mut work).await {
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
        let turns = Turns::new(Some(2));
        let work = async |time| {
            turns.wait().await?.work(sleep(time)).await;
            Ok::<_, Refusal>(())
        };
        let short = Duration::from_millis(1);
        let (one, two, three) = tokio::join!(work(short), work(LONGEST), work(short));
        assert!(one.is_ok() && two.is_ok() && three.is_ok());
        let (one, two, three) = tokio::join!(work(LONGEST), work(LONGEST), work(short));
        assert!(one.is_ok() && two.is_ok());
        let refusal = three.unwrap_err();
        assert_eq!(
            (refusal.status.as_u16(), refusal.code, refusal.retry_after_seconds),
            (503, "UNAVAILABLE", Some(1))
        );
    }

    #[tokio::test]
    async fn whoever_waits_for_a_part_that_hangs_is_in_nobodys_way() {
        let turns = Turns::new(Some(1));
        let hangs = async { turns.wait().await.ok().unwrap().work(pending::<()>()).await };
        let others = async {
            assert!(turns.wait().await.is_err());
            sleep(LONGEST).await;
            assert!(turns.wait().await.is_ok());
        };
        tokio::select! {
            biased;
            () = hangs => unreachable!("it hangs"),
            () = others => {}
        }
    }

    #[tokio::test]
    async fn zero_is_no_limit() {
        let turns = Turns::new(Some(0));
        let mut held = Vec::new();
        for _ in 0..1000 {
            held.push(turns.wait().await.ok().unwrap());
        }
    }
}
