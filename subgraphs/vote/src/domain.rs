//! Votes, tallies, ranks and days, without a database.

use std::fmt;

use chassis::UserId;
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use subgraph::pagination::Cursor;
use uuid::Uuid;

chassis::id_newtype! {
    /// A photo. The photo service makes these.
    PhotoId
}

/// A vote on a photo: up, down or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// For the photo.
    Up,
    /// Against it.
    Down,
    /// Neither: an earlier vote is taken back.
    None,
}

impl Choice {
    /// How the ledger writes it.
    pub fn value(self) -> i8 {
        match self {
            Self::Up => 1,
            Self::Down => -1,
            Self::None => 0,
        }
    }

    /// Reads what the ledger wrote.
    pub fn from_value(value: i8) -> Self {
        match value.signum() {
            1 => Self::Up,
            -1 => Self::Down,
            _ => Self::None,
        }
    }
}

/// How many votes a photo has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// For it.
    pub up: i64,
    /// Against it.
    pub down: i64,
}

impl Tally {
    /// The score that timelines rank by.
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
    /// The day on which it competes; set once, in the site's time zone.
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

/// A photo, as this service knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It can be voted on, by anybody but its author.
    Listed {
        /// The author, who may not vote on it.
        author: UserId,
    },
    /// It was deleted.
    Deleted,
}

/// A timeline in which the best votes come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Timeline {
    /// The photos of one day.
    Hot(NaiveDate),
    /// All photos.
    Trending,
}

impl Timeline {
    /// How many places a snapshot of it has; none for all.
    pub fn places(self) -> Option<u32> {
        match self {
            Self::Hot(_) => None,
            Self::Trending => Some(5_000),
        }
    }
}

/// Its name in the database.
impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hot(day) => write!(f, "{day}"),
            Self::Trending => f.write_str("trending"),
        }
    }
}

/// The sort key of a ranked timeline, best first when it is read downwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rank {
    /// Up − down.
    pub score: i32,
    /// The Wilson lower bound, in units of 1e-12; breaks ties of the score.
    pub wilson: i64,
    /// The newer photo comes first where both are equal.
    pub published_at: DateTime<Utc>,
    /// Nothing is equal to the end.
    pub photo_id: PhotoId,
}

/// A place in a ranked timeline, pinned to the snapshot in which its reader began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankedCursor {
    /// Which timeline.
    pub timeline: Timeline,
    /// Which version of its order.
    pub version: u64,
    /// Which snapshot of that version.
    pub snapshot: Uuid,
    /// Where in it.
    pub place: Place,
}

/// Where in a ranked timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// The position in the snapshot, from 0.
    At(u32),
    /// Beyond its end, where only the order is promised.
    Beyond(Rank),
}

impl Cursor for RankedCursor {
    const KIND: &'static str = "ranked";
}

/// A place in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayCursor(pub NaiveDate);

impl Cursor for DayCursor {
    const KIND: &'static str = "day";
}

/// A day of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HotDay {
    /// Which.
    pub day: NaiveDate,
    /// How many photos of it there are.
    pub photo_count: i64,
    /// The best of them, once the day is over.
    pub winner: Option<PhotoId>,
}

/// A text that is no day.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("A day is written as YYYY-MM-DD.")]
pub struct InvalidDay;

/// Reads `YYYY-MM-DD` and nothing else.
pub fn parse_day(text: &str) -> Result<NaiveDate, InvalidDay> {
    let day: NaiveDate = text.parse().map_err(|_| InvalidDay)?;
    // chrono also takes spaces, signs, single digits and years that no DATE can hold; there is one spelling of a day.
    if text.len() == 10 && day.to_string() == text {
        Ok(day)
    } else {
        Err(InvalidDay)
    }
}

/// The day that it is at `now` where the site is.
pub fn day_at(now: DateTime<Utc>, time_zone: Tz) -> NaiveDate {
    now.with_timezone(&time_zone).date_naive()
}

#[cfg(test)]
mod tests {
    use chassis::config::Secret;
    use chrono::NaiveDate;
    use subgraph::pagination::{Cursor as _, CursorKey};

    use super::{Choice, PhotoId, Place, Rank, RankedCursor, Timeline, day_at, parse_day};

    #[test]
    fn a_day_has_one_spelling() {
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
    fn the_day_is_that_of_the_time_zone() {
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
    fn the_ledger_reads_back_what_it_wrote() {
        for choice in [Choice::Up, Choice::Down, Choice::None] {
            assert_eq!(Choice::from_value(choice.value()), choice);
        }
    }

    proptest::proptest! {
        #[test]
        fn a_cursor_reads_back(version: u64, snapshot: u128, score: i32, wilson: i64, micros in 0_i64..4_000_000_000_000_000, photo: u128) {
            let rank = Rank {
                score,
                wilson,
                published_at: chrono::DateTime::from_timestamp_micros(micros).unwrap(),
                photo_id: PhotoId(uuid::Uuid::from_u128(photo)),
            };
            let list = CursorKey::new(&Secret::new("secret")).list("");
            for place in [Place::At(7), Place::Beyond(rank)] {
                let cursor = RankedCursor { timeline: Timeline::Trending, version, snapshot: uuid::Uuid::from_u128(snapshot), place };
                proptest::prop_assert_eq!(RankedCursor::decode(&cursor.encode(&list), &list), Some(cursor));
            }
        }

        #[test]
        fn no_text_of_a_day_makes_it_panic(text: String) {
            if let Ok(day) = parse_day(&text) {
                proptest::prop_assert_eq!(day.to_string(), text);
            }
        }
    }
}
