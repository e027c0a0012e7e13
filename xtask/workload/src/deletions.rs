//! Measures how long it takes until a deleted photo is removed from all services, with its votes, comments and files.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use sqlx::{MySqlPool, Row as _};
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

use crate::audit::{folder, is_in_use};
use crate::users::Workload;

const DELETION_POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Timeout of a deletion. The audit reports what remains.
const DELETION_TIMEOUT: Duration = Duration::from_secs(120);

/// A completed deletion, measured from its acknowledgement.
#[derive(Clone, Copy, Debug)]
pub struct Gone {
    pub acknowledged: Instant,
    pub took: Duration,
}

/// Watches all deletions of a run.
#[derive(Debug)]
pub struct DeletionWatch {
    task: JoinHandle<()>,
    gone: Arc<Mutex<Vec<Gone>>>,
}

impl DeletionWatch {
    pub fn start(workload: Arc<Workload>, pools: Vec<MySqlPool>, objects: PathBuf) -> Self {
        let gone = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&gone);
        let task = tokio::spawn(async move {
            let mut watched = JoinSet::new();
            loop {
                for (photo, key, acknowledged) in workload.take_deleted() {
                    let (pools, folder, seen) = (pools.clone(), folder(&objects, key), Arc::clone(&seen));
                    watched.spawn(async move {
                        while acknowledged.elapsed() < DELETION_TIMEOUT {
                            if !is_in_use(&folder) && is_gone(&pools, photo).await {
                                let took = acknowledged.elapsed();
                                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                                seen.push(Gone { acknowledged, took });
                                return;
                            }
                            tokio::time::sleep(DELETION_POLL_INTERVAL).await;
                        }
                    });
                }
                while watched.try_join_next().is_some() {}
                if workload.is_over() && watched.is_empty() {
                    return;
                }
                tokio::time::sleep(DELETION_POLL_INTERVAL).await;
            }
        });
        Self { task, gone }
    }

    /// Returns all deletions at the end of the load.
    pub async fn finish(self) -> Result<Vec<Gone>> {
        self.task.await?;
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(gone)
    }
}

/// Whether any node reports the deletion as complete.
async fn is_gone(pools: &[MySqlPool], photo: Uuid) -> bool {
    const GONE: &str = "SELECT (SELECT COUNT(*) FROM photo.photo WHERE id = ?) = 0
        AND (SELECT COUNT(*) FROM vote.photo_score WHERE photo_id = ? AND deleted_at IS NOT NULL) = 1
        AND (SELECT COUNT(*) FROM vote.vote WHERE photo_id = ?) = 0
        AND (SELECT COUNT(*) FROM comment.deleted_photo WHERE id = ?) = 1
        AND (SELECT COUNT(*) FROM comment.comment WHERE photo_id = ?) = 0";
    for pool in pools {
        let asked = sqlx::query(GONE)
            .bind(photo)
            .bind(photo)
            .bind(photo)
            .bind(photo)
            .bind(photo)
            .fetch_one(pool);
        if let Ok(Ok(row)) = tokio::time::timeout(Duration::from_secs(1), asked).await {
            return row.try_get(0).unwrap_or(false);
        }
    }
    false
}
