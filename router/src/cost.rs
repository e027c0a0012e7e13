//! Refuses operations whose estimated cost is far above that of any page of the app: pages nested in pages.
//!
//! The library can estimate costs too, but from its query plan, where an entity fetch has no size: it would count the
//! comments of one photo as those of a whole page of photos. So the cost is estimated here from the operation itself,
//! which contains the size of every page.
//!
//! An object counts 1, times the sizes of the pages and lists around it. A page counts [`PAGE_COST`] more, because it
//! takes a separate database query for each parent object.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use contracts::Code;
use hive_router::async_trait;
use hive_router::graphql_tools::parser::schema::{Definition, Type, TypeDefinition, Value as SchemaValue};
use hive_router::graphql_tools::static_graphql::schema::Document;
use hive_router::http::StatusCode;
use hive_router::plugins::hooks::on_graphql_analysis::{
    OnGraphqlAnalysisHookPayload, OnGraphqlAnalysisHookResult,
};
use hive_router::plugins::hooks::on_plugin_init::{OnPluginInitPayload, OnPluginInitResult};
use hive_router::plugins::hooks::on_supergraph_load::{
    OnSupergraphLoadStartHookPayload, OnSupergraphLoadStartHookResult,
};
use hive_router::plugins::plugin_trait::{
    FromGraphQLErrorToResponse as _, RouterPlugin, StartHookPayload as _,
};
use hive_router::query_planner::ast::operation::OperationDefinition;
use hive_router::query_planner::ast::selection_item::SelectionItem;
use hive_router::query_planner::ast::selection_set::{FieldSelection, SelectionSet};
use hive_router::query_planner::ast::value::Value;
use hive_router::query_planner::state::supergraph_state::OperationKind;
use hive_router::sonic_rs::JsonValueTrait as _;
use hive_router::{GraphQLError, PlanExecutionOutput};

/// Maximum cost of an operation. A timeline of 100 photos with all fields costs about 1,400, a photo with 20 comments
/// and 20 replies to each about 1,000.
pub(crate) const MAX_COST: u64 = 2_000;
/// Cost of the query that fetches a page.
const PAGE_COST: u64 = 100;
/// Assumed length of a list without pages: formats, sizes, sessions.
const LIST_SIZE: u64 = 4;
/// Pages that one query fetches for all parents.
const BATCHED_PAGES: [(&str, &str); 1] = [("Comment", "replies")];

/// The fields of each object type that the estimate needs.
#[derive(Default)]
struct Shapes(HashMap<String, HashMap<String, FieldShape>>);

struct FieldShape {
    /// The object type of the field. Leaf fields are not included.
    object_type: String,
    is_list: bool,
    page: Option<Page>,
}

struct Page {
    /// Number of items if the operation has no `first`.
    default_size: u64,
    is_batched: bool,
}

impl Shapes {
    fn of(document: &Document) -> Self {
        let mut types = HashMap::new();
        for definition in &document.definitions {
            let Definition::TypeDefinition(TypeDefinition::Object(object)) = definition else {
                continue;
            };
            let fields = object.fields.iter().map(|field| {
                let (object_type, is_list) = unwrap(&field.field_type);
                let page = field
                    .arguments
                    .iter()
                    .find(|argument| argument.name == "first")
                    .map(|first| Page {
                        default_size: match &first.default_value {
                            Some(SchemaValue::Int(size)) => {
                                size.as_i64().and_then(|size| size.try_into().ok())
                            }
                            _ => None,
                        }
                        .unwrap_or(100),
                        is_batched: BATCHED_PAGES.contains(&(object.name.as_str(), field.name.as_str())),
                    });
                (
                    field.name.clone(),
                    FieldShape {
                        object_type: object_type.to_owned(),
                        is_list,
                        page,
                    },
                )
            });
            types.insert(object.name.clone(), fields.collect());
        }
        Self(types)
    }
}

fn unwrap<'t>(of: &'t Type<'static, String>) -> (&'t str, bool) {
    match of {
        Type::NamedType(name) => (name, false),
        Type::ListType(inner) => (unwrap(inner).0, true),
        Type::NonNullType(inner) => unwrap(inner),
    }
}

/// The values of an operation's variables.
trait Variables {
    fn integer(&self, name: &str) -> Option<u64>;
    fn boolean(&self, name: &str) -> Option<bool>;
}

struct Estimate<'o, V> {
    shapes: &'o Shapes,
    variables: &'o V,
    cost: u64,
}

