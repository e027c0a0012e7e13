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

// As an argument it holds the raw text: async-graphql could only say that a value is invalid, and not in which field.
/// A day as it is written.
pub struct Date(String);

impl Date {
    /// The day, where the text is one.
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
    /// For the photo.
    Up,
    /// Against it.
    Down,
    /// Neither.
    None,
}

/// How many votes a photo has.
#[derive(SimpleObject)]
pub struct VoteTally {
    up: i32,
    down: i32,
    /// up − down: what the timelines rank by.
    score: i32,
}

impl From<Tally> for VoteTally {
    fn from(tally: Tally) -> Self {
        // There are fewer people than an Int can count.
        let int = |count: i64| i32::try_from(count).unwrap_or(i32::MAX);
        Self {
            up: int(tally.up),
            down: int(tally.down),
            score: int(tally.score()),
        }
    }
}

/// A photo, as far as votes go.
#[derive(Debug, Clone, Copy)]
pub struct Photo {
    id: PhotoId,
    /// Where it was read together with the photo.
    tally: Option<Tally>,
    /// Where the viewer has just cast it.
    vote: Option<Choice>,
}

impl Photo {
    /// A photo of which only the id is known.
    pub fn new(id: PhotoId) -> Self {
        Self {
            id,
            tally: None,
            vote: None,
        }
    }

    /// A photo with its tally.
    pub fn counted(id: PhotoId, tally: Tally) -> Self {
        Self {
            tally: Some(tally),
            ..Self::new(id)
        }
    }

    /// A photo on which the viewer has just voted.
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

    /// Exact at once, own vote included.
    async fn votes(&self, ctx: &Context<'_>) -> subgraph::Result<Option<VoteTally>> {
        let tally = match self.tally {
            Some(tally) => Some(tally),
            None => ctx
                .data_unchecked::<DataLoader<Tallies>>()
                .load_one(self.id)
                .await
                .map_err(Error::from)?,
        };
        // A photo that has not been heard of here has no votes yet.
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

    /// Null while the day is not over; recorded once when it ends. Deleting that photo promotes the next.
    async fn winner(&self) -> Option<Photo> {
        self.0.winner.map(Photo::new)
    }
}
