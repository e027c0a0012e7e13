//! Corrects operations where async-graphql deviates from the specification (`docs/upstream.md`).

use std::collections::{HashMap, HashSet};

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{
    Directive, DocumentOperations, ExecutableDocument, Field, OperationDefinition, Selection, SelectionSet,
};
use async_graphql::{Name, Positioned, Request, Variables};
use async_graphql_value::{ConstValue, Value};

/// Corrects a parsed request.
///
/// - async-graphql treats an absent variable as null. Arguments and fields with an absent variable are removed, so that
///   defaults apply, and input fields stay absent.
/// - It returns null for an object whose selections are all skipped, or whose only field failed. If the first may
///   happen, or every field has arguments that may be invalid, `__typename` is selected too.
/// - Its validation ignores that a nullable variable is allowed for an argument with a default (specification, 5.8.5).
///   A variable with a value is declared as non-null.
/// - The router declares variables of selections that it does not send. Those declarations are removed.
/// - Its validation does not see variables in the conditions of `__typename`. They are replaced by their values.
pub(crate) fn correct(request: &mut Request) {
    let Ok(mut document) = parse_query(&request.query) else {
        return;
    };
    let mut correction = Correction {
        absent: absent(&mut document, &request.variables),
        values: values(&mut document, &request.variables),
        used: HashSet::new(),
    };
    for fragment in document.fragments.values_mut() {
        correction.selections(&mut fragment.node.selection_set);
    }
    for operation in operations(&mut document) {
        correction.selections(&mut operation.selection_set);
    }
    for operation in operations(&mut document) {
        operation
            .variable_definitions
            .retain(|definition| correction.used.contains(&definition.node.name.node));
        declare_given_non_null(operation, &request.variables);
    }
    request.set_parsed_query(document);
}

fn operations(document: &mut ExecutableDocument) -> Vec<&mut OperationDefinition> {
    match &mut document.operations {
        DocumentOperations::Single(operation) => vec![&mut operation.node],
        DocumentOperations::Multiple(operations) => operations
            .values_mut()
            .map(|operation| &mut operation.node)
            .collect(),
    }
}

/// Returns the declared variables without a value and a default.
fn absent(document: &mut ExecutableDocument, variables: &Variables) -> HashSet<Name> {
    operations(document)
        .into_iter()
        .flat_map(|operation| &operation.variable_definitions)
        .filter(|definition| definition.node.default_value.is_none())
        .map(|definition| definition.node.name.node.clone())
        .filter(|name| !variables.contains_key(name))
        .collect()
}

/// Returns the values of the variables.
fn values(document: &mut ExecutableDocument, variables: &Variables) -> HashMap<Name, ConstValue> {
    let definitions = operations(document)
        .into_iter()
        .flat_map(|operation| &operation.variable_definitions);
    definitions
        .filter_map(|definition| {
            let name = &definition.node.name.node;
            let value = variables.get(name).or(definition.node.default_value());
            Some((name.clone(), value?.clone()))
        })
        .collect()
}

fn declare_given_non_null(operation: &mut OperationDefinition, variables: &Variables) {
    for definition in &mut operation.variable_definitions {
        let value = variables.get(&definition.node.name.node);
        if value.is_some_and(|value| *value != ConstValue::Null) {
            definition.node.var_type.node.nullable = false;
            // A non-null variable cannot have this default, and its value makes it unused.
            definition
                .node
                .default_value
                .take_if(|default| default.node == ConstValue::Null);
        }
    }
}

struct Correction {
    absent: HashSet<Name>,
    values: HashMap<Name, ConstValue>,
    used: HashSet<Name>,
}

impl Correction {
    fn selections(&mut self, selections: &mut Positioned<SelectionSet>) {
        for selection in &mut selections.node.items {
            if let Selection::Field(field) = &mut selection.node
                && field.node.name.node == "__typename"
            {
                self.insert_values(&mut field.node.directives);
            }
            for directive in selection.node.directives() {
                for (_, value) in &directive.node.arguments {
                    self.record_use(&value.node);
                }
            }
            match &mut selection.node {
                Selection::Field(field) => {
                    self.arguments(&mut field.node);
                    self.selections(&mut field.node.selection_set);
                    if may_be_empty(&field.node.selection_set.node) {
                        add_type_name(&mut field.node.selection_set);
                    }
                }
                Selection::InlineFragment(fragment) => self.selections(&mut fragment.node.selection_set),
                Selection::FragmentSpread(_) => {}
            }
        }
    }

