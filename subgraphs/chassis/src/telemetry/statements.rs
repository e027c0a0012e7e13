//! SQL statements as spans.
//!
//! sqlx logs each statement with its duration. It becomes a span that ends now. Statements contain `?` instead of
//! values, so traces contain no user data.

use std::fmt;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Span as _, SpanKind, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer;
use tracing_subscriber::registry::LookupSpan;

/// The log target of sqlx's statements.
const STATEMENT_TARGET: &str = "sqlx::query";

/// Creates spans for the statements of traced requests. sqlx does not describe other statements.
pub(super) fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let is_statement = |metadata: &Metadata<'_>| metadata.target() == STATEMENT_TARGET;
    let traced = dynamic_filter_fn(move |metadata, _: &layer::Context<'_, S>| {
        is_statement(metadata) && Context::current().span().span_context().is_sampled()
    });
    let traced = traced
        .with_max_level_hint(LevelFilter::DEBUG)
        .with_callsite_filter(move |metadata| {
            if is_statement(metadata) {
                Interest::sometimes()
            } else {
                Interest::never()
            }
        });
    Statements(provider.tracer("proofsheet")).with_filter(traced)
}

struct Statements(SdkTracer);

impl<S: Subscriber> Layer<S> for Statements {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        let mut statement = Statement::default();
        event.record(&mut statement);
        let text = statement.text();
        let took = Duration::try_from_secs_f64(statement.seconds).unwrap_or_default();
        let end = SystemTime::now();
        let mut span = self
            .0
            .span_builder(name(text).to_owned())
            .with_kind(SpanKind::Client)
            .with_start_time(end.checked_sub(took).unwrap_or(end))
            .with_attributes([
                KeyValue::new("db.system.name", "mariadb"),
                KeyValue::new("db.query.text", text.to_owned()),
                KeyValue::new("db.response.returned_rows", statement.rows),
            ])
            .start_with_context(&self.0, &Context::current());
        span.end_with_timestamp(end);
    }
}

/// The fields of sqlx's log event.
#[derive(Default)]
struct Statement {
    summary: String,
    /// Empty if the summary is the complete statement.
    full: String,
    seconds: f64,
    rows: i64,
}

impl Statement {
    fn text(&self) -> &str {
        match self.full.trim() {
            "" => self.summary.trim(),
            full => full,
        }
    }
}

impl Visit for Statement {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "elapsed_secs" {
            self.seconds = value;
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "rows_returned" {
            self.rows = i64::try_from(value).unwrap_or(i64::MAX);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => value.clone_into(&mut self.summary),
            "db.statement" => value.clone_into(&mut self.full),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// Returns the first word.
fn name(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_alphabetic())
        .find(|word| !word.is_empty())
        .unwrap_or("statement")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_statement_is_its_first_word() {
        assert_eq!(name("SELECT id FROM photo WHERE id = ?"), "SELECT");
        assert_eq!(name("(SELECT 1) UNION (SELECT 2)"), "SELECT");
        assert_eq!(name("COMMIT"), "COMMIT");
        assert_eq!(name(""), "statement");
    }
}
