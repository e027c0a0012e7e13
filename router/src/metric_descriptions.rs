//! The router's metrics, with their help texts.

use chassis::telemetry::measure::{Metric, describe};

const METRICS: [Metric; 14] = [
    Metric::Counter(
        "proofsheet_router_requests_total",
        "Requests on the public address, by area (graphql, upload, media, page) and status.",
    ),
    Metric::Histogram(
        "proofsheet_router_request_duration_seconds",
        "Seconds from a request to the start of its response, by area.",
    ),
    Metric::Counter(
        "proofsheet_router_rate_limited_total",
        "Requests that the rate limit per address refused, by area.",
    ),
    Metric::Counter(
        "proofsheet_router_concurrency_limited_total",
        "Operations that the concurrency limit refused.",
    ),
    Metric::Counter(
        "proofsheet_router_operations_total",
        "Executed operations, by name (`other` for operations of API clients) and outcome.",
    ),
    Metric::Histogram(
        "proofsheet_router_operation_duration_seconds",
        "Seconds of executing operations, by name.",
    ),
    Metric::Counter(
        "proofsheet_router_errors_total",
        "Errors in responses to clients, by code.",
    ),
    Metric::Counter(
        "proofsheet_router_subgraph_requests_total",
        "Requests to each subgraph.",
    ),
    Metric::Counter(
        "proofsheet_router_subgraph_errors_total",
        "Requests to each subgraph that failed.",
    ),
    Metric::Histogram(
        "proofsheet_router_subgraph_request_duration_seconds",
        "Seconds until each subgraph responded.",
    ),
    Metric::Counter(
        "proofsheet_router_media_bytes_total",
        "Bytes of photos, by direction: received or sent.",
    ),
    Metric::Counter(
        "proofsheet_router_cost_limited_total",
        "Operations that the cost limit refused.",
    ),
    Metric::Counter(
        "proofsheet_router_page_queries_failed_total",
        "Queries for pages and feeds that failed, by reason: concurrency_limit or unavailable.",
    ),
    Metric::Gauge(
        "proofsheet_tls_certificate_expiry_timestamp_seconds",
        "Expiry of the TLS certificate in use, in seconds since 1970; absent without TLS.",
    ),
];

/// Installs the recorder and registers the descriptions. Call it before the first request.
pub(crate) fn register() {
    drop(chassis::telemetry::render_metrics());
    describe(&METRICS);
}
