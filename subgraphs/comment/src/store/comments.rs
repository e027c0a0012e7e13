//! Inserts, changes and deletes comments.

use chassis::UserId;
use chassis::database::{Pool, push_ids};
use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use sqlx::{MySqlConnection, MySqlExecutor, QueryBuilder};
use uuid::Uuid;

use super::DELETE_BATCH_SIZE;
use crate::domain::{Body, ClientKey, Comment, CommentId, PhotoId};

/// Returns a comment or a tombstone.
pub async fn comment(
    executor: impl MySqlExecutor<'_>,
    id: CommentId,
) -> Result<Option<Comment>, sqlx::Error> {
    sqlx::query_as!(
        Comment,
        r#"SELECT id AS "id: CommentId", photo_id AS "photo_id: PhotoId", reply_to AS "reply_to: CommentId",
                  author_id AS "author_id: UserId", body, created_at AS "created_at: DateTime<Utc>",
                  edited_at AS "edited_at: DateTime<Utc>", deleted_at AS "deleted_at: DateTime<Utc>"
           FROM comment WHERE id = ?"#,
        id.0,
    )
    .fetch_optional(executor)
    .await
}

/// The parent comment of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    pub photo_id: PhotoId,
    /// Set if the parent is a reply itself.
    pub reply_to: Option<CommentId>,
    pub deleted: bool,
}

/// Returns the parent comment of a reply, and locks it until the transaction ends.
pub async fn lock_parent(
    connection: &mut MySqlConnection,
    id: CommentId,
) -> Result<Option<Parent>, sqlx::Error> {
    sqlx::query_as!(
        Parent,
        r#"SELECT photo_id AS "photo_id: PhotoId", reply_to AS "reply_to: CommentId",
                  deleted_at IS NOT NULL AS "deleted!: bool"
           FROM comment WHERE id = ? LOCK IN SHARE MODE"#,
        id.0,
    )
    .fetch_optional(connection)
    .await
}

/// The comment of an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyOwner {
    /// The comment, which may be deleted.
    pub comment: CommentId,
    /// Whether the input was the same. Keys of the previous release match any input.
    pub same_input: bool,
}

/// Inserts `key` for `comment`, or returns the comment that has it already. Waits for concurrent transactions with the
/// same key.
pub async fn claim_key(
    connection: &mut MySqlConnection,
    author: UserId,
    key: &ClientKey,
    comment: &Comment,
) -> Result<Option<KeyOwner>, sqlx::Error> {
    let input = input_hash(comment);
    let done = sqlx::query!(
        "INSERT IGNORE INTO comment_key (author_id, client_key, comment_id, created_at, input_hash) VALUES (?, ?, ?, ?, ?)",
        author.0,
        key.as_bytes(),
        comment.id.0,
        comment.created_at,
        &input[..],
    )
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 1 {
        return Ok(None);
    }
    // With a lock, because the snapshot of the transaction may be older than the conflicting row.
    sqlx::query_as!(
        KeyOwner,
        r#"SELECT comment_id AS "comment: CommentId", COALESCE(input_hash = ?, TRUE) AS "same_input!: bool"
           FROM comment_key WHERE author_id = ? AND client_key = ? LOCK IN SHARE MODE"#,
        &input[..],
        author.0,
        key.as_bytes(),
    )
    .fetch_optional(connection)
    .await
}

/// Returns the hash of the input of an idempotency key: the photo, the parent comment, and the text.
fn input_hash(comment: &Comment) -> [u8; 32] {
    Sha256::new()
        .chain_update(comment.photo_id.0)
        .chain_update(comment.reply_to.map_or(Uuid::nil(), Uuid::from))
        .chain_update(&comment.body)
        .finalize()
        .into()
}

