//! Pages of the ranked timelines, stable while votes and photos arrive.
//!
//! The first page belongs to a snapshot of the order: the one of the current version, or a new one if that version has
//! none. Cursors name the snapshot, so the pages after it come from the same order, on any replica.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use chassis::database::Pool;
use chassis::{Clock, database, transaction};
use chrono::TimeDelta;
use subgraph::pagination::{Page, PageError};
use tokio::sync::Mutex;

use crate::domain::{PhotoId, Place, Rank, RankedCursor, Tally, Timeline};
use crate::error::Error;
use crate::store::snapshots::{self, CHUNK, Current, Snapshot};
use crate::store::votes;

/// How long a reader may page through a snapshot.
const LIFE: TimeDelta = TimeDelta::hours(1);
/// How long a snapshot is given to new readers while the order stays as it is. After that it lives on for [`LIFE`].
const REUSE: TimeDelta = TimeDelta::minutes(5);
/// The longest time from a first page until its cursors expire.
pub const MAX_CURSOR_AGE: TimeDelta = TimeDelta::minutes(65);
/// The most ids that are looked at together for a page of which many photos are gone.
const REACH: u32 = 960;

/// A photo in its place.
#[derive(Debug, Clone, Copy)]
pub struct Ranked {
    /// The place.
    pub cursor: RankedCursor,
    /// The photo.
    pub photo: PhotoId,
    /// Its exact tally.
    pub tally: Tally,
}

/// Reads the ranked timelines. Cheap to clone.
#[derive(Clone)]
pub struct Timelines {
    pool: Pool,
    clock: Clock,
    /// Held while a snapshot is made, so that a thousand readers of a new version make one.
    making: Arc<Mutex<()>>,
}

impl Timelines {
    /// Reads them from `pool`.
    pub fn new(pool: Pool, clock: Clock) -> Self {
        Self {
            pool,
            clock,
            making: Arc::default(),
        }
    }

    /// Up to [`Page::rows`] photos of the page, without those that have been deleted meanwhile.
    pub async fn page(&self, timeline: Timeline, page: &Page<RankedCursor>) -> Result<Vec<Ranked>, Error> {
        let (snapshot, place) = match page.after {
            Some(cursor) => (self.pinned(&cursor, page.rows()).await?, Some(cursor.place)),
            None => match self.newest(timeline).await? {
                Some(snapshot) => (snapshot, None),
                None => return Ok(Vec::new()),
            },
        };
        let mut walk = Walk {
            pool: &self.pool,
            timeline,
            snapshot,
            wanted: page.rows() as usize,
            found: Vec::new(),
        };
        let below = match place {
            None => walk.read_snapshot(0).await?,
            Some(Place::At(position)) => walk.read_snapshot(position + 1).await?,
            Some(Place::Beyond(rank)) => Some(rank),
        };
        if let Some(rank) = below {
            walk.read_beyond(rank).await?;
        }
        Ok(walk.found)
    }

    /// The snapshot that a reader of the first page begins with. `None` where there never was a photo.
    async fn newest(&self, timeline: Timeline) -> Result<Option<Snapshot>, Error> {
        match self.current(timeline).await? {
            Current::Empty => return Ok(None),
            Current::Snapshot(snapshot) => return Ok(Some(snapshot)),
            Current::Unread => {}
        }
        let _alone = self.making.lock().await;
        match self.current(timeline).await? {
            Current::Empty => Ok(None),
            Current::Snapshot(snapshot) => Ok(Some(snapshot)),
            Current::Unread => {
                let now = self.clock.now();
                let expires_at = now + REUSE + LIFE;
                // A new id for each try: the first may have been committed although its answer was lost. Its snapshot
                // then expires unread.
                transaction!(self.pool, Error, |tx, _| {
                    let id = chassis::id::new_uuid(now);
                    Ok(snapshots::make(tx, timeline, id, expires_at).await?)
                })
            }
        }
    }

    async fn current(&self, timeline: Timeline) -> Result<Current, Error> {
        Ok(snapshots::current(&self.pool, timeline, self.clock.now() + LIFE).await?)
    }

