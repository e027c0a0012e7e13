//! The service: a full backup per day, and new logs and files every few seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use chassis::objects::StoreConfig;
use chassis::telemetry::render_metrics;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{RunConfig, SourceConfig, VaultConfig};
use crate::error::Error;
use crate::full;
use crate::logs::{LOGS, Shipper};
use crate::manifest::{FULL, Manifest};
use crate::media::{MEDIA, Media};
use crate::prune::prune;
use crate::schedule::is_due;
use crate::source::Source;
use crate::vault::Vault;

/// Delay before a failed full backup is retried.
const RETRY_DELAY: Duration = Duration::from_mins(1);
/// How often the schedule is checked.
const SCHEDULE_POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Maximum time that new logs wait for new files, so that no row is in the backup without its files.
const FILES_TIMEOUT: Duration = Duration::from_secs(15);
/// How often a test file is written to the store.
const STORE_CHECK_INTERVAL: Duration = Duration::from_mins(1);
/// More failures in a row are reported as an outage.
const MAX_TRANSIENT_FAILURES: u32 = 3;

/// State that the service's tasks share.
struct BackupService {
    vault: Vault,
    source: Source,
    media: Mutex<Media>,
    run: RunConfig,
    /// The newest full backup.
    newest: watch::Sender<Option<Manifest>>,
    /// A full backup is needed that is newer than this time (in seconds since 1970), because the logs do not continue
    /// the existing one.
    wanted: AtomicI64,
    /// Why the service is unhealthy.
    trouble: watch::Sender<Option<String>>,
}

/// Runs until `stop`.
pub async fn run(
    vault: &VaultConfig,
    source: &SourceConfig,
    media: &StoreConfig,
    run: RunConfig,
    stop: CancellationToken,
) -> Result<(), Error> {
    let vault = Vault::open(vault)?;
    vault.check().await?;
    if !vault.encrypts() {
        tracing::warn!("backups are not encrypted: BACKUP_KEY_FILE names no key");
    }
    let newest = Manifest::all(&vault).await?.pop();
    let listen = run.listen;
    let service = Arc::new(BackupService {
        media: Mutex::new(Media::open(media, &vault).await?),
        source: Source::new(source)?,
        vault,
        run,
        newest: watch::Sender::new(newest),
        wanted: AtomicI64::new(i64::MIN),
        trouble: watch::Sender::new(None),
    });
    service.measure().await;
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .map_err(Error::io(format!("cannot listen on {listen}")))?;
    let routes = Router::new()
        .route("/health", get(health))
        .route("/metrics", get(|| async { render_metrics() }))
        .with_state(Arc::clone(&service));
    tracing::info!(%listen, "backing up");
    let server = tokio::spawn(async move { axum::serve(listener, routes).await });
    let full = tokio::spawn({
        let service = Arc::clone(&service);
        async move { service.keep_full().await }
    });
    let shipping = tokio::spawn(async move { service.keep_shipping().await });
    stop.cancelled().await;
    // An incomplete backup is discarded, and restarted at the next start.
    for task in [full, shipping] {
        task.abort();
        let _ = task.await;
    }
    server.abort();
    Ok(())
}

async fn health(State(service): State<Arc<BackupService>>) -> (StatusCode, String) {
    match service.trouble.borrow().clone() {
        None => (StatusCode::OK, "alive".to_owned()),
        Some(trouble) => (StatusCode::SERVICE_UNAVAILABLE, trouble),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float; sizes and times are below 2^52"
)]
fn set_gauge(name: &'static str, value: i64) {
    metrics::gauge!(name).set(value as f64);
}

fn count_failure(what: &'static str) {
    metrics::counter!("proofsheet_backup_failures_total", "what" => what).increment(1);
}

impl BackupService {
    /// Makes a full backup whenever one is due.
    async fn keep_full(&self) {
        loop {
            let last = self.newest.borrow().as_ref().map(Manifest::began_at);
            let wanted = last.is_none_or(|last| last.timestamp() < self.wanted.load(Ordering::Relaxed));
            if !wanted && !is_due(Utc::now(), last, self.run.time_zone, self.run.at) {
                tokio::time::sleep(SCHEDULE_POLL_INTERVAL).await;
                continue;
            }
            let began = Instant::now();
            match full::take(&self.vault, &self.source, &self.media).await {
                Ok(manifest) => {
                    tracing::info!(
                        backup = manifest.name,
                        transaction = manifest.transaction,
                        stored_bytes = manifest.database.stored.bytes,
                        media_files = manifest.media_files,
                        "a full backup was made in {:.1} s",
                        began.elapsed().as_secs_f32()
                    );
                    self.newest.send_replace(Some(manifest));
                    self.prune().await;
                }
                Err(error) => {
                    count_failure("full");
                    tracing::error!("no full backup was made: {error}; trying again in a minute");
                    self.note_trouble(&error);
                    if error.is_store_full() {
                        // Expired data is removed after a backup; here it is removed early to make room.
                        self.prune().await;
                    }
                    tokio::time::sleep(RETRY_DELAY).await;
                }
            }
            self.measure().await;
        }
    }

    /// Only a failing store makes the service unhealthy; other failures are transient.
    fn note_trouble(&self, error: &Error) {
        if matches!(error, Error::Store(_)) {
            self.trouble.send_replace(Some(error.to_string()));
        }
    }

