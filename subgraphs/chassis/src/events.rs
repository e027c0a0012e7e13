//! Events between services: an outbox on the side of the change, an inbox on the side of the effect.
//!
//! A change writes its event in its own transaction. A relay delivers it to each subscriber until that one
//! acknowledges. The subscriber notes the event's id in the transaction of the effect, so a repeat does nothing.
//! Nothing promises an order: effects must commute.

pub mod inbox;
pub mod outbox;
mod relay;

pub use inbox::EventHandler;
pub use outbox::Outbox;

use chrono::{DateTime, Utc};
pub use contracts::events::{Event, MalformedEvent, Payload};

use crate::{Classify, Code, id};

/// An event that happens now.
pub fn new_event<P: Payload>(payload: &P, now: DateTime<Utc>) -> Event {
    Event::new(id::new_uuid(now), payload, now)
}

impl Classify for MalformedEvent {
    fn code(&self) -> Code {
        Code::Internal
    }
}
