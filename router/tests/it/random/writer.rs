//! Writes random valid queries: aliases, fragments, conditions, variables that are given, null or absent, and
//! repeated fields.

use std::collections::BTreeMap;

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};

use super::operation::{Field, Fragment, Inline, Operation, Selection, Variable};
use super::schema::{ArgumentShape, FieldShape, Schema};

/// Below the router's limits, so that few operations are refused.
const MAX_DEPTH: usize = 10;
const MAX_ALIASES: usize = 12;
/// The library counts the directives of a fragment at each spread.
const MAX_DIRECTIVES: usize = 5;
/// Maximum nesting of pages.
const MAX_PAGES: usize = 2;
/// Selections of one operation.
const MAX_SELECTIONS: usize = 40;

/// Response keys that are names of other fields, of types, or words of the language. Not `id`, which the router refuses
/// for other fields.
const ALIASES: [&str; 15] = [
    "a",
    "b",
    "title",
    "username",
    "author",
    "nodes",
    "node",
    "votes",
    "cursor",
    "Photo",
    "query",
    "on",
    "null",
    "_entities",
    "_x",
];

/// Values that arguments are chosen from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pools {
    pub(crate) photos: Vec<String>,
    pub(crate) usernames: Vec<String>,
    pub(crate) days: Vec<String>,
    pub(crate) cursors: Vec<String>,
}

/// A valid query.
pub(crate) fn operation(schema: &Schema, pools: &Pools, rng: &mut StdRng) -> Operation {
    let mut writer = Writer {
        schema,
        pools,
        name: rng.random_bool(0.3).then_some("Named"),
        rng,
        variables: Vec::new(),
        fragments: Vec::new(),
        keys: BTreeMap::new(),
        aliases: 0,
        directives: 0,
        selections: 0,
        pages: 0,
    };
    let (selections, _) = writer.selections("Query", 1);
    let mut operation = Operation {
        name: writer.name,
        variables: writer.variables,
        fragments: writer.fragments,
        selections,
    };
    operation.remove_unused();
    operation
}

struct Writer<'a> {
    schema: &'a Schema,
    pools: &'a Pools,
    rng: &'a mut StdRng,
    name: Option<&'static str>,
    variables: Vec<Variable>,
    fragments: Vec<Fragment>,
    /// The field of each response key of a type. It is the same in the whole document, so that selections can be
    /// merged.
    keys: BTreeMap<(String, String), String>,
    aliases: usize,
    directives: usize,
    selections: usize,
    /// The current nesting of pages, which multiply the estimated cost.
    pages: usize,
}

