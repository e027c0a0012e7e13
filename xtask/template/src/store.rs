//! All SQL of this service.

use std::collections::HashMap;

use chassis::UserId;
use chassis::database::push_ids;
use chrono::{DateTime, Utc};
use sqlx::{MySqlExecutor, QueryBuilder};

use crate::domain::{Sample, SampleId};

/// Maximum number of rows that one statement deletes.
const DELETE_BATCH: u64 = 1000;

/// The samples with these ids. Ids without a sample are left out.
pub async fn samples_by_ids(
    executor: impl MySqlExecutor<'_>,
    ids: &[SampleId],
) -> Result<HashMap<SampleId, Sample>, sqlx::Error> {
    let mut query = QueryBuilder::new("SELECT id, owner_id, title, created_at FROM sample WHERE id IN ");
    push_ids(&mut query, ids.iter().copied());
    let samples: Vec<Sample> = query.build_query_as().fetch_all(executor).await?;
    Ok(samples.into_iter().map(|sample| (sample.id, sample)).collect())
}

/// Inserts a sample. Inserting it again changes nothing.
pub async fn insert(executor: impl MySqlExecutor<'_>, sample: &Sample) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT IGNORE INTO sample (id, owner_id, title, created_at) VALUES (?, ?, ?, ?)",
        sample.id.0,
        sample.owner_id.0,
        sample.title,
        sample.created_at,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Deletes a batch of the samples of an account. True if none is left.
pub async fn delete_of_owner(executor: impl MySqlExecutor<'_>, owner: UserId) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!("DELETE FROM sample WHERE owner_id = ? LIMIT 1000", owner.0)
        .execute(executor)
        .await?;
    Ok(done.rows_affected() < DELETE_BATCH)
}

/// The owners after `after` of samples created before `created_before`, in the order of their ids; at most a thousand.
pub async fn owners_after(
    executor: impl MySqlExecutor<'_>,
    after: UserId,
    created_before: DateTime<Utc>,
) -> Result<Vec<UserId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT DISTINCT owner_id AS "owner_id: UserId" FROM sample
           WHERE owner_id > ? AND created_at < ? ORDER BY owner_id LIMIT 1000"#,
        after.0,
        created_before,
    )
    .fetch_all(executor)
    .await
}
