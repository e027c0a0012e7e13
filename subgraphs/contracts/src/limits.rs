//! Limits that two programs enforce.

use std::time::{Duration, Instant};

/// The maximum size of an upload in bytes, in the app, the router and photo.
pub const MAX_UPLOAD_BYTES: u64 = 25 * 1024 * 1024;
/// The maximum pause between two chunks of an upload, in the router and photo.
pub const UPLOAD_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// An upload that has not reached [`UPLOAD_MIN_RATE`] after this long ends, in the router and in photo.
pub const UPLOAD_GRACE: Duration = Duration::from_secs(10);
/// The slowest upload, in bytes a second. A phone on a bad network sends more.
pub const UPLOAD_MIN_RATE: u32 = 4 * 1024;
/// The maximum duration of an upload, in the router and photo.
pub const UPLOAD_TIMEOUT: Duration = Duration::from_secs(600);

/// The minimum rate of an upload: each byte extends the deadline of the next one, up to [`UPLOAD_IDLE_TIMEOUT`] from its
/// arrival.
#[derive(Debug, Clone, Copy)]
pub struct UploadPace {
    deadline: Instant,
}

impl UploadPace {
    pub fn new(now: Instant) -> Self {
        Self {
            deadline: now + UPLOAD_GRACE,
        }
    }

    pub fn receive(&mut self, bytes: usize, now: Instant) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let earned = Duration::from_secs(bytes.into()) / UPLOAD_MIN_RATE;
        self.deadline = (self.deadline + earned).min(now + UPLOAD_IDLE_TIMEOUT);
    }

    /// When the upload ends unless more bytes arrive.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }
}

/// The maximum number of characters of a comment, in the app and the comment service.
pub const MAX_COMMENT_LENGTH: usize = 2000;

/// The lifetime of an access token. The app refreshes it earlier, and services remember ended sessions for longer.
pub const ACCESS_TOKEN_LIFETIME: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    /// How long an upload lasts of which `bytes` arrive each `pause`; at most ten minutes.
    fn lasts(bytes: usize, pause: Duration) -> Duration {
        let start = Instant::now();
        let mut pace = UploadPace::new(start);
        let mut now = start;
        while now + pause <= pace.deadline() && now - start < UPLOAD_TIMEOUT {
            now += pause;
            pace.receive(bytes, now);
        }
        (pace.deadline() - start).min(UPLOAD_TIMEOUT)
    }

    #[test]
    fn a_trickle_ends_and_a_slow_upload_does_not() {
        let seconds = Duration::from_secs;
        assert_eq!(lasts(1, seconds(1)).as_secs(), 10);
        assert_eq!(lasts(1, seconds(10)).as_secs(), 10);
        assert_eq!(lasts(1024, seconds(1)).as_secs(), 13);
        assert_eq!(lasts(5 * 1024, seconds(1)), UPLOAD_TIMEOUT);
        // A network that stops for a while.
        assert_eq!(lasts(64 * 1024, seconds(9)), UPLOAD_TIMEOUT);
        // A fast start buys half a minute only.
        let start = Instant::now();
        let mut pace = UploadPace::new(start);
        pace.receive(20_000_000, start);
        assert_eq!(pace.deadline() - start, UPLOAD_IDLE_TIMEOUT);
    }
}
