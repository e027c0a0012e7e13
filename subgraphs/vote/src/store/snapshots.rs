//! The tables `timeline`, `snapshot` and `snapshot_chunk`: the order in which readers page through a timeline.

use std::collections::BTreeMap;
use std::ops::Range;

use chrono::{DateTime, Utc};
use sqlx::{MySql, MySqlConnection, MySqlExecutor, QueryBuilder};
use uuid::Uuid;

use crate::domain::{PhotoId, Rank, RankedCursor, Timeline};

/// The number of ids in a row of `snapshot_chunk`.
pub const IDS_PER_CHUNK: u32 = 240;

/// A snapshot with the loaded chunks.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The version of the timeline's order.
    pub version: u64,
    pub id: Uuid,
    /// The number of photos.
    pub length: u32,
    /// The rank of the last photo, if the timeline continues after the snapshot.
    pub tail: Option<Tail>,
    /// Ids by the number of the chunk.
    pub chunks: BTreeMap<u32, Vec<PhotoId>>,
}

/// The rank of the last photo of a snapshot.
#[derive(Debug, Clone, Copy)]
pub struct Tail {
    /// Up − down.
    pub score: i32,
    /// The lower bound of the Wilson interval.
    pub wilson: i64,
    pub published_at: DateTime<Utc>,
}

struct Row {
    current: u64,
    id: Option<Uuid>,
    length: Option<u32>,
    tail_score: Option<i32>,
    tail_wilson: Option<i64>,
    tail_published_at: Option<DateTime<Utc>>,
    ordinal: Option<u32>,
    ids: Option<Vec<u8>>,
}

/// The state of a timeline's snapshots.
#[derive(Debug)]
pub enum Current {
    /// The timeline has never had a photo.
    Empty,
    /// The current version has no snapshot, or only one that expires too soon.
    Missing,
    /// The current snapshot with its first chunk.
    Snapshot(Snapshot),
}

/// Returns the snapshot of the current order, if it expires after `until`.
pub async fn current(
    executor: impl MySqlExecutor<'_>,
    timeline: Timeline,
    until: DateTime<Utc>,
) -> Result<Current, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT t.version AS current, s.id AS "id: Uuid", s.length AS "length?", s.tail_score, s.tail_wilson,
                  s.tail_published_at AS "tail_published_at: DateTime<Utc>", c.ordinal AS "ordinal?", c.ids AS "ids?"
           FROM timeline t
           LEFT JOIN snapshot s ON s.timeline = t.name AND s.version = t.version AND s.expires_at >= ?
           LEFT JOIN snapshot_chunk c ON c.snapshot_id = s.id AND c.ordinal = 0
           WHERE t.name = ? ORDER BY s.id DESC LIMIT 1"#,
        until,
        timeline.to_string(),
    )
    .fetch_optional(executor)
    .await?;
    let Some(row) = row else {
        return Ok(Current::Empty);
    };
    Ok(from_rows(vec![row]).map_or(Current::Missing, Current::Snapshot))
}

/// Returns the snapshot of a cursor, unless it has expired, with the chunks of `positions`.
pub async fn pinned(
    executor: impl MySqlExecutor<'_>,
    cursor: &RankedCursor,
    positions: Range<u32>,
    now: DateTime<Utc>,
) -> Result<Option<Snapshot>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT s.version AS current, s.id AS "id: Uuid", s.length AS "length?", s.tail_score, s.tail_wilson,
                  s.tail_published_at AS "tail_published_at: DateTime<Utc>", c.ordinal AS "ordinal?", c.ids AS "ids?"
           FROM snapshot s
           LEFT JOIN snapshot_chunk c ON c.snapshot_id = s.id AND c.ordinal BETWEEN ? AND ?
           WHERE s.timeline = ? AND s.version = ? AND s.id = ? AND s.expires_at > ?"#,
        positions.start / IDS_PER_CHUNK,
        positions.end.saturating_sub(1) / IDS_PER_CHUNK,
        cursor.timeline.to_string(),
        cursor.version,
        cursor.snapshot,
        now,
    )
    .fetch_all(executor)
    .await?;
    Ok(from_rows(rows))
}

fn from_rows(rows: Vec<Row>) -> Option<Snapshot> {
    let first = rows.first()?;
    let mut snapshot = Snapshot {
        version: first.current,
        id: first.id?,
        length: first.length?,
        tail: match (first.tail_score, first.tail_wilson, first.tail_published_at) {
            (Some(score), Some(wilson), Some(published_at)) => Some(Tail {
                score,
                wilson,
                published_at,
            }),
            _ => None,
        },
        chunks: BTreeMap::new(),
    };
    for row in rows {
        if let (Some(ordinal), Some(ids)) = (row.ordinal, row.ids) {
            snapshot.chunks.insert(ordinal, unpack(&ids));
        }
    }
    Some(snapshot)
}

/// Reads the chunks from `first` to `last` of a snapshot.
pub async fn chunks(
    executor: impl MySqlExecutor<'_>,
    snapshot: Uuid,
    first: u32,
    last: u32,
) -> Result<BTreeMap<u32, Vec<PhotoId>>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT ordinal, ids FROM snapshot_chunk WHERE snapshot_id = ? AND ordinal BETWEEN ? AND ?",
        snapshot,
        first,
        last,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.ordinal, unpack(&row.ids)))
        .collect())
}

