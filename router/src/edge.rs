//! The outermost layer of every request: client address, rate limit, and the headers that services and browsers rely
//! on.
//!
//! Services trust some headers (`x-client-ip`, `x-authorised-by`), so the client's values are dropped here and
//! replaced.

use std::future::ready;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chassis::tokens::TokenVerifier;
use contracts::Code;
use contracts::headers::{self, BY_COOKIE, TRUSTED as TRUSTED_HEADERS};
use futures::stream;
use hive_router::ntex::http::body::{Body, ResponseBody};
use hive_router::ntex::http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, COOKIE, HOST, HeaderName, HeaderValue, ORIGIN, RETRY_AFTER,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use hive_router::ntex::http::{HeaderMap, Payload, StatusCode};
use hive_router::ntex::service::{Service, ServiceCtx};
use hive_router::ntex::web::{self, DefaultError, HttpResponse, WebRequest, WebResponse};
use hive_router::ntex::{self, Middleware, SharedCfg};
use hive_router::telemetry::logging::request_id::REQUEST_IDENTIFIERS;
use ipnet::IpNet;
use url::Url;

use crate::client_ip;
use crate::concurrency_limit::{ConcurrencyLimit, Permit};
use crate::config::Config;
use crate::error_response::ErrorResponse;
use crate::identity::{CredentialSource, Identifier};
use crate::negotiation::negotiate;
use crate::rate_limit::RateLimit;
use crate::request_body;
use crate::route::RequestRoute;

const X_REQUEST_ID: HeaderName = HeaderName::from_static(headers::REQUEST_ID);
const X_CLIENT_IP: HeaderName = HeaderName::from_static(headers::CLIENT_IP);
const X_AUTHORISED_BY: HeaderName = HeaderName::from_static(headers::AUTHORISED_BY);

/// Two years, without `includeSubDomains`: other subdomains may not belong to the site.
const HSTS_VALUE: &str = "max-age=63072000";

/// The checks of incoming requests, shared by all workers.
pub(crate) struct Edge {
    identifier: Identifier,
    trusted_proxies: Vec<IpNet>,
    public_origin: String,
    https: bool,
    graphql: RateLimit,
    pages: RateLimit,
    uploads: RateLimit,
    operations: ConcurrencyLimit,
}

pub(crate) const METHOD_NOT_ALLOWED: ErrorResponse = ErrorResponse::new(
    StatusCode::METHOD_NOT_ALLOWED,
    Code::InvalidInput,
    "This address does not support this method. The header Allow lists the supported ones.",
);

impl Edge {
    pub(crate) fn new(config: &Config, client: reqwest::Client) -> Self {
        Self {
            identifier: Identifier::new(TokenVerifier::new(&config.tokens, client), &config.public_url),
            trusted_proxies: config.trusted_proxies.clone(),
            public_origin: origin(&config.public_url),
            https: config.public_url.scheme() == "https",
            graphql: RateLimit::new(config.limits.rate_limit_graphql),
            pages: RateLimit::new(config.limits.rate_limit_pages),
            uploads: RateLimit::new(config.limits.rate_limit_uploads),
            operations: ConcurrencyLimit::new(config.limits.max_concurrent_operations),
        }
    }

    /// Checks a request and sets the headers that services trust. Returns a permit for a GraphQL operation.
    async fn admit(
        &self,
        request: &mut WebRequest<DefaultError>,
        route: &RequestRoute,
        id: &str,
    ) -> Result<Option<Permit<'_>>, ErrorResponse> {
        join_cookies(request);
        let method = request.method().clone();
        let address = self.address(request);
        let headers = request.headers_mut();
        for name in TRUSTED_HEADERS {
            headers.remove(name);
        }
        set(headers, X_REQUEST_ID, id);
        set(headers, X_CLIENT_IP, &address.to_string());

        // Probes and malformed requests are answered by their handlers.
        if !route.allows(&method) && !matches!(route, RequestRoute::Readiness | RequestRoute::Malformed(_)) {
            return Err(METHOD_NOT_ALLOWED);
        }
        let limit = match route {
            RequestRoute::Graphql => &self.graphql,
            RequestRoute::Upload => &self.uploads,
            _ if route.is_rendered() => {
                take(&self.pages, address, route)?;
                return Ok(None);
            }
            _ => return Ok(None),
        };
        if self.is_foreign(headers) {
            return Err(ErrorResponse::new(
                StatusCode::FORBIDDEN,
                Code::Forbidden,
                "This request comes from another site.",
            ));
        }
        if *route == RequestRoute::Graphql {
            negotiate(&method, headers)?;
        }
        take(limit, address, route)?;

