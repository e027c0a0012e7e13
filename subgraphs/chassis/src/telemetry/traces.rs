//! Traces of requests through the router and the services, down to SQL statements.
//!
//! The router decides whether a request is traced. Services follow its header `traceparent`, and start no traces.
//! Without a collector no spans are created.

use std::sync::OnceLock;
use std::time::Duration;

use contracts::headers::TRACE_CONTEXT;
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{SpanContext, TraceContextExt as _, TraceFlags, TracerProvider as _};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::span_processor_with_async_runtime::BatchSpanProcessor;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use opentelemetry_sdk::{Resource, runtime};
use rand::RngExt as _;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

/// The target of spans for traces, which the log ignores.
pub const TARGET: &str = "traces";

/// The timeout of sending a batch to the collector. Then the batch is lost. Requests do not wait for it.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum time to send the remaining spans at the end of the process.
const FINAL_EXPORT_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Default, clap::Args)]
pub struct TraceConfig {
    /// A collector that takes OTLP over HTTP, without `/v1/traces`: `http://tempo:4318`. Without it there are no traces.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    otlp_endpoint: Option<String>,
}

impl TraceConfig {
    /// Returns the full URL for spans. An empty URL counts as none, because stack files cannot omit it.
    pub fn endpoint(&self) -> Option<String> {
        let base = self.otlp_endpoint.as_deref()?.trim_end_matches('/');
        (!base.is_empty()).then(|| format!("{base}/v1/traces"))
    }
}

/// Sends the spans of the process in batches from a separate thread. `service` is the name of the process.
pub(super) fn provider(service: &'static str, endpoint: String) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(endpoint)
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    let processor = BatchSpanProcessor::builder(exporter, runtime::TokioCurrentThread).build();
    Ok(SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name(service).build())
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)))
        .with_span_processor(processor)
        .build())
}

/// Creates spans for the process's spans with [`TARGET`].
pub(super) fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("proofsheet"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(filter_fn(|metadata| {
            metadata.is_span() && metadata.target() == TARGET
        }))
}

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

pub(super) fn keep(provider: SdkTracerProvider) {
    // In tests, a second provider has no subscriber.
    let _ = PROVIDER.set(provider);
}

/// Sends the remaining spans, at the end of the process.
pub async fn finish() {
    let Some(provider) = PROVIDER.get() else { return };
    let sending = tokio::task::spawn_blocking(|| provider.shutdown());
    if !matches!(
        tokio::time::timeout(FINAL_EXPORT_TIMEOUT, sending).await,
        Ok(Ok(Ok(())))
    ) {
        tracing::warn!("the last spans did not reach the collector");
    }
}

/// Makes `span` part of the trace in a request's header, if there is one.
pub fn follow(span: &Span, traceparent: Option<&str>) {
    if let Some(context) = traceparent.and_then(parse) {
        // Fails only without a collector.
        let _ = span.set_parent(Context::new().with_remote_span_context(context));
    }
}

/// The same as [`follow`] for external requests: the trace id is the client's, but `ratio` of them are sampled, so that
/// clients cannot force sampling.
pub fn follow_untrusted(span: &Span, traceparent: Option<&str>, ratio: f64) {
    let Some(theirs) = traceparent.and_then(parse) else {
        return;
    };
    let collected = rand::rng().random_bool(ratio.clamp(0.0, 1.0));
    let flags = TraceFlags::default().with_sampled(collected);
    let ours = SpanContext::new(
        theirs.trace_id(),
        theirs.span_id(),
        flags,
        true,
        opentelemetry::trace::TraceState::NONE,
    );
    let _ = span.set_parent(Context::new().with_remote_span_context(ours));
}

/// Returns the value of [`TRACE_CONTEXT`] for `span`.
pub fn header_of(span: &Span) -> Option<String> {
    header(span.context().span().span_context())
}

/// Returns the value of [`TRACE_CONTEXT`] for the current span.
pub fn current_header() -> Option<String> {
    header(Context::current().span().span_context())
}

/// Returns the id of the current trace.
pub fn trace_id() -> Option<String> {
    let context = Context::current();
    let span = context.span();
    let context = span.span_context();
    context.is_valid().then(|| context.trace_id().to_string())
}

fn header(context: &SpanContext) -> Option<String> {
    context.is_valid().then(|| {
        format!(
            "00-{}-{}-{:02x}",
            context.trace_id(),
            context.span_id(),
            context.trace_flags().to_u8()
        )
    })
}

fn parse(traceparent: &str) -> Option<SpanContext> {
    struct Header<'h>(&'h str);
    impl Extractor for Header<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            (key == TRACE_CONTEXT).then_some(self.0)
        }

        fn keys(&self) -> Vec<&str> {
            vec![TRACE_CONTEXT]
        }
    }
    let context = TraceContextPropagator::new().extract(&Header(traceparent));
    let context = context.span().span_context().clone();
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_and_written() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context = parse(text).unwrap();
        assert!(context.is_sampled());
        assert_eq!(header(&context).unwrap(), text);
        for nonsense in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert!(parse(nonsense).is_none(), "{nonsense}");
        }
    }

    #[test]
    fn clients_choose_the_trace_but_not_the_sampling() {
        use tracing_subscriber::layer::SubscriberExt as _;

        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)))
            .build();
        let subscriber = tracing_subscriber::registry().with(layer(&provider));
        tracing::subscriber::with_default(subscriber, || {
            for (theirs, ratio, ours) in [("01", 0.0, "00"), ("00", 1.0, "01"), ("01", 1.0, "01")] {
                let span = tracing::info_span!(target: TARGET, "request");
                let theirs = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{theirs}");
                follow_untrusted(&span, Some(&theirs), ratio);
                let header = header_of(&span).unwrap();
                assert!(header.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && header.ends_with(ours));
            }
        });
    }

    #[test]
    fn an_empty_address_is_none() {
        let endpoint = |text: &str| {
            TraceConfig {
                otlp_endpoint: Some(text.to_owned()),
            }
            .endpoint()
        };
        assert_eq!(endpoint(""), None);
        assert_eq!(
            endpoint("http://tempo:4318/").unwrap(),
            "http://tempo:4318/v1/traces"
        );
    }
}
