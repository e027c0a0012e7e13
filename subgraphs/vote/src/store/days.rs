//! The table `hot_day`: the archive.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{MySqlConnection, MySqlExecutor};

use crate::domain::{HotDay, PhotoId};

/// Returns the days before `before` with photos, newest first.
pub async fn archive(
    executor: impl MySqlExecutor<'_>,
    before: Option<NaiveDate>,
    limit: u32,
) -> Result<Vec<HotDay>, sqlx::Error> {
    // Days without photos are skipped before the limit is applied.
    sqlx::query_as!(
        HotDay,
        r#"SELECT d.day, (SELECT COUNT(*) FROM photo_score p WHERE p.hot_day = d.day AND p.listed = 1) AS "photo_count!: i64",
                  w.photo_id AS "winner: PhotoId"
           FROM hot_day d LEFT JOIN photo_score w ON w.photo_id = d.winner_id AND w.listed = 1
           WHERE d.day < ? AND EXISTS (SELECT 1 FROM photo_score q WHERE q.hot_day = d.day AND q.listed = 1)
           ORDER BY d.day DESC LIMIT ?"#,
        before.unwrap_or(NaiveDate::from_ymd_opt(9999, 12, 31).unwrap_or_default()),
        limit,
    )
    .fetch_all(executor)
    .await
}

/// Returns at most a hundred days before `today` without a recorded winner, oldest first.
pub async fn unclosed(
    executor: impl MySqlExecutor<'_>,
    today: NaiveDate,
) -> Result<Vec<NaiveDate>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT day FROM hot_day WHERE closed_at IS NULL AND day < ?
         AND EXISTS (SELECT 1 FROM photo_score p WHERE p.hot_day = day AND p.listed = 1) ORDER BY day LIMIT 100",
        today,
    )
    .fetch_all(executor)
    .await
}

/// Returns the best photo of the day.
pub async fn best(executor: impl MySqlExecutor<'_>, day: NaiveDate) -> Result<Option<PhotoId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT photo_id AS "photo_id: PhotoId" FROM photo_score WHERE hot_day = ? AND listed = 1
           ORDER BY score DESC, wilson DESC, published_at DESC, photo_id DESC LIMIT 1"#,
        day,
    )
    .fetch_optional(executor)
    .await
}

/// Records the winner of a past day, unless there is one.
pub async fn close(
    executor: impl MySqlExecutor<'_>,
    day: NaiveDate,
    winner: PhotoId,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE hot_day SET winner_id = ?, closed_at = ? WHERE day = ? AND closed_at IS NULL",
        winner,
        now,
        day
    )
    .execute(executor)
    .await
    .map(drop)
}

/// If `gone` is the winner of a day, makes the best remaining photo the winner. A day without photos has no winner
/// again, because a photo of that day may still be announced.
pub async fn promote(connection: &mut MySqlConnection, gone: PhotoId) -> Result<(), sqlx::Error> {
    let days = sqlx::query_scalar!("SELECT day FROM hot_day WHERE winner_id = ?", gone)
        .fetch_all(&mut *connection)
        .await?;
    for day in days {
        let next = best(&mut *connection, day).await?;
        sqlx::query!(
            "UPDATE hot_day SET winner_id = ?, closed_at = IF(? IS NULL, NULL, closed_at) WHERE day = ? AND winner_id = ?",
            next,
            next,
            day,
            gone,
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