impl Writer<'_> {
    /// Returns selections on a type at a depth, and the number of levels they add.
    fn selections(&mut self, on: &str, depth: usize) -> (Vec<Selection>, usize) {
        let count = match depth {
            1 => self.rng.random_range(1..4),
            _ => self.rng.random_range(1..6),
        };
        let mut selections = Vec::new();
        let mut height = 1;
        for _ in 0..count {
            let (selection, levels) = match self.rng.random_range(0..100) {
                0..10 => self.inline(on, depth),
                10..22 => self.spread(on, depth),
                22..30 if !selections.is_empty() => {
                    let again = selections.choose(self.rng).cloned().expect("it is not empty");
                    self.again(on, again, depth)
                }
                _ => self.field(on, depth),
            };
            height = height.max(levels);
            selections.push(selection);
        }
        (selections, height)
    }

    /// Selects a field again, with other selections.
    fn again(&mut self, on: &str, selection: Selection, depth: usize) -> (Selection, usize) {
        let Selection::Field(mut field) = selection else {
            return self.field(on, depth);
        };
        let shape = self
            .schema
            .fields(on)
            .iter()
            .find(|shape| shape.name == field.name);
        if field.alias.is_some() {
            self.aliases += 1;
        }
        if self.aliases > MAX_ALIASES {
            return self.field(on, depth);
        }
        field.directives = self.directives();
        let mut levels = 1;
        if let Some(shape) = shape
            && self.schema.is_object(&shape.returns)
        {
            (field.selections, levels) = self.inside(shape, &field.arguments, depth);
        }
        (Selection::Field(field), levels)
    }

    /// Returns the selections of a field, and the number of levels with them.
    fn inside(
        &mut self,
        shape: &FieldShape,
        arguments: &[(String, String)],
        depth: usize,
    ) -> (Vec<Selection>, usize) {
        let is_page = shape.arguments.iter().any(|argument| argument.name == "first");
        let pages = match arguments.iter().find(|(name, _)| name == "first") {
            _ if !is_page => 0,
            Some((_, size)) if self.is_given(size) => 1,
            // A page of the default size contains no other pages, because the estimated cost would be too high.
            _ => MAX_PAGES,
        };
        self.pages += pages;
        let (selections, levels) = self.selections(&shape.returns, depth + 1);
        self.pages -= pages;
        (selections, levels + 1)
    }

    /// Whether the text of an argument has a value, so that no default applies.
    fn is_given(&self, text: &str) -> bool {
        let Some(name) = text.strip_prefix('$') else {
            return true;
        };
        let mut variables = self.variables.iter();
        variables.any(|variable| variable.name == name && variable.value.is_some())
    }

    fn inline(&mut self, on: &str, depth: usize) -> (Selection, usize) {
        let directives = self.directives();
        let (selections, levels) = self.selections(on, depth);
        let on = self.rng.random_bool(0.6).then(|| on.to_owned());
        let inline = Inline {
            on,
            directives,
            selections,
        };
        (Selection::Inline(inline), levels)
    }

    /// Spreads a fragment: an existing one if it is not too deep, or a new one.
    fn spread(&mut self, on: &str, depth: usize) -> (Selection, usize) {
        let known: Vec<_> = self
            .fragments
            .iter()
            .filter(|fragment| {
                fragment.on == on && depth + fragment.height <= MAX_DEPTH + 1 && self.pages == 0
            })
            .map(|fragment| (fragment.name.clone(), fragment.height))
            .collect();
        let (name, height) = match known.choose(self.rng) {
            Some(known) if self.rng.random_bool(0.5) => known.clone(),
            _ => {
                let (selections, height) = self.selections(on, depth);
                let name = format!("F{}", self.fragments.len());
                let (on, key) = (on.to_owned(), name.clone());
                self.fragments.push(Fragment {
                    name,
                    on,
                    height,
                    selections,
                });
                (key, height)
            }
        };
        let directives = self.directives();
        (Selection::Spread { name, directives }, height)
    }

    fn field(&mut self, on: &str, depth: usize) -> (Selection, usize) {
        self.selections += 1;
        let is_full = self.selections > MAX_SELECTIONS || depth + 1 > MAX_DEPTH;
        let shapes: Vec<&FieldShape> = self
            .schema
            .fields(on)
            .iter()
            .filter(|shape| {
                let is_page = shape.arguments.iter().any(|argument| argument.name == "first");
                !(self.schema.is_object(&shape.returns) && is_full || is_page && self.pages >= MAX_PAGES)
            })
            .collect();
        let shape = match shapes.choose(self.rng) {
            Some(shape) if self.rng.random_bool(0.93) => *shape,
            _ => {
                let field = self.keyed(on, "__typename", Vec::new());
                return (Selection::Field(field), 1);
            }
        };
        let arguments = shape
            .arguments
            .iter()
            .filter_map(|argument| Some((argument.name.clone(), self.argument(argument)?)))
            .collect();
        let mut field = self.keyed(on, &shape.name, arguments);
        // The key has another field already, which is selected instead.
        let shape = self
            .schema
            .fields(on)
            .iter()
            .find(|shape| shape.name == field.name);
        let mut levels = 1;
        if let Some(shape) = shape
            && self.schema.is_object(&shape.returns)
        {
            (field.selections, levels) = self.inside(shape, &field.arguments, depth);
        }
        field.directives = self.directives();
        (Selection::Field(field), levels)
    }

    /// Returns a field with an unused response key of this type; `__typename` if none is left.
    fn keyed(&mut self, on: &str, name: &str, arguments: Vec<(String, String)>) -> Field {
        let mut signature = name.to_owned();
        for (argument, value) in &arguments {
            signature.extend([" ", argument.as_str(), ":", value.as_str()]);
        }
        let mut keys: Vec<Option<&'static str>> = ALIASES.sample(self.rng, 4).copied().map(Some).collect();
        keys.insert(if self.rng.random_bool(0.88) { 0 } else { 4 }, None);
        for alias in keys {
            if alias.is_some() && self.aliases >= MAX_ALIASES {
                continue;
            }
            let key = (on.to_owned(), alias.unwrap_or(name).to_owned());
            if self.keys.get(&key).is_some_and(|taken| *taken != signature) {
                continue;
            }
            self.keys.insert(key, signature);
            self.aliases += usize::from(alias.is_some());
            let name = name.to_owned();
            return Field {
                alias,
                name,
                arguments,
                directives: Vec::new(),
                selections: Vec::new(),
            };
        }
        Field {
            alias: None,
            name: "__typename".to_owned(),
            arguments: Vec::new(),
            directives: Vec::new(),
            selections: Vec::new(),
        }
    }

    fn directives(&mut self) -> Vec<String> {
        let mut directives = Vec::new();
        for name in ["skip", "include"] {
            if self.directives >= MAX_DIRECTIVES || !self.rng.random_bool(0.06) {
                continue;
            }
            self.directives += 1;
            // Most selections are included.
            let truth = self.rng.random_bool(0.3) == (name == "skip");
            let condition = match self.rng.random_range(0..4) {
                0 => truth.to_string(),
                1 => self.variable("Boolean!", None, Some(json!(truth))),
                2 => self.variable("Boolean!", Some(truth.to_string()), None),
                _ => self.variable("Boolean", Some((!truth).to_string()), Some(json!(truth))),
            };
            directives.push(format!("@{name}(if: {condition})"));
        }
        directives
    }

    /// Returns the text of an argument's value; `None` omits the argument.
    fn argument(&mut self, argument: &ArgumentShape) -> Option<String> {
        let is_required = argument.is_required();
        // Small pages within pages, because the estimated cost would be too high.
        let is_omitted =
            !is_required && (argument.name != "first" || self.pages == 0) && self.rng.random_bool(0.4);
        if is_omitted {
            return None;
        }
        let value = self.value(argument);
        let nullable = argument.type_name.trim_end_matches('!').to_owned();
        let literal = value.to_string();
        Some(match self.rng.random_range(0..12) {
            0..5 => literal,
            5..8 => self.variable(&argument.type_name, None, Some(value)),
            // A nullable variable is allowed if the argument or the variable has a default.
            8 if argument.has_default && self.pages == 0 => self.variable(&nullable, None, None),
            9 => {
                let type_name = if self.rng.random_bool(0.5) {
                    &nullable
                } else {
                    &argument.type_name
                };
                self.variable(type_name, Some(literal), None)
            }
            10 => {
                let other = self.value(argument).to_string();
                self.variable(&nullable, Some(other), Some(value))
            }
            _ if argument.type_name.ends_with('!') => self.variable(&argument.type_name, None, Some(value)),
            _ => match self.rng.random_range(0..3) {
                0 => "null".to_owned(),
                1 => self.variable(&nullable, None, None),
                _ => self.variable(&nullable, None, Some(Value::Null)),
            },
        })
    }

    fn value(&mut self, argument: &ArgumentShape) -> Value {
        let pools = self.pools;
        let mut pick = |from: &[String], otherwise: &str| {
            let chosen = from.choose(self.rng).filter(|_| self.rng.random_bool(0.97));
            json!(chosen.map_or(otherwise, String::as_str))
        };
        match argument.name.as_str() {
            "first" => json!(self.rng.random_range(1..4)),
            "after" => pick(&pools.cursors, "nonsense"),
            "day" => pick(&pools.days, "2020-02-29"),
            "id" => pick(&pools.photos, "01936f5e-7c00-7000-8000-000000000001"),
            "username" => pick(&pools.usernames, "missing"),
            name => panic!("there is no value for an argument {name}"),
        }
    }

    /// Returns a variable with this type, default and value: a new one, or sometimes an existing one.
    fn variable(&mut self, type_name: &str, default: Option<String>, value: Option<Value>) -> String {
        let same = self.variables.iter().find(|variable| {
            variable.type_name == type_name && variable.default == default && variable.value == value
        });
        if let Some(same) = same
            && self.rng.random_bool(0.5)
        {
            return format!("${}", same.name);
        }
        let name = format!("v{}", self.variables.len());
        let reference = format!("${name}");
        self.variables.push(Variable {
            name,
            type_name: type_name.to_owned(),
            default,
            value,
        });
        reference
    }
}
