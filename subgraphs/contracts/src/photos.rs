//! Data of the photo service for other services.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::events::Payload;
use crate::internal::Resource;

/// A published photo: an event, and an item of the internal API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishedPhoto {
    pub photo_id: Uuid,
    pub author_id: Uuid,
    pub published_at: DateTime<Utc>,
    /// The day on which the photo is ranked in Hot, in the site's time zone.
    pub hot_day: NaiveDate,
}

impl Payload for PublishedPhoto {
    const KIND: &'static str = "photo.published";
}

impl Resource for PublishedPhoto {
    const LIST: &'static str = "/internal/photos";
    const ONE: &'static str = "/internal/photos/{id}";
    const GONE: &'static str = "/internal/photos/gone";
}

/// A photo was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhotoDeleted {
    pub photo_id: Uuid,
    /// Always sent, but receivers do not require it.
    pub author_id: Option<Uuid>,
}

impl Payload for PhotoDeleted {
    const KIND: &'static str = "photo.deleted";
}
