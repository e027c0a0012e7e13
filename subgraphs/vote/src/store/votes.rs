//! The table `vote`, and exact tallies.

use std::collections::HashMap;

use chassis::UserId;
use chassis::database::push_ids;
use chrono::{DateTime, Utc};
use sqlx::{MySql, MySqlConnection, MySqlExecutor, QueryBuilder};
use uuid::Uuid;

use super::deltas::{self, Delta};
use crate::domain::{Choice, PhotoId, Tally};

/// A vote that is being cast.
#[derive(Debug, Clone, Copy)]
pub struct Ballot {
    pub photo: PhotoId,
    pub user: UserId,
    pub choice: Choice,
    pub now: DateTime<Utc>,
    /// The id of the delta, if the vote changes.
    pub delta: Uuid,
}

/// Sets a user's vote and appends the delta. Idempotent.
pub async fn cast(connection: &mut MySqlConnection, ballot: &Ballot) -> Result<(), sqlx::Error> {
    // Locks only this row, whether it exists or not, and stores the old value beside the new one. A locking SELECT
    // would lock the gap of a missing row, and two new voters would wait for each other.
    sqlx::query!(
        "INSERT INTO vote (photo_id, user_id, value, cast_at) VALUES (?, ?, ?, ?)
         ON DUPLICATE KEY UPDATE previous = value, value = VALUES(value), cast_at = VALUES(cast_at)",
        ballot.photo,
        ballot.user,
        ballot.choice.value(),
        ballot.now,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "INSERT INTO vote_delta (id, photo_id, up, down)
         SELECT ?, photo_id, (value = 1) - (previous = 1), (value = -1) - (previous = -1)
         FROM vote WHERE photo_id = ? AND user_id = ? AND value <> previous",
        ballot.delta,
        ballot.photo,
        ballot.user,
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Returns the exact tallies of known photos, and whether they are listed. One statement reads folded and unfolded
/// votes, so none is missed or counted twice.
pub async fn tallies(
    executor: impl MySqlExecutor<'_>,
    photos: &[PhotoId],
) -> Result<HashMap<PhotoId, (Tally, bool)>, sqlx::Error> {
    let mut query = QueryBuilder::<MySql>::new(
        "SELECT p.photo_id, p.listed, CAST(p.up + COALESCE(SUM(d.up), 0) AS SIGNED), CAST(p.down + COALESCE(SUM(d.down), 0) AS SIGNED)
         FROM photo_score p LEFT JOIN vote_delta d ON d.photo_id = p.photo_id
         WHERE p.photo_id IN ",
    );
    push_ids(&mut query, photos.iter().copied());
    query.push(" GROUP BY p.photo_id");
    let rows: Vec<(PhotoId, bool, i64, i64)> = query.build_query_as().fetch_all(executor).await?;
    Ok(rows
        .into_iter()
        .map(|(photo, listed, up, down)| (photo, (Tally { up, down }, listed)))
        .collect())
}

/// Returns the votes of `user` on `photos`.
pub async fn votes_of(
    executor: impl MySqlExecutor<'_>,
    user: UserId,
    photos: &[PhotoId],
) -> Result<HashMap<PhotoId, Choice>, sqlx::Error> {
    let mut query =
        QueryBuilder::<MySql>::new("SELECT photo_id, value FROM vote WHERE value <> 0 AND user_id = ");
    query.push_bind(user).push(" AND photo_id IN ");
    push_ids(&mut query, photos.iter().copied());
    let rows: Vec<(PhotoId, i8)> = query.build_query_as().fetch_all(executor).await?;
    Ok(rows
        .into_iter()
        .map(|(photo, value)| (photo, Choice::from_value(value)))
        .collect())
}

/// Deletes up to a thousand votes on a deleted photo. Returns their number.
pub async fn remove_on_photo(executor: impl MySqlExecutor<'_>, photo: PhotoId) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!("DELETE FROM vote WHERE photo_id = ? LIMIT 1000", photo)
        .execute(executor)
        .await?;
    Ok(done.rows_affected())
}

/// Deletes up to five hundred votes of a deleted account, and subtracts them from the tallies. Returns their number.
pub async fn remove_of_user(
    connection: &mut MySqlConnection,
    user: UserId,
    now: DateTime<Utc>,
) -> Result<usize, sqlx::Error> {
    // Not a checked query, because the macros treat DELETE as a statement without rows.
    let removed: Vec<(PhotoId, i8)> =
        sqlx::query_as("DELETE FROM vote WHERE user_id = ? LIMIT 500 RETURNING photo_id, value")
            .bind(user)
            .fetch_all(&mut *connection)
            .await?;
    let withdrawn: Vec<Delta> = removed
        .iter()
        .filter(|(_, value)| *value != 0)
        .map(|&(photo, value)| Delta {
            id: chassis::id::new_uuid(now),
            photo,
            up: -i32::from(value == 1),
            down: -i32::from(value == -1),
        })
        .collect();
    deltas::append(connection, &withdrawn).await?;
    Ok(removed.len())
}

/// Returns at most a thousand voters after `after`, ordered by id.
pub async fn voters_after(
    executor: impl MySqlExecutor<'_>,
    after: UserId,
) -> Result<Vec<UserId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT DISTINCT user_id AS "user_id: UserId" FROM vote WHERE user_id > ? ORDER BY user_id LIMIT 1000"#,
        after,
    )
    .fetch_all(executor)
    .await
}

/// Returns photos whose tally is not the sum of their votes, with the difference. One statement, because votes, scores
/// and deltas only agree within a snapshot.
pub async fn differences(
    executor: impl MySqlExecutor<'_>,
    photos: &[PhotoId],
) -> Result<Vec<(PhotoId, i32, i32)>, sqlx::Error> {
    let mut query = QueryBuilder::<MySql>::new(
        "SELECT photo_id, up, down FROM (
             SELECT p.photo_id,
                 CAST((SELECT COALESCE(SUM(v.value = 1), 0) FROM vote v WHERE v.photo_id = p.photo_id)
                     - p.up - (SELECT COALESCE(SUM(d.up), 0) FROM vote_delta d WHERE d.photo_id = p.photo_id) AS INT) AS up,
                 CAST((SELECT COALESCE(SUM(v.value = -1), 0) FROM vote v WHERE v.photo_id = p.photo_id)
                     - p.down - (SELECT COALESCE(SUM(d.down), 0) FROM vote_delta d WHERE d.photo_id = p.photo_id) AS INT) AS down
             FROM photo_score p WHERE p.deleted_at IS NULL AND p.photo_id IN ",
    );
    push_ids(&mut query, photos.iter().copied());
    query.push(") AS compared WHERE up <> 0 OR down <> 0");
    let rows: Vec<(PhotoId, i64, i64)> = query.build_query_as().fetch_all(executor).await?;
    let change = |difference: i64| i32::try_from(difference).unwrap_or_default();
    Ok(rows
        .into_iter()
        .map(|(photo, up, down)| (photo, change(up), change(down)))
        .collect())
}

/// Serialises concurrent recounts of a photo.
pub async fn claim_recount(
    executor: impl MySqlExecutor<'_>,
    photo: PhotoId,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE photo_score SET recounted_at = ? WHERE photo_id = ?",
        now,
        photo
    )
    .execute(executor)
    .await
    .map(drop)
}
