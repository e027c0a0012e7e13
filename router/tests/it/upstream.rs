//! Faults of libraries that the router guards against (`docs/upstream.md`). Each test fails once its fault is mended:
//! then the guard that it names can go.

use hive_router::query_planner::ast::normalization::normalize_operation;
use hive_router::query_planner::state::supergraph_state::SupergraphState;
use hive_router::query_planner::utils::parsing::{parse_operation, parse_schema};
use hive_router::sonic_rs;

use crate::random;

/// The nesting limit of `guard.rs`.
#[test]
fn sonic_rs_parses_nested_values_without_a_limit() {
    let depth = 2_000;
    let nested = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    // A stack that is large enough for an unoptimised build.
    let parsing = std::thread::Builder::new()
        .stack_size(256 * 1024 * 1024)
        .spawn(move || sonic_rs::from_str::<sonic_rs::Value>(&nested).is_ok());
    assert!(parsing.unwrap().join().unwrap());
}

/// The plugin in `aliases.rs`.
#[test]
fn hive_router_does_not_merge_a_field_with_its_own_alias() {
    let supergraph = std::fs::read_to_string(random::supergraph()).unwrap();
    let supergraph = SupergraphState::new(&parse_schema(&supergraph));
    let document = parse_operation("{ latestPhotos { nodes { id } nodes: nodes { title } } }");
    let normalized = normalize_operation(&supergraph, &document, None).unwrap();
    let text = normalized.operation.to_string();
    assert!(text.contains("nodes: nodes"), "{text}");
}