impl<V: Variables> Estimate<'_, V> {
    fn selections(&mut self, selections: &SelectionSet, on: &str, times: u64, page_size: u64) {
        for item in &selections.items {
            match item {
                SelectionItem::Field(field) => {
                    if self.is_included(field.skip_if.as_deref(), field.include_if.as_deref()) {
                        self.field(field, on, times, page_size);
                    }
                }
                SelectionItem::InlineFragment(fragment) => {
                    if self.is_included(fragment.skip_if.as_deref(), fragment.include_if.as_deref()) {
                        self.selections(&fragment.selections, &fragment.type_condition, times, page_size);
                    }
                }
                // The library has inlined all fragments.
                SelectionItem::FragmentSpread(_) => {}
            }
        }
    }

    fn field(&mut self, field: &FieldSelection, on: &str, times: u64, page_size: u64) {
        let shapes = self.shapes;
        let Some(shape) = shapes.0.get(on).and_then(|fields| fields.get(&field.name)) else {
            return;
        };
        if field.selections.items.is_empty() {
            return;
        }
        if let Some(page) = &shape.page {
            let own = if page.is_batched { 1 } else { 1 + PAGE_COST };
            self.add(times.saturating_mul(own));
            let size = self.size(field).unwrap_or(page.default_size);
            return self.selections(&field.selections, &shape.object_type, times, size);
        }
        // `nodes` and `edges` have the size of their page; lists below them do not.
        let count = match (shape.is_list, page_size) {
            (false, _) => 1,
            (true, 0) => LIST_SIZE,
            (true, size) => size,
        };
        let times = times.saturating_mul(count);
        self.add(times);
        self.selections(&field.selections, &shape.object_type, times, 0);
    }

    fn size(&self, field: &FieldSelection) -> Option<u64> {
        match field.arguments.as_ref()?.get_argument("first")? {
            Value::Int(size) => (*size).try_into().ok(),
            Value::Variable(name) => self.variables.integer(name),
            _ => None,
        }
    }

    fn is_included(&self, skip: Option<&str>, include: Option<&str>) -> bool {
        let boolean = |name: &str| self.variables.boolean(name);
        skip.and_then(boolean) != Some(true) && include.and_then(boolean) != Some(false)
    }

    fn add(&mut self, cost: u64) {
        self.cost = self.cost.saturating_add(cost);
    }
}

fn estimate(operation: &OperationDefinition, shapes: &Shapes, variables: &impl Variables) -> u64 {
    let root = match operation.operation_kind {
        Some(OperationKind::Mutation) => "Mutation",
        _ => "Query",
    };
    let mut estimate = Estimate {
        shapes,
        variables,
        cost: 0,
    };
    estimate.selections(&operation.selection_set, root, 1, 0);
    estimate.cost
}

/// Refuses operations with an estimated cost above [`MAX_COST`].
#[derive(Default)]
pub(crate) struct CostPlugin {
    shapes: RwLock<Arc<Shapes>>,
}

impl Variables for OnGraphqlAnalysisHookPayload<'_> {
    fn integer(&self, name: &str) -> Option<u64> {
        self.coerced_variable(name)?.as_u64()
    }

    fn boolean(&self, name: &str) -> Option<bool> {
        self.coerced_variable(name)?.as_bool()
    }
}

#[async_trait]
impl RouterPlugin for CostPlugin {
    type Config = ();

    fn plugin_name() -> &'static str {
        "cost"
    }

    fn on_plugin_init(payload: OnPluginInitPayload<Self>) -> OnPluginInitResult<Self> {
        payload.initialize_plugin_with_defaults()
    }

    fn on_supergraph_reload(
        &self,
        payload: OnSupergraphLoadStartHookPayload,
    ) -> OnSupergraphLoadStartHookResult<'_> {
        let shapes = Arc::new(Shapes::of(&payload.new_ast));
        *self.shapes.write().unwrap_or_else(PoisonError::into_inner) = shapes;
        payload.proceed()
    }

    async fn on_graphql_analysis<'exec>(
        &'exec self,
        payload: &mut OnGraphqlAnalysisHookPayload<'exec>,
    ) -> OnGraphqlAnalysisHookResult {
        let shapes = self.shapes.read().unwrap_or_else(PoisonError::into_inner).clone();
        let cost = estimate(payload.filtered_operation_for_plan, &shapes, payload);
        if cost <= MAX_COST {
            return OnGraphqlAnalysisHookResult::Proceed;
        }
        metrics::counter!("proofsheet_router_cost_limited_total").increment(1);
        let message = format!(
            "This operation is too expensive: its estimated cost is {cost}, and the limit is {MAX_COST}. Request \
             smaller pages, or fetch nested pages by separate operations."
        );
        let error = GraphQLError::from_message_and_code(message, Code::InvalidInput.as_str());
        OnGraphqlAnalysisHookResult::EndWithResponse(PlanExecutionOutput::from_graphql_error_to_response(
            error,
            StatusCode::OK,
        ))
    }
}