    fn arguments(&mut self, field: &mut Field) {
        field.arguments.retain(|(_, value)| !self.is_absent(&value.node));
        for (_, value) in &mut field.arguments {
            self.remove_absent(&mut value.node);
            self.record_use(&value.node);
        }
    }

    fn insert_values(&self, directives: &mut [Positioned<Directive>]) {
        let arguments = directives
            .iter_mut()
            .flat_map(|directive| &mut directive.node.arguments);
        for (_, argument) in arguments {
            if let Value::Variable(name) = &argument.node
                && let Some(value) = self.values.get(name)
            {
                argument.node = value.clone().into_value();
            }
        }
    }

    fn is_absent(&self, value: &Value) -> bool {
        matches!(value, Value::Variable(name) if self.absent.contains(name))
    }

    fn remove_absent(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|_, value| !self.is_absent(value));
                fields.values_mut().for_each(|value| self.remove_absent(value));
            }
            Value::List(items) => items.iter_mut().for_each(|item| self.remove_absent(item)),
            _ => {}
        }
    }

    fn record_use(&mut self, value: &Value) {
        match value {
            Value::Variable(name) => {
                self.used.insert(name.clone());
            }
            Value::Object(fields) => fields.values().for_each(|value| self.record_use(value)),
            Value::List(items) => items.iter().for_each(|item| self.record_use(item)),
            _ => {}
        }
    }
}

/// Whether each selection may be skipped, or is a field whose arguments may be invalid.
fn may_be_empty(selections: &SelectionSet) -> bool {
    !selections.items.is_empty()
        && selections.items.iter().all(|selection| {
            !selection.node.directives().is_empty()
                || match &selection.node {
                    Selection::InlineFragment(fragment) => may_be_empty(&fragment.node.selection_set.node),
                    Selection::Field(field) => !field.node.arguments.is_empty(),
                    Selection::FragmentSpread(_) => false,
                }
        })
}

fn add_type_name(selections: &mut Positioned<SelectionSet>) {
    let pos = selections.pos;
    let field = Field {
        alias: None,
        name: Positioned::new(Name::new("__typename"), pos),
        arguments: Vec::new(),
        directives: Vec::new(),
        selection_set: Positioned::new(SelectionSet { items: Vec::new() }, pos),
    };
    let selection = Selection::Field(Positioned::new(field, pos));
    selections.node.items.push(Positioned::new(selection, pos));
}

#[cfg(test)]
mod tests {
    use async_graphql::{EmptyMutation, EmptySubscription, InputObject, MaybeUndefined, Object, Schema};
    use serde_json::{Value, json};

    use super::*;

    struct Query;

    #[derive(InputObject)]
    struct Change {
        text: MaybeUndefined<String>,
    }

    #[Object]
    impl Query {
        async fn page(&self, #[graphql(default = 24)] first: i32) -> i32 {
            first
        }

        async fn sum(&self, #[graphql(default_with = "vec![7]")] values: Vec<i32>) -> i32 {
            values.iter().sum()
        }

        async fn change(&self, change: Change) -> String {
            format!("{:?}", change.text)
        }

        async fn fails(&self, first: i32) -> async_graphql::Result<Option<i32>> {
            std::future::ready(Err(first.to_string().into())).await
        }

        async fn inner(&self) -> Option<Query> {
            Some(Self)
        }
    }

    async fn run(query: &str, variables: Value, is_corrected: bool) -> async_graphql::Response {
        let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
        let mut request = Request::new(query).variables(Variables::from_json(variables));
        if is_corrected {
            correct(&mut request);
        }
        schema.execute(request).await
    }

