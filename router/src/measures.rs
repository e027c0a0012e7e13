//! The router's metrics, with their help texts.

use chassis::telemetry::measure::{Metric, describe};

const METRICS: [Metric; 14] = [
    Metric::Counter(
        "proofsheet_router_requests_total",
        "Requests from outside, by area (graphql, upload, media, page) and status.",
    ),
    Metric::Histogram(
        "proofsheet_router_request_duration_seconds",
        "From a request to the begin of its answer, by area.",
    ),
    Metric::Counter(
        "proofsheet_router_rate_limited_total",
        "Requests that were refused because their address sends too many, by area.",
    ),
    Metric::Counter(
        "proofsheet_router_turned_away_total",
        "Operations that were refused because the concurrency limit was reached.",
    ),
    Metric::Counter(
        "proofsheet_router_operations_total",
        "Executed operations, by name (those that are not the site's own together, as `other`) and outcome.",
    ),
    Metric::Histogram(
        "proofsheet_router_operation_duration_seconds",
        "How long operations were executed, by name.",
    ),
    Metric::Counter(
        "proofsheet_router_errors_total",
        "Errors in answers to clients, by code.",
    ),
    Metric::Counter(
        "proofsheet_router_subgraph_requests_total",
        "Requests to each subgraph.",
    ),
    Metric::Counter(
        "proofsheet_router_subgraph_errors_total",
        "Requests that a subgraph did not answer, or answered with a failure.",
    ),
    Metric::Histogram(
        "proofsheet_router_subgraph_request_duration_seconds",
        "How long each subgraph took.",
    ),
    Metric::Counter(
        "proofsheet_router_media_bytes_total",
        "Bytes of pictures, by direction: received or sent.",
    ),
    Metric::Counter(
        "proofsheet_router_refused_by_cost_total",
        "Operations that were refused because their estimated cost is too high.",
    ),
    Metric::Counter(
        "proofsheet_router_pages_without_answer_total",
        "Pages and feeds for which the router got no answer from its graph, by reason.",
    ),
    Metric::Gauge(
        "proofsheet_tls_certificate_expiry_timestamp_seconds",
        "When the certificate ends that the router shows, in seconds since 1970; absent without TLS.",
    ),
];

/// Readies the recorder before the first request is counted.
pub(crate) fn begin() {
    drop(chassis::telemetry::render_metrics());
    describe(&METRICS);
}