        let permit = match route {
            RequestRoute::Graphql => {
                // A client that sends slowly must not hold a permit.
                receive_operation(request).await?;
                // Before any costly work, because under overload many requests are refused.
                Some(self.operations.acquire().await?)
            }
            _ => None,
        };
        let headers = request.headers_mut();
        let credential = self.identifier.credential(headers).await;
        headers.remove(AUTHORIZATION);
        if let Some(credential) = credential {
            set(headers, AUTHORIZATION, &format!("Bearer {}", credential.token));
            if credential.source == CredentialSource::Cookie {
                set(headers, X_AUTHORISED_BY, BY_COOKIE);
            }
        }
        Ok(permit)
    }

    fn address(&self, request: &WebRequest<DefaultError>) -> IpAddr {
        let peer = request
            .peer_addr()
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
        if self.trusted_proxies.is_empty() {
            return peer.to_canonical();
        }
        let lines: Vec<&str> = request
            .headers()
            .get_all("x-forwarded-for")
            .filter_map(|line| line.to_str().ok())
            .collect();
        client_ip::address(peer, lines.into_iter(), &self.trusted_proxies)
    }

    /// Whether a page of another site sent this. Browsers send `Origin` with all cross-site requests that matter.
    fn is_foreign(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(ORIGIN) else {
            return false;
        };
        let Ok(origin) = origin.to_str() else { return true };
        if origin.eq_ignore_ascii_case(&self.public_origin) {
            return false;
        }
        // The same site under another name, such as 127.0.0.1 for localhost.
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        !matches!((host, authority), (Some(host), Some(authority)) if host.eq_ignore_ascii_case(authority))
    }

    fn set_response_headers(&self, headers: &mut HeaderMap, route: &RequestRoute, id: &str) {
        set(headers, X_REQUEST_ID, id);
        set(headers, X_CONTENT_TYPE_OPTIONS, "nosniff");
        if self.https {
            set(headers, STRICT_TRANSPORT_SECURITY, HSTS_VALUE);
        }
        // Responses depend on the viewer, so shared caches must not store them.
        if *route == RequestRoute::Graphql {
            set(headers, CACHE_CONTROL, "no-store");
        }
    }
}

/// Counts a request against a rate limit.
fn take(limit: &RateLimit, address: IpAddr, route: &RequestRoute) -> Result<(), ErrorResponse> {
    limit.take(address, Instant::now()).map_err(|seconds| {
        metrics::counter!("proofsheet_router_rate_limited_total", "area" => route.area()).increment(1);
        ErrorResponse {
            retry_after_seconds: Some(seconds),
            ..ErrorResponse::new(
                StatusCode::TOO_MANY_REQUESTS,
                Code::RateLimited,
                "Too many requests from your address. Please wait a moment.",
            )
        }
    })
}

/// Waits for the body of an operation, and replaces the payload by it.
async fn receive_operation(request: &mut WebRequest<DefaultError>) -> Result<(), ErrorResponse> {
    let mut payload = request.take_payload();
    match request_body::read_operation(request.headers(), &mut payload).await {
        Ok(body) => {
            request.set_payload(Payload::from_stream(stream::once(ready(Ok(body)))));
            Ok(())
        }
        Err(error) => {
            // Without its payload, the connection is closed after the response.
            if error.status != StatusCode::REQUEST_TIMEOUT {
                request.set_payload(payload);
            }
            Err(error)
        }
    }
}

