//! Refuses a document of several operations without `operationName`. The library would run the first.

use contracts::Code;
use hive_router::async_trait;
use hive_router::graphql_tools::parser::query::{Definition, parse_query};
use hive_router::http::StatusCode;
use hive_router::plugins::hooks::on_graphql_analysis::{
    OnGraphqlAnalysisHookPayload, OnGraphqlAnalysisHookResult,
};
use hive_router::plugins::hooks::on_plugin_init::{OnPluginInitPayload, OnPluginInitResult};
use hive_router::plugins::plugin_trait::{FromGraphQLErrorToResponse as _, RouterPlugin};
use hive_router::sonic_rs::Value;
use hive_router::{GraphQLError, PlanExecutionOutput};

/// Requires `operationName` if the document has several operations.
#[derive(Default)]
pub(crate) struct RequireOperationNamePlugin;

/// Whether the document has more than one operation.
fn has_several_operations(document: &str) -> bool {
    parse_query::<&str>(document).is_ok_and(|document| {
        let operations = document
            .definitions
            .iter()
            .filter(|definition| matches!(definition, Definition::Operation(_)));
        operations.count() > 1
    })
}

#[async_trait]
impl RouterPlugin for RequireOperationNamePlugin {
    type Config = ();

    fn plugin_name() -> &'static str {
        "require_operation_name"
    }

    fn on_plugin_init(payload: OnPluginInitPayload<Self>) -> OnPluginInitResult<Self> {
        payload.initialize_plugin_with_defaults()
    }

    async fn on_graphql_analysis<'exec>(
        &'exec self,
        payload: &mut OnGraphqlAnalysisHookPayload<'exec>,
    ) -> OnGraphqlAnalysisHookResult {
        let params = payload.graphql_params;
        let is_open =
            params.operation_name.is_none() && params.query.as_deref().is_some_and(has_several_operations);
        if !is_open {
            return OnGraphqlAnalysisHookResult::Proceed;
        }
        let message = "This document has several operations. Select one by operationName.";
        let mut error = GraphQLError::from_message_and_code(message, Code::InvalidInput.as_str());
        error
            .extensions
            .set("field".to_owned(), Value::from("operationName"));
        OnGraphqlAnalysisHookResult::EndWithResponse(PlanExecutionOutput::from_graphql_error_to_response(
            error,
            StatusCode::OK,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::has_several_operations;

    #[test]
    fn fragments_are_no_operations() {
        assert!(!has_several_operations(
            "{ viewer { ...V } } fragment V on Viewer { id }"
        ));
        assert!(has_several_operations(
            "query A { viewer { id } } query B { viewer { id } }"
        ));
    }
}
