//! Pages of the ranked timelines, stable while votes and photos arrive.
//!
//! The first page is read from a snapshot of the order: that of the current version, or a new one. Cursors contain the
//! snapshot, so later pages have the same order, on any replica.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use chassis::database::Pool;
use chassis::{Clock, database, transaction};
use chrono::TimeDelta;
use subgraph::pagination::{Page, PageError};
use tokio::sync::Mutex;

use crate::domain::{PhotoId, Position, Rank, RankedCursor, Tally, Timeline};
use crate::error::Error;
use crate::store::snapshots::{self, Current, IDS_PER_CHUNK, Snapshot};
use crate::store::votes;

/// How long a reader may page through a snapshot.
const SNAPSHOT_LIFETIME: TimeDelta = TimeDelta::hours(1);
/// How long a snapshot is used for new readers while the order is unchanged. After that it is kept for
/// [`SNAPSHOT_LIFETIME`].
const SNAPSHOT_REUSE: TimeDelta = TimeDelta::minutes(5);
/// The maximum time from a first page until its cursors expire.
pub const MAX_CURSOR_AGE: TimeDelta = TimeDelta::minutes(65);
/// The maximum number of ids that are read at once if many photos of a page were deleted.
const MAX_STEP: u32 = 960;

/// A photo and its position.
#[derive(Debug, Clone, Copy)]
pub struct Ranked {
    pub cursor: RankedCursor,
    pub photo: PhotoId,
    /// The exact tally.
    pub tally: Tally,
}

/// Reads the ranked timelines. Cheap to clone.
#[derive(Clone)]
pub struct Timelines {
    pool: Pool,
    clock: Clock,
    /// Locked while a snapshot is created, so that many concurrent readers of a new version create one.
    creating: Arc<Mutex<()>>,
}

impl Timelines {
    pub fn new(pool: Pool, clock: Clock) -> Self {
        Self {
            pool,
            clock,
            creating: Arc::default(),
        }
    }

    /// Returns up to [`Page::rows`] photos of the page. Deleted photos are skipped.
    pub async fn page(&self, timeline: Timeline, page: &Page<RankedCursor>) -> Result<Vec<Ranked>, Error> {
        let (snapshot, position) = match page.after {
            Some(cursor) => (self.pinned(&cursor, page.rows()).await?, Some(cursor.position)),
            None => match self.snapshot_for_first_page(timeline).await? {
                Some(snapshot) => (snapshot, None),
                None => return Ok(Vec::new()),
            },
        };
        let mut walk = PageReader {
            pool: &self.pool,
            timeline,
            snapshot,
            wanted: page.rows() as usize,
            found: Vec::new(),
        };
        let below = match position {
            None => walk.read_snapshot(0).await?,
            Some(Position::Index(position)) => walk.read_snapshot(position + 1).await?,
            Some(Position::AfterSnapshot(rank)) => Some(rank),
        };
        if let Some(rank) = below {
            walk.read_after_snapshot(rank).await?;
        }
        Ok(walk.found)
    }

    /// Returns the snapshot for a first page. `None` if there never was a photo.
    async fn snapshot_for_first_page(&self, timeline: Timeline) -> Result<Option<Snapshot>, Error> {
        match self.current(timeline).await? {
            Current::Empty => return Ok(None),
            Current::Snapshot(snapshot) => return Ok(Some(snapshot)),
            Current::Missing => {}
        }
        let _alone = self.creating.lock().await;
        match self.current(timeline).await? {
            Current::Empty => Ok(None),
            Current::Snapshot(snapshot) => Ok(Some(snapshot)),
            Current::Missing => {
                let now = self.clock.now();
                let expires_at = now + SNAPSHOT_REUSE + SNAPSHOT_LIFETIME;
                // A new id for each attempt: the first one may have been committed although its response was lost. Its
                // snapshot expires unused.
                transaction!(self.pool, Error, |tx, _| {
                    let id = chassis::id::new_uuid(now);
                    Ok(snapshots::create(tx, timeline, id, expires_at).await?)
                })
            }
        }
    }

    async fn current(&self, timeline: Timeline) -> Result<Current, Error> {
        Ok(snapshots::current(&self.pool, timeline, self.clock.now() + SNAPSHOT_LIFETIME).await?)
    }