pub async fn insert(executor: impl MySqlExecutor<'_>, comment: &Comment) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO comment (id, photo_id, reply_to, author_id, body, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        comment.id.0,
        comment.photo_id.0,
        comment.reply_to.map(Uuid::from),
        comment.author_id.map(Uuid::from),
        comment.body,
        comment.created_at,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Replaces the text of a comment that is not deleted. The same text does not count as an edit.
pub async fn edit(
    executor: impl MySqlExecutor<'_>,
    id: CommentId,
    body: &Body,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    // `edited_at` first, because it compares the previous text.
    sqlx::query!(
        "UPDATE comment SET edited_at = IF(body = ?, edited_at, ?), body = ? WHERE id = ? AND deleted_at IS NULL",
        body.as_str(),
        now,
        body.as_str(),
        id.0,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Deletes a comment: deletes the row of a reply, and turns a top-level comment into a tombstone. Returns false if it
/// was deleted before.
pub async fn delete(
    connection: &mut MySqlConnection,
    id: CommentId,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let reply = sqlx::query!("DELETE FROM comment WHERE id = ? AND reply_to IS NOT NULL", id.0)
        .execute(&mut *connection)
        .await?;
    let top = sqlx::query!(
        "UPDATE comment SET deleted_at = ?, body = '', author_id = NULL, edited_at = NULL
         WHERE id = ? AND reply_to IS NULL AND deleted_at IS NULL",
        now,
        id.0,
    )
    .execute(connection)
    .await?;
    Ok(reply.rows_affected() + top.rows_affected() > 0)
}

/// Deletes the comments of an author like [`delete`], up to [`DELETE_BATCH_SIZE`] replies and as many comments. Returns
/// true when all are deleted.
pub async fn delete_of_author(
    connection: &mut MySqlConnection,
    author: UserId,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let replies = sqlx::query!(
        "DELETE FROM comment WHERE author_id = ? AND reply_to IS NOT NULL LIMIT 1000",
        author.0
    )
    .execute(&mut *connection)
    .await?;
    let tops = sqlx::query!(
        "UPDATE comment SET deleted_at = ?, body = '', author_id = NULL, edited_at = NULL
         WHERE author_id = ? AND reply_to IS NULL LIMIT 1000",
        now,
        author.0,
    )
    .execute(&mut *connection)
    .await?;
    let keys = sqlx::query!("DELETE FROM comment_key WHERE author_id = ? LIMIT 1000", author.0)
        .execute(connection)
        .await?;
    Ok([replies, tops, keys]
        .iter()
        .all(|done| done.rows_affected() < DELETE_BATCH_SIZE))
}

/// Deletes up to [`DELETE_BATCH_SIZE`] comments of a photo. Returns true when all are deleted.
pub async fn remove_of_photo(connection: &mut MySqlConnection, photo: PhotoId) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!("DELETE FROM comment WHERE photo_id = ? LIMIT 1000", photo.0)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() < DELETE_BATCH_SIZE)
}

/// Deletes up to [`DELETE_BATCH_SIZE`] tombstones without replies that are older than `before`. Returns true when all
/// are deleted.
///
/// Tombstones accept no replies, so one without replies that is older than any running request stays without.
pub async fn delete_tombstones_without_replies(
    pool: &Pool,
    before: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let bare = sqlx::query_scalar!(
        r#"SELECT t.id AS "id: CommentId" FROM comment t
           WHERE t.deleted_at < ? AND (SELECT r.id FROM comment r WHERE r.reply_to = t.id LIMIT 1) IS NULL LIMIT 1000"#,
        before,
    )
    .fetch_all(pool)
    .await?;
    if !bare.is_empty() {
        let mut query = QueryBuilder::new("DELETE FROM comment WHERE deleted_at IS NOT NULL AND id IN ");
        push_ids(&mut query, bare.iter().copied());
        query.build().execute(pool).await?;
    }
    Ok((bare.len() as u64) < DELETE_BATCH_SIZE)
}

/// Deletes up to [`DELETE_BATCH_SIZE`] keys that are older than `before`. Returns true when all are deleted.
pub async fn delete_old_keys(
    executor: impl MySqlExecutor<'_>,
    before: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!("DELETE FROM comment_key WHERE created_at < ? LIMIT 1000", before)
        .execute(executor)
        .await?;
    Ok(done.rows_affected() < DELETE_BATCH_SIZE)
}

/// Returns at most a thousand authors after `after` with comments from before `before`, ordered by id.
pub async fn authors_after(
    executor: impl MySqlExecutor<'_>,
    after: UserId,
    before: DateTime<Utc>,
) -> Result<Vec<UserId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT author_id AS "author_id!: UserId" FROM comment WHERE author_id > ?
           GROUP BY author_id HAVING MIN(created_at) < ? ORDER BY author_id LIMIT 1000"#,
        after.0,
        before,
    )
    .fetch_all(executor)
    .await
}
