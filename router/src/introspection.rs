//! Refuses to describe the schema in circles: `types { fields { type { fields { type { fields …`.
//!
//! Descriptions are made by the router alone, so neither the depth limit (which leaves them out, as tools ask for
//! types nested nine deep) nor the estimate of cost sees them. But a few lists in lists of all types are a
//! multiplication that fits into few tokens.

use std::collections::HashMap;

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

/// So many lists may lie inside one another; a complete description needs three.
const LISTS: u32 = 3;
/// Selections that are looked at, fragments counted wherever they are spread. A complete description has about 200.
const SELECTIONS: u32 = 5_000;

/// The fields of the description that are lists.
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

/// Refuses what would go round in circles.
#[derive(Default)]
pub(crate) struct IntrospectionPlugin;

/// Whether some description in this document is deeper than [`LISTS`], or too long to tell.
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

/// Without recursion, so that no document can overflow the stack here.
fn is_operation_excessive(operation: &SelectionSet, fragments: &HashMap<&str, &SelectionSet>) -> bool {
    let mut left = SELECTIONS;
    // Each with the number of lists around it. Outside of a description only the root is looked at, because nowhere else
    // can one begin.
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
                    if lists > LISTS {
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
            format!("The schema may be described {LISTS} lists deep, as tools do, and this is deeper.");
        payload.end_with_graphql_error(
            GraphQLError::from_message_and_code(message, "INVALID_INPUT"),
            StatusCode::OK,
        )
    }
}

#[cfg(test)]
mod tests {
    use hive_router::query_planner::utils::parsing::parse_operation;

    use super::*;

    #[test]
    fn tools_get_what_they_ask_for() {
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
    fn circles_are_refused_however_they_are_written() {
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
