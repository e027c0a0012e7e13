//! The photos that this service knows.

use chassis::UserId;
use chassis::database::push_ids;
use chassis::internal::Known;
use chrono::{DateTime, Utc};
use sqlx::{MySqlConnection, MySqlExecutor, QueryBuilder};

use crate::domain::{KnownPhoto, PhotoId};

/// The author of a photo; distinguishes deleted and unknown photos.
pub async fn photo_author(
    executor: impl MySqlExecutor<'_>,
    id: PhotoId,
) -> Result<Known<UserId>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT (SELECT author_id FROM known_photo WHERE id = ?) AS "author_id: UserId",
                  EXISTS (SELECT 1 FROM deleted_photo WHERE id = ?) AS "deleted!: bool""#,
        id.0,
        id.0,
    )
    .fetch_one(executor)
    .await?;
    Ok(match (row.author_id, row.deleted) {
        (_, true) => Known::Deleted,
        (Some(author), false) => Known::Present(author),
        (None, false) => Known::Unknown,
    })
}

/// Whether the photo is known; it stays so until the transaction ends.
pub async fn hold_photo(connection: &mut MySqlConnection, id: PhotoId) -> Result<bool, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT 1 AS one FROM known_photo WHERE id = ? LOCK IN SHARE MODE",
        id.0
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.is_some())
}

/// Takes note of a photo that was not deleted. True when it is news.
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

/// Takes note that a photo is gone, whether or not it was known. True when it is news.
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

/// Deleted photos under which there may be comments, oldest first, at most a hundred.
pub async fn unswept_photos(executor: impl MySqlExecutor<'_>) -> Result<Vec<PhotoId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT id AS "id: PhotoId" FROM deleted_photo WHERE swept_at IS NULL ORDER BY deleted_at LIMIT 100"#
    )
    .fetch_all(executor)
    .await
}

/// Notes that nothing is left under the photo, if it was deleted before `before`.
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

/// Which of these photos are known, or known to be deleted.
pub async fn heard_of_among(
    executor: impl MySqlExecutor<'_>,
    ids: &[PhotoId],
) -> Result<Vec<PhotoId>, sqlx::Error> {
    let mut query = QueryBuilder::new("SELECT id FROM known_photo WHERE id IN ");
    push_ids(&mut query, ids.iter().copied());
    query.push(" UNION ALL SELECT id FROM deleted_photo WHERE id IN ");
    push_ids(&mut query, ids.iter().copied());
    query.build_query_scalar().fetch_all(executor).await
}

/// Photos after `after` that are known, or commented on, since before `before`: at most a thousand of each, by id.
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
