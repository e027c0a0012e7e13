//! Events between services: an outbox at the publisher, an inbox at the subscriber.
//!
//! The transaction of a change also writes its event. A relay delivers it to each subscriber until it is acknowledged.
//! The subscriber records the event's id in the transaction of the effect, so repeated deliveries have no effect.
//! Events may arrive in any order: effects must commute.

pub mod inbox;
pub mod outbox;
mod relay;

pub use inbox::EventHandler;
pub use outbox::Outbox;

use chrono::{DateTime, Utc};
pub use contracts::events::{Event, MalformedEvent, Payload};

use crate::{Classify, Code, id};

/// Returns an event with the current time.
pub fn new_event<P: Payload>(payload: &P, now: DateTime<Utc>) -> Event {
    Event::new(id::new_uuid(now), payload, now)
}

impl Classify for MalformedEvent {
    fn code(&self) -> Code {
        Code::Internal
    }
}
