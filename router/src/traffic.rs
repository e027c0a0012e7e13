//! Metrics of operations and of the requests to each subgraph, which reveal N+1 queries.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use hive_router::async_trait;
use hive_router::executor::response::value::Value;
use hive_router::plugins::hooks::on_execute::{OnExecuteStartHookPayload, OnExecuteStartHookResult};
use hive_router::plugins::hooks::on_plugin_init::{OnPluginInitPayload, OnPluginInitResult};
use hive_router::plugins::hooks::on_subgraph_execute::{
    OnSubgraphExecuteStartHookPayload, OnSubgraphExecuteStartHookResult,
};
use hive_router::plugins::plugin_trait::{EndHookPayload as _, RouterPlugin, StartHookPayload as _};

use crate::errors::{self, ErrorKind};
use crate::operations::{APP_OPERATIONS, Operations, ROUTER_OPERATIONS};

/// Records the metrics of executed operations.
pub(crate) struct TrafficPlugin {
    /// Operations with these names have their own label; all others are `other`, because clients choose names freely.
    names: HashSet<String>,
    /// The timeout of an operation.
    deadline: Duration,
}

/// The outcome of an operation, a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Ok,
    /// The request was invalid or not allowed.
    Rejected,
    /// A subgraph was unavailable, and a part of the data was returned.
    Partial,
    /// No data was returned.
    Unavailable,
    /// A defect of the site.
    Failed,
    /// The client disconnected before the response.
    Cancelled,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Rejected => "refused",
            Self::Partial => "partial",
            Self::Unavailable => "unavailable",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    fn of(kind: Option<ErrorKind>, data: &Value<'_>) -> Self {
        let is_empty = match data {
            Value::Object(fields) => fields.iter().all(|(_, value)| matches!(value, Value::Null)),
            other => matches!(other, Value::Null),
        };
        match kind {
            None => Self::Ok,
            Some(ErrorKind::Client) => Self::Rejected,
            Some(ErrorKind::Outage) if is_empty => Self::Unavailable,
            Some(ErrorKind::Outage) => Self::Partial,
            Some(ErrorKind::Defect) => Self::Failed,
        }
    }
}

/// An operation that is being executed. Dropping it before the response records a timeout or a cancellation.
struct RunningOperation {
    operation: String,
    started: Instant,
    deadline: Duration,
    ended: bool,
}

impl RunningOperation {
    fn end(&mut self, outcome: Outcome) {
        self.ended = true;
        let (operation, outcome) = (self.operation.clone(), outcome.as_str());
        metrics::histogram!(
            "proofsheet_router_operation_duration_seconds", "operation" => operation.clone()
        )
        .record(self.started.elapsed());
        metrics::counter!(
            "proofsheet_router_operations_total", "operation" => operation, "outcome" => outcome
        )
        .increment(1);
    }
}

impl Drop for RunningOperation {
    fn drop(&mut self) {
        if !self.ended {
            let too_late = self.started.elapsed() >= self.deadline;
            self.end(if too_late {
                Outcome::Unavailable
            } else {
                Outcome::Cancelled
            });
        }
    }
}

#[async_trait]
impl RouterPlugin for TrafficPlugin {
    type Config = ();

    fn plugin_name() -> &'static str {
        "traffic"
    }

    fn on_plugin_init(payload: OnPluginInitPayload<Self>) -> OnPluginInitResult<Self> {
        let operations =
            Operations::parse(&[APP_OPERATIONS, ROUTER_OPERATIONS]).map_err(|error| error.to_string())?;
        // Planning has already used some of the time.
        let deadline = payload.router_config().traffic_shaping.router.request_timeout;
        payload.initialize_plugin(Self {
            names: operations.into_names().collect(),
            deadline: deadline.mul_f64(0.9),
        })
    }

    async fn on_execute<'exec>(
        &'exec self,
        payload: OnExecuteStartHookPayload<'exec>,
    ) -> OnExecuteStartHookResult<'exec> {
        let name = payload.operation_for_plan.name.as_deref();
        let name = name.filter(|name| self.names.contains(*name)).unwrap_or("other");
        let mut running = RunningOperation {
            operation: name.to_owned(),
            started: Instant::now(),
            deadline: self.deadline,
            ended: false,
        };
        payload.on_end(move |end| {
            running.end(Outcome::of(errors::worst_kind(&end.errors), &end.data));
            end.proceed()
        })
    }

    async fn on_subgraph_execute<'exec>(
        &'exec self,
        payload: OnSubgraphExecuteStartHookPayload<'exec>,
    ) -> OnSubgraphExecuteStartHookResult<'exec> {
        let subgraph = payload.subgraph_name.to_owned();
        metrics::counter!("proofsheet_router_subgraph_requests_total", "subgraph" => subgraph.clone())
            .increment(1);
        let started = Instant::now();
        payload.on_end(move |end| {
            let errors = end.execution_result.errors.as_deref().unwrap_or_default();
            if matches!(
                errors::worst_kind(errors),
                Some(ErrorKind::Outage | ErrorKind::Defect)
            ) {
                metrics::counter!("proofsheet_router_subgraph_errors_total", "subgraph" => subgraph.clone())
                    .increment(1);
            }
            metrics::histogram!(
                "proofsheet_router_subgraph_request_duration_seconds", "subgraph" => subgraph
            )
            .record(started.elapsed());
            end.proceed()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_partial_or_unavailable() {
        let hole = Value::Object(vec![("latestPhotos", Value::Null), ("viewer", Value::Bool(true))]);
        let nothing = Value::Object(vec![("latestPhotos", Value::Null)]);
        assert_eq!(Outcome::of(Some(ErrorKind::Outage), &hole), Outcome::Partial);
        assert_eq!(
            Outcome::of(Some(ErrorKind::Outage), &nothing),
            Outcome::Unavailable
        );
        assert_eq!(
            Outcome::of(Some(ErrorKind::Outage), &Value::Null),
            Outcome::Unavailable
        );
        assert_eq!(Outcome::of(Some(ErrorKind::Client), &nothing), Outcome::Rejected);
        assert_eq!(Outcome::of(None, &nothing), Outcome::Ok);
    }
}
