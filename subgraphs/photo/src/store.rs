//! All SQL about photos. Uploads and the sweep have separate modules.
//!
//! Photos of deleted accounts are hidden before the sweep deletes them.

pub mod sweeping;
pub mod uploads;

use chassis::UserId;
use chassis::database::push_ids;
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sqlx::{MySql, MySqlExecutor, QueryBuilder};
use subgraph::pagination::{Cursor, Page};
use uuid::Uuid;

use crate::domain::{FileKey, Photo, PhotoId};

/// The cursor of lists with the newest photo first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PhotoCursor {
    /// Microseconds since 1970.
    at: i64,
    id: PhotoId,
}

impl Cursor for PhotoCursor {
    const KIND: &'static str = "latest";
}

impl PhotoCursor {
    /// Returns the cursor of a photo.
    pub fn of(photo: &Photo) -> Self {
        Self {
            at: photo.published_at.timestamp_micros(),
            id: photo.id,
        }
    }

    fn published_at(self) -> NaiveDateTime {
        DateTime::from_timestamp_micros(self.at)
            .map(|at| at.naive_utc())
            .filter(|at| *at <= end_of_time())
            .unwrap_or_else(end_of_time)
    }

    /// Returns the sort key before the first photo of a page.
    fn start(page: &Page<Self>) -> (NaiveDateTime, PhotoId) {
        page.after.map_or((end_of_time(), PhotoId(Uuid::max())), |place| {
            (place.published_at(), place.id)
        })
    }
}

/// The maximum time of the database. Without a time zone, because sqlx sends times with a zone as `TIMESTAMP`, which
/// ends in 2038.
fn end_of_time() -> NaiveDateTime {
    NaiveDate::from_ymd_opt(9999, 12, 31)
        .and_then(|day| day.and_hms_opt(23, 59, 59))
        .unwrap_or_default()
}

/// Returns the newest photos: one more than the page shows.
pub async fn latest(
    executor: impl MySqlExecutor<'_>,
    page: &Page<PhotoCursor>,
) -> Result<Vec<Photo>, sqlx::Error> {
    let (at, id) = PhotoCursor::start(page);
    // MariaDB uses the index for this condition, but not for a comparison of tuples.
    sqlx::query_as!(
        Photo,
        r#"SELECT id AS "id: PhotoId", author_id AS "author_id: UserId", file_key AS "file_key: FileKey", title, alt_text,
                  width, height, placeholder, published_at AS "published_at: DateTime<Utc>",
                  edited_at AS "edited_at: DateTime<Utc>", hot_day
           FROM photo
           WHERE (published_at < ? OR (published_at = ? AND id < ?))
             AND NOT EXISTS (SELECT 1 FROM departed_account d WHERE d.user_id = photo.author_id)
           ORDER BY published_at DESC, id DESC LIMIT ?"#,
        at,
        at,
        id.0,
        page.rows(),
    )
    .fetch_all(executor)
    .await
}

const PHOTO_COLUMNS: &str = "id, author_id, file_key, title, alt_text, width, height, placeholder, published_at, edited_at, hot_day FROM photo";
const AUTHOR_NOT_DELETED: &str =
    " AND NOT EXISTS (SELECT 1 FROM departed_account d WHERE d.user_id = photo.author_id)";

/// Returns the newest photos of each author, for pages of one length: one more than the page shows.
pub async fn by_authors(
    executor: impl MySqlExecutor<'_>,
    authors: &[(UserId, Page<PhotoCursor>)],
) -> Result<Vec<Photo>, sqlx::Error> {
    if authors.is_empty() {
        return Ok(Vec::new());
    }
    let mut query = QueryBuilder::<MySql>::new("");
    for (index, (author, page)) in authors.iter().enumerate() {
        let (at, id) = PhotoCursor::start(page);
        query.push(if index == 0 {
            "(SELECT "
        } else {
            " UNION ALL (SELECT "
        });
        query
            .push(PHOTO_COLUMNS)
            .push(" WHERE author_id = ")
            .push_bind(author.0);
        query
            .push(" AND (published_at < ")
            .push_bind(at)
            .push(" OR (published_at = ")
            .push_bind(at);
        query
            .push(" AND id < ")
            .push_bind(id.0)
            .push("))")
            .push(AUTHOR_NOT_DELETED);
        query
            .push(" ORDER BY published_at DESC, id DESC LIMIT ")
            .push_bind(page.rows())
            .push(")");
    }
    query.build_query_as().fetch_all(executor).await
}

