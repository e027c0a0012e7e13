//! Executes only the operations on the allowlist (trusted documents): for a site without a public API.
//!
//! Active only with `--operation-allowlist`. An operation is recognised by its text, regardless of whitespace. The
//! router's own operations are allowed too.

use std::collections::HashSet;

use contracts::Code;
use hive_router::GraphQLError;
use hive_router::async_trait;
use hive_router::http::StatusCode;
use hive_router::plugins::hooks::on_graphql_validation::{
    OnGraphQLValidationStartHookPayload, OnGraphQLValidationStartHookResult,
};
use hive_router::plugins::hooks::on_plugin_init::{OnPluginInitPayload, OnPluginInitResult};
use hive_router::plugins::plugin_trait::{RouterPlugin, StartHookPayload as _};

use crate::operations::{APP_OPERATIONS, Operations, ROUTER_OPERATIONS, normalize};

/// Refuses operations that are not on the allowlist.
pub(crate) struct AllowlistPlugin {
    texts: HashSet<String>,
}

impl AllowlistPlugin {
    pub(crate) const NAME: &'static str = "operation_allowlist";
}

#[async_trait]
impl RouterPlugin for AllowlistPlugin {
    type Config = ();

    fn plugin_name() -> &'static str {
        Self::NAME
    }

    fn on_plugin_init(payload: OnPluginInitPayload<Self>) -> OnPluginInitResult<Self> {
        let operations =
            Operations::parse(&[APP_OPERATIONS, ROUTER_OPERATIONS]).map_err(|error| error.to_string())?;
        payload.initialize_plugin(Self {
            texts: operations.into_texts().collect(),
        })
    }

    async fn on_graphql_validation<'exec>(
        &'exec self,
        payload: OnGraphQLValidationStartHookPayload<'exec>,
    ) -> OnGraphQLValidationStartHookResult<'exec> {
        if self.texts.contains(&normalize(&payload.document)) {
            return payload.proceed();
        }
        let message = "This site executes only the operations of its app.";
        payload.end_with_graphql_error(
            GraphQLError::from_message_and_code(message, Code::Forbidden.as_str()),
            StatusCode::OK,
        )
    }
}