/// HTTP/2 clients may send several cookie lines (RFC 9113, 8.2.3). Later layers expect one.
fn join_cookies(request: &mut WebRequest<DefaultError>) {
    let headers = request.headers_mut();
    let cookies: Vec<&str> = headers
        .get_all(COOKIE)
        .filter_map(|line| line.to_str().ok())
        .collect();
    if cookies.len() > 1 {
        let cookies = cookies.join("; ");
        set(headers, COOKIE, &cookies);
    }
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The middleware that applies [`Edge`] to every request.
pub(crate) struct EdgeService(Arc<Edge>);

impl EdgeService {
    pub(crate) fn new(edge: Arc<Edge>) -> Self {
        Self(edge)
    }
}

impl<S> Middleware<S, SharedCfg> for EdgeService {
    type Service = EdgeMiddleware<S>;

    fn create(&self, service: S, _: SharedCfg) -> Self::Service {
        EdgeMiddleware {
            edge: self.0.clone(),
            service,
        }
    }
}

pub(crate) struct EdgeMiddleware<S> {
    edge: Arc<Edge>,
    service: S,
}

impl<S> Service<WebRequest<DefaultError>> for EdgeMiddleware<S>
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
        let started = Instant::now();
        // The library has set the id: the client's if it is well-formed, else a new one.
        let id = REQUEST_IDENTIFIERS
            .try_with(|ids| ids.req_id().to_owned())
            .unwrap_or_default();
        let route = RequestRoute::of_web_request(&request);
        let mut response = match self.edge.admit(&mut request, &route, &id).await {
            Ok(Some(permit)) => permit.run(ctx.call(&self.service, request)).await?,
            Ok(None) => ctx.call(&self.service, request).await?,
            Err(error) => {
                let (request, payload) = request.into_parts();
                let response = request_body::discard(&request, payload, error_response(&route, &error));
                WebResponse::new(response, request)
            }
        };
        if response.status() == StatusCode::NOT_MODIFIED {
            // Without a body, ntex writes `content-length: 0`, which is not the length of the document (RFC 9110, 8.6).
            response = response.map_body(|_, _| ResponseBody::Body(Body::None));
        }
        self.edge
            .set_response_headers(response.headers_mut(), &route, &id);
        record(&response, &route, &id, started.elapsed());
        Ok(response)
    }
}

/// The response in the format of this route: GraphQL or plain JSON.
pub(crate) fn error_response(route: &RequestRoute, error: &ErrorResponse) -> HttpResponse {
    let mut response = match route {
        RequestRoute::Graphql => error.as_graphql(),
        _ => error.as_json(),
    };
    if error.status == StatusCode::METHOD_NOT_ALLOWED {
        set(response.headers_mut(), ALLOW, route.allowed_methods());
    }
    response
}

fn record(response: &WebResponse, route: &RequestRoute, id: &str, took: Duration) {
    let status = response.status();
    metrics::counter!(
        "proofsheet_router_requests_total", "area" => route.area(), "status" => status.as_u16().to_string()
    )
    .increment(1);
    metrics::histogram!("proofsheet_router_request_duration_seconds", "area" => route.area()).record(took);
    let request = response.request();
    let (method, path) = (request.method(), request.path());
    // Responses with `Retry-After` are expected under load, and frequent.
    if status.is_server_error() && !response.headers().contains_key(RETRY_AFTER) {
        tracing::warn!(request_id = id, %method, path, status = status.as_u16(), ?took, "answered");
    } else {
        tracing::debug!(request_id = id, %method, path, status = status.as_u16(), ?took, "answered");
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::config::{Cli, Command};

    fn edge(flags: &[&str]) -> Edge {
        let Command::Serve(config) = Cli::parse_from([&["router", "serve"], flags].concat()).command else {
            unreachable!("serve was asked for")
        };
        Edge::new(&config, reqwest::Client::new())
    }

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            set(&mut map, name.clone(), value);
        }
        map
    }

    #[test]
    fn other_sites_are_foreign() {
        let edge = edge(&["--public-url", "https://photos.example"]);
        assert!(!edge.is_foreign(&headers(&[])));
        assert!(!edge.is_foreign(&headers(&[(ORIGIN, "https://photos.example")])));
        assert!(!edge.is_foreign(&headers(&[
            (ORIGIN, "http://10.0.0.7:4999"),
            (HOST, "10.0.0.7:4999")
        ])));
        assert!(edge.is_foreign(&headers(&[
            (ORIGIN, "https://evil.example"),
            (HOST, "photos.example")
        ])));
        assert!(edge.is_foreign(&headers(&[(ORIGIN, "null"), (HOST, "photos.example")])));
    }
}
