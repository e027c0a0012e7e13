//! Sends and handles events.

use chassis::events::{self, Event, new_event};
use chrono::{DateTime, Utc};
use contracts::photos::{PhotoDeleted, PublishedPhoto};

use crate::domain::Photo;
use crate::error::Error;

/// A photo was published.
pub fn published(photo: &Photo, now: DateTime<Utc>) -> Event {
    new_event(&PublishedPhoto::from(photo), now)
}

/// A photo was deleted.
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

/// Only `account.deleted` comes here, which is recorded for every service: from then on that person's photos are hidden,
/// and the sweep removes them, however many they are.
pub struct EventHandler;

impl events::EventHandler for EventHandler {
    type Error = Error;
}
