//! Starts the public, internal, loopback and (with TLS) redirect servers, and shuts them down in order.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use contracts::Code;
use hive_router::ntex::http::StatusCode;
use hive_router::ntex::http::h2::Http2ServiceConfig;
use hive_router::ntex::rt::System;
use hive_router::ntex::time::Seconds;
use hive_router::ntex::web::{self, HttpRequest, HttpResponse, HttpServer};
use hive_router::ntex::{self, SharedCfg};
use hive_router::pipeline::request_identifiers::RequestIdentifiersService;
use hive_router::pipeline::request_summary::RequestSummaryService;
use hive_router::plugins::plugins_service::PluginService;
use hive_router::{RouterPaths, SchemaState, build_http_service_config, configure_ntex_app};
use tokio::signal::unix::{SignalKind, signal};

use crate::app::{Bundles, NOT_FOUND};
use crate::compression::CompressGraphql;
use crate::config::{Config, HealthcheckConfig};
use crate::edge::{self, Edge, EdgeService};
use crate::engine::Engine;
use crate::error_response::ErrorResponse;
use crate::feeds::AtomFeeds;
use crate::graph_client::GraphClient;
use crate::media::{self, PhotoService};
use crate::metric_descriptions;
use crate::route::{RequestRoute, RouteService};
use crate::sitemap::Sitemaps;
use crate::tls::Certificate;
use crate::traces::TraceService;

/// How long an HTTP/2 client may leave the flow-control window closed before the stream is reset. The library's default
/// of three seconds interrupts photos on slow connections.
const HTTP2_WRITE_TIMEOUT: Seconds = Seconds(30);

/// Stack of a worker, in bytes. The library processes documents recursively. Two megabytes suffice within the limits of
/// `guard.rs`; the rest is a safety margin.
const STACK_SIZE: usize = 16 * 1024 * 1024;

/// The state that health checks report.
#[derive(Clone)]
struct Probes {
    schema: Arc<SchemaState>,
    /// Whether the process is shutting down.
    draining: Arc<AtomicBool>,
}

/// Serves until SIGTERM or SIGINT.
pub fn serve(config: Config) -> anyhow::Result<()> {
    System::build()
        .name("router")
        .stack_size(STACK_SIZE)
        .build(ntex::rt::DefaultRuntime)
        .block_on(run(config))
}

async fn run(config: Config) -> anyhow::Result<()> {
    hive_router::init_rustls_crypto_provider();
    let certificate = Certificate::open(&config)?;
    let engine = Engine::start(&config).await?;
    let client = reqwest::Client::builder()
        // Services are internal, so proxy settings of the environment do not apply.
        .no_proxy()
        .connect_timeout(Duration::from_secs(2))
        // A dead machine does not close its connections. Keep-alive removes them from the pool after four seconds.
        .tcp_keepalive(Duration::from_secs(2))
        .tcp_keepalive_interval(Duration::from_secs(1))
        .tcp_keepalive_retries(2)
        .tcp_user_timeout(None)
        .build()
        .context("cannot make an HTTP client")?;
    let edge = Arc::new(Edge::new(&config, client.clone()));
    let photos = Arc::new(PhotoService::new(config.services.photo(), client));
    let (loopback, url) = loopback_server(&engine)?;
    let graph = Arc::new(GraphClient::new(url)?);
    let base = config.public_url.as_str().trim_end_matches('/');
    let routes = Routes {
        edge,
        bundles: Arc::new(Bundles::load(&config, base, &graph)?),
        feeds: Arc::new(AtomFeeds::new(base.to_owned(), graph.clone(), photos.clone())),
        sitemaps: Arc::new(Sitemaps::new(base.to_owned(), graph)),
        photos,
    };
    let probes = Probes {
        schema: engine.schema.clone(),
        draining: Arc::default(),
    };

    let internal = internal_server(&config, &probes)?;
    let redirect = redirect_server(&config, &engine, &probes)?;
    let public = public_server(&config, &engine, &probes, routes, certificate.as_ref())?;
    if let Some(certificate) = certificate {
        tokio::spawn(certificate.watch());
    }
    tracing::info!(
        listen = %config.listen, internal = %config.internal_listen, public_url = %config.public_url,
        "the router is serving"
    );
    if config.public_url.scheme() == "http" {
        tracing::warn!("the public URL is http: cookies are not Secure; this is for private networks only");
    }

    wait_for_signal().await?;
    probes.draining.store(true, Ordering::Relaxed);
    tracing::info!("not ready any more; finishing open requests");
    tokio::time::sleep(Duration::from_secs(config.shutdown_delay)).await;
    public.stop(true).await;
    if let Some(redirect) = redirect {
        redirect.stop(false).await;
    }
    loopback.stop(false).await;
    internal.stop(false).await;
    engine.stop().await;
    Ok(())
}

