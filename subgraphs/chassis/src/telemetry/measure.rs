//! Metrics in Prometheus' text format.
//!
//! Names contain the unit, and counters end in `_total`. Labels have few values, none of which comes from clients.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use sqlx::MySqlPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A metric: its name and its help text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// A counter, which only increases.
    Counter(&'static str, &'static str),
    /// A current value.
    Gauge(&'static str, &'static str),
    /// A histogram of durations.
    Histogram(&'static str, &'static str),
}

/// The buckets of durations in seconds, from responses of a cache to the maximum waiting time.
const DURATION_BUCKETS: [f64; 12] = [
    0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// The interval between samples of the database pool and the outbox.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);

/// Metrics of every process.
const PROCESS: [Metric; 5] = [
    Metric::Gauge(
        "process_start_time_seconds",
        "Start time of the process, in seconds since 1970.",
    ),
    Metric::Counter("process_cpu_seconds_total", "CPU time of the process."),
    Metric::Gauge("process_resident_memory_bytes", "Resident memory of the process."),
    Metric::Gauge("process_open_fds", "Open files and connections of the process."),
    Metric::Gauge(
        "proofsheet_build_info",
        "1, with the version of the program as a label.",
    ),
];

/// Metrics of every service.
const SERVICE: [Metric; 18] = [
    Metric::Counter(
        "proofsheet_http_requests_total",
        "Requests by route, method and status.",
    ),
    Metric::Histogram(
        "proofsheet_http_request_duration_seconds",
        "Duration of requests, by route.",
    ),
    Metric::Counter(
        "proofsheet_graphql_requests_total",
        "GraphQL requests, by kind: query, entities or mutation.",
    ),
    Metric::Histogram(
        "proofsheet_graphql_request_duration_seconds",
        "Duration of GraphQL requests, by kind.",
    ),
    Metric::Counter(
        "proofsheet_graphql_errors_total",
        "Errors in GraphQL responses, by code.",
    ),
    Metric::Gauge(
        "proofsheet_database_connections",
        "Connections of the pool, by state: idle or used.",
    ),
    Metric::Gauge(
        "proofsheet_database_connections_max",
        "Maximum number of connections of the pool.",
    ),
    Metric::Histogram(
        "proofsheet_database_connection_wait_seconds",
        "Time that a probe waited for a connection of the pool; every five seconds.",
    ),
    Metric::Counter(
        "proofsheet_database_connection_failures_total",
        "Probes that got no connection in time.",
    ),
    Metric::Counter(
        "proofsheet_database_retries_total",
        "Retried transactions and reads, by reason: a conflict (`deadlock`, `lock_wait`, `changed`), a failed node (`node`), or a rollback that the node did not report (`lost`).",
    ),
    Metric::Gauge(
        "proofsheet_outbox_events",
        "Deliveries of events that are not acknowledged yet.",
    ),
    Metric::Gauge(
        "proofsheet_outbox_oldest_age_seconds",
        "Age of the oldest event that is not acknowledged by all subscribers; 0 without one.",
    ),
    Metric::Histogram(
        "proofsheet_event_delivery_seconds",
        "Time from an event to its acknowledgement, by subscriber.",
    ),
    Metric::Counter(
        "proofsheet_event_delivery_failures_total",
        "Failed deliveries, by subscriber. They are retried.",
    ),
    Metric::Gauge(
        "proofsheet_lease_held",
        "Whether this process has the lease of a job. One process of each service has it.",
    ),
    Metric::Counter(
        "proofsheet_job_runs_total",
        "Runs of background jobs, by job and outcome.",
    ),
    Metric::Histogram(
        "proofsheet_job_duration_seconds",
        "Duration of runs of background jobs, by job.",
    ),
    Metric::Counter(
        "proofsheet_reconcile_repairs_total",
        "Differences to another service or to the files that were repaired.",
    ),
];

/// Registers the help texts for `/metrics`.
pub fn describe(metrics: &[Metric]) {
    for metric in metrics {
        match *metric {
            Metric::Counter(name, help) => metrics::describe_counter!(name, help),
            Metric::Gauge(name, help) => metrics::describe_gauge!(name, help),
            Metric::Histogram(name, help) => metrics::describe_histogram!(name, help),
        }
    }
}

/// Returns the metrics in Prometheus' text format.
pub fn render_metrics() -> String {
    let handle = handle();
    record_process();
    handle.render()
}

fn handle() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &DURATION_BUCKETS)
            .expect("there are limits")
            .build_recorder();
        let handle = recorder.handle();
        // Only this function installs a recorder. If another one exists, this one stays empty.
        let _ = metrics::set_global_recorder(recorder);
        describe(&PROCESS);
        handle
    })
}

