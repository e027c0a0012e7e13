//! The command-line flags of the router. No other module reads the environment.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use chassis::config::TokenConfig;
use chassis::telemetry::LogFormat;
use chassis::telemetry::traces::TraceConfig;
use chrono_tz::Tz;
use contracts::services::{self, ServiceEntry};
use ipnet::IpNet;
use url::Url;

/// The gateway in front of the subgraphs; it also serves the app and the photos.
#[derive(Debug, clap::Parser)]
#[command(name = "router", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Serve until SIGTERM.
    Serve(Box<Config>),
    /// Exit with 0 if the router on this machine is ready.
    Healthcheck(HealthcheckConfig),
}

/// The address of a running router's health checks.
#[derive(Debug, Clone, clap::Args)]
pub struct HealthcheckConfig {
    /// The internal address of the router.
    #[arg(long, env = "INTERNAL_LISTEN", default_value = "127.0.0.1:5005")]
    pub internal_listen: SocketAddr,
}

/// Settings of `router serve`.
#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    /// The address for browsers and API clients.
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:4999")]
    pub listen: SocketAddr,
    /// The address of /metrics, /health and /readiness. Do not publish it.
    #[arg(long, env = "INTERNAL_LISTEN", default_value = "127.0.0.1:5005")]
    pub internal_listen: SocketAddr,
    /// The public URL of this site. With https, cookies are Secure and HSTS is enabled.
    #[arg(long, env = "PUBLIC_URL", default_value = "http://localhost:4999")]
    pub public_url: Url,
    #[command(flatten)]
    pub tls: TlsConfig,
    /// The site's time zone (IANA name). Days begin at midnight there. Use the same value for photo and vote.
    #[arg(long, env = "TIME_ZONE", default_value = "UTC")]
    pub time_zone: Tz,
    /// Number of threads that serve requests; by default one per core.
    #[arg(long, env = "ROUTER_WORKERS")]
    pub workers: Option<NonZeroUsize>,

    /// The composed schema.
    #[arg(long, env = "SUPERGRAPH", default_value = "supergraph.graphql")]
    pub supergraph: PathBuf,
    /// The folder of the built app: index.html and assets/. Without it, only the API is served.
    #[arg(long, env = "APP_DIR")]
    pub app_dir: Option<PathBuf>,
    /// The folder of the built playground. Without it there is no /playground.
    #[arg(long, env = "PLAYGROUND_DIR")]
    pub playground_dir: Option<PathBuf>,

    #[command(flatten)]
    pub services: Services,
    #[command(flatten)]
    pub tokens: TokenConfig,
    #[command(flatten)]
    pub limits: LoadLimits,

    /// Execute only the operations of the app (trusted documents). The API is then not public, and the playground is of
    /// little use.
    #[arg(long, env = "OPERATION_ALLOWLIST")]
    pub operation_allowlist: bool,
    /// The former name of `--operation-allowlist`. Still read, because ignoring it would publish the API.
    #[arg(long, env = "ONLY_KNOWN_OPERATIONS", hide = true)]
    pub only_known_operations: bool,
    /// Trusted proxies, as addresses or networks, separated by commas. X-Forwarded-For is ignored from any other peer.
    #[arg(long, env = "TRUSTED_PROXIES", value_delimiter = ',', value_parser = parse_network)]
    pub trusted_proxies: Vec<IpNet>,
    /// Seconds between SIGTERM and the end of accepting requests. /readiness fails meanwhile, so that load balancers
    /// can react.
    #[arg(long, env = "SHUTDOWN_DELAY", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=60))]
    pub shutdown_delay: u64,

    #[command(flatten)]
    pub traces: TraceConfig,
    /// The fraction of requests that is traced, from 0 to 1. The client's sampling flag is ignored.
    #[arg(long, env = "TRACE_RATIO", default_value_t = 0.05, value_parser = parse_ratio)]
    pub trace_ratio: f64,
    /// The format of log lines.
    #[arg(long, env = "LOG_FORMAT", default_value = "human")]
    pub log_format: LogFormat,
    /// The log filter, in the syntax of `RUST_LOG`. `router::request=info` logs each operation.
    #[arg(long, env = "RUST_LOG", default_value = "info,router::request=warn")]
    pub log_filter: String,
}

/// TLS termination by the router itself.
#[derive(Debug, Clone, clap::Args)]
pub struct TlsConfig {
    /// A PEM file with the certificate chain. Enables TLS. Both files are reloaded when they change.
    #[arg(long, env = "TLS_CERTIFICATE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// A PEM file with the private key of the certificate.
    #[arg(long, env = "TLS_KEY", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// The address on which plain HTTP requests are redirected to the public URL.
    #[arg(long, env = "HTTP_REDIRECT_LISTEN", requires = "tls_certificate")]
    pub http_redirect_listen: Option<SocketAddr>,
}

/// The base URL of each service, without a path: `--photo-url` or `PHOTO_URL`.
#[derive(Debug, Clone)]
pub struct Services(BTreeMap<&'static str, Url>);

impl Services {
    /// The name of each subgraph in the supergraph, with its URL.
    pub fn by_name(&self) -> impl Iterator<Item = (&'static str, &Url)> {
        self.0.iter().map(|(name, url)| (*name, url))
    }

    /// The photo service, which also receives uploads and serves files.
    pub fn photo(&self) -> &Url {
        &self.0["photo"]
    }
}

/// One flag for each service of the list.
impl clap::Args for Services {
    fn augment_args(command: clap::Command) -> clap::Command {
        // clap keeps static names only. The program parses its arguments once.
        command.args(services::all().iter().map(|service| {
            let leak = |text: String| -> &'static str { text.leak() };
            let variable = leak(service.url_variable());
            clap::Arg::new(variable)
                .long(leak(format!("{}-url", service.name)))
                .env(variable)
                .value_name(variable)
                .default_value(leak(service.local_url()))
                .value_parser(clap::value_parser!(Url))
                .help(format!("The {} service", service.name))
        }))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Services {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        let url = |service: &'static ServiceEntry<'_>| {
            let url = matches.get_one::<Url>(&service.url_variable())?;
            Some((service.name, url.clone()))
        };
        Ok(Self(services::all().iter().filter_map(url).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Rate limits per address and the limit of concurrent operations. Password attempts are limited by authentication.
#[derive(Debug, Clone, clap::Args)]
pub struct LoadLimits {
    /// GraphQL requests per minute from one address; 0 disables the limit.
    #[arg(long, env = "RATE_LIMIT_GRAPHQL", default_value_t = 30_000)]
    pub rate_limit_graphql: u32,
    /// Page views per minute from one address, with feeds and sitemaps; 0 disables the limit.
    #[arg(long, env = "RATE_LIMIT_PAGES", default_value_t = 3_000)]
    pub rate_limit_pages: u32,
    /// Uploads per minute from one address; 0 disables the limit.
    #[arg(long, env = "RATE_LIMIT_UPLOADS", default_value_t = 300)]
    pub rate_limit_uploads: u32,
    /// Maximum number of concurrent GraphQL operations, by default 16 per core; 0 disables the limit. Operations beyond
    /// it are refused with `Retry-After`.
    #[arg(long, env = "MAX_CONCURRENT_OPERATIONS")]
    pub max_concurrent_operations: Option<usize>,
}

fn parse_ratio(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|ratio| (0.0..=1.0).contains(ratio))
        .ok_or_else(|| format!("{text} is not a number from 0 to 1"))
}

fn parse_network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
        .map_err(|_| format!("{text} is neither an address nor a network such as 10.0.0.0/8"))
}
