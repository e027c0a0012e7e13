//! Logs, metrics and traces. Two ids connect the records of all programs: the request id, and the trace id if traces
//! are collected.

mod json;
pub mod measure;
mod statements;
pub mod traces;

use std::future::Future;

use tokio::task::JoinHandle;
use tracing::Instrument as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

pub use measure::render_metrics;
use traces::TraceConfig;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Readable lines
    Human,
    /// JSON lines
    Json,
}

/// Starts logging of `program` to standard error. The default of `RUST_LOG` is `info` for our crates, and `warn` for
/// others.
pub fn init(format: LogFormat, program: &str) {
    start(format, program, None);
}

/// Starts logging, and tracing if a collector is configured.
pub fn init_traced(format: LogFormat, program: &'static str, config: &TraceConfig) -> anyhow::Result<()> {
    let provider = config
        .endpoint()
        .map(|endpoint| traces::provider(program, endpoint))
        .transpose()?;
    start(format, program, provider.as_ref());
    if let Some(provider) = provider {
        traces::keep(provider);
    }
    Ok(())
}

fn start(format: LogFormat, program: &str, traced: Option<&opentelemetry_sdk::trace::SdkTracerProvider>) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("warn,chassis=info,subgraph=info,{program}=info")));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Human => lines.with_target(false).compact().boxed(),
        LogFormat::Json => lines.event_format(json::JsonLines).boxed(),
    };
    // In tests, the first subscriber of a process stays.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(traced.map(traces::layer))
        .with(traced.map(statements::layer))
        .try_init();
    drop(render_metrics());
}

tokio::task_local! {
    static REQUEST_ID: String;
}

/// Runs `work` with `id` as its [`request_id`].
pub async fn with_request_id<T>(id: String, work: impl Future<Output = T>) -> T {
    REQUEST_ID.scope(id, work).await
}

/// Returns the id of the current request.
pub fn request_id() -> Option<String> {
    REQUEST_ID.try_with(Clone::clone).ok()
}

/// Spawns a task that belongs to the current request in logs and traces.
pub fn spawn<F>(work: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let work = work.in_current_span();
    match request_id() {
        Some(id) => tokio::spawn(with_request_id(id, work)),
        None => tokio::spawn(work),
    }
}