/// Creates a snapshot of the order in this transaction. `None` if the timeline has never had a photo.
pub async fn create(
    connection: &mut MySqlConnection,
    timeline: Timeline,
    id: Uuid,
    expires_at: DateTime<Utc>,
) -> Result<Option<Snapshot>, sqlx::Error> {
    let name = timeline.to_string();
    // Read before the order: if the order is newer, the snapshot is only replaced earlier than needed.
    let version = sqlx::query_scalar!("SELECT version FROM timeline WHERE name = ?", name)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(version) = version else {
        return Ok(None);
    };
    let order = order(connection, timeline).await?;
    let length = u32::try_from(order.len()).unwrap_or(u32::MAX);
    let tail = match (timeline.max_length(), order.last()) {
        (Some(max_length), Some(last)) if length >= max_length => tail(connection, *last).await?,
        _ => None,
    };
    sqlx::query!(
        "INSERT INTO snapshot (timeline, version, id, length, expires_at, tail_score, tail_wilson, tail_published_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        name,
        version,
        id,
        length,
        expires_at,
        tail.map(|tail| tail.score),
        tail.map(|tail| tail.wilson),
        tail.map(|tail| tail.published_at),
    )
    .execute(&mut *connection)
    .await?;
    let chunks: BTreeMap<u32, Vec<PhotoId>> = (0..)
        .zip(order.chunks(IDS_PER_CHUNK as usize).map(<[_]>::to_vec))
        .collect();
    let rows: Vec<_> = chunks.iter().collect();
    // A hundred chunks are 400 KB, well below the maximum packet size.
    for rows in rows.chunks(100) {
        let mut query = QueryBuilder::<MySql>::new("INSERT INTO snapshot_chunk (snapshot_id, ordinal, ids) ");
        query.push_values(rows, |mut row, (ordinal, ids)| {
            row.push_bind(id).push_bind(**ordinal).push_bind(pack(ids));
        });
        query.build().persistent(false).execute(&mut *connection).await?;
    }
    Ok(Some(Snapshot {
        version,
        id,
        length,
        tail,
        chunks,
    }))
}

async fn order(connection: &mut MySqlConnection, timeline: Timeline) -> Result<Vec<PhotoId>, sqlx::Error> {
    match timeline {
        Timeline::Hot(day) => {
            sqlx::query_scalar!(
                r#"SELECT photo_id AS "photo_id: PhotoId" FROM photo_score WHERE hot_day = ? AND listed = 1
                   ORDER BY score DESC, wilson DESC, published_at DESC, photo_id DESC"#,
                day,
            )
            .fetch_all(connection)
            .await
        }
        Timeline::Trending => {
            sqlx::query_scalar!(
                r#"SELECT photo_id AS "photo_id: PhotoId" FROM photo_score WHERE listed = 1
                   ORDER BY score DESC, wilson DESC, published_at DESC, photo_id DESC LIMIT ?"#,
                timeline.max_length(),
            )
            .fetch_all(connection)
            .await
        }
    }
}

async fn tail(connection: &mut MySqlConnection, last: PhotoId) -> Result<Option<Tail>, sqlx::Error> {
    sqlx::query_as!(
        Tail,
        r#"SELECT score AS "score!", wilson AS "wilson!", published_at AS "published_at!: DateTime<Utc>"
           FROM photo_score WHERE photo_id = ?"#,
        last,
    )
    .fetch_optional(connection)
    .await
}

/// Returns the photos below `rank` in Trending, best first.
pub async fn trending_below(
    executor: impl MySqlExecutor<'_>,
    rank: &Rank,
    limit: u32,
) -> Result<Vec<Rank>, sqlx::Error> {
    sqlx::query_as!(
        Rank,
        r#"SELECT score AS "score!", wilson AS "wilson!", published_at AS "published_at!: DateTime<Utc>", photo_id AS "photo_id: PhotoId"
           FROM photo_score
           WHERE listed = 1 AND (score < ?
               OR (score = ? AND wilson < ?)
               OR (score = ? AND wilson = ? AND published_at < ?)
               OR (score = ? AND wilson = ? AND published_at = ? AND photo_id < ?))
           ORDER BY score DESC, wilson DESC, published_at DESC, photo_id DESC LIMIT ?"#,
        rank.score,
        rank.score,
        rank.wilson,
        rank.score,
        rank.wilson,
        rank.published_at,
        rank.score,
        rank.wilson,
        rank.published_at,
        rank.photo_id,
        limit,
    )
    .fetch_all(executor)
    .await
}

/// Deletes at most forty expired snapshots. Returns their number.
pub async fn delete_expired(
    connection: &mut MySqlConnection,
    now: DateTime<Utc>,
) -> Result<usize, sqlx::Error> {
    let expired = sqlx::query!(
        r#"SELECT timeline, version, id AS "id: Uuid" FROM snapshot WHERE expires_at <= ? ORDER BY expires_at LIMIT 40"#,
        now,
    )
    .fetch_all(&mut *connection)
    .await?;
    for snapshot in &expired {
        // Chunks first, because a remaining snapshot leads to its remaining chunks.
        while sqlx::query!(
            "DELETE FROM snapshot_chunk WHERE snapshot_id = ? LIMIT 1000",
            snapshot.id
        )
        .execute(&mut *connection)
        .await?
        .rows_affected()
            == 1000
        {}
        sqlx::query!(
            "DELETE FROM snapshot WHERE timeline = ? AND version = ? AND id = ?",
            snapshot.timeline,
            snapshot.version,
            snapshot.id,
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(expired.len())
}

fn pack(ids: &[PhotoId]) -> Vec<u8> {
    ids.iter().flat_map(|id| id.0.into_bytes()).collect()
}

fn unpack(bytes: &[u8]) -> Vec<PhotoId> {
    let (ids, _) = bytes.as_chunks();
    ids.iter().map(|id| PhotoId(Uuid::from_bytes(*id))).collect()
}
