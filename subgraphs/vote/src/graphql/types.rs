#![expect(
    clippy::unused_async_trait_impl,
    reason = "the derive of an enum writes async functions that await nothing"
)]

use async_graphql::dataloader::DataLoader;
use async_graphql::{Context, Enum, ID, InputValueResult, Object, Scalar, ScalarType, SimpleObject, Value};
use chrono::NaiveDate;
use subgraph::viewer;

use crate::domain::{self, Choice, InvalidDay, PhotoId, Tally};
use crate::error::Error;
use crate::loaders::{Tallies, Votes};

// As an argument it contains the raw text, because async-graphql's own error would not name the field.
/// A day as it is written.
pub struct Date(String);

impl Date {
    /// Parses the day.
    pub fn parse(&self) -> Result<NaiveDate, InvalidDay> {
        domain::parse_day(&self.0)
    }
}

impl From<NaiveDate> for Date {
    fn from(day: NaiveDate) -> Self {
        Self(day.to_string())
    }
}

/// A calendar day, YYYY-MM-DD, in the site's time zone (UTC unless configured).
#[Scalar]
impl ScalarType for Date {
    fn parse(value: Value) -> InputValueResult<Self> {
        Ok(Self(match value {
            Value::String(text) => text,
            other => other.to_string(),
        }))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

/// The viewer's vote on a photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "Choice")]
pub enum VoteChoice {
    Up,
    Down,
    None,
}

/// The numbers of votes on a photo.
#[derive(SimpleObject)]
pub struct VoteTally {
    up: i32,
    down: i32,
    /// up − down: the score of the rankings.
    score: i32,
}

impl From<Tally> for VoteTally {
    fn from(tally: Tally) -> Self {
        // There are fewer users than the maximum of Int.
        let int = |count: i64| i32::try_from(count).unwrap_or(i32::MAX);
        Self {
            up: int(tally.up),
            down: int(tally.down),
            score: int(tally.score()),
        }
    }
}

/// A photo with the fields of votes.
#[derive(Debug, Clone, Copy)]
pub struct Photo {
    id: PhotoId,
    /// Set if it was loaded together with the photo.
    tally: Option<Tally>,
    /// Set if the viewer has just voted.
    vote: Option<Choice>,
}

impl Photo {
    /// Creates a photo with only its id.
    pub fn new(id: PhotoId) -> Self {
        Self {
            id,
            tally: None,
            vote: None,
        }
    }

    /// Creates a photo with its tally.
    pub fn counted(id: PhotoId, tally: Tally) -> Self {
        Self {
            tally: Some(tally),
            ..Self::new(id)
        }
    }

    /// Creates a photo on which the viewer has just voted.
    pub fn voted(id: PhotoId, tally: Tally, vote: Choice) -> Self {
        Self {
            vote: Some(vote),
            ..Self::counted(id, tally)
        }
    }
}

#[Object]
impl Photo {
    async fn id(&self) -> ID {
        self.id.0.into()
    }

    /// Exact, including the viewer's own vote.
    async fn votes(&self, ctx: &Context<'_>) -> subgraph::Result<Option<VoteTally>> {
        let tally = match self.tally {
            Some(tally) => Some(tally),
            None => ctx
                .data_unchecked::<DataLoader<Tallies>>()
                .load_one(self.id)
                .await
                .map_err(Error::from)?,
        };
        // A photo that is unknown here has no votes yet.
        Ok(Some(tally.unwrap_or_default().into()))
    }

    /// The viewer's own vote, UP or DOWN; null when signed out or not cast.
    async fn viewer_vote(&self, ctx: &Context<'_>) -> subgraph::Result<Option<VoteChoice>> {
        let vote = match (self.vote, viewer::viewer(ctx)) {
            (Some(vote), _) => Some(vote),
            (None, Some(viewer)) => {
                let votes = ctx.data_unchecked::<DataLoader<Votes>>();
                votes.load_one((viewer.id, self.id)).await.map_err(Error::from)?
            }
            (None, None) => None,
        };
        Ok(vote.filter(|vote| *vote != Choice::None).map(VoteChoice::from))
    }
}

/// A day of the archive.
pub struct HotDay(pub domain::HotDay);

#[Object]
impl HotDay {
    async fn day(&self) -> Date {
        self.0.day.into()
    }

    async fn photo_count(&self) -> i32 {
        i32::try_from(self.0.photo_count).unwrap_or(i32::MAX)
    }

    /// Null until the day is over; recorded when it ends. If that photo is deleted, the next one wins.
    async fn winner(&self) -> Option<Photo> {
        self.0.winner.map(Photo::new)
    }
}
