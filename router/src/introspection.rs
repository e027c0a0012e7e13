//! Refuses deeply nested introspection: `types { fields { type { fields { type { fields …`.
//!
//! The router answers introspection itself, so neither the depth limit (which excludes it, because tools nest types
//! nine levels deep) nor the cost estimate applies. Nested lists multiply the size of the response.

use std::collections::HashMap;

use contracts::Code;
use hive_router::GraphQLError;
use hive_router::async_trait;
use hive_router::graphql_tools::static_graphql::query::{
    Definition, Document, OperationDefinition, Selection, SelectionSet,
};
use hive_router::http::StatusCode;
use hive_router::plugins::hooks::on_graphql_validation::{
    OnGraphQLValidationStartHookPayload, OnGraphQLValidationStartHookResult,
};
use hive_router::plugins::hooks::on_plugin_init::{OnPluginInitPayload, OnPluginInitResult};
use hive_router::plugins::plugin_trait::{RouterPlugin, StartHookPayload as _};

/// Maximum number of nested lists. A complete introspection query needs three.
const MAX_LIST_DEPTH: u32 = 3;
/// Maximum number of visited selections, with fragments expanded. A complete introspection query has about 200.
const MAX_VISITED_SELECTIONS: u32 = 5_000;

/// The list fields of introspection types.
const LIST_FIELDS: [&str; 8] = [
    "types",
    "directives",
    "fields",
    "args",
    "inputFields",
    "interfaces",
    "enumValues",
    "possibleTypes",
];

/// Refuses excessive introspection.
#[derive(Default)]
pub(crate) struct IntrospectionPlugin;

/// Whether an introspection in this document is deeper than [`MAX_LIST_DEPTH`] or exceeds [`MAX_VISITED_SELECTIONS`].
fn is_excessive(document: &Document) -> bool {
    let mut fragments = HashMap::new();
    let mut operations = Vec::new();
    for definition in &document.definitions {
        match definition {
            Definition::Fragment(fragment) => {
                fragments.insert(fragment.name.as_str(), &fragment.selection_set);
            }
            Definition::Operation(OperationDefinition::SelectionSet(selections)) => {
                operations.push(selections);
            }
            Definition::Operation(OperationDefinition::Query(query)) => operations.push(&query.selection_set),
            Definition::Operation(OperationDefinition::Mutation(mutation)) => {
                operations.push(&mutation.selection_set);
            }
            Definition::Operation(OperationDefinition::Subscription(subscription)) => {
                operations.push(&subscription.selection_set);
            }
        }
    }
    operations
        .into_iter()
        .any(|selections| is_operation_excessive(selections, &fragments))
}

/// Iterative, so that no document can overflow the stack.
fn is_operation_excessive(operation: &SelectionSet, fragments: &HashMap<&str, &SelectionSet>) -> bool {
    let mut left = MAX_VISITED_SELECTIONS;
    // Selections with the number of lists around them; `None` at the root, the only place where introspection can
    // begin.
    let mut open: Vec<(&SelectionSet, Option<u32>)> = vec![(operation, None)];
    while let Some((selections, lists)) = open.pop() {
        for selection in &selections.items {
            let Some(rest) = left.checked_sub(1) else {
                return true;
            };
            left = rest;
            match selection {
                Selection::Field(field) => {
                    let name = field.name.as_str();
                    let lists = match lists {
                        Some(lists) => lists + u32::from(LIST_FIELDS.contains(&name)),
                        None if ["__schema", "__type"].contains(&name) => 0,
                        None => continue,
                    };
                    if lists > MAX_LIST_DEPTH {
                        return true;
                    }
                    open.push((&field.selection_set, Some(lists)));
                }
                Selection::InlineFragment(fragment) => open.push((&fragment.selection_set, lists)),
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = fragments.get(spread.fragment_name.as_str()) {
                        open.push((fragment, lists));
                    }
                }
            }
        }
    }
    false
}

#[async_trait]
impl RouterPlugin for IntrospectionPlugin {
    type Config = ();

    fn plugin_name() -> &'static str {
        "introspection"
    }

    fn on_plugin_init(payload: OnPluginInitPayload<Self>) -> OnPluginInitResult<Self> {
        payload.initialize_plugin_with_defaults()
    }

    async fn on_graphql_validation<'exec>(
        &'exec self,
        payload: OnGraphQLValidationStartHookPayload<'exec>,
    ) -> OnGraphQLValidationStartHookResult<'exec> {
        if !is_excessive(&payload.document) {
            return payload.proceed();
        }
        let message =
            format!("Introspection may nest {MAX_LIST_DEPTH} lists, and this operation nests more.");
        payload.end_with_graphql_error(
            GraphQLError::from_message_and_code(message, Code::InvalidInput.as_str()),
            StatusCode::OK,
        )
    }
}

#[cfg(test)]
mod tests {
    use hive_router::query_planner::utils::parsing::parse_operation;

    use super::*;

    #[test]
    fn introspection_of_tools_passes() {
        let complete = "query { __schema { types { ...Full } directives { args { type { ...Ref } } } } }
            fragment Full on __Type { fields { args { type { ...Ref } } type { ...Ref } } inputFields { type { ...Ref } } }
            fragment Ref on __Type { name ofType { name ofType { name ofType { name ofType { name } } } } }";
        assert!(!is_excessive(&parse_operation(complete)));
        assert!(
            !is_excessive(&parse_operation(
                "{ fields { fields { fields { fields { id } } } } }"
            )),
            "no description"
        );
    }

    #[test]
    fn nested_introspection_is_refused() {
        for circles in [
            "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }",
            "{ ...Root } fragment Root on Query { __type(name: \"A\") { ...A } }
             fragment A on __Type { fields { type { fields { type { ... { fields { args { name } } } } } } } }",
            "{ __schema { types { ...A } } } fragment A on __Type { ofType { ...A } }",
            "{ ...A } fragment A on Query { ...A }",
        ] {
            assert!(is_excessive(&parse_operation(circles)), "{circles}");
        }
    }
}
