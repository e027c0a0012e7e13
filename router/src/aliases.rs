//! Removes aliases that repeat the field's own name. The library does not merge `nodes` with `nodes: nodes`, and asks
//! a subgraph for a field without its selections (`docs/upstream.md`).

use std::sync::Arc;

use hive_router::async_trait;
use hive_router::graphql_tools::static_graphql::query::{
    Definition, Document, OperationDefinition, Selection, SelectionSet,
};
use hive_router::plugins::hooks::on_graphql_parse::{
    OnGraphQLParseHookResult, OnGraphQLParseStartHookPayload,
};
use hive_router::plugins::hooks::on_plugin_init::{OnPluginInitPayload, OnPluginInitResult};
use hive_router::plugins::plugin_trait::{EndHookPayload as _, RouterPlugin, StartHookPayload as _};

#[derive(Default)]
pub(crate) struct AliasesPlugin;

/// The document without such aliases; `None` if it has none.
fn corrected(document: &Document) -> Option<Document> {
    let is_affected = document
        .definitions
        .iter()
        .any(|definition| repeats_a_name(selections(definition)));
    is_affected.then(|| {
        let mut document = document.clone();
        for definition in &mut document.definitions {
            remove_repeats(selections_mut(definition));
        }
        document
    })
}

fn selections(definition: &Definition) -> &SelectionSet {
    match definition {
        Definition::Fragment(fragment) => &fragment.selection_set,
        Definition::Operation(OperationDefinition::SelectionSet(selections)) => selections,
        Definition::Operation(OperationDefinition::Query(query)) => &query.selection_set,
        Definition::Operation(OperationDefinition::Mutation(mutation)) => &mutation.selection_set,
        Definition::Operation(OperationDefinition::Subscription(subscription)) => &subscription.selection_set,
    }
}

fn selections_mut(definition: &mut Definition) -> &mut SelectionSet {
    match definition {
        Definition::Fragment(fragment) => &mut fragment.selection_set,
        Definition::Operation(OperationDefinition::SelectionSet(selections)) => selections,
        Definition::Operation(OperationDefinition::Query(query)) => &mut query.selection_set,
        Definition::Operation(OperationDefinition::Mutation(mutation)) => &mut mutation.selection_set,
        Definition::Operation(OperationDefinition::Subscription(subscription)) => {
            &mut subscription.selection_set
        }
    }
}

fn repeats_a_name(selections: &SelectionSet) -> bool {
    selections.items.iter().any(|selection| match selection {
        Selection::Field(field) => {
            field.alias.as_ref() == Some(&field.name) || repeats_a_name(&field.selection_set)
        }
        Selection::InlineFragment(fragment) => repeats_a_name(&fragment.selection_set),
        Selection::FragmentSpread(_) => false,
    })
}

fn remove_repeats(selections: &mut SelectionSet) {
    for selection in &mut selections.items {
        match selection {
            Selection::Field(field) => {
                if field.alias.as_ref() == Some(&field.name) {
                    field.alias = None;
                }
                remove_repeats(&mut field.selection_set);
            }
            Selection::InlineFragment(fragment) => remove_repeats(&mut fragment.selection_set),
            Selection::FragmentSpread(_) => {}
        }
    }
}

#[async_trait]
impl RouterPlugin for AliasesPlugin {
    type Config = ();

    fn plugin_name() -> &'static str {
        "aliases"
    }

    fn on_plugin_init(payload: OnPluginInitPayload<Self>) -> OnPluginInitResult<Self> {
        payload.initialize_plugin_with_defaults()
    }

    async fn on_graphql_parse<'exec>(
        &'exec self,
        payload: OnGraphQLParseStartHookPayload<'exec>,
    ) -> OnGraphQLParseHookResult<'exec> {
        payload.on_end(|mut payload| {
            if let Some(document) = corrected(&payload.document) {
                payload.document = Arc::new(document);
            }
            payload.proceed()
        })
    }
}

#[cfg(test)]
mod tests {
    use hive_router::query_planner::utils::parsing::parse_operation;

    use super::*;

    #[test]
    fn aliases_that_repeat_the_name_are_removed() {
        let document = parse_operation("{ a: a { ...F } b: c } fragment F on D { ... { e: e } }");
        let expected = parse_operation("{ a { ...F } b: c } fragment F on D { ... { e } }");
        assert_eq!(corrected(&document).unwrap().to_string(), expected.to_string());
        assert!(corrected(&expected).is_none());
    }
}
