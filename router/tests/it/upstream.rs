//! Faults of libraries that the router guards against (`docs/upstream.md`). Each test fails when its defect is fixed
//! upstream. Then remove the workaround that it names.

use hive_router::config::csrf::CSRFPreventionConfig;
use hive_router::graphql_tools::validation::rules::default_rules_validation_plan;
use hive_router::graphql_tools::validation::validate::validate;
use hive_router::ntex::http::Uri;
use hive_router::ntex::router::ResourcePath as _;
use hive_router::ntex::web::test::TestRequest;
use hive_router::pipeline::csrf_prevention::perform_csrf_prevention;
use hive_router::query_planner::ast::normalization::normalize_operation;
use hive_router::query_planner::state::supergraph_state::SupergraphState;
use hive_router::query_planner::utils::parsing::{parse_operation, parse_schema, safe_parse_operation};
use hive_router::sonic_rs;

use crate::random;

/// The nesting limit of `guard.rs`.
#[test]
fn sonic_rs_parses_nested_values_without_a_limit() {
    let depth = 2_000;
    let nested = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    // A stack large enough for an unoptimised build.
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

/// `MAX_REPEATS` and `MAX_ALIASES` of `guard.rs`.
#[test]
fn graphql_tools_reports_each_pair_of_conflicting_fields() {
    let schema = parse_schema("type Query { a: Int b: Int }");
    let document = parse_operation(&format!("{{ {} }}", "x: a x: b ".repeat(60)));
    let errors = validate(&schema, &document, &default_rules_validation_plan());
    assert!(errors.len() > 1_000, "{}", errors.len());
}

/// No workaround: the error message is clear, and `1.0e9`, `1e+9` and `1000000000` are accepted.
#[test]
fn graphql_tools_refuses_exponents_that_begin_with_0_or_9() {
    let parses = |number: &str| safe_parse_operation(&format!("{{ a(b: {number}) }}")).is_ok();
    assert!(parses("1e8") && parses("1e+9"));
    assert!(!parses("1e9") && !parses("1e09") && !parses("1e0"));
}

/// The checks that `negotiation.rs` makes before the library.
#[test]
fn hive_router_accepts_malformed_content_types_as_preflighted() {
    let config = serde_json::json!({ "enabled": true, "required_headers": ["x-proofsheet"] });
    let config: CSRFPreventionConfig = serde_json::from_value(config).unwrap();
    for content_type in ["text/xml;application/json", "x", " text/plain"] {
        let request = TestRequest::with_uri("/graphql").header("content-type", content_type);
        let checked = perform_csrf_prevention(&request.to_http_request(), &config);
        assert!(checked.is_ok(), "{content_type}");
    }
}

/// `RouteService` of `route.rs`, which gives ntex no path that it would decode.
#[test]
fn ntex_router_creates_invalid_utf_8_strings() {
    let name = Uri::unquote("%ff");
    assert!(
        std::str::from_utf8(name.as_bytes()).is_err(),
        "{:?}",
        name.as_bytes()
    );
}
