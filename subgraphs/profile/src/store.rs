//! All SQL of this service.

use std::collections::HashMap;

use chassis::database::{Pool, push_ids};
use chassis::{UserId, deleted_accounts};
use chrono::{DateTime, Utc};
use sqlx::{MySqlConnection, MySqlExecutor, QueryBuilder};

use crate::domain::{Changes, MAX_RELEASED, Profile, QUARANTINE, Username};
use crate::error::Error;

/// Returns the profiles of these users, with default profiles for those without a row. Deleted accounts are left out.
pub async fn profiles_by_ids(pool: &Pool, ids: &[UserId]) -> Result<HashMap<UserId, Profile>, sqlx::Error> {
    let mut query =
        QueryBuilder::new("SELECT id, username, display_name, bio, joined_at FROM profile WHERE id IN ");
    push_ids(&mut query, ids.iter().copied());
    let profiles: Vec<Profile> = query.build_query_as().fetch_all(pool).await?;
    let mut found: HashMap<_, _> = profiles
        .into_iter()
        .map(|profile| (profile.id, profile))
        .collect();

    let missing: Vec<_> = ids.iter().copied().filter(|id| !found.contains_key(id)).collect();
    if !missing.is_empty() {
        let departed = deleted_accounts::deleted_among(pool, &missing).await?;
        let guests = missing.into_iter().filter(|id| !departed.contains(id));
        found.extend(guests.map(|id| (id, Profile::default_for(id))));
    }
    Ok(found)
}

/// Returns those of `ids` that have a profile.
pub async fn existing_among(
    executor: impl MySqlExecutor<'_>,
    ids: &[UserId],
) -> Result<Vec<UserId>, sqlx::Error> {
    let mut query = QueryBuilder::new("SELECT id FROM profile WHERE id IN ");
    push_ids(&mut query, ids.iter().copied());
    query.build_query_scalar().fetch_all(executor).await
}

/// Returns the user who has claimed the name.
pub async fn owner_of(
    executor: impl MySqlExecutor<'_>,
    username: &Username,
) -> Result<Option<UserId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT id AS "id: UserId" FROM profile WHERE username = ?"#,
        username.as_str()
    )
    .fetch_optional(executor)
    .await
}

/// Returns a profile as it is in this transaction.
pub async fn profile(executor: impl MySqlExecutor<'_>, id: UserId) -> Result<Option<Profile>, sqlx::Error> {
    sqlx::query_as!(
        Profile,
        r#"SELECT id AS "id: UserId", username AS "username: Username", display_name, bio,
                  joined_at AS "joined_at: DateTime<Utc>"
           FROM profile WHERE id = ?"#,
        id.0,
    )
    .fetch_optional(executor)
    .await
}

/// Creates a profile for a user who has none and whose account is not deleted; otherwise keeps the earlier time of
/// joining. Returns whether the profile is new.
pub async fn ensure(
    executor: impl MySqlExecutor<'_>,
    id: UserId,
    joined_at: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "INSERT INTO profile (id, joined_at)
         SELECT ?, ? FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM departed_account WHERE user_id = ?)
         ON DUPLICATE KEY UPDATE joined_at = LEAST(profile.joined_at, VALUES(joined_at))",
        id.0,
        joined_at,
        id.0,
    )
    .execute(executor)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives the name to `id`, and releases the previous one. The unique key decides between concurrent claims.
pub async fn set_username(
    tx: &mut MySqlConnection,
    id: UserId,
    username: &Username,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    release_username(tx, id, Some(username), now).await?;
    let claimed = sqlx::query!(
        "UPDATE profile SET username = ? WHERE id = ?",
        username.as_str(),
        id.0
    )
    .execute(&mut *tx)
    .await;
    match claimed {
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => return Err(Error::Taken),
        claimed => claimed?,
    };
    // Read after the UPDATE and with a lock: a concurrent release was committed before the UPDATE continued, and a
    // plain SELECT would not see it.
    let row = sqlx::query!(
        r#"SELECT owner_id AS "owner_id: UserId", released_at AS "released_at: DateTime<Utc>"
           FROM released_username WHERE username = ? FOR UPDATE"#,
        username.as_str(),
    )
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(row) = row {
        if row.owner_id != id && row.released_at > now - QUARANTINE {
            return Err(Error::Quarantined);
        }
        sqlx::query!(
            "DELETE FROM released_username WHERE username = ?",
            username.as_str()
        )
        .execute(&mut *tx)
        .await?;
    }
    let released = sqlx::query_scalar!(
        "SELECT COUNT(*) FROM released_username WHERE owner_id = ? AND released_at > ?",
        id.0,
        now - QUARANTINE,
    )
    .fetch_one(tx)
    .await?;
    if released > MAX_RELEASED {
        return Err(Error::TooManyRenames);
    }
    Ok(())
}

/// Records that `id` releases its username, unless it is `keep`.
async fn release_username(
    tx: &mut MySqlConnection,
    id: UserId,
    keep: Option<&Username>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO released_username (username, owner_id, released_at)
         SELECT username, id, ? FROM profile WHERE id = ? AND username IS NOT NULL AND NOT username <=> ?
         ON DUPLICATE KEY UPDATE owner_id = VALUES(owner_id), released_at = VALUES(released_at)",
        now,
        id.0,
        keep.map(Username::as_str),
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Whether another user than `viewer` has released the name recently.
pub async fn is_quarantined(
    executor: impl MySqlExecutor<'_>,
    username: &Username,
    viewer: Option<UserId>,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT 1 AS one FROM released_username WHERE username = ? AND released_at > ? AND NOT owner_id <=> ?",
        username.as_str(),
        now - QUARANTINE,
        viewer.map(|viewer| viewer.0),
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.is_some())
}

/// Deletes usernames that were released before `before`; at most a thousand.
pub async fn delete_released_before(
    executor: impl MySqlExecutor<'_>,
    before: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "DELETE FROM released_username WHERE released_at < ? LIMIT 1000",
        before
    )
    .execute(executor)
    .await?;
    Ok(done.rows_affected())
}

/// Applies `changes`.
pub async fn update(
    executor: impl MySqlExecutor<'_>,
    id: UserId,
    changes: &Changes,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE profile SET display_name = COALESCE(?, display_name), bio = IF(?, ?, bio) WHERE id = ?",
        changes.display_name,
        changes.bio.is_some(),
        changes.bio.clone().flatten(),
        id.0,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Deletes a profile and releases its name.
pub async fn remove(tx: &mut MySqlConnection, id: UserId, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    release_username(tx, id, None, now).await?;
    sqlx::query!("DELETE FROM profile WHERE id = ?", id.0)
        .execute(tx)
        .await
        .map(drop)
}

/// Returns the ids of at most a thousand profiles after `after` of users who joined before `joined_before`.
pub async fn ids_after(
    executor: impl MySqlExecutor<'_>,
    after: UserId,
    joined_before: DateTime<Utc>,
) -> Result<Vec<UserId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT id AS "id: UserId" FROM profile WHERE id > ? AND joined_at < ? ORDER BY id LIMIT 1000"#,
        after.0,
        joined_before,
    )
    .fetch_all(executor)
    .await
}