#[cfg(test)]
mod tests {
    use hive_router::query_planner::ast::operation::OperationDefinition;
    use hive_router::query_planner::utils::parsing::{parse_operation, parse_schema};

    use super::*;

    const SCHEMA: &str = "
        type Query {
          latestPhotos(first: Int! = 24): PhotoConnection!
          photo(id: ID!): Photo
          user(username: String!): User
        }
        type PhotoConnection { nodes: [Photo]! edges: [PhotoEdge!]! pageInfo: PageInfo! }
        type PhotoEdge { cursor: String! node: Photo }
        type PageInfo { hasNextPage: Boolean! }
        type Photo {
          title: String! author: User votes: Tally sources: [Source!]! renditions: [Source!]!
          comments(first: Int! = 20): CommentConnection
        }
        type Tally { score: Int! }
        type Source { srcset: String! }
        type User { username: String! photos(first: Int! = 24): PhotoConnection }
        type CommentConnection { nodes: [Comment]! }
        type Comment { body: String! author: User replies(first: Int! = 20): CommentConnection }
    ";

    struct Known;

    impl Variables for Known {
        fn integer(&self, name: &str) -> Option<u64> {
            (name == "hundred").then_some(100)
        }

        fn boolean(&self, name: &str) -> Option<bool> {
            (name == "yes").then_some(true)
        }
    }

    fn cost(operation: &str) -> u64 {
        let document = parse_operation(operation);
        let operation = document
            .definitions
            .into_iter()
            .find_map(|definition| match definition {
                hive_router::graphql_tools::parser::query::Definition::Operation(operation) => {
                    Some(OperationDefinition::from(operation))
                }
                hive_router::graphql_tools::parser::query::Definition::Fragment(_) => None,
            })
            .unwrap();
        estimate(&operation, &Shapes::of(&parse_schema(SCHEMA)), &Known)
    }

    const TILE: &str = "title author { username } votes { score } sources { srcset }";

    #[test]
    fn the_pages_of_the_app_pass() {
        let timeline =
            format!("{{ latestPhotos(first: 100) {{ nodes {{ {TILE} renditions {{ srcset }} }} }} }}");
        assert_eq!(cost(&timeline), 101 + 100 * (1 + 1 + 1 + 4 + 4));
        let with_variable =
            format!("query ($hundred: Int!) {{ latestPhotos(first: $hundred) {{ nodes {{ {TILE} }} }} }}");
        assert_eq!(cost(&with_variable), 101 + 100 * (1 + 1 + 1 + 4));
        let photo = format!(
            "{{ photo(id: 1) {{ {TILE} comments {{ nodes {{
                author {{ username }} replies {{ nodes {{ author {{ username }} }} }}
            }} }} }} }}"
        );
        assert_eq!(cost(&photo), 1 + 6 + 101 + 20 * (2 + 1 + 20 * 2));
        assert!(cost(&timeline) <= MAX_COST && cost(&photo) <= MAX_COST);
    }

    #[test]
    fn pages_in_pages_do_not() {
        for operation in [
            "{ latestPhotos { nodes { comments { nodes { body author { username } } } } } }",
            "{ latestPhotos { edges { node { comments { nodes { author { username } } } } } } }",
            "{ latestPhotos(first: 100) { nodes { comments(first: 1) { nodes { author { username } } } } } }",
            "{ latestPhotos { nodes { author { photos { nodes { author { username } } } } } } }",
            "{ photo(id: 1) { comments(first: 100) { nodes { replies(first: 100) { nodes { author { username } } } } } } }",
        ] {
            assert!(
                cost(operation) > MAX_COST,
                "{operation} costs only {}",
                cost(operation)
            );
        }
        assert!(
            cost(
                "{ latestPhotos(first: 5) { nodes { comments(first: 3) { nodes { author { username } } } } } }"
            ) <= MAX_COST
        );
    }
}
