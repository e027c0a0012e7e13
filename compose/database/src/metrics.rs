//! Renders `/metrics`: the state of the node and of MariaDB, in the text format of Prometheus.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;

use crate::decision::Stage;
use crate::sql::{self, Status};
use crate::state::Shared;

/// Timeout of reading MariaDB's status.
const STATUS_TIMEOUT: Duration = Duration::from_millis(1500);

/// The names of all stages.
const STAGES: [&str; 7] = [
    "recovering",
    "deciding",
    "bootstrapping",
    "joining",
    "primary",
    "non_primary",
    "stopping",
];

/// The exported status variables of MariaDB, with help text and kind.
const VARIABLES: [(&str, &str, MetricKind); 16] = [
    (
        "wsrep_cluster_size",
        "Number of nodes in the membership.",
        MetricKind::Gauge,
    ),
    (
        "wsrep_local_state",
        "State of the node: 1 joining, 2 donor, 3 joined, 4 synced.",
        MetricKind::Gauge,
    ),
    (
        "wsrep_ready",
        "Whether the node accepts statements.",
        MetricKind::Gauge,
    ),
    (
        "wsrep_connected",
        "Whether the node is connected to the cluster.",
        MetricKind::Gauge,
    ),
    (
        "wsrep_flow_control_paused_ns",
        "Nanoseconds of replication paused by flow control.",
        MetricKind::Counter,
    ),
    (
        "wsrep_local_recv_queue",
        "Write sets that wait to be applied.",
        MetricKind::Gauge,
    ),
    (
        "wsrep_local_send_queue",
        "Write sets that wait to be sent.",
        MetricKind::Gauge,
    ),
    (
        "wsrep_last_committed",
        "Sequence number of the last committed write set.",
        MetricKind::Counter,
    ),
    (
        "wsrep_local_cert_failures",
        "Local transactions that failed certification, because a transaction of another node changed the same rows.",
        MetricKind::Counter,
    ),
    (
        "wsrep_local_bf_aborts",
        "Local transactions that were aborted while they ran, by write sets of other nodes.",
        MetricKind::Counter,
    ),
    (
        "threads_connected",
        "Number of open client connections.",
        MetricKind::Gauge,
    ),
    (
        "threads_running",
        "Number of running statements.",
        MetricKind::Gauge,
    ),
    ("questions", "Statements that clients sent.", MetricKind::Counter),
    (
        "slow_queries",
        "Statements that took longer than long_query_time.",
        MetricKind::Counter,
    ),
    (
        "aborted_connects",
        "Connections that were refused.",
        MetricKind::Counter,
    ),
    ("uptime", "Seconds since MariaDB started.", MetricKind::Counter),
];

#[derive(Clone, Copy)]
enum MetricKind {
    Gauge,
    Counter,
}

/// Renders all metrics.
pub async fn text(shared: &Shared) -> String {
    let status = tokio::time::timeout(STATUS_TIMEOUT, sql::all_status(&shared.sql)).await;
    let status = status.ok().and_then(Result::ok);
    render(|| {
        record_agent(shared);
        record_mariadb(status.as_ref(), shared.config.server.max_connections);
    })
}

/// Renders what `record` records. Each response has its own recorder, so that the values of a MariaDB that does not
/// respond any more disappear.
fn render(record: impl FnOnce()) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, record);
    recorder.handle().render()
}

fn record_agent(shared: &Shared) {
    let counts = shared.counts();
    let epoch = shared.memory().unwrap_or_default().view.epoch;
    record_stage(shared.stage());
    gauge(
        "proofsheet_database_refuses",
        "Whether the node refuses to start until an operator intervenes. /status has the reason.",
        counts.refuses.into(),
    );
    gauge(
        "proofsheet_database_epoch",
        "Number of starts of the whole cluster.",
        epoch.number.into(),
    );
    gauge(
        "proofsheet_database_forced_starts",
        "Number of forced starts of the whole cluster.",
        epoch.forced.into(),
    );
    counter(
        "proofsheet_database_starts_total",
        "Starts of MariaDB by this agent.",
        counts.starts,
    );
    counter(
        "proofsheet_database_deaths_total",
        "Unexpected ends of MariaDB.",
        counts.deaths,
    );
    if let Ok(space) = shared.volume.space() {
        gauge(
            "proofsheet_database_volume_bytes",
            "Size of the volume.",
            space.total,
        );
        gauge(
            "proofsheet_database_volume_free_bytes",
            "Free space of the volume.",
            space.free,
        );
    }
}

