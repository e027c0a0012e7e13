//! Rate limit per client address.
//!
//! A token bucket per address, kind of request and router process. It keeps one client from using up the site's
//! capacity. Password attempts are limited by authentication.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::sync::Cache;

/// Maximum number of tracked addresses. Evicting an idle one only resets its quota.
const MAX_TRACKED_ADDRESSES: u64 = 100_000;

/// The buckets of one kind of request.
pub(crate) struct RateLimit {
    per_minute: u32,
    buckets: Cache<IpAddr, Arc<Mutex<Bucket>>>,
}

struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

impl RateLimit {
    /// Allows `per_minute` requests from each address, also in one burst; 0 disables the limit.
    pub(crate) fn new(per_minute: u32) -> Self {
        let buckets = Cache::builder()
            .max_capacity(MAX_TRACKED_ADDRESSES)
            // After an idle minute a bucket is full, like a new one.
            .time_to_idle(Duration::from_secs(60))
            .build();
        Self { per_minute, buckets }
    }

    /// Takes one token of `address`. Fails with the seconds until the next token.
    pub(crate) fn take(&self, address: IpAddr, now: Instant) -> Result<(), u64> {
        if self.per_minute == 0 {
            return Ok(());
        }
        let full = f64::from(self.per_minute);
        let per_second = full / 60.0;
        let bucket = self.buckets.get_with(network(address), || {
            Arc::new(Mutex::new(Bucket {
                tokens: full,
                filled_at: now,
            }))
        });
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = now.saturating_duration_since(bucket.filled_at).as_secs_f64();
        bucket.tokens = (bucket.tokens + idle * per_second).min(full);
        bucket.filled_at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        let wait = Duration::from_secs_f64((1.0 - bucket.tokens) / per_second);
        Err(wait.as_secs() + 1)
    }
}

/// IPv6 addresses are counted by /64, which one subscriber usually has.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_refill_and_are_separate() {
        let limit = RateLimit::new(60);
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let start = Instant::now();
        for _ in 0..60 {
            assert_eq!(limit.take(one, start), Ok(()));
        }
        assert_eq!(limit.take(one, start), Err(2));
        assert_eq!(limit.take(other, start), Ok(()));
        assert_eq!(limit.take(one, start + Duration::from_secs(1)), Ok(()));
        assert!(limit.take(one, start + Duration::from_secs(1)).is_err());
    }

    #[test]
    fn a_whole_ipv6_network_is_one_client() {
        let limit = RateLimit::new(1);
        let now = Instant::now();
        assert_eq!(limit.take("2001:db8::1".parse().unwrap(), now), Ok(()));
        assert!(limit.take("2001:db8::2".parse().unwrap(), now).is_err());
        assert_eq!(limit.take("2001:db8:0:1::1".parse().unwrap(), now), Ok(()));
    }

    #[test]
    fn zero_is_no_limit() {
        let limit = RateLimit::new(0);
        for _ in 0..1000 {
            assert_eq!(limit.take(IpAddr::from([127, 0, 0, 1]), Instant::now()), Ok(()));
        }
    }
}
