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
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// Something that happened, as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// The same in every delivery of this event.
    pub id: Uuid,
    /// `photo.published` and the like.
    pub kind: String,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// The payload; its kind defines the shape.
    pub data: Value,
}

impl Event {
    /// An event of `kind` that happens now.
    pub fn new(kind: &str, data: Value, now: DateTime<Utc>) -> Self {
        Self {
            id: crate::id::new_uuid(now),
            kind: kind.to_owned(),
            occurred_at: now,
            data,
        }
    }

    /// Reads `data`.
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, MalformedEvent> {
        T::deserialize(&self.data).map_err(|source| MalformedEvent {
            kind: self.kind.clone(),
            source,
        })
    }
}

/// An event whose data is not what its kind promises: a fault of the sender's release.
#[derive(Debug, thiserror::Error)]
#[error("the data of {kind} cannot be read")]
pub struct MalformedEvent {
    kind: String,
    source: serde_json::Error,
}

impl crate::Classify for MalformedEvent {
    fn code(&self) -> crate::Code {
        crate::Code::Internal
    }
}
