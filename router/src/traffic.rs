//! Counts the requests to each subgraph, which shows an N+1 in production as it does in a test.

use hive_router::async_trait;
use hive_router::plugins::hooks::on_plugin_init::{OnPluginInitPayload, OnPluginInitResult};
use hive_router::plugins::hooks::on_subgraph_execute::{
    OnSubgraphExecuteStartHookPayload, OnSubgraphExecuteStartHookResult,
};
use hive_router::plugins::plugin_trait::{RouterPlugin, StartHookPayload as _};

/// Counts requests to subgraphs.
#[derive(Default)]
pub(crate) struct TrafficPlugin;

#[async_trait]
impl RouterPlugin for TrafficPlugin {
    type Config = ();

    fn plugin_name() -> &'static str {
        "traffic"
    }

    fn on_plugin_init(payload: OnPluginInitPayload<Self>) -> OnPluginInitResult<Self> {
        payload.initialize_plugin_with_defaults()
    }

    async fn on_subgraph_execute<'exec>(
        &'exec self,
        payload: OnSubgraphExecuteStartHookPayload<'exec>,
    ) -> OnSubgraphExecuteStartHookResult<'exec> {
        metrics::counter!("router_subgraph_requests_total", "subgraph" => payload.subgraph_name.to_owned())
            .increment(1);
        payload.proceed()
    }
}
