//! The copy of the photo service's photos.

use chassis::UserId;
use chassis::database::push_ids;
use chassis::internal::Lookup;
use chrono::{DateTime, Utc};
use sqlx::{MySqlConnection, MySqlExecutor, QueryBuilder};

use crate::domain::{KnownPhoto, PhotoId};

/// Returns the author of a photo; distinguishes deleted and unknown photos.
pub async fn photo_author(
    executor: impl MySqlExecutor<'_>,
    id: PhotoId,
) -> Result<Lookup<UserId>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT (SELECT author_id FROM known_photo WHERE id = ?) AS "author_id: UserId",
                  EXISTS (SELECT 1 FROM deleted_photo WHERE id = ?) AS "deleted!: bool""#,
        id.0,
        id.0,
    )
    .fetch_one(executor)
    .await?;
    Ok(match (row.author_id, row.deleted) {
        (_, true) => Lookup::Deleted,
        (Some(author), false) => Lookup::Present(author),
        (None, false) => Lookup::Unknown,
    })
}

/// Whether the photo exists. Locks it until the transaction ends.
pub async fn lock_photo(connection: &mut MySqlConnection, id: PhotoId) -> Result<bool, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT 1 AS one FROM known_photo WHERE id = ? LOCK IN SHARE MODE",
        id.0
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.is_some())
}

/// Adds a photo, unless it was deleted. Returns whether it is new.
pub async fn adopt(executor: impl MySqlExecutor<'_>, photo: &KnownPhoto) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "INSERT IGNORE INTO known_photo (id, author_id, published_at)
         SELECT ?, ?, ? FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM deleted_photo WHERE id = ?)",
        photo.photo_id.0,
        photo.author_id.0,
        photo.published_at,
        photo.photo_id.0,
    )
    .execute(executor)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Records a deleted photo, even if it is unknown. Returns whether it is new.
pub async fn record_deleted(
    connection: &mut MySqlConnection,
    id: PhotoId,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "INSERT IGNORE INTO deleted_photo (id, deleted_at) VALUES (?, ?)",
        id.0,
        now
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("DELETE FROM known_photo WHERE id = ?", id.0)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Returns at most a hundred deleted photos that may have comments, oldest first.
pub async fn unswept_photos(executor: impl MySqlExecutor<'_>) -> Result<Vec<PhotoId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT id AS "id: PhotoId" FROM deleted_photo WHERE swept_at IS NULL ORDER BY deleted_at LIMIT 100"#
    )
    .fetch_all(executor)
    .await
}

/// Records that all comments on the photo were deleted, if it was deleted before `before`.
pub async fn mark_photo_swept(
    executor: impl MySqlExecutor<'_>,
    id: PhotoId,
    now: DateTime<Utc>,
    before: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE deleted_photo SET swept_at = ? WHERE id = ? AND deleted_at < ?",
        now,
        id.0,
        before
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Returns those of `ids` that exist in the copy or are recorded as deleted.
pub async fn known_among(
    executor: impl MySqlExecutor<'_>,
    ids: &[PhotoId],
) -> Result<Vec<PhotoId>, sqlx::Error> {
    let mut query = QueryBuilder::new("SELECT id FROM known_photo WHERE id IN ");
    push_ids(&mut query, ids.iter().copied());
    query.push(" UNION ALL SELECT id FROM deleted_photo WHERE id IN ");
    push_ids(&mut query, ids.iter().copied());
    query.build_query_scalar().fetch_all(executor).await
}

/// Returns photos after `after` that were added or commented on before `before`, ordered by id: at most a thousand of
/// each.
pub async fn photos_after(
    executor: impl MySqlExecutor<'_>,
    after: PhotoId,
    before: DateTime<Utc>,
) -> Result<Vec<PhotoId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"(SELECT id AS "id!: PhotoId" FROM known_photo WHERE id > ? AND published_at < ? ORDER BY id LIMIT 1000)
           UNION
           (SELECT photo_id FROM comment WHERE photo_id > ? GROUP BY photo_id HAVING MIN(created_at) < ? ORDER BY photo_id LIMIT 1000)
           ORDER BY 1 LIMIT 1000"#,
        after.0,
        before,
        after.0,
        before,
    )
    .fetch_all(executor)
    .await
}
