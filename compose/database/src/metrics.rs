//! Renders `/metrics`: the state of the node and of MariaDB, in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::time::Duration;

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
    let mut text = MetricsText::default();
    write_agent(&mut text, shared);
    let status = tokio::time::timeout(STATUS_TIMEOUT, sql::all_status(&shared.sql)).await;
    let status = status.ok().and_then(Result::ok);
    write_mariadb(&mut text, status.as_ref(), shared.config.server.max_connections);
    text.0
}

fn write_agent(text: &mut MetricsText, shared: &Shared) {
    let counts = shared.counts();
    let epoch = shared.memory().unwrap_or_default().view.epoch;
    write_stage(text, shared.stage());
    text.gauge(
        "proofsheet_database_refuses",
        "Whether the node refuses to start until an operator intervenes. /status has the reason.",
        u8::from(counts.refuses),
    );
    text.gauge(
        "proofsheet_database_epoch",
        "Number of starts of the whole cluster.",
        epoch.number,
    );
    text.gauge(
        "proofsheet_database_forced_starts",
        "Number of forced starts of the whole cluster.",
        epoch.forced,
    );
    text.counter(
        "proofsheet_database_starts_total",
        "Starts of MariaDB by this agent.",
        counts.starts,
    );
    text.counter(
        "proofsheet_database_deaths_total",
        "Unexpected ends of MariaDB.",
        counts.deaths,
    );
    if let Ok(space) = shared.volume.space() {
        text.gauge(
            "proofsheet_database_volume_bytes",
            "Size of the volume.",
            space.total,
        );
        text.gauge(
            "proofsheet_database_volume_free_bytes",
            "Free space of the volume.",
            space.free,
        );
    }
}

fn write_stage(text: &mut MetricsText, stage: Stage) {
    let name = "proofsheet_database_stage";
    text.about(
        name,
        "1 for the current stage of the node, 0 for the others.",
        "gauge",
    );
    let at = match stage {
        Stage::Recovering => 0,
        Stage::Deciding { .. } => 1,
        Stage::Bootstrapping { .. } => 2,
        Stage::Joining => 3,
        Stage::Primary => 4,
        Stage::NonPrimary => 5,
        Stage::Stopping => 6,
    };
    for (number, stage) in STAGES.into_iter().enumerate() {
        text.value(&format!("{name}{{stage=\"{stage}\"}}"), u8::from(number == at));
    }
}

fn write_mariadb(text: &mut MetricsText, status: Option<&Status>, max_connections: u32) {
    text.gauge(
        "mysql_up",
        "Whether MariaDB responds to the agent.",
        u8::from(status.is_some()),
    );
    let Some(status) = status else { return };
    text.gauge(
        "mysql_global_variables_max_connections",
        "Maximum number of client connections.",
        max_connections,
    );
    let lower: BTreeMap<_, _> = status
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value.as_str()))
        .collect();
    if let Some(state) = lower.get("wsrep_cluster_status") {
        text.gauge(
            "mysql_global_status_wsrep_cluster_primary",
            "Whether the node is part of a majority.",
            u8::from(*state == "Primary"),
        );
    }
    for (name, help, kind) in VARIABLES {
        let Some(value) = lower.get(name) else { continue };
        let value = match *value {
            "ON" => "1",
            "OFF" => "0",
            other => other,
        };
        let name = format!("mysql_global_status_{name}");
        match kind {
            MetricKind::Gauge => text.gauge(&name, help, value),
            MetricKind::Counter => text.counter(&name, help, value),
        }
    }
}

#[derive(Default)]
struct MetricsText(String);

impl MetricsText {
    fn about(&mut self, name: &str, help: &str, kind: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn value(&mut self, name: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.about(name, help, "gauge");
        self.value(name, value);
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.about(name, help, "counter");
        self.value(name, value);
    }
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
            let mut text = MetricsText::default();
            write_stage(&mut text, stage);
            let line = format!("proofsheet_database_stage{{stage=\"{name}\"}} 1\n");
            assert!(text.0.contains(&line), "{stage:?} gave {}", text.0);
            assert_eq!(text.0.matches(" 1\n").count(), 1);
        }
    }

    #[test]
    fn status_variables_become_metrics() {
        let status = [
            ("wsrep_ready", "ON"),
            ("wsrep_cluster_status", "Primary"),
            ("Questions", "12"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut text = MetricsText::default();
        write_mariadb(&mut text, Some(&BTreeMap::from(status)), 600);
        for line in [
            "mysql_up 1",
            "mysql_global_variables_max_connections 600",
            "mysql_global_status_wsrep_cluster_primary 1",
            "mysql_global_status_wsrep_ready 1",
            "# TYPE mysql_global_status_questions counter",
            "mysql_global_status_questions 12",
        ] {
            assert!(
                text.0.lines().any(|there| there == line),
                "no {line} in {}",
                text.0
            );
        }
        let mut text = MetricsText::default();
        write_mariadb(&mut text, None, 600);
        assert!(text.0.ends_with("mysql_up 0\n"));
    }
}