    /// Returns the snapshot of a cursor. If it has expired or never existed, the cursor is invalid.
    async fn pinned(&self, cursor: &RankedCursor, rows: u32) -> Result<Snapshot, Error> {
        let positions = match cursor.position {
            Position::Index(position) => {
                let start = position.checked_add(1).ok_or(PageError::After)?;
                start..start.saturating_add(rows)
            }
            Position::AfterSnapshot(_) => 0..1,
        };
        let now = self.clock.now();
        let mut found = snapshots::pinned(&self.pool, cursor, positions.clone(), now).await?;
        if found.is_none() {
            // Another node may have created it already.
            let mut latest = database::read_latest(&self.pool).await?;
            found = snapshots::pinned(&mut *latest, cursor, positions, now).await?;
        }
        let snapshot = found.ok_or(PageError::After)?;
        let issued = match cursor.position {
            Position::Index(position) => position < snapshot.length,
            Position::AfterSnapshot(_) => snapshot.tail.is_some(),
        };
        if issued {
            Ok(snapshot)
        } else {
            Err(PageError::After.into())
        }
    }
}

/// The state of reading a page.
struct PageReader<'a> {
    pool: &'a Pool,
    timeline: Timeline,
    snapshot: Snapshot,
    wanted: usize,
    found: Vec<Ranked>,
}

impl PageReader<'_> {
    /// Reads from `position`. Returns the rank at which the page continues after the snapshot, if it is not full.
    async fn read_snapshot(&mut self, mut position: u32) -> Result<Option<Rank>, Error> {
        let mut step = u32::try_from(self.wanted).unwrap_or(MAX_STEP);
        while self.found.len() < self.wanted && position < self.snapshot.length {
            let end = position.saturating_add(step).min(self.snapshot.length);
            let ids = self.ids(position, end).await?;
            let tallies = votes::tallies(self.pool, &ids).await?;
            for (at, id) in (position..).zip(ids) {
                if let Some((tally, true)) = tallies.get(&id) {
                    self.push(Position::Index(at), id, *tally);
                }
            }
            position = end;
            // After many deleted photos, larger steps find the next one sooner.
            step = (step * 2).min(MAX_STEP);
        }
        if self.found.len() >= self.wanted {
            return Ok(None);
        }
        let Some(tail) = self.snapshot.tail else {
            return Ok(None);
        };
        let last = self.ids(self.snapshot.length - 1, self.snapshot.length).await?;
        Ok(last.first().map(|photo| Rank {
            score: tail.score,
            wilson: tail.wilson,
            published_at: tail.published_at,
            photo_id: *photo,
        }))
    }

    /// Reads below `rank` in the current order, without photos of the snapshot.
    async fn read_after_snapshot(&mut self, mut rank: Rank) -> Result<(), Error> {
        let format_votes: HashSet<PhotoId> = self.ids(0, self.snapshot.length).await?.into_iter().collect();
        while self.found.len() < self.wanted {
            let below = snapshots::trending_below(self.pool, &rank, MAX_STEP).await?;
            let fresh: Vec<Rank> = below
                .iter()
                .filter(|rank| !format_votes.contains(&rank.photo_id))
                .take(self.wanted - self.found.len())
                .copied()
                .collect();
            let ids: Vec<PhotoId> = fresh.iter().map(|rank| rank.photo_id).collect();
            let tallies = votes::tallies(self.pool, &ids).await?;
            for rank in fresh {
                if let Some((tally, true)) = tallies.get(&rank.photo_id) {
                    self.push(Position::AfterSnapshot(rank), rank.photo_id, *tally);
                }
            }
            match below.last() {
                Some(last) if below.len() == MAX_STEP as usize => rank = *last,
                _ => break,
            }
        }
        Ok(())
    }

    fn push(&mut self, position: Position, photo: PhotoId, tally: Tally) {
        if self.found.len() < self.wanted {
            let cursor = RankedCursor {
                timeline: self.timeline,
                version: self.snapshot.version,
                snapshot: self.snapshot.id,
                position,
            };
            self.found.push(Ranked { cursor, photo, tally });
        }
    }

    /// Returns the ids at the positions from `start` to `end`.
    async fn ids(&mut self, start: u32, end: u32) -> Result<Vec<PhotoId>, Error> {
        let (first, last) = (start / IDS_PER_CHUNK, end.saturating_sub(1) / IDS_PER_CHUNK);
        let chunks: &mut BTreeMap<_, _> = &mut self.snapshot.chunks;
        if (first..=last).any(|ordinal| !chunks.contains_key(&ordinal)) {
            chunks.extend(snapshots::chunks(self.pool, self.snapshot.id, first, last).await?);
        }
        let from_first = chunks.range(first..=last).flat_map(|(_, ids)| ids).copied();
        Ok(from_first
            .skip((start % IDS_PER_CHUNK) as usize)
            .take((end - start) as usize)
            .collect())
    }
}
