//! Waits until all background work is done.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use sqlx::{MySqlPool, Row as _};

use crate::nodes;

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

/// Returns how long it took until the services had nothing left to do.
pub(crate) async fn wait_for_quiet(pool: &MySqlPool) -> Result<Duration> {
    let began = Instant::now();
    loop {
        let mut connection = nodes::connection(pool).await?;
        let mut busy = None;
        for (what, query) in UNDER_WAY {
            let row = sqlx::query(query).fetch_one(&mut *connection).await?;
            let count: i64 = row.try_get(0)?;
            if count > 0 {
                busy = Some((what, count));
                break;
            }
        }
        let Some((what, count)) = busy else {
            return Ok(began.elapsed());
        };
        if began.elapsed() > QUIET_TIMEOUT {
            bail!(
                "{} s after the end of the load there are still {count} {what}",
                QUIET_TIMEOUT.as_secs()
            );
        }
        drop(connection);
        tokio::time::sleep(QUIET_POLL_INTERVAL).await;
    }
}
