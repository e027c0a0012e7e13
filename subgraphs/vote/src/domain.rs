//! Votes, tallies, ranks and days, without a database.

use std::fmt;

use chassis::UserId;
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use subgraph::pagination::Cursor;
use uuid::Uuid;

chassis::id_newtype! {
    /// A photo of the photo service.
    PhotoId
}

/// A vote on a photo: up, down or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    Up,
    Down,
    /// Removes an earlier vote.
    None,
}

impl Choice {
    /// Returns the value in the database.
    pub fn value(self) -> i8 {
        match self {
            Self::Up => 1,
            Self::Down => -1,
            Self::None => 0,
        }
    }

    /// Parses a value of the database.
    pub fn from_value(value: i8) -> Self {
        match value.signum() {
            1 => Self::Up,
            -1 => Self::Down,
            _ => Self::None,
        }
    }
}

/// The numbers of votes on a photo.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub up: i64,
    pub down: i64,
}

impl Tally {
    /// Returns the score that timelines are ranked by.
    pub fn score(self) -> i64 {
        self.up - self.down
    }
}

/// A published photo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPhoto {
    pub photo_id: PhotoId,
    pub author_id: UserId,
    pub published_at: DateTime<Utc>,
    /// The day on which the photo is ranked in Hot, in the site's time zone. Never changes.
    pub hot_day: NaiveDate,
}

impl From<contracts::photos::PublishedPhoto> for KnownPhoto {
    fn from(photo: contracts::photos::PublishedPhoto) -> Self {
        Self {
            photo_id: PhotoId(photo.photo_id),
            author_id: UserId(photo.author_id),
            published_at: photo.published_at,
            hot_day: photo.hot_day,
        }
    }
}

/// The state of a photo in this service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Can be voted on by everybody but its author.
    Listed {
        author: UserId,
    },
    Deleted,
}

/// A ranked timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Timeline {
    /// The photos of one day.
    Hot(NaiveDate),
    /// All photos.
    Trending,
}

impl Timeline {
    /// Returns the maximum length of a snapshot; `None` is unlimited.
    pub fn max_length(self) -> Option<u32> {
        match self {
            Self::Hot(_) => None,
            Self::Trending => Some(5_000),
        }
    }
}

/// The name in the database.
impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hot(day) => write!(f, "{day}"),
            Self::Trending => f.write_str("trending"),
        }
    }
}

/// The sort key of a ranked timeline, in descending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rank {
    /// Up − down.
    pub score: i32,
    /// The lower bound of the Wilson interval in units of 1e-12, for equal scores.
    pub wilson: i64,
    /// For equal bounds, newer photos come first.
    pub published_at: DateTime<Utc>,
    /// Makes the order unique.
    pub photo_id: PhotoId,
}

/// A position in a ranked timeline, within the snapshot of the reader's first page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankedCursor {
    pub timeline: Timeline,
    /// The version of the order.
    pub version: u64,
    /// The snapshot of that version.
    pub snapshot: Uuid,
    /// The position in the snapshot or after it.
    #[serde(rename = "place")]
    pub position: Position,
}

/// A position in a ranked timeline. The serialised names are those in cursors of earlier releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Position {
    /// The index in the snapshot, from 0.
    #[serde(rename = "At")]
    Index(u32),
    /// After the end of the snapshot, where pages follow the current order.
    #[serde(rename = "Beyond")]
    AfterSnapshot(Rank),
}

impl Cursor for RankedCursor {
    const KIND: &'static str = "ranked";
}

/// A position in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayCursor(pub NaiveDate);

impl Cursor for DayCursor {
    const KIND: &'static str = "day";
}

/// A day of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HotDay {
    pub day: NaiveDate,
    /// The number of photos.
    pub photo_count: i64,
    /// The best photo, when the day is over.
    pub winner: Option<PhotoId>,
}

/// A text that is not a day.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("A day is written as YYYY-MM-DD.")]
pub struct InvalidDay;

/// Parses `YYYY-MM-DD`.
pub fn parse_day(text: &str) -> Result<NaiveDate, InvalidDay> {
    let day: NaiveDate = text.parse().map_err(|_| InvalidDay)?;
    // chrono also accepts spaces, signs, single digits and years outside of the range of DATE.
    if text.len() == 10 && day.to_string() == text {
        Ok(day)
    } else {
        Err(InvalidDay)
    }
}

/// Returns the day at `now` in the time zone of the site.
pub fn day_at(now: DateTime<Utc>, time_zone: Tz) -> NaiveDate {
    now.with_timezone(&time_zone).date_naive()
}

#[cfg(test)]
mod tests {
    use chassis::config::Secret;
    use chrono::NaiveDate;
    use subgraph::pagination::{Cursor as _, CursorKey};

    use super::{Choice, PhotoId, Position, Rank, RankedCursor, Timeline, day_at, parse_day};

    #[test]
    fn other_spellings_are_not_days() {
        assert_eq!(
            parse_day("2026-11-22"),
            Ok(NaiveDate::from_ymd_opt(2026, 11, 22).unwrap())
        );
        assert!(parse_day("2028-02-29").is_ok());
        for text in [
            "",
            "today",
            "2026-11-31",
            "2027-02-29",
            "2026-1-2",
            " 2026-11-22",
            "2026-11-22 ",
            "22.11.2026",
            "2026-11-22T00:00:00Z",
            "+2026-11-22",
            "-2026-11-22",
            "12026-11-22",
            "２０２６-11-22",
            "2026-11-22\0",
            "2026/11/22",
            "\u{202e}2026-11-22",
            "📅",
        ] {
            assert!(parse_day(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_day_depends_on_the_time_zone() {
        let now = "2026-11-22T10:30:00Z".parse().unwrap();
        assert_eq!(day_at(now, chrono_tz::UTC).to_string(), "2026-11-22");
        assert_eq!(
            day_at(now, chrono_tz::Pacific::Kiritimati).to_string(),
            "2026-11-23"
        );
        assert_eq!(
            day_at(now, chrono_tz::Pacific::Pago_Pago).to_string(),
            "2026-11-21"
        );
    }

    #[test]
    fn choices_can_be_stored() {
        for choice in [Choice::Up, Choice::Down, Choice::None] {
            assert_eq!(Choice::from_value(choice.value()), choice);
        }
    }

    proptest::proptest! {
        #[test]
        fn a_cursor_can_be_decoded(version: u64, snapshot: u128, score: i32, wilson: i64, micros in 0_i64..4_000_000_000_000_000, photo: u128) {
            let rank = Rank {
                score,
                wilson,
                published_at: chrono::DateTime::from_timestamp_micros(micros).unwrap(),
                photo_id: PhotoId(uuid::Uuid::from_u128(photo)),
            };
            let list = CursorKey::new(&Secret::new("secret")).list("");
            for position in [Position::Index(7), Position::AfterSnapshot(rank)] {
                let cursor = RankedCursor { timeline: Timeline::Trending, version, snapshot: uuid::Uuid::from_u128(snapshot), position };
                proptest::prop_assert_eq!(RankedCursor::decode(&cursor.encode(&list), &list), Some(cursor));
            }
        }

        #[test]
        fn parsing_a_day_never_panics(text: String) {
            if let Ok(day) = parse_day(&text) {
                proptest::prop_assert_eq!(day.to_string(), text);
            }
        }
    }
}
