//! Uploads: pictures that are not published yet.

use chassis::UserId;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::MySqlConnection;

use crate::domain::{FileKey, PhotoId, Upload};

/// How long an upload can be published.
const UPLOAD_LIFETIME: TimeDelta = TimeDelta::hours(24);

/// The SHA-256 hash of the uploaded bytes.
pub type Digest = [u8; 32];

/// Returns this user's upload of the same bytes if it has not expired, and extends its lifetime.
pub async fn renew(
    connection: &mut MySqlConnection,
    owner: UserId,
    digest: &Digest,
    now: DateTime<Utc>,
) -> Result<Option<Upload>, sqlx::Error> {
    let upload = sqlx::query_as!(
        Upload,
        r#"SELECT id AS "id: PhotoId", owner_id AS "owner_id: UserId", file_key AS "file_key: FileKey",
                  width, height, placeholder
           FROM upload WHERE owner_id = ? AND digest = ? AND expires_at > ? FOR UPDATE"#,
        owner.0,
        &digest[..],
        now,
    )
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(upload) = &upload {
        sqlx::query!(
            "UPDATE upload SET expires_at = ? WHERE id = ?",
            now + UPLOAD_LIFETIME,
            upload.id.0
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(upload)
}

/// Inserts an upload. Replaces an expired one of the same bytes.
pub async fn insert(
    connection: &mut MySqlConnection,
    upload: &Upload,
    digest: &Digest,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO garbage (file_key, since)
         SELECT file_key, ? FROM upload WHERE owner_id = ? AND digest = ? AND expires_at <= ?",
        now,
        upload.owner_id.0,
        &digest[..],
        now,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "DELETE FROM upload WHERE owner_id = ? AND digest = ? AND expires_at <= ?",
        upload.owner_id.0,
        &digest[..],
        now,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "INSERT INTO upload (id, owner_id, file_key, digest, width, height, placeholder, created_at, expires_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        upload.id.0,
        upload.owner_id.0,
        upload.file_key.0,
        &digest[..],
        upload.width,
        upload.height,
        upload.placeholder,
        now,
        now + UPLOAD_LIFETIME,
    )
    .execute(&mut *connection)
    .await
    .map(drop)
}

/// Deletes an upload of this user, to publish it in the same transaction.
pub async fn take(
    connection: &mut MySqlConnection,
    owner: UserId,
    id: PhotoId,
    now: DateTime<Utc>,
) -> Result<Option<Upload>, sqlx::Error> {
    let upload = sqlx::query_as!(
        Upload,
        r#"SELECT id AS "id: PhotoId", owner_id AS "owner_id: UserId", file_key AS "file_key: FileKey",
                  width, height, placeholder
           FROM upload WHERE id = ? AND owner_id = ? AND expires_at > ? FOR UPDATE"#,
        id.0,
        owner.0,
        now,
    )
    .fetch_optional(&mut *connection)
    .await?;
    if upload.is_some() {
        sqlx::query!("DELETE FROM upload WHERE id = ?", id.0)
            .execute(&mut *connection)
            .await?;
    }
    Ok(upload)
}
