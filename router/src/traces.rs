//! The root span of every request.
//!
//! Clients, such as the app, may send a trace id. The router decides whether the trace is sampled.

use std::sync::Arc;

use chassis::telemetry::traces::{self, TraceConfig};
use hive_router::ntex::http::header::{HeaderName, HeaderValue};
use hive_router::ntex::service::{Service, ServiceCtx};
use hive_router::ntex::web::{self, DefaultError, WebRequest, WebResponse};
use hive_router::ntex::{self, Middleware, SharedCfg};
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::route::RequestRoute;

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static(contracts::headers::TRACE_CONTEXT);

/// The middleware that starts the span of a request. Without a collector it removes trace headers.
#[derive(Clone)]
pub(crate) struct TraceService(Arc<Option<f64>>);

impl TraceService {
    /// Samples the fraction `ratio` of traces, from 0 to 1.
    pub(crate) fn new(config: &TraceConfig, ratio: f64) -> Self {
        Self(Arc::new(config.endpoint().map(|_| ratio)))
    }
}

impl<S> Middleware<S, SharedCfg> for TraceService {
    type Service = TraceMiddleware<S>;

    fn create(&self, service: S, _: SharedCfg) -> Self::Service {
        TraceMiddleware {
            ratio: *self.0,
            service,
        }
    }
}

pub(crate) struct TraceMiddleware<S> {
    ratio: Option<f64>,
    service: S,
}

impl<S> Service<WebRequest<DefaultError>> for TraceMiddleware<S>
where
    S: Service<WebRequest<DefaultError>, Response = WebResponse, Error = web::Error>,
{
    type Response = WebResponse;
    type Error = web::Error;

    ntex::forward_ready!(service);

    async fn call(
        &self,
        mut request: WebRequest<DefaultError>,
        ctx: ServiceCtx<'_, Self>,
    ) -> Result<Self::Response, Self::Error> {
        let headers = request.headers_mut();
        let theirs = headers.get(TRACEPARENT).cloned();
        headers.remove(TRACEPARENT);
        headers.remove("tracestate");
        let Some(ratio) = self.ratio else {
            return ctx.call(&self.service, request).await;
        };
        let (method, path) = (request.method().clone(), request.path().to_owned());
        let area = RequestRoute::of_web_request(&request).area();
        let span = tracing::info_span!(
            "request",
            // The library omits spans with this field from the log, where they would repeat the request id.
            "hive.kind" = "edge",
            "otel.name" = %format_args!("{method} {area}"),
            "otel.kind" = "server",
            "http.request.method" = %method,
            "url.path" = path,
            "http.response.status_code" = Empty,
            "otel.status_code" = Empty,
        );
        let theirs = theirs.as_ref().and_then(|value| value.to_str().ok());
        traces::follow_untrusted(&span, theirs, ratio);
        if let Some(Ok(ours)) = traces::header_of(&span).as_deref().map(HeaderValue::from_str) {
            request.headers_mut().insert(TRACEPARENT, ours);
        }
        let response = ctx.call(&self.service, request).instrument(span.clone()).await?;
        span.record("http.response.status_code", response.status().as_u16());
        if response.status().is_server_error() {
            span.record("otel.status_code", "ERROR");
        }
        Ok(response)
    }
}
