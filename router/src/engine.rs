//! Configures the hive-router library from `router.yaml` and the command-line flags.
//!
//! The library's entry point is not used, because it reads environment variables that the router uses too
//! (`LOG_FORMAT`, `HOST`) and does not allow further routes.

use std::sync::Arc;

use anyhow::Context as _;
use chassis::telemetry::LogFormat;
use hive_router::background_tasks::BackgroundTasksManager;
use hive_router::config::HiveRouterConfig;
use hive_router::telemetry::Telemetry;
use hive_router::{PluginRegistry, RouterSharedState, SchemaState};

use crate::config::Config;
use crate::operation_allowlist::AllowlistPlugin;
use crate::{aliases, cost, errors, guard, introspection, require_operation_name, traffic};

/// The started library.
pub(crate) struct Engine {
    pub(crate) config: &'static HiveRouterConfig,
    pub(crate) shared: Arc<RouterSharedState>,
    pub(crate) schema: Arc<SchemaState>,
    pub(crate) telemetry: Telemetry,
    pub(crate) tasks: BackgroundTasksManager,
}

impl Engine {
    /// Starts logging, loads the supergraph, and starts the library's background tasks.
    pub(crate) async fn start(config: &Config) -> anyhow::Result<Self> {
        let settings = settings(config)?.into_static();
        let telemetry = Telemetry::init_global(settings).context("cannot start logging")?;
        let mut tasks = BackgroundTasksManager::new();
        let plugins = PluginRegistry::new()
            // First, because the other plugins rely on its limits.
            .register::<guard::GuardPlugin>()
            .register::<AllowlistPlugin>()
            .register::<aliases::AliasesPlugin>()
            .register::<require_operation_name::RequireOperationNamePlugin>()
            .register::<cost::CostPlugin>()
            .register::<introspection::IntrospectionPlugin>()
            .register::<errors::ErrorsPlugin>()
            .register::<traffic::TrafficPlugin>();
        let (shared, schema) =
            hive_router::configure_app_from_config(settings, telemetry.context.clone(), &mut tasks, plugins)
                .await
                // The library's error is not `Send`.
                .map_err(|error| anyhow::anyhow!("cannot start the query engine: {error}"))?;
        Ok(Self {
            config: settings,
            shared,
            schema,
            telemetry,
            tasks,
        })
    }

    /// Stops the background tasks. Call it after the servers have stopped.
    pub(crate) async fn stop(mut self) {
        self.tasks.graceful_shutdown().await;
        self.telemetry.graceful_shutdown().await;
    }
}

/// Added to the log filter: the library logs the values of variables there, passwords and refresh tokens among them.
const NO_VARIABLES_IN_LOG: &str = "router::coerce_variables=off";

/// `router.yaml` with the values of the command-line flags.
fn settings(config: &Config) -> anyhow::Result<HiveRouterConfig> {
    let supergraph = std::path::absolute(&config.supergraph)?;
    let supergraph = supergraph
        .to_str()
        .context("the path of the supergraph must be UTF-8")?;
    let log_format = match config.log_format {
        LogFormat::Human => "text",
        LogFormat::Json => "json",
    };
    let mut builder = config::Config::builder()
        .add_source(config::File::from_str(
            include_str!("../router.yaml"),
            config::FileFormat::Yaml,
        ))
        .set_override("http.host", config.listen.ip().to_string())?
        .set_override("http.port", config.listen.port())?
        .set_override("supergraph.source", "file")?
        .set_override("supergraph.path", supergraph)?
        .set_override("log.format", log_format)?
        .set_override("log.level", "info")?
        .set_override(
            "log.filter",
            format!("{},{NO_VARIABLES_IN_LOG}", config.log_filter),
        )?
        .set_override(
            format!("plugins.{}.enabled", AllowlistPlugin::NAME),
            config.operation_allowlist || config.only_known_operations,
        )?;
    if let Some(endpoint) = config.traces.endpoint() {
        builder = builder
            .set_override("telemetry.tracing.exporters[0].enabled", true)?
            .set_override("telemetry.tracing.exporters[0].endpoint", endpoint)?
            .set_override("telemetry.tracing.collect.sampling", config.trace_ratio)?;
    }
    for (name, base) in config.services.by_name() {
        let url = base
            .join("/graphql")
            .with_context(|| format!("{base} is not a base URL"))?;
        builder = builder.set_override(
            format!("override_subgraph_urls.subgraphs.{name}.url"),
            url.as_str(),
        )?;
    }
    let settings = builder.build()?;
    settings.try_deserialize().with_context(|| {
        format!("the query engine rejected its configuration; check that {supergraph} is a supergraph")
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use hive_router::config::limits::LimitsConfig;

    use super::*;
    use crate::config::{Cli, Command};

    fn settings_of(flags: &[&str]) -> HiveRouterConfig {
        let supergraph = concat!(env!("CARGO_MANIFEST_DIR"), "/../supergraph.graphql");
        let cli = Cli::parse_from([&["router", "serve", "--supergraph", supergraph], flags].concat());
        let Command::Serve(config) = cli.command else {
            unreachable!("serve was asked for")
        };
        settings(&config).unwrap()
    }

    #[test]
    fn limits_and_protections_are_on() {
        let settings = settings_of(&[]);
        let LimitsConfig {
            max_depth,
            max_aliases,
            max_directives,
            max_tokens,
            ..
        } = &settings.limits;
        assert!(
            max_depth
                .as_ref()
                .is_some_and(|depth| depth.n == 10 && depth.flatten_fragments)
        );
        assert_eq!(max_aliases.as_ref().map(|limit| limit.n), Some(15));
        assert_eq!(max_directives.as_ref().map(|limit| limit.n), Some(10));
        assert_eq!(
            max_tokens.as_ref().map(|limit| limit.n),
            Some(1001),
            "a thousand and the end"
        );
        assert_eq!(settings.limits.max_request_body_size.to_bytes(), 64 * 1024);
        assert!(settings.csrf.enabled && !settings.csrf.required_headers.is_empty());
        assert!(!settings.error_masking.enabled && !settings.laboratory.enabled);
    }

    #[test]
    fn traces_are_collected_only_with_an_endpoint() {
        assert!(!settings_of(&[]).telemetry.is_tracing_enabled());
        assert!(
            !settings_of(&["--otlp-endpoint", ""])
                .telemetry
                .is_tracing_enabled()
        );
        let settings = settings_of(&["--otlp-endpoint", "http://tempo:4318", "--trace-ratio", "0.5"]);
        assert!(settings.telemetry.is_tracing_enabled());
        let collect = &settings.telemetry.tracing.collect;
        assert!(collect.parent_based_sampler && (collect.sampling - 0.5).abs() < f64::EPSILON);
    }

    #[test]
    fn flags_reach_the_engine() {
        let settings = settings_of(&["--listen", "127.0.0.1:7000", "--vote-url", "http://vote:81"]);
        assert_eq!(settings.address(), "127.0.0.1:7000");
        let urls = serde_json::to_value(&settings.override_subgraph_urls).unwrap();
        assert_eq!(urls["subgraphs"]["vote"]["url"], "http://vote:81/graphql");
    }
}