/// The handlers of the public server beside GraphQL.
#[derive(Clone)]
struct Routes {
    edge: Arc<Edge>,
    photos: Arc<PhotoService>,
    bundles: Arc<Bundles>,
    feeds: Arc<AtomFeeds>,
    sitemaps: Arc<Sitemaps>,
}

fn public_server(
    config: &Config,
    engine: &Engine,
    probes: &Probes,
    routes: Routes,
    certificate: Option<&Arc<Certificate>>,
) -> anyhow::Result<ntex::server::Server> {
    let graphql = engine.config.graphql_path().to_owned();
    // The only path that the library handles: see `RouteService`.
    let paths = RouterPaths::new(graphql.clone(), None, None);
    let shared = engine.shared.clone();
    let schema = engine.schema.clone();
    let compression = CompressGraphql::new(engine.config);
    let traces = TraceService::new(&config.traces, config.trace_ratio);
    let probes = probes.clone();
    let mut server = HttpServer::new(async move || {
        let paths = paths.clone();
        web::App::new()
            .middleware(PluginService::new(paths.clone(), None))
            .middleware(EdgeService::new(routes.edge.clone()))
            .middleware(RequestSummaryService::new(&graphql))
            .middleware(RequestIdentifiersService)
            .middleware(traces.clone())
            .middleware(compression.clone())
            .middleware(RouteService)
            .state(shared.clone())
            .state(schema.clone())
            .state(shared.telemetry_context.clone())
            .state(probes.clone())
            .state(routes.clone())
            .configure(move |app| configure_ntex_app(app, &paths, None))
            .default_service(web::to(dispatch))
    });
    if let Some(workers) = config.workers {
        server = server.workers(workers.get());
    }
    let server = server
        .config(
            SharedCfg::new("PUBLIC")
                .add(build_http_service_config(engine.config))
                .add(Http2ServiceConfig::new().set_capacity_timeout(HTTP2_WRITE_TIMEOUT)),
        )
        .shutdown_timeout(engine.config.shutdown_timeout())
        .disable_signals();
    let server = match certificate {
        Some(certificate) => server.bind_rustls(config.listen, &certificate.server_config()),
        None => server.bind(config.listen),
    };
    let server = server.with_context(|| cannot_listen(config.listen))?;
    Ok(server.run())
}

fn cannot_listen(address: SocketAddr) -> String {
    format!("cannot listen on {address}")
}

/// Handles all public requests besides GraphQL.
async fn dispatch(
    request: HttpRequest,
    payload: web::types::Payload,
    routes: web::types::State<Routes>,
    probes: web::types::State<Probes>,
) -> HttpResponse {
    match RequestRoute::of(&request) {
        RequestRoute::Upload => media::upload(&request, payload, &routes.photos).await,
        RequestRoute::Media(file) => media::download(&request, &file, &routes.photos).await,
        RequestRoute::Playground(file) => routes.bundles.playground(&request, &file),
        RequestRoute::Feed(file) => routes.feeds.answer(&request, &file).await,
        RequestRoute::Robots => routes.sitemaps.robots(&request),
        RequestRoute::SitemapIndex => routes.sitemaps.index(&request).await,
        RequestRoute::Sitemap(file) => routes.sitemaps.file(&request, &file).await,
        RequestRoute::Health => health(),
        RequestRoute::Readiness => readiness(&request, &probes).await,
        RequestRoute::Page(path) => routes.bundles.page(&request, &path).await,
        RequestRoute::Malformed(problem) => malformed(problem),
        // The library handles GraphQL requests before this.
        RequestRoute::Graphql | RequestRoute::Metrics | RequestRoute::Nowhere => {
            routes.bundles.not_found_page(&request).await
        }
    }
}

/// Starts the server that redirects HTTP to HTTPS. It responds to health checks, because not all of them follow
/// redirects.
fn redirect_server(
    config: &Config,
    engine: &Engine,
    probes: &Probes,
) -> anyhow::Result<Option<ntex::server::Server>> {
    let Some(listen) = config.tls.http_redirect_listen else {
        return Ok(None);
    };
    let site: Arc<str> = config.public_url.as_str().trim_end_matches('/').into();
    let probes = probes.clone();
    let server = HttpServer::new(async move || {
        web::App::new()
            .middleware(RouteService)
            .state(site.clone())
            .state(probes.clone())
            .default_service(web::to(to_https))
    })
    .workers(1)
    .config(SharedCfg::new("REDIRECT").add(build_http_service_config(engine.config)))
    .disable_signals()
    .bind(listen)
    .with_context(|| cannot_listen(listen))?;
    Ok(Some(server.run()))
}

