//! The public schema as far as a generator needs it.

use std::collections::BTreeMap;
use std::path::Path;

use hive_router::graphql_tools::parser::schema::{Definition, Type, TypeDefinition};
use hive_router::query_planner::utils::parsing::parse_schema;

/// Object types by name.
pub(crate) struct Schema {
    objects: BTreeMap<String, Vec<FieldShape>>,
}

pub(crate) struct FieldShape {
    pub(crate) name: String,
    pub(crate) arguments: Vec<ArgumentShape>,
    /// The named type inside lists and non-null.
    pub(crate) returns: String,
}

pub(crate) struct ArgumentShape {
    pub(crate) name: String,
    /// The type in the notation of the schema: `Int!`.
    pub(crate) type_name: String,
    pub(crate) has_default: bool,
}

impl ArgumentShape {
    pub(crate) fn is_required(&self) -> bool {
        self.type_name.ends_with('!') && !self.has_default
    }
}

impl Schema {
    /// Loads the committed supergraph, without the directives of the composition.
    pub(crate) fn load() -> Self {
        let supergraph = std::fs::read_to_string(supergraph()).unwrap();
        let objects = parse_schema(&supergraph)
            .definitions
            .into_iter()
            .filter_map(|definition| match definition {
                Definition::TypeDefinition(TypeDefinition::Object(object)) => Some(object),
                _ => None,
            })
            .map(|object| {
                let fields = object.fields.into_iter().map(|field| FieldShape {
                    name: field.name,
                    arguments: field
                        .arguments
                        .into_iter()
                        .map(|argument| ArgumentShape {
                            name: argument.name,
                            type_name: argument.value_type.to_string(),
                            has_default: argument.default_value.is_some(),
                        })
                        .collect(),
                    returns: named(field.field_type),
                });
                (object.name, fields.collect())
            })
            .collect();
        Self { objects }
    }

    /// The fields of an object type; leaves have none.
    pub(crate) fn fields(&self, type_name: &str) -> &[FieldShape] {
        self.objects.get(type_name).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn is_object(&self, type_name: &str) -> bool {
        self.objects.contains_key(type_name)
    }
}

pub(crate) fn supergraph() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../supergraph.graphql")
}

fn named(field_type: Type<'static, String>) -> String {
    match field_type {
        Type::NamedType(name) => name,
        Type::ListType(inner) | Type::NonNullType(inner) => named(*inner),
    }
}
