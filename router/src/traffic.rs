//! Counts and times operations, and the requests to each subgraph: these show an N+1 in production as in a test.

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

use crate::errors::{self, Fault};
use crate::operations::{OF_THE_APP, OF_THE_ROUTER, Operations};

/// Counts what is executed.
pub(crate) struct TrafficPlugin {
    /// Operations of these names are counted for themselves, all others together: clients may make up names.
    names: HashSet<String>,
    /// When the library gives an operation up.
    deadline: Duration,
}

/// How an operation went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Ok,
    /// The client was told what is wrong with its request.
    Refused,
    /// A part did not answer, and the rest was there.
    Hole,
    /// Nothing was there.
    Unavailable,
    /// A defect of ours.
    Failed,
    /// The client left before the answer.
    Left,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Hole => "hole",
            Self::Unavailable => "unavailable",
            Self::Failed => "failed",
            Self::Left => "left",
        }
    }

    fn of(fault: Option<Fault>, data: &Value<'_>) -> Self {
        let is_empty = match data {
            Value::Object(fields) => fields.iter().all(|(_, value)| matches!(value, Value::Null)),
            other => matches!(other, Value::Null),
        };
        match fault {
            None => Self::Ok,
            Some(Fault::Client) => Self::Refused,
            Some(Fault::Outage) if is_empty => Self::Unavailable,
            Some(Fault::Outage) => Self::Hole,
            Some(Fault::Defect) => Self::Failed,
        }
    }
}

/// An operation that is being executed. One that ends before its answer is dropped.
struct Running {
    operation: String,
    started: Instant,
    deadline: Duration,
    ended: bool,
}

impl Running {
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

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            let too_late = self.started.elapsed() >= self.deadline;
            self.end(if too_late {
                Outcome::Unavailable
            } else {
                Outcome::Left
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
            Operations::parse(&[OF_THE_APP, OF_THE_ROUTER]).map_err(|error| error.to_string())?;
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
        let mut running = Running {
            operation: name.to_owned(),
            started: Instant::now(),
            deadline: self.deadline,
            ended: false,
        };
        payload.on_end(move |end| {
            running.end(Outcome::of(errors::fault(&end.errors), &end.data));
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
            if matches!(errors::fault(errors), Some(Fault::Outage | Fault::Defect)) {
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
    fn an_outage_leaves_a_hole_or_nothing() {
        let hole = Value::Object(vec![("latestPhotos", Value::Null), ("viewer", Value::Bool(true))]);
        let nothing = Value::Object(vec![("latestPhotos", Value::Null)]);
        assert_eq!(Outcome::of(Some(Fault::Outage), &hole), Outcome::Hole);
        assert_eq!(Outcome::of(Some(Fault::Outage), &nothing), Outcome::Unavailable);
        assert_eq!(
            Outcome::of(Some(Fault::Outage), &Value::Null),
            Outcome::Unavailable
        );
        assert_eq!(Outcome::of(Some(Fault::Client), &nothing), Outcome::Refused);
        assert_eq!(Outcome::of(None, &nothing), Outcome::Ok);
    }
}
