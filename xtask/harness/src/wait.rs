//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// How often a condition is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Repeats `check` until it succeeds, and returns its result. After `limit`, the error contains the last one of `check`.
pub async fn until<T, F: Future<Output = Result<T>>>(
    what: &str,
    limit: Duration,
    check: impl FnMut() -> F,
) -> Result<T> {
    until_every(CHECK_INTERVAL, what, limit, check).await
}

/// As [`until`], with another interval, for checks that start programs.
pub async fn until_every<T, F: Future<Output = Result<T>>>(
    interval: Duration,
    what: &str,
    limit: Duration,
    mut check: impl FnMut() -> F,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match check().await {
            Ok(found) => return Ok(found),
            Err(error) if Instant::now() >= deadline => {
                return Err(anyhow!("waited {} s for {what}: {error:#}", limit.as_secs()));
            }
            Err(_) => tokio::time::sleep(interval).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use anyhow::ensure;

    use super::*;

    #[tokio::test]
    async fn the_last_error_is_reported_after_the_deadline() {
        let checks = Cell::new(0);
        let check = |needed| {
            checks.set(checks.get() + 1);
            let count = checks.get();
            async move {
                ensure!(count >= needed, "{count} checks");
                Ok(count)
            }
        };
        let limit = Duration::from_millis(120);
        assert_eq!(until("three checks", limit, || check(3)).await.unwrap(), 3);
        let error = until("more", limit, || check(u32::MAX)).await.unwrap_err();
        assert!(error.to_string().starts_with("waited 0 s for more: "), "{error}");
    }
}
