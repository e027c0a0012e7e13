//! Prometheus monitors the stack and alerts when a service is down.

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::Value;
use xtask::workspace::target_dir;

use crate::engine::DockerEngine;
use xtask::tools::run;

const PROMETHEUS_IMAGE: &str = "proofsheet/prometheus";
/// The scraped jobs besides the services.
const OTHER_JOBS: [&str; 3] = ["router", "database", "backup"];
/// Number of objectives in docs/slo.md.
const OBJECTIVES: usize = 5;
const FIRING_PAGES: &str = r#"ALERTS{severity="page", alertstate="firing"}"#;
/// Grafana and Tempo are not in Debian, and cannot be pulled here.
const PROMETHEUS_STACK: &str = "version: \"3.8\"\n\
    services:\n  grafana: {deploy: {replicas: 0}}\n  tempo: {deploy: {replicas: 0}}\n";

impl DockerEngine {
    /// Deploys compose/observe.yml, and waits until all jobs are scraped.
    pub(super) async fn watch(&self) -> Result<String> {
        self.make_prometheus().await?;
        let alone = tempfile::Builder::new().suffix(".yml").tempfile()?;
        std::fs::write(&alone, PROMETHEUS_STACK)?;
        let alone = alone.path().to_string_lossy();
        let ours = ["stack.yml", "local.override.yml", "backup.yml", "observe.yml"];
        let files = [&ours[..], &[&*alone]].concat();
        let changes = [("DB_REPLICAS", "3"), ("PROMETHEUS_IMAGE", PROMETHEUS_IMAGE)];
        let began = Instant::now();
        self.deploy(&files, &changes).await?;
        self.settled().await?;
        let jobs = xtask::SERVICES.len() + OTHER_JOBS.len();
        self.until("every part is seen by Prometheus", async || {
            let down = self.series("up == 0").await?;
            let seen = self.series("count by (job) (up == 1)").await?;
            Ok(down.is_empty() && seen.len() == jobs)
        })
        .await?;
        self.until("the rules are worked out", async || {
            Ok(self.series("slo:budget").await?.len() == OBJECTIVES)
        })
        .await?;
        let targets = self.series("up == 1").await?.len();
        Ok(format!(
            "Prometheus sees {targets} tasks of {jobs} services after {:.0} s (without Grafana and Tempo)",
            began.elapsed().as_secs_f64()
        ))
    }

    /// No alert pages on a healthy site. A stopped service pages, and only related alerts with it.
    pub(super) async fn check_paging(&self) -> Result<String> {
        let pages = self.pages().await?;
        ensure!(pages.is_empty(), "it pages about a healthy site: {pages:?}");
        self.scale("comment", 0).await?;
        let began = Instant::now();
        let gone = "ServiceDown comment".to_owned();
        self.until("an alert pages", async || Ok(self.pages().await?.contains(&gone)))
            .await?;
        let after = began.elapsed().as_secs_f64();
        let pages = self.pages().await?;
        self.scale("comment", 1).await?;
        let is_right = |page: &String| *page == gone || page.starts_with("EventDeliveryStalled");
        ensure!(pages.iter().all(is_right), "{pages:?}");
        self.until("all is well again", async || Ok(self.pages().await?.is_empty()))
            .await?;
        Ok(format!(
            "nothing before; {after:.0} s after the last task of comment is gone {pages:?}, until it is back"
        ))
    }

    /// Returns the firing alerts of severity `page`, with their jobs.
    async fn pages(&self) -> Result<Vec<String>> {
        let alerts = self.series(FIRING_PAGES).await?;
        let name = |alert: &Value| {
            let labels = &alert["metric"];
            let text = |label: &str| labels[label].as_str().unwrap_or_default().to_owned();
            format!("{} {}", text("alertname"), text("job"))
        };
        Ok(alerts.iter().map(name).collect())
    }

    async fn make_prometheus(&self) -> Result<()> {
        if self.docker(&["image", "inspect", PROMETHEUS_IMAGE]).await.is_ok() {
            return Ok(());
        }
        let mut make = self.command("compose/base", &["prometheus"]);
        // Uses the programs that `./dev test` has installed.
        let programs = target_dir().join("tools/prometheus/usr/bin");
        if programs.exists() {
            make.arg(programs);
        }
        run("making an image of Prometheus", &mut make)
    }

    /// Evaluates an expression in Prometheus.
    async fn series(&self, expression: &str) -> Result<Vec<Value>> {
        let container = self.container("prometheus").await?;
        let query = [
            "exec",
            &container,
            "promtool",
            "query",
            "--format=json",
            "instant",
        ];
        let said = self
            .docker(&[&query[..], &["http://127.0.0.1:9090", expression]].concat())
            .await?;
        let found: Value = serde_json::from_str(&said)?;
        Ok(found.as_array().cloned().unwrap_or_default())
    }
}
