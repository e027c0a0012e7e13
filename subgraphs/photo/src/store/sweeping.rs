//! Deletions, and the queries of reconciliation. Statements delete at most a thousand rows.

use chassis::UserId;
use chassis::database::push_ids;
use chrono::{DateTime, Utc};
use sqlx::{MySql, MySqlConnection, MySqlExecutor, QueryBuilder};

use crate::domain::{FileKey, Photo, PhotoId, Size};

/// Deletes a photo. Adds a tombstone, and leaves its files to the sweep.
pub async fn delete_photo(
    connection: &mut MySqlConnection,
    photo: &Photo,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM photo WHERE id = ?", photo.id.0)
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "INSERT IGNORE INTO deleted_photo (id, author_id, deleted_at) VALUES (?, ?, ?)",
        photo.id.0,
        photo.author_id.0,
        now,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "INSERT IGNORE INTO garbage (file_key, since) VALUES (?, ?)",
        photo.file_key.0,
        now
    )
    .execute(&mut *connection)
    .await
    .map(drop)
}

/// Returns and locks some photos of a deleted account.
pub async fn lock_photos_of(
    executor: impl MySqlExecutor<'_>,
    author: UserId,
    limit: u32,
) -> Result<Vec<Photo>, sqlx::Error> {
    sqlx::query_as!(
        Photo,
        r#"SELECT id AS "id: PhotoId", author_id AS "author_id: UserId", file_key AS "file_key: FileKey", title, alt_text,
                  width, height, placeholder, published_at AS "published_at: DateTime<Utc>",
                  edited_at AS "edited_at: DateTime<Utc>", hot_day
           FROM photo WHERE author_id = ? ORDER BY published_at, id LIMIT ? FOR UPDATE"#,
        author.0,
        limit,
    )
    .fetch_all(executor)
    .await
}

/// Deletes expired uploads, and all uploads of deleted accounts. Returns their number; after a thousand there may be
/// more.
pub async fn discard_uploads(
    connection: &mut MySqlConnection,
    now: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let mut keys = sqlx::query_scalar!(
        r#"SELECT file_key AS "file_key: FileKey" FROM upload WHERE expires_at <= ? ORDER BY expires_at LIMIT 500 FOR UPDATE"#,
        now,
    )
    .fetch_all(&mut *connection)
    .await?;
    keys.extend(
        sqlx::query_scalar!(
            r#"SELECT u.file_key AS "file_key: FileKey" FROM departed_account d JOIN upload u ON u.owner_id = d.user_id
               WHERE d.swept_at IS NULL LIMIT 500 FOR UPDATE"#,
        )
        .fetch_all(&mut *connection)
        .await?,
    );
    if keys.is_empty() {
        return Ok(0);
    }
    let mut garbage = QueryBuilder::<MySql>::new("INSERT IGNORE INTO garbage (file_key, since) ");
    garbage.push_values(&keys, |mut row, key| {
        row.push_bind(key.0).push_bind(now);
    });
    garbage.build().execute(&mut *connection).await?;
    let mut delete = QueryBuilder::<MySql>::new("DELETE FROM upload WHERE file_key IN ");
    push_ids(&mut delete, keys.iter().map(|key| key.0));
    Ok(delete.build().execute(&mut *connection).await?.rows_affected())
}

/// Returns folders to delete, oldest first.
pub async fn garbage(executor: impl MySqlExecutor<'_>, limit: u32) -> Result<Vec<FileKey>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT file_key AS "file_key: FileKey" FROM garbage ORDER BY since LIMIT ?"#,
        limit
    )
    .fetch_all(executor)
    .await
}

/// Removes a deleted folder from the list.
pub async fn delete_garbage_row(executor: impl MySqlExecutor<'_>, key: FileKey) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM garbage WHERE file_key = ?", key.0)
        .execute(executor)
        .await
        .map(drop)
}

/// A row that needs files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesOwner {
    pub id: PhotoId,
    pub file_key: FileKey,
    pub width: u16,
    pub height: u16,
}

impl FilesOwner {
    /// Determines the files of the photo.
    pub fn size(&self) -> Size {
        Size {
            width: self.width,
            height: self.height,
        }
    }
}

/// Returns photos and uploads with a key after `after` and up to `last`, ordered by key.
pub async fn owners_after(
    executor: impl MySqlExecutor<'_>,
    after: FileKey,
    last: FileKey,
) -> Result<Vec<FilesOwner>, sqlx::Error> {
    sqlx::query_as!(
        FilesOwner,
        r#"(SELECT id AS "id: PhotoId", file_key AS "file_key: FileKey", width, height
            FROM photo WHERE file_key > ? AND file_key <= ? ORDER BY file_key LIMIT 1000)
           UNION ALL
           (SELECT id, file_key, width, height
            FROM upload WHERE file_key > ? AND file_key <= ? ORDER BY file_key LIMIT 1000)
           ORDER BY 2 LIMIT 1000"#,
        after.0,
        last.0,
        after.0,
        last.0,
    )
    .fetch_all(executor)
    .await
}

/// Returns those of `keys` that belong to a photo or an upload, or will be deleted by the sweep.
pub async fn keys_in_use(
    connection: &mut MySqlConnection,
    keys: &[FileKey],
) -> Result<Vec<FileKey>, sqlx::Error> {
    let mut known = Vec::new();
    for table in ["photo", "upload", "garbage"] {
        let mut query = QueryBuilder::<MySql>::new("SELECT file_key FROM ");
        query.push(table).push(" WHERE file_key IN ");
        push_ids(&mut query, keys.iter().map(|key| key.0));
        known.extend(
            query
                .build_query_scalar::<FileKey>()
                .fetch_all(&mut *connection)
                .await?,
        );
    }
    Ok(known)
}

/// Whether this database has never had a photo or an upload.
pub async fn is_blank(executor: impl MySqlExecutor<'_>) -> Result<bool, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT EXISTS (SELECT 1 FROM photo) OR EXISTS (SELECT 1 FROM upload)
                  OR EXISTS (SELECT 1 FROM deleted_photo) OR EXISTS (SELECT 1 FROM garbage) AS "used: bool""#
    )
    .fetch_one(executor)
    .await?;
    Ok(!row.used)
}

/// Returns authors of photos from before `before`, ordered by id.
pub async fn authors_after(
    executor: impl MySqlExecutor<'_>,
    after: UserId,
    before: DateTime<Utc>,
) -> Result<Vec<UserId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT DISTINCT author_id AS "author_id: UserId" FROM photo
           WHERE author_id > ? AND published_at < ? ORDER BY author_id LIMIT 1000"#,
        after.0,
        before,
    )
    .fetch_all(executor)
    .await
}

/// Returns deleted accounts that were swept, but have a photo.
pub async fn returned_authors(executor: impl MySqlExecutor<'_>) -> Result<Vec<UserId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT d.user_id AS "user_id: UserId" FROM departed_account d
           WHERE d.swept_at IS NOT NULL AND EXISTS (SELECT 1 FROM photo p WHERE p.author_id = d.user_id) LIMIT 1000"#
    )
    .fetch_all(executor)
    .await
}