/// Redirects to the same path by HTTPS, preserving the method.
async fn to_https(
    request: HttpRequest,
    site: web::types::State<Arc<str>>,
    probes: web::types::State<Probes>,
) -> HttpResponse {
    match RequestRoute::of(&request) {
        RequestRoute::Readiness => readiness(&request, &probes).await,
        route @ RequestRoute::Health => if_allowed(&route, &request, health),
        RequestRoute::Malformed(problem) => malformed(problem),
        _ => {
            let site: &str = &site;
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            HttpResponse::PermanentRedirect()
                .header("location", format!("{site}{path}"))
                .finish()
        }
    }
}

/// Starts a GraphQL server on the loopback address for the router's own queries, and returns its URL.
fn loopback_server(engine: &Engine) -> anyhow::Result<(ntex::server::Server, String)> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on the loopback address")?;
    let graphql = engine.config.graphql_path();
    let url = format!("http://{}{graphql}", listener.local_addr()?);
    let paths = RouterPaths::new(graphql.to_owned(), None, None);
    let shared = engine.shared.clone();
    let schema = engine.schema.clone();
    let server = HttpServer::new(async move || {
        let paths = paths.clone();
        web::App::new()
            .middleware(PluginService::new(paths.clone(), None))
            .middleware(RequestSummaryService::new(graphql))
            .middleware(RequestIdentifiersService)
            .state(shared.clone())
            .state(schema.clone())
            .state(shared.telemetry_context.clone())
            .configure(move |app| configure_ntex_app(app, &paths, None))
    })
    .workers(1)
    .config(SharedCfg::new("LOOPBACK").add(build_http_service_config(engine.config)))
    .disable_signals()
    .listen(listener)?;
    Ok((server.run(), url))
}

fn internal_server(config: &Config, probes: &Probes) -> anyhow::Result<ntex::server::Server> {
    let probes = probes.clone();
    metric_descriptions::register();
    let server = HttpServer::new(async move || {
        web::App::new()
            .middleware(RouteService)
            .state(probes.clone())
            .default_service(web::to(internal))
    })
    .workers(1)
    .disable_signals()
    .bind(config.internal_listen)
    .with_context(|| cannot_listen(config.internal_listen))?;
    Ok(server.run())
}

async fn internal(request: HttpRequest, probes: web::types::State<Probes>) -> HttpResponse {
    match RequestRoute::of(&request) {
        RequestRoute::Readiness => readiness(&request, &probes).await,
        route @ RequestRoute::Health => if_allowed(&route, &request, health),
        route @ RequestRoute::Metrics => if_allowed(&route, &request, metrics),
        RequestRoute::Malformed(problem) => malformed(problem),
        _ => NOT_FOUND.as_json(),
    }
}

fn if_allowed(route: &RequestRoute, request: &HttpRequest, answer: fn() -> HttpResponse) -> HttpResponse {
    if route.allows(request.method()) {
        answer()
    } else {
        edge::error_response(route, &edge::METHOD_NOT_ALLOWED)
    }
}

fn malformed(problem: &'static str) -> HttpResponse {
    ErrorResponse::new(StatusCode::BAD_REQUEST, Code::InvalidInput, problem).as_json()
}

fn health() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

/// Responds to all methods, so that all kinds of health checks work.
async fn readiness(request: &HttpRequest, probes: &Probes) -> HttpResponse {
    let draining = probes.draining.load(Ordering::Relaxed);
    if draining || !probes.schema.is_ready(request).await {
        return HttpResponse::ServiceUnavailable()
            .content_type("text/plain")
            .body("not ready\n");
    }
    if_allowed(&RequestRoute::Readiness, request, || {
        HttpResponse::Ok().content_type("text/plain").body("ready\n")
    })
}

fn metrics() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4")
        .body(chassis::telemetry::render_metrics())
}

async fn wait_for_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Checks `/readiness` of a running router.
pub fn healthcheck(config: &HealthcheckConfig) -> anyhow::Result<()> {
    let url = format!("http://{}/readiness", config.internal_listen);
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let client = reqwest::Client::builder()
                .timeout(Duration::from_secs(2))
                .build()?;
            let status = client.get(&url).send().await?.status();
            if !status.is_success() {
                bail!("{url} answered {status}");
            }
            Ok(())
        })
}
