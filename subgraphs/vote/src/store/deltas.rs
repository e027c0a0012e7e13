//! `vote_delta`: what votes have changed, until it is folded into `photo_score`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use chassis::database::push_ids;
use chrono::NaiveDate;
use sqlx::mysql::MySqlDatabaseError;
use sqlx::{MySql, MySqlConnection, MySqlExecutor, QueryBuilder};
use uuid::Uuid;

use crate::domain::{PhotoId, Timeline};

/// One change of one photo's tally.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delta {
    /// Of the row.
    pub id: Uuid,
    /// Whose tally.
    pub photo: PhotoId,
    /// Votes for it that came or went.
    pub up: i32,
    /// Votes against it that came or went.
    pub down: i32,
}

/// Has the photo's timelines ranked anew, because it has come or gone.
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

/// Appends changes. Repeating it, after a commit whose answer was lost, appends nothing more.
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
    // Lists have many lengths; only the commonest is worth a place in the statement cache.
    query
        .build()
        .persistent(deltas.len() == 1)
        .execute(connection)
        .await
        .map(drop)
}

/// How long ago a change was made: its id begins with its time.
pub fn age(delta: &Delta) -> Option<Duration> {
    let (seconds, nanoseconds) = delta.id.get_timestamp()?.to_unix();
    let made = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds);
    SystemTime::now().duration_since(made).ok()
}

/// The oldest changes, at most `limit`.
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

/// Removes exactly these. Returns how many there still were.
pub async fn remove(connection: &mut MySqlConnection, deltas: &[Delta]) -> Result<u64, sqlx::Error> {
    // Without the hint a short table is read as a whole, and that locks the end of it, where voters insert.
    let mut query =
        QueryBuilder::<MySql>::new("DELETE d FROM vote_delta d FORCE INDEX (PRIMARY) WHERE d.id IN ");
    push_ids(&mut query, deltas.iter().map(|delta| delta.id));
    let done = query.build().execute(connection).await?;
    Ok(done.rows_affected())
}

/// Adds changes, summed per photo, to the folded tallies, in the order of the photos' ids so that two workers lock
/// in one order. A photo that is not known yet gets a row that lists it nowhere.
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

/// The days of those of `photos` that have one.
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

/// Notes that the order of the timelines of these days, and that of all, may have changed.
pub async fn bump(connection: &mut MySqlConnection, days: &BTreeSet<NaiveDate>) -> Result<(), sqlx::Error> {
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