fn record_stage(stage: Stage) {
    const NAME: &str = "proofsheet_database_stage";
    let at = match stage {
        Stage::Recovering => 0,
        Stage::Deciding { .. } => 1,
        Stage::Bootstrapping { .. } => 2,
        Stage::Joining => 3,
        Stage::Primary => 4,
        Stage::NonPrimary => 5,
        Stage::Stopping => 6,
    };
    metrics::describe_gauge!(NAME, "1 for the current stage of the node, 0 for the others.");
    for (number, stage) in STAGES.into_iter().enumerate() {
        metrics::gauge!(NAME, "stage" => stage).set(u8::from(number == at));
    }
}

fn record_mariadb(status: Option<&Status>, max_connections: u32) {
    gauge(
        "mysql_up",
        "Whether MariaDB responds to the agent.",
        status.is_some().into(),
    );
    let Some(status) = status else { return };
    gauge(
        "mysql_global_variables_max_connections",
        "Maximum number of client connections.",
        max_connections.into(),
    );
    let lower: BTreeMap<_, _> = status
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value.as_str()))
        .collect();
    if let Some(state) = lower.get("wsrep_cluster_status") {
        gauge(
            "mysql_global_status_wsrep_cluster_primary",
            "Whether the node is part of a majority.",
            (*state == "Primary").into(),
        );
    }
    for (name, help, kind) in VARIABLES {
        let value = match lower.get(name).copied() {
            Some("ON") => Some(1),
            Some("OFF") => Some(0),
            other => other.and_then(|number| number.parse().ok()),
        };
        let Some(value) = value else { continue };
        let name = format!("mysql_global_status_{name}");
        match kind {
            MetricKind::Gauge => gauge(&name, help, value),
            MetricKind::Counter => counter(&name, help, value),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "the numbers are below 2^53")]
fn gauge(name: &str, help: &'static str, value: u64) {
    metrics::describe_gauge!(name.to_owned(), help);
    metrics::gauge!(name.to_owned()).set(value as f64);
}

fn counter(name: &str, help: &'static str, value: u64) {
    metrics::describe_counter!(name.to_owned(), help);
    metrics::counter!(name.to_owned()).absolute(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_has_its_name() {
        let ballot = 7;
        let stages = [
            Stage::Recovering,
            Stage::Deciding { ballot: None },
            Stage::Bootstrapping { ballot },
            Stage::Joining,
            Stage::Primary,
            Stage::NonPrimary,
            Stage::Stopping,
        ];
        for (stage, name) in stages.into_iter().zip(STAGES) {
            let text = render(|| record_stage(stage));
            let line = format!("proofsheet_database_stage{{stage=\"{name}\"}} 1\n");
            assert!(text.contains(&line), "{stage:?} gave {text}");
            assert_eq!(text.matches(" 1\n").count(), 1);
            assert_eq!(text.matches("} 0\n").count(), STAGES.len() - 1);
        }
    }

    #[test]
    fn status_variables_become_metrics() {
        let status = [
            ("wsrep_ready", "ON"),
            ("wsrep_cluster_status", "Primary"),
            ("Questions", "12"),
            // Not a number that a counter can have: a node that is no member.
            ("wsrep_last_committed", "-1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let status = BTreeMap::from(status);
        let text = render(|| record_mariadb(Some(&status), 600));
        for line in [
            "mysql_up 1",
            "mysql_global_variables_max_connections 600",
            "mysql_global_status_wsrep_cluster_primary 1",
            "mysql_global_status_wsrep_ready 1",
            "# TYPE mysql_global_status_questions counter",
            "# HELP mysql_up Whether MariaDB responds to the agent.",
            "mysql_global_status_questions 12",
        ] {
            assert!(text.lines().any(|there| there == line), "no {line} in {text}");
        }
        assert!(!text.contains("last_committed"), "{text}");
        let text = render(|| record_mariadb(None, 600));
        assert!(text.lines().any(|there| there == "mysql_up 0"), "{text}");
        assert!(!text.contains("mysql_global"), "{text}");
    }
}
