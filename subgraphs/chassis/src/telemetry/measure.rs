//! Metrics of one process, in Prometheus' text format.
//!
//! Names say their unit, and counters end in `_total`. Labels take few values, all of them ours: nothing that a client
//! sends becomes one.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use sqlx::MySqlPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A metric: its name, and what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Only ever goes up.
    Counter(&'static str, &'static str),
    /// A current value.
    Gauge(&'static str, &'static str),
    /// How often which durations came.
    Histogram(&'static str, &'static str),
}

/// The limits of durations, in seconds: from an answer out of memory to the most that anybody waits.
const SECONDS: [f64; 12] = [
    0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// How often the state of the database's pool and of the outbox is looked at.
const EVERY: Duration = Duration::from_secs(5);

/// Metrics of every process.
const PROCESS: [Metric; 5] = [
    Metric::Gauge(
        "process_start_time_seconds",
        "When the process started, in seconds since 1970.",
    ),
    Metric::Counter(
        "process_cpu_seconds_total",
        "Processor time that the process has used.",
    ),
    Metric::Gauge(
        "process_resident_memory_bytes",
        "Memory that the process has now.",
    ),
    Metric::Gauge(
        "process_open_fds",
        "Files and connections that the process has open.",
    ),
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
        "How long requests took, by route.",
    ),
    Metric::Counter(
        "proofsheet_graphql_requests_total",
        "GraphQL requests, by kind: query, entities or mutation.",
    ),
    Metric::Histogram(
        "proofsheet_graphql_request_duration_seconds",
        "How long GraphQL requests took, by kind.",
    ),
    Metric::Counter(
        "proofsheet_graphql_errors_total",
        "Errors in GraphQL answers, by code.",
    ),
    Metric::Gauge(
        "proofsheet_database_connections",
        "Connections of the pool, by state: idle or used.",
    ),
    Metric::Gauge(
        "proofsheet_database_connections_max",
        "The most connections that the pool opens.",
    ),
    Metric::Histogram(
        "proofsheet_database_connection_wait_seconds",
        "How long a probe, every five seconds, waited for a connection of the pool.",
    ),
    Metric::Counter(
        "proofsheet_database_connection_failures_total",
        "Probes that got no connection in time.",
    ),
    Metric::Counter(
        "proofsheet_database_retries_total",
        "Transactions and reads that were run again, by reason: another one was in the way (`deadlock`, `lock_wait`, `changed`), the node failed (`node`), or took it back without saying so (`lost`).",
    ),
    Metric::Gauge(
        "proofsheet_outbox_events",
        "Deliveries of events that are not acknowledged yet.",
    ),
    Metric::Gauge(
        "proofsheet_outbox_oldest_age_seconds",
        "The age of the oldest event that some subscriber has not acknowledged; 0 without one.",
    ),
    Metric::Histogram(
        "proofsheet_event_delivery_seconds",
        "From an event to its acknowledgement, by subscriber.",
    ),
    Metric::Counter(
        "proofsheet_event_delivery_failures_total",
        "Deliveries that have to be tried again, by subscriber.",
    ),
    Metric::Gauge(
        "proofsheet_lease_held",
        "Whether this process has the lease of a task: one process of each service does.",
    ),
    Metric::Counter(
        "proofsheet_job_runs_total",
        "Runs of background jobs, by task and outcome.",
    ),
    Metric::Histogram(
        "proofsheet_job_duration_seconds",
        "How long runs of background jobs took, by task.",
    ),
    Metric::Counter(
        "proofsheet_reconcile_repairs_total",
        "What a comparison with another service, or with the files, had to repair.",
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

/// The process's metrics, in Prometheus' text format.
pub fn render_metrics() -> String {
    let handle = handle();
    record_process();
    handle.render()
}

fn handle() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .expect("there are limits")
            .build_recorder();
        let handle = recorder.handle();
        // Only this function sets a recorder. If another one exists, ours stays empty.
        let _ = metrics::set_global_recorder(recorder);
        describe(&PROCESS);
        handle
    })
}

/// Reads what Linux says of this process. Elsewhere there is nothing to read, and nothing is told.
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
        // Linux reports hundredths of a second here, independent of the kernel's tick.
        metrics::counter!("process_cpu_seconds_total").absolute(ticks / 100);
    }
}

/// The time in user and in system mode: the 14th and 15th field; the second may contain spaces, in parentheses.
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

/// Runs `look` every five seconds until `stop`: for what is so now, rather than what has happened.
pub fn watch<W>(stop: CancellationToken, mut look: impl FnMut() -> W + Send + 'static) -> JoinHandle<()>
where
    W: Future<Output = ()> + Send,
{
    tokio::spawn(async move {
        let looking = async {
            loop {
                look().await;
                tokio::time::sleep(EVERY).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = looking => {}
        }
    })
}

/// Watches the pool and the outbox of a service.
pub fn watch_database(pool: MySqlPool, stop: CancellationToken) -> JoinHandle<()> {
    describe(&SERVICE);
    watch(stop, move || {
        let pool = pool.clone();
        async move {
            look_at_pool(&pool).await;
        }
    })
}

async fn look_at_pool(pool: &MySqlPool) {
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

/// How many deliveries wait, and for how many seconds the first of them has. Ids of events begin with their time. An
/// event whose last delivery is gone may stay for a while: it has no pending delivery.
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
    fn a_process_tells_of_itself() {
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