/// Records the metrics of the process, which only Linux provides.
#[expect(clippy::cast_precision_loss, reason = "these numbers are far from 2^53")]
fn record_process() {
    metrics::gauge!("process_start_time_seconds").set(started());
    metrics::gauge!("proofsheet_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    if let Ok(status) = std::fs::read_to_string("/proc/self/status")
        && let Some(kilobytes) = status.lines().find_map(|line| {
            let value = line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?;
            value.parse::<u64>().ok()
        })
    {
        metrics::gauge!("process_resident_memory_bytes").set(kilobytes as f64 * 1024.0);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        metrics::gauge!("process_open_fds").set(files.count() as f64);
    }
    if let Some(ticks) = std::fs::read_to_string("/proc/self/stat")
        .ok()
        .as_deref()
        .and_then(processor_ticks)
    {
        // Linux reports hundredths of a second, independent of the kernel's tick.
        metrics::counter!("process_cpu_seconds_total").absolute(ticks / 100);
    }
}

/// Returns the time in user and system mode: fields 14 and 15. Field 2 may contain spaces, in parentheses.
fn processor_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn started() -> f64 {
    static STARTED: OnceLock<f64> = OnceLock::new();
    *STARTED.get_or_init(|| {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64()
    })
}

/// Runs `sample` every five seconds until `stop`, to record gauges.
pub fn watch<W>(stop: CancellationToken, mut sample: impl FnMut() -> W + Send + 'static) -> JoinHandle<()>
where
    W: Future<Output = ()> + Send,
{
    tokio::spawn(async move {
        let looking = async {
            loop {
                sample().await;
                tokio::time::sleep(SAMPLE_INTERVAL).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = looking => {}
        }
    })
}

/// Records metrics of the pool and the outbox of a service.
pub fn watch_database(pool: MySqlPool, stop: CancellationToken) -> JoinHandle<()> {
    describe(&SERVICE);
    watch(stop, move || {
        let pool = pool.clone();
        async move {
            sample_pool(&pool).await;
        }
    })
}

async fn sample_pool(pool: &MySqlPool) {
    let (all, idle) = (f64::from(pool.size()), pool.num_idle());
    let idle = f64::from(u32::try_from(idle).unwrap_or(u32::MAX));
    metrics::gauge!("proofsheet_database_connections", "state" => "idle").set(idle);
    metrics::gauge!("proofsheet_database_connections", "state" => "used").set((all - idle).max(0.0));
    metrics::gauge!("proofsheet_database_connections_max")
        .set(f64::from(pool.options().get_max_connections()));
    let asked = Instant::now();
    let connection = pool.acquire().await;
    metrics::histogram!("proofsheet_database_connection_wait_seconds").record(asked.elapsed());
    let failures = metrics::counter!("proofsheet_database_connection_failures_total");
    failures.increment(u64::from(connection.is_err()));
    if let Ok(mut connection) = connection
        && let Ok((waiting, age)) = outbox(&mut connection).await
    {
        metrics::gauge!("proofsheet_outbox_events").set(waiting);
        metrics::gauge!("proofsheet_outbox_oldest_age_seconds").set(age);
    }
}

/// Returns the number of pending deliveries, and the age of the oldest one in seconds. Ids of events begin with their
/// time. Events without pending deliveries are ignored.
#[expect(clippy::cast_precision_loss, reason = "these numbers are far from 2^53")]
async fn outbox(connection: &mut sqlx::MySqlConnection) -> Result<(f64, f64), sqlx::Error> {
    let waiting: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM outbox_delivery")
        .fetch_one(&mut *connection)
        .await?;
    let age: Option<i64> = sqlx::query_scalar(
        "SELECT TIMESTAMPDIFF(MICROSECOND, occurred_at, UTC_TIMESTAMP(6)) FROM outbox
         WHERE EXISTS (SELECT 1 FROM outbox_delivery WHERE event_id = outbox.id) ORDER BY id LIMIT 1",
    )
    .fetch_optional(&mut *connection)
    .await?;
    Ok((waiting as f64, age.unwrap_or(0).max(0) as f64 / 1_000_000.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_metrics_are_exported() {
        let text = render_metrics();
        for metric in PROCESS {
            let (Metric::Counter(name, help) | Metric::Gauge(name, help) | Metric::Histogram(name, help)) =
                metric;
            assert!(text.contains(&format!("# HELP {name} {help}")), "{name}: {text}");
        }
        assert_eq!(
            processor_ticks("7 (a b) c) S 1 2 3 4 5 6 7 8 9 10 11 12 0"),
            Some(23)
        );
    }
}
