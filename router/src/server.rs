//! Runs the HTTP servers, and ends them in order: one for everybody, one for operators, one for the router itself, and
//! with TLS one that redirects HTTP to HTTPS.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
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

use crate::app::{NOT_FOUND, Site};
use crate::compression::CompressGraphql;
use crate::config::{Config, HealthcheckConfig};
use crate::edge::{self, Edge, EdgeService};
use crate::engine::Engine;
use crate::error_response::Refusal;
use crate::feeds::Feeds;
use crate::graph::Graph;
use crate::measures;
use crate::media::{self, PhotoService};
use crate::route::{Route, RouteService};
use crate::sitemap::Sitemaps;
use crate::tls::Certificate;
use crate::traces::TraceService;

/// For so long a client by HTTP/2 may take nothing of an answer that is on its way. The library's three seconds would cut
/// photos off on slow lines.
const SLOWEST_READER: Seconds = Seconds(30);

/// Stack of a worker, in bytes. The library walks documents by recursion. Within the limits of `guard.rs` the usual two
/// megabytes suffice, in a development build too; the rest is for what the limits do not foresee.
const STACK_SIZE: usize = 16 * 1024 * 1024;

/// The conditions of readiness.
#[derive(Clone)]
struct Probes {
    schema: Arc<SchemaState>,
    /// Whether this process is on its way out.
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
        // The services are inside; no proxy that the environment names stands between.
        .no_proxy()
        .connect_timeout(Duration::from_secs(2))
        // A machine that has died closes no connection: those that wait for the next request are given up after four
        // seconds, or one request after the other would find them.
        .tcp_keepalive(Duration::from_secs(2))
        .tcp_keepalive_interval(Duration::from_secs(1))
        .tcp_keepalive_retries(2)
        .tcp_user_timeout(None)
        .build()
        .context("cannot make an HTTP client")?;
    let edge = Arc::new(Edge::new(&config, client.clone()));
    let photos = Arc::new(PhotoService::new(&config.services.photo_url, client));
    let (own, url) = own_server(&engine)?;
    let graph = Arc::new(Graph::new(url)?);
    let base = config.public_url.as_str().trim_end_matches('/');
    let routes = Routes {
        edge,
        site: Arc::new(Site::load(&config, base, &graph)?),
        feeds: Arc::new(Feeds::new(base.to_owned(), graph.clone(), photos.clone())),
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
        "the router serves"
    );
    if config.public_url.scheme() == "http" {
        tracing::warn!("the public URL is http: cookies are not Secure; this is for private networks only");
    }

    wait_for_signal().await?;
    probes.draining.store(true, Ordering::Relaxed);
    tracing::info!("not ready any more; finishing what runs");
    tokio::time::sleep(Duration::from_secs(config.shutdown_delay)).await;
    public.stop(true).await;
    if let Some(redirect) = redirect {
        redirect.stop(false).await;
    }
    own.stop(false).await;
    internal.stop(false).await;
    engine.stop().await;
    Ok(())
}

/// The handlers of the public server beside GraphQL.
#[derive(Clone)]
struct Routes {
    edge: Arc<Edge>,
    photos: Arc<PhotoService>,
    site: Arc<Site>,
    feeds: Arc<Feeds>,
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
    // Of the library's own paths, only this one is ever routed to it: see `RouteService`.
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
                .add(Http2ServiceConfig::new().set_capacity_timeout(SLOWEST_READER)),
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

/// Everything that the public server answers beside GraphQL.
async fn dispatch(
    request: HttpRequest,
    payload: web::types::Payload,
    routes: web::types::State<Routes>,
    probes: web::types::State<Probes>,
) -> HttpResponse {
    match Route::of(&request) {
        Route::Upload => media::upload(&request, payload, &routes.photos).await,
        Route::Media(file) => media::download(&request, &file, &routes.photos).await,
        Route::Playground(file) => routes.site.playground(&request, &file),
        Route::Feed(file) => routes.feeds.answer(&request, &file).await,
        Route::Robots => routes.sitemaps.robots(&request),
        Route::SitemapIndex => routes.sitemaps.index(&request).await,
        Route::Sitemap(file) => routes.sitemaps.file(&request, &file).await,
        Route::Health => alive(),
        Route::Readiness => readiness(&request, &probes).await,
        Route::Page(path) => routes.site.page(&request, &path).await,
        Route::Malformed(problem) => malformed(problem),
        // The library has taken every request for the graph.
        Route::Graphql | Route::Metrics | Route::Nowhere => routes.site.nowhere(&request).await,
    }
}

/// Where the site is for those who come by http. Probes are answered here too: not all of them follow.
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

/// The same page under https, and the same method: a form that is sent here is sent there.
async fn to_https(
    request: HttpRequest,
    site: web::types::State<Arc<str>>,
    probes: web::types::State<Probes>,
) -> HttpResponse {
    match Route::of(&request) {
        Route::Readiness => readiness(&request, &probes).await,
        route @ Route::Health => if_allowed(&route, &request, alive),
        Route::Malformed(problem) => malformed(problem),
        _ => {
            let site: &str = &site;
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            HttpResponse::PermanentRedirect()
                .header("location", format!("{site}{path}"))
                .finish()
        }
    }
}

/// The graph for the router's own questions, and its URL: on the loopback address, on a port that is not published.
fn own_server(engine: &Engine) -> anyhow::Result<(ntex::server::Server, String)> {
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
    .config(SharedCfg::new("OWN").add(build_http_service_config(engine.config)))
    .disable_signals()
    .listen(listener)?;
    Ok((server.run(), url))
}

fn internal_server(config: &Config, probes: &Probes) -> anyhow::Result<ntex::server::Server> {
    let probes = probes.clone();
    measures::begin();
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
    match Route::of(&request) {
        Route::Readiness => readiness(&request, &probes).await,
        route @ Route::Health => if_allowed(&route, &request, alive),
        route @ Route::Metrics => if_allowed(&route, &request, metrics),
        Route::Malformed(problem) => malformed(problem),
        _ => NOT_FOUND.as_json(),
    }
}

fn if_allowed(route: &Route, request: &HttpRequest, answer: fn() -> HttpResponse) -> HttpResponse {
    if route.allows(request.method()) {
        answer()
    } else {
        edge::refuse(route, &edge::NOT_ALLOWED)
    }
}

fn malformed(problem: &'static str) -> HttpResponse {
    Refusal::new(StatusCode::BAD_REQUEST, "INVALID_INPUT", problem).as_json()
}

fn alive() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

/// The status is the same for every method.
async fn readiness(request: &HttpRequest, probes: &Probes) -> HttpResponse {
    let draining = probes.draining.load(Ordering::Relaxed);
    if draining || !probes.schema.is_ready(request).await {
        return HttpResponse::ServiceUnavailable()
            .content_type("text/plain")
            .body("not ready\n");
    }
    if_allowed(&Route::Readiness, request, || {
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

/// Asks a running router whether it is ready.
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
