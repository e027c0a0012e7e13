//! The named operations of the app, and of the router for feeds and sitemaps.

use std::collections::HashMap;

use anyhow::{Context as _, bail};
use hive_router::graphql_tools::static_graphql::query::{Definition, Document, OperationDefinition};
use hive_router::query_planner::utils::parsing::safe_parse_operation;

/// All operations of the app. A test of the app generates the file.
pub(crate) const APP_OPERATIONS: &str = include_str!("../../frontend/operations.graphql");
/// Operations that only the router sends.
pub(crate) const ROUTER_OPERATIONS: &str = include_str!("operations.graphql");

/// The texts of operations by name.
pub(crate) struct Operations(HashMap<String, String>);

impl Operations {
    /// Parses all operations of these documents.
    pub(crate) fn parse(documents: &[&str]) -> anyhow::Result<Self> {
        let mut operations = HashMap::new();
        for document in documents {
            let document = safe_parse_operation(document).context("cannot read the operations")?;
            let (fragments, others): (Vec<_>, Vec<_>) = document
                .definitions
                .into_iter()
                .partition(|definition| matches!(definition, Definition::Fragment(_)));
            for operation in others {
                let Some(name) = name(&operation) else {
                    bail!("an operation has no name");
                };
                let name = name.to_owned();
                operations.insert(name, with_fragments(operation, &fragments));
            }
        }
        Ok(Self(operations))
    }

    /// The text of an operation with its fragments.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The names of all operations.
    pub(crate) fn into_names(self) -> impl Iterator<Item = String> {
        self.0.into_keys()
    }

    /// The normalized texts of all operations.
    pub(crate) fn into_texts(self) -> impl Iterator<Item = String> {
        self.0.into_values()
    }
}

fn name(definition: &Definition) -> Option<&str> {
    match definition {
        Definition::Operation(OperationDefinition::Query(query)) => query.name.as_deref(),
        Definition::Operation(OperationDefinition::Mutation(mutation)) => mutation.name.as_deref(),
        _ => None,
    }
}

/// The text of an operation with the fragments that it spreads. Unused fragments would be invalid, and fragments spread
/// no others.
fn with_fragments(operation: Definition, fragments: &[Definition]) -> String {
    let text = operation.to_string();
    let is_spread = |fragment: &&Definition| match fragment {
        Definition::Fragment(fragment) => text.contains(&format!("...{}\n", fragment.name)),
        Definition::Operation(_) => false,
    };
    let mut definitions: Vec<_> = fragments.iter().filter(is_spread).cloned().collect();
    definitions.push(operation);
    normalize(&Document { definitions })
}

/// Prints a document without its original whitespace and comments.
pub(crate) fn normalize(document: &Document) -> String {
    document.to_string()
}

#[cfg(test)]
mod tests {
    use hive_router::graphql_tools::validation::rules::default_rules_validation_plan;
    use hive_router::graphql_tools::validation::validate::validate;
    use hive_router::query_planner::consumer_schema::ConsumerSchema;
    use hive_router::query_planner::utils::parsing::{parse_operation, parse_schema};

    use super::*;

    #[test]
    fn every_operation_fits_the_schema() {
        let supergraph = concat!(env!("CARGO_MANIFEST_DIR"), "/../supergraph.graphql");
        let supergraph = std::fs::read_to_string(supergraph).unwrap();
        let schema = ConsumerSchema::new_from_supergraph(&parse_schema(&supergraph));
        let operations = Operations::parse(&[APP_OPERATIONS, ROUTER_OPERATIONS]).unwrap();
        for (name, text) in &operations.0 {
            let errors = validate(
                &schema.document,
                &parse_operation(text),
                &default_rules_validation_plan(),
            );
            assert!(errors.is_empty(), "{name}: {errors:?}");
        }
    }

    #[test]
    fn an_operation_brings_the_fragments_that_it_spreads() {
        let operations =
            Operations::parse(&["fragment B on C { d }\nquery A { c { ...B } }\nquery E { c { d } }"]);
        let operations = operations.unwrap();
        assert!(operations.text("A").unwrap().contains("fragment B on C"));
        assert!(!operations.text("E").unwrap().contains("fragment"));
    }

    #[test]
    fn layout_and_comments_play_no_part() {
        let operations =
            Operations::parse(&["# One.\nquery A($b: Int) { c(d: $b) { e } }", "mutation F { g }"]);
        let operations = operations.unwrap();
        let other = parse_operation("query A ( $b:Int ) {\n c (d:$b) # why\n { e }\n}");
        assert_eq!(operations.text("A"), Some(normalize(&other).as_str()));
        assert!(operations.text("F").is_some() && operations.text("G").is_none());
        assert!(Operations::parse(&["{ c }"]).is_err(), "no name");
    }
}
