use std::sync::{Arc, Mutex};

use chassis::Clock;
use chrono::{DateTime, TimeDelta, Utc};

/// A clock that only moves when set. Starts at noon of 22 November 2026.
#[derive(Debug, Clone)]
pub struct TestClock(Arc<Mutex<DateTime<Utc>>>);

impl Default for TestClock {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(
            "2026-11-22T12:00:00Z".parse().expect("a valid time"),
        )))
    }
}

impl TestClock {
    /// Returns the clock for the service.
    pub fn clock(&self) -> Clock {
        let now = Arc::clone(&self.0);
        Clock::from_fn(move || *now.lock().expect("no test panics while it holds the lock"))
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock().now()
    }

    pub fn advance(&self, by: TimeDelta) {
        *self.0.lock().expect("no test panics while it holds the lock") += by;
    }

    pub fn set(&self, now: DateTime<Utc>) {
        *self.0.lock().expect("no test panics while it holds the lock") = now;
    }
}