    const PAGE: &str = "query ($first: Int) { page(first: $first) }";
    const PAGE_OR_12: &str = "query ($first: Int = 12) { page(first: $first) }";
    const PAGE_OR_NULL: &str = "query ($first: Int = null) { page(first: $first) }";
    const INNER_OR_NULL: &str = "query ($first: Int = null) { inner { page(first: $first) } }";
    const IN_FRAGMENT: &str =
        "query ($first: Int) { ...F inner { ...F } } fragment F on Query { page(first: $first) }";
    const LISTED: &str = "query ($values: [Int!]) { sum(values: $values) }";
    const CHANGE: &str = "query ($text: String) { change(change: { text: $text }) }";
    const CHANGE_OR_NULL: &str = "query ($text: String = null) { change(change: { text: $text }) }";
    const LISTED_OR_NULL: &str = "query ($values: [Int!] = null) { sum(values: $values) }";
    const SKIPPED: &str = "query ($yes: Boolean!) { inner { page @skip(if: $yes) } }";
    const FAILED: &str = "{ inner { fails(first: 7) } }";
    const ONLY_TYPE_NAME: &str =
        "query ($yes: Boolean! = true) { inner { __typename @skip(if: $yes) } page }";
    const TYPE_NAME_TWICE: &str =
        "query ($yes: Boolean!) { inner { page @skip(if: $yes) a: __typename @include(if: $yes) } }";
    const UNUSED: &str = "query ($yes: Boolean!) { page }";

    #[tokio::test]
    async fn operations_follow_the_specification() {
        for (query, variables, expected) in [
            (PAGE, json!({}), json!({ "page": 24 })),
            (PAGE, json!({ "first": 3 }), json!({ "page": 3 })),
            (PAGE_OR_12, json!({}), json!({ "page": 12 })),
            (PAGE_OR_12, json!({ "first": 3 }), json!({ "page": 3 })),
            (PAGE_OR_NULL, json!({ "first": 3 }), json!({ "page": 3 })),
            (
                INNER_OR_NULL,
                json!({ "first": 3 }),
                json!({ "inner": { "page": 3, "__typename": "Query" } }),
            ),
            (LISTED_OR_NULL, json!({ "values": [1, 2] }), json!({ "sum": 3 })),
            (
                CHANGE_OR_NULL,
                json!({ "text": "x" }),
                json!({ "change": "Value(\"x\")" }),
            ),
            (CHANGE_OR_NULL, json!({}), json!({ "change": "Null" })),
            (
                CHANGE_OR_NULL,
                json!({ "text": null }),
                json!({ "change": "Null" }),
            ),
            (
                IN_FRAGMENT,
                json!({}),
                json!({ "page": 24, "inner": { "page": 24 } }),
            ),
            (
                IN_FRAGMENT,
                json!({ "first": 3 }),
                json!({ "page": 3, "inner": { "page": 3 } }),
            ),
            (LISTED, json!({}), json!({ "sum": 7 })),
            (LISTED, json!({ "values": [1, 2] }), json!({ "sum": 3 })),
            (CHANGE, json!({}), json!({ "change": "Undefined" })),
            (CHANGE, json!({ "text": null }), json!({ "change": "Null" })),
            (
                SKIPPED,
                json!({ "yes": true }),
                json!({ "inner": { "__typename": "Query" } }),
            ),
            (UNUSED, json!({ "yes": true }), json!({ "page": 24 })),
            (FAILED, json!({}), json!({ "inner": { "__typename": "Query" } })),
            (
                ONLY_TYPE_NAME,
                json!({}),
                json!({ "inner": { "__typename": "Query" }, "page": 24 }),
            ),
            (
                ONLY_TYPE_NAME,
                json!({ "yes": false }),
                json!({ "inner": { "__typename": "Query" }, "page": 24 }),
            ),
            (
                TYPE_NAME_TWICE,
                json!({ "yes": true }),
                json!({ "inner": { "a": "Query", "__typename": "Query" } }),
            ),
        ] {
            let response = run(query, variables, true).await;
            assert_eq!(response.data.into_json().unwrap(), expected, "{query}");
        }
    }

    /// Fails when async-graphql is fixed: then the correction can be removed.
    #[tokio::test]
    async fn async_graphql_still_needs_the_correction() {
        assert_ne!(run(PAGE, json!({}), false).await.errors, []);
        assert_ne!(run(ONLY_TYPE_NAME, json!({}), false).await.errors, []);
        for (query, variables, wrong) in [
            (CHANGE, json!({}), json!({ "change": "Null" })),
            (SKIPPED, json!({ "yes": true }), json!({ "inner": null })),
            (FAILED, json!({}), json!({ "inner": null })),
        ] {
            let response = run(query, variables, false).await;
            assert_eq!(response.data.into_json().unwrap(), wrong, "{query}");
        }
    }
}
