//! Compares the guard's scan of tokens with the library's parser: they must agree on all limits for documents that the
//! parser accepts.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use hive_router::graphql_tools::parser::{TokenKind, spanned_tokens};
use hive_router::graphql_tools::static_graphql::query::{
    Definition, Directive, Document, OperationDefinition, Selection, SelectionSet, Type, TypeCondition,
    Value, VariableDefinition,
};
use hive_router::query_planner::utils::parsing::safe_parse_operation;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use router::guard::{self, GuardError};

use super::input::{Generator, mutate_bytes};

const DOCUMENTS: u64 = 6_000;

#[test]
fn the_scan_agrees_with_the_parser() {
    let generator = Generator::new();
    let (mut parsed, mut refused) = (0, 0);
    for seed in 0..DOCUMENTS {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut document = generator.document(&mut rng);
        if rng.random_bool(0.4) {
            let mut bytes = document.into_bytes();
            mutate_bytes(&mut bytes, b"{ viewer { id } }", &mut rng);
            document = String::from_utf8_lossy(&bytes).into_owned();
        }
        let Ok(tree) = safe_parse_operation(&document) else {
            continue;
        };
        parsed += 1;
        let reasons = Tree::new(&tree).reasons(&document);
        match guard::check_document(&document) {
            Ok(()) => assert!(reasons.is_empty(), "passed, but {reasons:?}: {document}"),
            // The reference does not count these two.
            Err(GuardError::Repeats(_) | GuardError::SelectionsOfName(_)) => refused += 1,
            Err(reason) => {
                refused += 1;
                let name = name(&reason);
                assert!(
                    reasons.contains(name),
                    "{reason} ({name}), but {reasons:?}: {document}"
                );
            }
        }
    }
    // Both results must occur often enough.
    assert!(
        parsed > DOCUMENTS / 4 && refused > DOCUMENTS / 50,
        "{parsed} parsed, {refused} refused"
    );
}

fn name(reason: &GuardError) -> &'static str {
    match reason {
        GuardError::Tokens => "tokens",
        GuardError::Nesting => "nesting",
        GuardError::Selections => "selections",
        GuardError::Length => "length",
        GuardError::Aliases => "aliases",
        GuardError::NameLength | GuardError::Number => "token",
        GuardError::FragmentCycle(_) => "cycle",
        GuardError::DuplicateFragment(_) => "duplicate",
        GuardError::ReservedField(_)
        | GuardError::IntrospectionField(_)
        | GuardError::ReservedAlias(_)
        | GuardError::EntityKeyAlias => "reserved",
        GuardError::Syntax(_)
        | GuardError::NotJson
        | GuardError::JsonDepth
        | GuardError::Repeats(_)
        | GuardError::SelectionsOfName(_) => "other",
    }
}

fn is_query(condition: &TypeCondition) -> bool {
    let TypeCondition::On(name) = condition;
    name == "Query"
}

/// A simple reference implementation of the guard's limits, on the parsed document.
struct Tree<'d> {
    document: &'d Document,
    fragments: BTreeMap<&'d str, &'d SelectionSet>,
    reasons: BTreeSet<&'static str>,
    aliases: usize,
}

/// Selections and nesting of one definition.
type Size = (u128, u128);

impl<'d> Tree<'d> {
    fn new(document: &'d Document) -> Self {
        Self {
            document,
            fragments: BTreeMap::new(),
            reasons: BTreeSet::new(),
            aliases: 0,
        }
    }