    /// The snapshot of a cursor; one that has expired, or that never was, makes the cursor invalid.
    async fn pinned(&self, cursor: &RankedCursor, rows: u32) -> Result<Snapshot, Error> {
        let positions = match cursor.place {
            Place::At(position) => {
                let start = position.checked_add(1).ok_or(PageError::After)?;
                start..start.saturating_add(rows)
            }
            Place::Beyond(_) => 0..1,
        };
        let now = self.clock.now();
        let mut found = snapshots::pinned(&self.pool, cursor, positions.clone(), now).await?;
        if found.is_none() {
            // Another node may have it already.
            let mut latest = database::read_latest(&self.pool).await?;
            found = snapshots::pinned(&mut *latest, cursor, positions, now).await?;
        }
        let snapshot = found.ok_or(PageError::After)?;
        let issued = match cursor.place {
            Place::At(position) => position < snapshot.length,
            Place::Beyond(_) => snapshot.tail.is_some(),
        };
        if issued {
            Ok(snapshot)
        } else {
            Err(PageError::After.into())
        }
    }
}

/// One page being read.
struct Walk<'a> {
    pool: &'a Pool,
    timeline: Timeline,
    snapshot: Snapshot,
    wanted: usize,
    found: Vec<Ranked>,
}

impl Walk<'_> {
    /// Reads on from `position`. Returns the rank from which the timeline goes on beyond the snapshot, if that is
    /// still needed.
    async fn read_snapshot(&mut self, mut position: u32) -> Result<Option<Rank>, Error> {
        let mut reach = u32::try_from(self.wanted).unwrap_or(REACH);
        while self.found.len() < self.wanted && position < self.snapshot.length {
            let end = position.saturating_add(reach).min(self.snapshot.length);
            let ids = self.ids(position, end).await?;
            let tallies = votes::tallies(self.pool, &ids).await?;
            for (at, id) in (position..).zip(ids) {
                if let Some((tally, true)) = tallies.get(&id) {
                    self.push(Place::At(at), id, *tally);
                }
            }
            position = end;
            // Where many photos in a row are gone, longer strides find the next one sooner.
            reach = (reach * 2).min(REACH);
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

    /// Reads on below `rank` in the order as it is now, without what the snapshot has shown already.
    async fn read_beyond(&mut self, mut rank: Rank) -> Result<(), Error> {
        let shown: HashSet<PhotoId> = self.ids(0, self.snapshot.length).await?.into_iter().collect();
        while self.found.len() < self.wanted {
            let below = snapshots::trending_below(self.pool, &rank, REACH).await?;
            let fresh: Vec<Rank> = below
                .iter()
                .filter(|rank| !shown.contains(&rank.photo_id))
                .take(self.wanted - self.found.len())
                .copied()
                .collect();
            let ids: Vec<PhotoId> = fresh.iter().map(|rank| rank.photo_id).collect();
            let tallies = votes::tallies(self.pool, &ids).await?;
            for rank in fresh {
                if let Some((tally, true)) = tallies.get(&rank.photo_id) {
                    self.push(Place::Beyond(rank), rank.photo_id, *tally);
                }
            }
            match below.last() {
                Some(last) if below.len() == REACH as usize => rank = *last,
                _ => break,
            }
        }
        Ok(())
    }

    fn push(&mut self, place: Place, photo: PhotoId, tally: Tally) {
        if self.found.len() < self.wanted {
            let cursor = RankedCursor {
                timeline: self.timeline,
                version: self.snapshot.version,
                snapshot: self.snapshot.id,
                place,
            };
            self.found.push(Ranked { cursor, photo, tally });
        }
    }

    /// The ids at the positions from `start` up to `end`.
    async fn ids(&mut self, start: u32, end: u32) -> Result<Vec<PhotoId>, Error> {
        let (first, last) = (start / CHUNK, end.saturating_sub(1) / CHUNK);
        let chunks: &mut BTreeMap<_, _> = &mut self.snapshot.chunks;
        if (first..=last).any(|ordinal| !chunks.contains_key(&ordinal)) {
            chunks.extend(snapshots::chunks(self.pool, self.snapshot.id, first, last).await?);
        }
        let from_first = chunks.range(first..=last).flat_map(|(_, ids)| ids).copied();
        Ok(from_first
            .skip((start % CHUNK) as usize)
            .take((end - start) as usize)
            .collect())
    }
}
