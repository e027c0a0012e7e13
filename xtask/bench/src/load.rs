//! Closed-loop clients: each sends its next request when the one before it was answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// The measurements of one round.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

/// A client that can do the measured thing once.
pub(crate) trait Client: Send + 'static {
    fn once(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// Lets every client work for `warm_up`, then measures for `time`.
pub(crate) async fn measure<C: Client>(clients: Vec<C>, warm_up: Duration, time: Duration) -> Result<Round> {
    let measuring = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            let (measuring, done) = (Arc::clone(&measuring), Arc::clone(&done));
            tokio::spawn(async move {
                let mut latencies = Vec::with_capacity(16_384);
                while !done.load(Ordering::Relaxed) {
                    let counted = measuring.load(Ordering::Relaxed);
                    let started = Instant::now();
                    client.once().await?;
                    if counted {
                        latencies.push(started.elapsed());
                    }
                }
                anyhow::Ok(latencies)
            })
        })
        .collect();

    tokio::time::sleep(warm_up).await;
    measuring.store(true, Ordering::Relaxed);
    let started = Instant::now();
    tokio::time::sleep(time).await;
    done.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    let took = started.elapsed();
    ensure!(
        !latencies.is_empty(),
        "nothing was answered within {} s",
        time.as_secs()
    );
    latencies.sort_unstable();
    let count = u32::try_from(latencies.len())?;
    Ok(Round {
        per_second: f64::from(count) / took.as_secs_f64(),
        p50: at(&latencies, 50),
        p99: at(&latencies, 99),
    })
}

/// The time that so many hundredths of all, which are in their order, do not exceed; nothing where there are none.
pub(crate) fn at(times: &[Duration], share: usize) -> Duration {
    let last = times.len().saturating_sub(1);
    times.get(last * share / 100).copied().unwrap_or_default()
}
