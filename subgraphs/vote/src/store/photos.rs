//! The table `photo_score`: existing and deleted photos.

use std::collections::HashSet;

use chassis::UserId;
use chassis::database::{Pool, push_ids};
use chrono::{DateTime, Utc};
use sqlx::{MySql, MySqlConnection, MySqlExecutor, QueryBuilder};
use uuid::Uuid;

use super::{days, deltas};
use crate::domain::{KnownPhoto, PhotoId, Standing};

/// Returns the state of the photo; `None` if it is unknown or only has votes.
pub async fn standing(
    executor: impl MySqlExecutor<'_>,
    photo: PhotoId,
) -> Result<Option<Standing>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT author_id AS "author_id: UserId", hot_day IS NOT NULL AS "published!: bool", deleted_at IS NOT NULL AS "deleted!: bool"
           FROM photo_score WHERE photo_id = ?"#,
        photo,
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.and_then(|row| match row.author_id {
        _ if row.deleted => Some(Standing::Deleted),
        Some(author) if row.published => Some(Standing::Listed { author }),
        _ => None,
    }))
}

/// Lists the photo, unless it was deleted. Idempotent.
pub async fn adopt(
    connection: &mut MySqlConnection,
    photo: &KnownPhoto,
    delta: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO photo_score (photo_id, author_id, published_at, hot_day) VALUES (?, ?, ?, ?)
         ON DUPLICATE KEY UPDATE
             author_id = COALESCE(author_id, VALUES(author_id)),
             published_at = COALESCE(published_at, VALUES(published_at)),
             hot_day = COALESCE(hot_day, VALUES(hot_day))",
        photo.photo_id,
        photo.author_id,
        photo.published_at,
        photo.hot_day,
    )
    .execute(&mut *connection)
    .await?;
    deltas::announce(connection, photo.photo_id, delta).await
}

/// The deletion of a photo.
pub struct Removal {
    pub photo: PhotoId,
    pub author: Option<UserId>,
    pub now: DateTime<Utc>,
    /// The id of the delta after which its timelines are ranked again.
    pub delta: Uuid,
}

/// Hides the photo, promotes the next winner of its day, and leaves its votes to the sweep.
pub async fn remove(connection: &mut MySqlConnection, removal: &Removal) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO photo_score (photo_id, author_id, deleted_at) VALUES (?, ?, ?)
         ON DUPLICATE KEY UPDATE deleted_at = COALESCE(deleted_at, VALUES(deleted_at))",
        removal.photo,
        removal.author,
        removal.now,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "INSERT INTO photo_sweep (photo_id, deleted_at, due_at) VALUES (?, ?, ?)
         ON DUPLICATE KEY UPDATE due_at = VALUES(due_at)",
        removal.photo,
        removal.now,
        removal.now,
    )
    .execute(&mut *connection)
    .await?;
    deltas::announce(&mut *connection, removal.photo, removal.delta).await?;
    days::promote(connection, removal.photo).await
}

/// Returns at most a hundred deleted photos whose votes are due to be swept, with the time of the deletion.
pub async fn unswept(
    executor: impl MySqlExecutor<'_>,
    now: DateTime<Utc>,
) -> Result<Vec<(PhotoId, DateTime<Utc>)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT photo_id AS "photo_id: PhotoId", deleted_at AS "deleted_at: DateTime<Utc>"
           FROM photo_sweep WHERE due_at <= ? ORDER BY due_at LIMIT 100"#,
        now,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.photo_id, row.deleted_at))
        .collect())
}

/// Schedules another sweep of the photo's votes at `due`.
pub async fn sweep_again(
    executor: impl MySqlExecutor<'_>,
    photo: PhotoId,
    due: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE photo_sweep SET due_at = ? WHERE photo_id = ?", due, photo)
        .execute(executor)
        .await
        .map(drop)
}

/// Records that all votes on the photo were deleted.
pub async fn mark_swept(executor: impl MySqlExecutor<'_>, photo: PhotoId) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM photo_sweep WHERE photo_id = ?", photo)
        .execute(executor)
        .await
        .map(drop)
}

/// Returns at most a thousand listed photos after `after` with the time of publication, ordered by id.
pub async fn listed_after(
    executor: impl MySqlExecutor<'_>,
    after: PhotoId,
) -> Result<Vec<(PhotoId, DateTime<Utc>)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT photo_id AS "photo_id: PhotoId", published_at AS "published_at!: DateTime<Utc>"
           FROM photo_score WHERE photo_id > ? AND listed = 1 ORDER BY photo_id LIMIT 1000"#,
        after,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.photo_id, row.published_at))
        .collect())
}

/// Returns at most a hundred photos after `after` that are not deleted, ordered by id.
pub async fn counted_after(
    executor: impl MySqlExecutor<'_>,
    after: PhotoId,
) -> Result<Vec<PhotoId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT photo_id AS "photo_id: PhotoId"
           FROM photo_score WHERE photo_id > ? AND deleted_at IS NULL ORDER BY photo_id LIMIT 100"#,
        after,
    )
    .fetch_all(executor)
    .await
}

/// Returns those of `photos` that are listed or deleted here.
pub async fn settled(pool: &Pool, photos: &[PhotoId]) -> Result<HashSet<PhotoId>, sqlx::Error> {
    let mut query = QueryBuilder::<MySql>::new(
        "SELECT photo_id FROM photo_score WHERE (hot_day IS NOT NULL OR deleted_at IS NOT NULL) AND photo_id IN ",
    );
    push_ids(&mut query, photos.iter().copied());
    let ids: Vec<PhotoId> = query.build_query_scalar().fetch_all(pool).await?;
    Ok(ids.into_iter().collect())
}
