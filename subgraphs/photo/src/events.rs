//! Sends and handles events.

use chassis::events::{self, Event, new_event};
use chrono::{DateTime, Utc};
use contracts::photos::{PhotoDeleted, PublishedPhoto};

use crate::domain::Photo;
use crate::error::Error;

/// Returns the event of a published photo.
pub fn published(photo: &Photo, now: DateTime<Utc>) -> Event {
    new_event(&PublishedPhoto::from(photo), now)
}

/// Returns the event of a deleted photo.
pub fn deleted(photo: &Photo, now: DateTime<Utc>) -> Event {
    let deleted = PhotoDeleted {
        photo_id: photo.id.0,
        author_id: Some(photo.author_id.0),
    };
    new_event(&deleted, now)
}

impl From<&Photo> for PublishedPhoto {
    fn from(photo: &Photo) -> Self {
        Self {
            photo_id: photo.id.0,
            author_id: photo.author_id.0,
            published_at: photo.published_at,
            hot_day: photo.hot_day,
        }
    }
}

/// Handles only `account.deleted`, which is recorded for every service. From then on the photos of the account are
/// hidden, and the sweep deletes them.
pub struct EventHandler;

impl events::EventHandler for EventHandler {
    type Error = Error;
}
