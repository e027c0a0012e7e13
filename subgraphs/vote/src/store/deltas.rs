//! The table `vote_delta`: changes by votes that are not folded into `photo_score` yet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use chassis::database::push_ids;
use chrono::NaiveDate;
use sqlx::mysql::MySqlDatabaseError;
use sqlx::{MySql, MySqlConnection, MySqlExecutor, QueryBuilder};
use uuid::Uuid;

use crate::domain::{PhotoId, Timeline};

/// A change of a photo's tally.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delta {
    pub id: Uuid,
    pub photo: PhotoId,
    /// The change of the number of upvotes.
    pub up: i32,
    /// The change of the number of downvotes.
    pub down: i32,
}

/// Appends an empty delta for a new or deleted photo, so that its timelines are ranked again.
pub async fn announce(connection: &mut MySqlConnection, photo: PhotoId, id: Uuid) -> Result<(), sqlx::Error> {
    append(
        connection,
        &[Delta {
            id,
            photo,
            up: 0,
            down: 0,
        }],
    )
    .await
}

/// Appends deltas. Idempotent, for retries after a commit whose response was lost.
pub async fn append(connection: &mut MySqlConnection, deltas: &[Delta]) -> Result<(), sqlx::Error> {
    if deltas.is_empty() {
        return Ok(());
    }
    let mut query = QueryBuilder::<MySql>::new("INSERT INTO vote_delta (id, photo_id, up, down) ");
    query.push_values(deltas, |mut row, delta| {
        row.push_bind(delta.id)
            .push_bind(delta.photo)
            .push_bind(delta.up)
            .push_bind(delta.down);
    });
    query.push(" ON DUPLICATE KEY UPDATE id = VALUES(id)");
    // Only the most frequent length is worth a slot in the statement cache.
    query
        .build()
        .persistent(deltas.len() == 1)
        .execute(connection)
        .await
        .map(drop)
}

/// Returns the age of a delta, from the time in its id.
pub fn age(delta: &Delta) -> Option<Duration> {
    let (seconds, nanoseconds) = delta.id.get_timestamp()?.to_unix();
    let made = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds);
    SystemTime::now().duration_since(made).ok()
}

/// Returns the oldest deltas.
pub async fn oldest(executor: impl MySqlExecutor<'_>, limit: u32) -> Result<Vec<Delta>, sqlx::Error> {
    sqlx::query_as!(
        Delta,
        r#"SELECT id AS "id: Uuid", photo_id AS "photo: PhotoId", up, down FROM vote_delta ORDER BY id LIMIT ?"#,
        limit,
    )
    .fetch_all(executor)
    .await
}

/// Whether a row was changed by another transaction after this one had read it (error 1020).
pub fn changed_since_read(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>())
        .is_some_and(|error| error.number() == 1020)
}

/// Deletes these deltas. Returns how many still existed.
pub async fn remove(connection: &mut MySqlConnection, deltas: &[Delta]) -> Result<u64, sqlx::Error> {
    // Without the hint MariaDB scans a short table, and locks its end, where voters insert.
    let mut query =
        QueryBuilder::<MySql>::new("DELETE d FROM vote_delta d FORCE INDEX (PRIMARY) WHERE d.id IN ");
    push_ids(&mut query, deltas.iter().map(|delta| delta.id));
    let done = query.build().execute(connection).await?;
    Ok(done.rows_affected())
}

/// Adds changes, summed by photo, to the folded tallies. Ordered by id, so that two workers lock in the same order. An
/// unknown photo gets an unlisted row.
pub async fn fold_into_scores(
    connection: &mut MySqlConnection,
    changes: &BTreeMap<PhotoId, (i32, i32)>,
) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut query = QueryBuilder::<MySql>::new("INSERT INTO photo_score (photo_id, up, down) ");
    query.push_values(changes, |mut row, (photo, (up, down))| {
        row.push_bind(*photo).push_bind(*up).push_bind(*down);
    });
    query.push(" ON DUPLICATE KEY UPDATE up = up + VALUES(up), down = down + VALUES(down)");
    query
        .build()
        .persistent(false)
        .execute(connection)
        .await
        .map(drop)
}

/// Returns the days of these photos.
pub async fn days_of(
    connection: &mut MySqlConnection,
    photos: impl IntoIterator<Item = PhotoId>,
) -> Result<BTreeSet<NaiveDate>, sqlx::Error> {
    let mut query = QueryBuilder::<MySql>::new(
        "SELECT DISTINCT hot_day FROM photo_score WHERE hot_day IS NOT NULL AND photo_id IN ",
    );
    push_ids(&mut query, photos);
    let days: Vec<NaiveDate> = query.build_query_scalar().fetch_all(connection).await?;
    Ok(days.into_iter().collect())
}

/// Increments the versions of the timelines of these days, and of Trending.
pub async fn increment_versions(
    connection: &mut MySqlConnection,
    days: &BTreeSet<NaiveDate>,
) -> Result<(), sqlx::Error> {
    if days.is_empty() {
        return Ok(());
    }
    let mut timelines = QueryBuilder::<MySql>::new("INSERT INTO timeline (name, version) ");
    let names = days
        .iter()
        .map(|day| Timeline::Hot(*day))
        .chain([Timeline::Trending]);
    timelines.push_values(names, |mut row, timeline| {
        row.push_bind(timeline.to_string()).push("1");
    });
    timelines.push(" ON DUPLICATE KEY UPDATE version = version + 1");
    timelines
        .build()
        .persistent(false)
        .execute(&mut *connection)
        .await?;

    let mut archive = QueryBuilder::<MySql>::new("INSERT INTO hot_day (day) ");
    archive.push_values(days, |mut row, day| {
        row.push_bind(*day);
    });
    archive.push(" ON DUPLICATE KEY UPDATE day = VALUES(day)");
    archive
        .build()
        .persistent(false)
        .execute(connection)
        .await
        .map(drop)
}