    fn reasons(mut self, source: &str) -> BTreeSet<&'static str> {
        let tokens = spanned_tokens(source).unwrap();
        if source.len() > guard::MAX_DOCUMENT_LENGTH {
            self.reasons.insert("length");
        }
        if tokens.len() > guard::MAX_TOKENS {
            self.reasons.insert("tokens");
        }
        let is_too_long = |(kind, range): &(TokenKind, Range<usize>)| match kind {
            TokenKind::Name => range.len() > guard::MAX_NAME_LENGTH,
            TokenKind::IntValue | TokenKind::FloatValue => {
                let number = source[range.clone()].parse::<f64>();
                range.len() > guard::MAX_NUMBER_LENGTH || !number.is_ok_and(f64::is_finite)
            }
            _ => false,
        };
        if tokens.iter().any(is_too_long) {
            self.reasons.insert("token");
        }
        for definition in &self.document.definitions {
            if let Definition::Fragment(fragment) = definition
                && self
                    .fragments
                    .insert(&fragment.name, &fragment.selection_set)
                    .is_some()
            {
                self.reasons.insert("duplicate");
            }
        }
        let mut selections = 0_u128;
        let mut known = BTreeMap::new();
        for definition in &self.document.definitions {
            let (head, (count, nesting)) = self.definition(definition, &mut known);
            selections = selections.saturating_add(count);
            if nesting.max(head) > guard::MAX_NESTING as u128 {
                self.reasons.insert("nesting");
            }
        }
        if selections > guard::MAX_SELECTIONS as u128 {
            self.reasons.insert("selections");
        }
        if self.aliases > guard::MAX_ALIASES {
            self.reasons.insert("aliases");
        }
        self.reasons
    }

    fn definition(
        &mut self,
        definition: &'d Definition,
        known: &mut BTreeMap<&'d str, Option<Size>>,
    ) -> (u128, Size) {
        let (variables, directives, selections): (&[VariableDefinition], &[Directive], _) = match definition {
            Definition::Fragment(fragment) => (&[], &fragment.directives, &fragment.selection_set),
            Definition::Operation(OperationDefinition::SelectionSet(selections)) => (&[], &[], selections),
            Definition::Operation(OperationDefinition::Query(query)) => (
                &query.variable_definitions,
                &query.directives,
                &query.selection_set,
            ),
            Definition::Operation(OperationDefinition::Mutation(mutation)) => (
                &mutation.variable_definitions,
                &mutation.directives,
                &mutation.selection_set,
            ),
            Definition::Operation(OperationDefinition::Subscription(subscription)) => (
                &subscription.variable_definitions,
                &subscription.directives,
                &subscription.selection_set,
            ),
        };
        let mut head = directives_depth(directives);
        for variable in variables {
            let default = variable.default_value.as_ref().map_or(0, depth);
            head = head.max(1 + default.max(list_depth(&variable.var_type)));
        }
        let on_query = match definition {
            Definition::Fragment(fragment) => is_query(&fragment.type_condition),
            Definition::Operation(operation) => matches!(
                operation,
                OperationDefinition::SelectionSet(_) | OperationDefinition::Query(_)
            ),
        };
        self.count_aliases(selections, on_query);
        (head, self.size(selections, known))
    }

    /// `on_query` is whether the selections are on the query type.
    fn count_aliases(&mut self, selections: &SelectionSet, on_query: bool) {
        for selection in &selections.items {
            match selection {
                Selection::Field(field) => {
                    let (name, alias) = (field.name.as_str(), field.alias.as_deref());
                    self.aliases += usize::from(alias.is_some());
                    let is_reserved = name.starts_with("__")
                        && name != "__typename"
                        && !(on_query && ["__schema", "__type"].contains(&name))
                        || alias.is_some_and(|alias| {
                            alias != name
                                && (alias.starts_with("__")
                                    || alias.starts_with("_internal_qp_alias")
                                    || alias == "id")
                        });
                    if is_reserved {
                        self.reasons.insert("reserved");
                    }
                    self.count_aliases(&field.selection_set, false);
                }
                Selection::InlineFragment(fragment) => {
                    let on_query = fragment.type_condition.as_ref().map_or(on_query, is_query);
                    self.count_aliases(&fragment.selection_set, on_query);
                }
                Selection::FragmentSpread(_) => {}
            }
        }
    }

    /// `known` has no size for a fragment that is being expanded.
    fn size(&mut self, selections: &'d SelectionSet, known: &mut BTreeMap<&'d str, Option<Size>>) -> Size {
        let mut size = (
            selections.items.len() as u128,
            u128::from(!selections.items.is_empty()),
        );
        for selection in &selections.items {
            let inner = match selection {
                Selection::Field(field) => {
                    let values = field.arguments.iter().map(|(_, value)| 2 + depth(value)).max();
                    size.1 = size
                        .1
                        .max(values.unwrap_or(0))
                        .max(1 + directives_depth(&field.directives));
                    self.size(&field.selection_set, known)
                }
                Selection::InlineFragment(fragment) => {
                    size.1 = size.1.max(1 + directives_depth(&fragment.directives));
                    self.size(&fragment.selection_set, known)
                }
                Selection::FragmentSpread(spread) => {
                    size.1 = size.1.max(1 + directives_depth(&spread.directives));
                    self.fragment(&spread.fragment_name, known)
                }
            };
            size.0 = size.0.saturating_add(inner.0);
            size.1 = size.1.max(inner.1.saturating_add(1));
        }
        size
    }

    fn fragment(&mut self, name: &'d str, known: &mut BTreeMap<&'d str, Option<Size>>) -> Size {
        match known.get(name) {
            Some(Some(size)) => return *size,
            Some(None) => {
                self.reasons.insert("cycle");
                return (0, 0);
            }
            None => {}
        }
        let Some(selections) = self.fragments.get(name).copied() else {
            return (0, 0);
        };
        known.insert(name, None);
        let size = self.size(selections, known);
        known.insert(name, Some(size));
        size
    }
}

fn directives_depth(directives: &[Directive]) -> u128 {
    let values = directives.iter().flat_map(|directive| &directive.arguments);
    values.map(|(_, value)| 1 + depth(value)).max().unwrap_or(0)
}

fn depth(value: &Value) -> u128 {
    match value {
        Value::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.iter().map(|(_, value)| depth(value)).max().unwrap_or(0),
        _ => 0,
    }
}

fn list_depth(value_type: &Type) -> u128 {
    match value_type {
        Type::NamedType(_) => 0,
        Type::ListType(inner) => 1 + list_depth(inner),
        Type::NonNullType(inner) => list_depth(inner),
    }
}