    async fn prune(&self) {
        let keep = TimeDelta::days(i64::from(self.run.keep_days));
        match prune(&self.vault, Utc::now(), keep).await {
            Ok(removed) => self.media.lock().await.remove_known(&removed),
            Err(error) => {
                count_failure("prune");
                tracing::error!("old backups were not removed: {error}");
            }
        }
    }

    /// Updates the size metrics.
    async fn measure(&self) {
        if let Some(newest) = self.newest.borrow().as_ref() {
            set_gauge(
                "proofsheet_backup_last_success_timestamp_seconds",
                newest.finished_at.timestamp(),
            );
        }
        for (kind, folder) in [("full", FULL), ("log", LOGS), ("media", MEDIA)] {
            let Ok(objects) = self.vault.list(folder).await else {
                continue;
            };
            let bytes: u64 = objects.iter().map(|object| object.size).sum();
            #[expect(
                clippy::cast_precision_loss,
                reason = "a gauge is a float; sizes are below 2^52"
            )]
            metrics::gauge!("proofsheet_backup_bytes", "kind" => kind).set(bytes as f64);
        }
    }

    /// Ships new logs and files periodically.
    async fn keep_shipping(self: Arc<Self>) {
        let mut shipper = None;
        let mut files: Option<JoinHandle<()>> = None;
        let mut failures = 0;
        let mut checked = Instant::now();
        loop {
            let began = Instant::now();
            let round = self.round(&mut shipper, &mut files).await;
            let pause = match &round {
                Ok(true) => Duration::ZERO,
                // A round that waits for files needs no further pause.
                _ => Duration::from_secs(self.run.every).saturating_sub(began.elapsed()),
            };
            let checked_out = match round {
                Ok(_) if checked.elapsed() > STORE_CHECK_INTERVAL => {
                    checked = Instant::now();
                    self.vault.check().await
                }
                outcome => outcome.map(drop),
            };
            match checked_out {
                Ok(()) => {
                    if failures >= MAX_TRANSIENT_FAILURES {
                        tracing::info!("logs are being shipped again");
                    }
                    failures = 0;
                    self.trouble.send_replace(None);
                }
                Err(error) => {
                    failures += 1;
                    count_failure("log");
                    // Logged once, and then every 20 failures.
                    if failures == 1 || failures % 20 == 0 {
                        tracing::warn!(
                            "new logs were not shipped: {error}; trying again every {} s",
                            self.run.every
                        );
                    }
                    self.note_trouble(&error);
                }
            }
            tokio::time::sleep(pause.max(Duration::from_millis(100))).await;
        }
    }

    /// Ships new logs and files once. Returns whether more data is waiting.
    async fn round(
        self: &Arc<Self>,
        shipper: &mut Option<Shipper>,
        files: &mut Option<JoinHandle<()>>,
    ) -> Result<bool, Error> {
        let Some((cluster, copied, began)) = self
            .newest
            .borrow()
            .as_ref()
            .map(|newest| (newest.cluster, newest.transaction, newest.began_at()))
        else {
            // There is no full backup yet that logs could continue.
            return Ok(false);
        };
        let current = match shipper {
            Some(current) if current.cluster() == cluster => current,
            _ => shipper.insert(Shipper::open(&self.vault, cluster, copied).await?),
        };
        let fetched = match current.fetch(&self.source).await {
            Ok(fetched) => fetched,
            Err(error) => {
                let gone = matches!(error, Error::LogsGone(_));
                if gone || self.is_another_cluster(cluster).await {
                    self.wanted.store(began.timestamp() + 1, Ordering::Relaxed);
                    *shipper = None;
                }
                return Err(error);
            }
        };
        self.copy_files(files).await;
        let more = fetched.more;
        current.write(fetched).await?;
        if !more {
            // Otherwise files are being copied, and the next round writes the logs.
            if let Ok(mut media) = self.media.try_lock() {
                media.record_removed(Utc::now()).await?;
            }
            set_gauge(
                "proofsheet_backup_last_log_shipped_timestamp_seconds",
                Utc::now().timestamp(),
            );
        }
        Ok(more)
    }

    /// Whether the running nodes belong to another cluster than `cluster`, after a restore or a new foundation.
    async fn is_another_cluster(&self, cluster: uuid::Uuid) -> bool {
        let nodes = self.source.nodes().await;
        nodes.is_ok_and(|nodes| nodes.iter().all(|node| node.cluster != cluster))
    }

    /// Copies new files, because they existed before the rows in the logs that were just fetched.
    async fn copy_files(self: &Arc<Self>, files: &mut Option<JoinHandle<()>>) {
        if files.as_ref().is_none_or(JoinHandle::is_finished) {
            let service = Arc::clone(self);
            *files = Some(tokio::spawn(async move {
                let copied = service.media.lock().await.copy_new(Utc::now()).await;
                if let Err(error) = copied {
                    count_failure("media");
                    tracing::warn!("new files of photos were not copied: {error}");
                    service.note_trouble(&error);
                }
            }));
        }
        if let Some(files) = files
            && tokio::time::timeout(FILES_TIMEOUT, files).await.is_err()
        {
            tracing::debug!("copying the files of photos takes longer; writing the logs first");
        }
    }
}

/// Formats the age of a backup.
pub fn age(now: DateTime<Utc>, manifest: &Manifest) -> String {
    let minutes = (now - manifest.finished_at).num_minutes().max(0);
    format!("{} h {:02} min", minutes / 60, minutes % 60)
}
