//! Waits until all background work is done.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::wait;
use sqlx::{MySqlPool, Row as _};

use crate::databases;

/// Timeout. Votes on a photo that was deleted meanwhile are removed after a minute.
const QUIET_TIMEOUT: Duration = Duration::from_secs(120);
const QUIET_POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Counts that must reach zero.
const UNDER_WAY: [(&str, &str); 6] = [
    (
        "events of accounts",
        "SELECT COUNT(*) FROM authentication.outbox_delivery",
    ),
    ("events of photos", "SELECT COUNT(*) FROM photo.outbox_delivery"),
    ("files to be removed", "SELECT COUNT(*) FROM photo.garbage"),
    ("votes to be folded", "SELECT COUNT(*) FROM vote.vote_delta"),
    (
        "votes on deleted photos",
        "SELECT COUNT(*) FROM vote.vote v JOIN vote.photo_score s ON s.photo_id = v.photo_id
         WHERE s.deleted_at IS NOT NULL",
    ),
    (
        "comments on deleted photos",
        "SELECT COUNT(*) FROM comment.comment c JOIN comment.deleted_photo d ON d.id = c.photo_id",
    ),
];

/// Waits until the services have nothing left to do.
pub async fn wait_for_quiet(pool: &MySqlPool) -> Result<()> {
    wait::until_every(
        QUIET_POLL_INTERVAL,
        "the end of background work",
        QUIET_TIMEOUT,
        || async {
            let mut connection = databases::connection(pool).await?;
            for (what, query) in UNDER_WAY {
                let row = sqlx::query(query).fetch_one(&mut *connection).await?;
                let count: i64 = row.try_get(0)?;
                ensure!(count == 0, "there are still {count} {what}");
            }
            Ok(())
        },
    )
    .await
}