/// Returns photos by id, unordered.
pub async fn by_ids(executor: impl MySqlExecutor<'_>, ids: &[PhotoId]) -> Result<Vec<Photo>, sqlx::Error> {
    let mut query = QueryBuilder::<MySql>::new("SELECT ");
    query.push(PHOTO_COLUMNS).push(" WHERE id IN ");
    push_ids(&mut query, ids.iter().copied());
    query.push(AUTHOR_NOT_DELETED);
    query.build_query_as().fetch_all(executor).await
}

/// Returns photos ordered by id, for comparisons.
pub async fn listing(
    executor: impl MySqlExecutor<'_>,
    after: Option<PhotoId>,
    limit: u32,
) -> Result<Vec<Photo>, sqlx::Error> {
    let after = after.map_or(Uuid::nil(), Uuid::from);
    sqlx::query_as!(
        Photo,
        r#"SELECT id AS "id: PhotoId", author_id AS "author_id: UserId", file_key AS "file_key: FileKey", title, alt_text,
                  width, height, placeholder, published_at AS "published_at: DateTime<Utc>",
                  edited_at AS "edited_at: DateTime<Utc>", hot_day
           FROM photo
           WHERE id > ? AND NOT EXISTS (SELECT 1 FROM departed_account d WHERE d.user_id = photo.author_id)
           ORDER BY id LIMIT ?"#,
        after,
        limit,
    )
    .fetch_all(executor)
    .await
}

/// Returns a photo, and locks it until the transaction ends.
pub async fn lock(executor: impl MySqlExecutor<'_>, id: PhotoId) -> Result<Option<Photo>, sqlx::Error> {
    sqlx::query_as!(
        Photo,
        r#"SELECT id AS "id: PhotoId", author_id AS "author_id: UserId", file_key AS "file_key: FileKey", title, alt_text,
                  width, height, placeholder, published_at AS "published_at: DateTime<Utc>",
                  edited_at AS "edited_at: DateTime<Utc>", hot_day
           FROM photo
           WHERE id = ? AND NOT EXISTS (SELECT 1 FROM departed_account d WHERE d.user_id = photo.author_id)
           FOR UPDATE"#,
        id.0,
    )
    .fetch_optional(executor)
    .await
}

/// Inserts a published photo.
pub async fn insert(executor: impl MySqlExecutor<'_>, photo: &Photo) -> Result<(), sqlx::Error> {
    let input = input_hash(&photo.title, photo.alt_text.as_deref());
    sqlx::query!(
        "INSERT INTO photo (id, author_id, file_key, title, alt_text, width, height, placeholder, published_at, hot_day, input_hash)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        photo.id.0,
        photo.author_id.0,
        photo.file_key.0,
        photo.title,
        photo.alt_text,
        photo.width,
        photo.height,
        photo.placeholder,
        photo.published_at,
        photo.hot_day,
        &input[..],
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Whether the photo was published with these texts. The previous release did not record them; then any text matches.
pub async fn was_published_with(
    executor: impl MySqlExecutor<'_>,
    id: PhotoId,
    title: &str,
    alt_text: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let input = input_hash(title, alt_text);
    let row = sqlx::query!(
        "SELECT 1 AS one FROM photo WHERE id = ? AND COALESCE(input_hash = ?, TRUE)",
        id.0,
        &input[..],
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.is_some())
}

fn input_hash(title: &str, alt_text: Option<&str>) -> [u8; 32] {
    // Titles cannot contain a zero byte, so the two texts are separated.
    Sha256::new()
        .chain_update(title)
        .chain_update([0])
        .chain_update(alt_text.unwrap_or_default())
        .finalize()
        .into()
}

/// Updates the title and the description.
pub async fn update_texts(executor: impl MySqlExecutor<'_>, photo: &Photo) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE photo SET title = ?, alt_text = ?, edited_at = ? WHERE id = ?",
        photo.title,
        photo.alt_text,
        photo.edited_at,
        photo.id.0
    )
    .execute(executor)
    .await
    .map(drop)
}

pub async fn is_deleted(executor: impl MySqlExecutor<'_>, id: PhotoId) -> Result<bool, sqlx::Error> {
    let row = sqlx::query!("SELECT 1 AS one FROM deleted_photo WHERE id = ?", id.0)
        .fetch_optional(executor)
        .await?;
    Ok(row.is_some())
}

/// Whether a photo has a row, even if its author was deleted.
pub async fn exists(executor: impl MySqlExecutor<'_>, id: PhotoId) -> Result<bool, sqlx::Error> {
    let row = sqlx::query!("SELECT 1 AS one FROM photo WHERE id = ?", id.0)
        .fetch_optional(executor)
        .await?;
    Ok(row.is_some())
}
