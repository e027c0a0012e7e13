//! The flags of the router. Nothing else reads the environment.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use chassis::config::TokenConfig;
use chassis::telemetry::LogFormat;
use chassis::telemetry::traces::TraceConfig;
use chrono_tz::Tz;
use ipnet::IpNet;
use url::Url;

/// The gateway in front of the five subgraphs; it also serves the app and the photos.
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

/// Where a running router answers about itself.
#[derive(Debug, Clone, clap::Args)]
pub struct HealthcheckConfig {
    /// The internal address of the router.
    #[arg(long, env = "INTERNAL_LISTEN", default_value = "127.0.0.1:5005")]
    pub internal_listen: SocketAddr,
}

/// How to serve.
#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    /// Where browsers and API clients connect.
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:4999")]
    pub listen: SocketAddr,
    /// Where /metrics, /health and /readiness answer; not to be published.
    #[arg(long, env = "INTERNAL_LISTEN", default_value = "127.0.0.1:5005")]
    pub internal_listen: SocketAddr,
    /// How people reach this site. With https, cookies are Secure and browsers are told to stay on https.
    #[arg(long, env = "PUBLIC_URL", default_value = "http://localhost:4999")]
    pub public_url: Url,
    #[command(flatten)]
    pub tls: TlsConfig,
    /// Where the site is (IANA name): its days begin at midnight there. The same as photo's and vote's.
    #[arg(long, env = "TIME_ZONE", default_value = "UTC")]
    pub time_zone: Tz,
    /// Threads that serve requests; by default one per core.
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
    pub limits: Limits,

    /// Answer only the operations that the app sends: this site is no public API then, and has no playground to
    /// speak of.
    #[arg(long, env = "ONLY_KNOWN_OPERATIONS")]
    pub only_known_operations: bool,
    /// Proxies in front of the router, as addresses or networks, separated by commas. Only from these is
    /// X-Forwarded-For believed.
    #[arg(long, env = "TRUSTED_PROXIES", value_delimiter = ',', value_parser = parse_network)]
    pub trusted_proxies: Vec<IpNet>,
    /// After SIGTERM the router says that it is not ready, and goes on accepting for this many seconds, so that
    /// load balancers can look away first.
    #[arg(long, env = "SHUTDOWN_DELAY", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=60))]
    pub shutdown_delay: u64,

    #[command(flatten)]
    pub traces: TraceConfig,
    /// The share of requests that is traced, from 0 to 1. The client's sampling flag is ignored.
    #[arg(long, env = "TRACE_RATIO", default_value_t = 0.05, value_parser = parse_ratio)]
    pub trace_ratio: f64,
    /// How log lines look.
    #[arg(long, env = "LOG_FORMAT", default_value = "human")]
    pub log_format: LogFormat,
    /// Which log lines there are, as `RUST_LOG` says it. `router::request=info` gives a line per operation.
    #[arg(long, env = "RUST_LOG", default_value = "info,router::request=warn")]
    pub log_filter: String,
}

/// https by the router itself, where no proxy before it does that.
#[derive(Debug, Clone, clap::Args)]
pub struct TlsConfig {
    /// A file with the certificate and those between it and its issuer, as PEM. With it the router speaks https, and
    /// looks at both files again every second.
    #[arg(long, env = "TLS_CERTIFICATE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// A file with the certificate's private key, as PEM.
    #[arg(long, env = "TLS_KEY", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// Where those who come by http are sent to the public URL.
    #[arg(long, env = "HTTP_REDIRECT_LISTEN", requires = "tls_certificate")]
    pub http_redirect_listen: Option<SocketAddr>,
}

/// Where the subgraphs are: base URLs, without a path.
#[derive(Debug, Clone, clap::Args)]
pub struct Services {
    /// The profile service.
    #[arg(long, env = "PROFILE_URL", default_value = "http://127.0.0.1:5000")]
    pub profile_url: Url,
    /// The authentication service.
    #[arg(long, env = "AUTHENTICATION_URL", default_value = "http://127.0.0.1:5001")]
    pub authentication_url: Url,
    /// The photo service, which also takes uploads and gives files.
    #[arg(long, env = "PHOTO_URL", default_value = "http://127.0.0.1:5002")]
    pub photo_url: Url,
    /// The vote service.
    #[arg(long, env = "VOTE_URL", default_value = "http://127.0.0.1:5003")]
    pub vote_url: Url,
    /// The comment service.
    #[arg(long, env = "COMMENT_URL", default_value = "http://127.0.0.1:5004")]
    pub comment_url: Url,
}

impl Services {
    /// Each subgraph by the name that the supergraph knows it by.
    pub fn by_name(&self) -> [(&'static str, &Url); 5] {
        [
            ("profile", &self.profile_url),
            ("authentication", &self.authentication_url),
            ("photo", &self.photo_url),
            ("vote", &self.vote_url),
            ("comment", &self.comment_url),
        ]
    }
}

/// How much one address may ask for, and all together. Guessing passwords is limited by authentication, per field.
#[derive(Debug, Clone, clap::Args)]
pub struct Limits {
    /// GraphQL requests a minute from one address; 0 is no limit.
    #[arg(long, env = "RATE_LIMIT_GRAPHQL", default_value_t = 30_000)]
    pub rate_limit_graphql: u32,
    /// Uploads a minute from one address; 0 is no limit.
    #[arg(long, env = "RATE_LIMIT_UPLOADS", default_value_t = 300)]
    pub rate_limit_uploads: u32,
    /// GraphQL operations of all addresses that are worked on at once, by default sixteen per core; 0 is no limit.
    /// Operations beyond the limit are refused with `Retry-After`.
    #[arg(long, env = "OPERATIONS_AT_ONCE")]
    pub operations_at_once: Option<usize>,
}

fn parse_ratio(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|ratio| (0.0..=1.0).contains(ratio))
        .ok_or_else(|| format!("{text} is no number from 0 to 1"))
}

fn parse_network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
        .map_err(|_| format!("{text} is neither an address nor a network such as 10.0.0.0/8"))
}
