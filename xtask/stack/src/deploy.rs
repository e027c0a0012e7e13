//! Deploys and removes the stack.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::api::operations;
use harness::api::{ApiResponse, GraphqlRequest, Site};
use harness::wait;
use serde_json::json;
use xtask::workspace::target_dir;

use crate::engine::{DockerEngine, STACK_POLL_INTERVAL, Stop, compose, has_ipvs, said};
use crate::{STACK, STEP_TIMEOUT};
use xtask::tools::{output, run};

/// Timeout of a query that is only sent once.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

impl DockerEngine {
    pub(super) async fn make_bases(&self) -> Result<String> {
        let programs = self.make_base("proofsheet/base", "programs").await?;
        let database = self.make_base("proofsheet/base-database", "database").await?;
        Ok(format!("{programs}, {database}"))
    }

    /// Builds a base image if it is missing.
    pub(super) async fn make_base(&self, image: &str, what: &str) -> Result<String> {
        if self.docker(&["image", "inspect", image]).await.is_ok() {
            return Ok(format!("{image} was there"));
        }
        run("making a base image", &mut self.command("compose/base", &[what]))?;
        Ok(format!("{image} made"))
    }

    /// Packs all images, and checks their sizes.
    pub(super) fn pack(&self, binaries: &Path) -> Result<String> {
        let mut pack = self.command("compose/images", &["pack"]);
        let sizes = String::from_utf8(output("packing the images", pack.arg(binaries))?)?;
        let mut said = Vec::new();
        for line in sizes.lines() {
            let Some((name, size)) = line.split_once(":stack-test") else {
                continue;
            };
            let name = name.rsplit('/').next().unwrap_or(name);
            let size: u32 = size.trim().trim_end_matches(" MB").parse()?;
            let limit = match name {
                "router" => 130,
                "database" | "backup" | "objects" => 250,
                _ => 60,
            };
            ensure!(size <= limit, "{name} has {size} MB, more than {limit}");
            said.push(format!("{name} {size} MB"));
        }
        Ok(format!(
            "of the programs in {}: {}",
            binaries.display(),
            said.join(", ")
        ))
    }

    pub(super) async fn make_secrets(&self) -> Result<String> {
        said(self.command("compose/secrets", &[STACK])).await?;
        let again = said(self.command("compose/secrets", &[STACK])).await?;
        ensure!(
            again.starts_with("0 secrets made"),
            "a second run made more: {again}"
        );
        Ok("made once, and not again".to_owned())
    }

    /// Runs `docker stack deploy` with the settings that this kernel needs. `changes` are more environment variables.
    pub(super) async fn deploy(&self, files: &[&str], changes: &[(&str, &str)]) -> Result<()> {
        let mut deploy = self.command("docker", &["stack", "deploy", "--resolve-image", "never"]);
        let no_ipvs = (!has_ipvs()).then_some("no-ipvs.yml");
        for file in files.iter().copied().chain(no_ipvs) {
            deploy.arg("--compose-file").arg(compose(file));
        }
        deploy.arg(STACK).envs(changes.iter().copied());
        said(deploy).await.map(drop)
    }

    /// Deploys for one machine, and waits for the first page.
    pub(super) async fn deploy_here(&self, databases: usize) -> Result<String> {
        let databases = databases.to_string();
        let began = Instant::now();
        self.deploy(
            &["stack.yml", "local.override.yml"],
            &[("DB_REPLICAS", &databases)],
        )
        .await?;
        self.until("the site answers", async || self.answers("latestPhotos").await)
            .await?;
        Ok(format!(
            "{} answers after {:.1} s{}",
            self.url(),
            began.elapsed().as_secs_f64(),
            if has_ipvs() {
                ""
            } else {
                " (no IPVS: dnsrr and host ports)"
            }
        ))
    }

    /// Waits until the updates of the last deployment are complete.
    pub(super) async fn settled(&self) -> Result<()> {
        // Updates start shortly after the command returns.
        tokio::time::sleep(Duration::from_secs(2)).await;
        // Database nodes are updated one after another, with a pause after each.
        self.until_within(2 * STEP_TIMEOUT, "every update ends", async || {
            let services = self.docker(&["stack", "services", "--quiet", STACK]).await?;
            let services: Vec<_> = services.lines().collect();
            let state = "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}";
            let inspect = ["service", "inspect", "--format", state];
            let states = self.docker(&[&inspect[..], &services].concat()).await?;
            let goes_on = |state: &str| matches!(state, "updating" | "rollback_started");
            Ok(!states.lines().any(goes_on))
        })
        .await
    }

    /// Whether a timeline is returned complete.
    pub(super) async fn answers(&self, field: &str) -> Result<bool> {
        let timeline = operations::timeline(field, 5, "id title votes { up }");
        let data = self.site()?.run(None, &timeline).await?;
        Ok(data[field]["nodes"].is_array())
    }

    pub(super) fn site(&self) -> Result<Site> {
        Site::new(vec![self.url()], QUERY_TIMEOUT)
    }

    pub(super) async fn ask(&self, query: &str) -> Result<ApiResponse> {
        let request = GraphqlRequest::new(query, json!({}));
        Ok(self.site()?.ask(None, &request).await?)
    }

    /// Removes the stack, and waits until only volumes and secrets are left.
    pub(super) async fn remove(&self) -> Result<()> {
        self.docker(&["stack", "rm", STACK]).await?;
        self.gone().await
    }

    /// Waits until only volumes and secrets of the stack are left on this engine.
    pub(super) async fn gone(&self) -> Result<()> {
        let label = format!("label=com.docker.stack.namespace={STACK}");
        wait::until_every(
            STACK_POLL_INTERVAL,
            "the end of the stack",
            STEP_TIMEOUT,
            || async {
                let containers = self
                    .docker(&["ps", "--quiet", "--all", "--filter", &label])
                    .await?;
                let networks = self
                    .docker(&["network", "ls", "--quiet", "--filter", &label])
                    .await?;
                ensure!(
                    containers.is_empty() && networks.is_empty(),
                    "left: {containers} {networks}"
                );
                Ok(())
            },
        )
        .await
    }

    /// Removes the stack and its data, and ends the Swarm and the engine if this test started them.
    pub(super) async fn tear_down(&mut self) -> Result<String> {
        if self
            .docker(&["stack", "ls"])
            .await
            .is_ok_and(|it| it.contains(STACK))
        {
            self.remove().await?;
        }
        self.forget().await?;
        self.leave_swarm().await?;
        let secrets = target_dir().join("stack-test/secrets");
        if secrets.exists() {
            std::fs::remove_dir_all(secrets)?;
        }
        self.stop(Stop::InOrder)?;
        Ok("nothing is left".to_owned())
    }

    /// Removes volumes and secrets.
    pub(super) async fn forget(&self) -> Result<()> {
        let ours = format!("label=org.proofsheet.stack={STACK}");
        self.remove_all("secret", &ours).await?;
        self.remove_all("config", &ours).await?;
        self.remove_volumes().await
    }

    pub(super) async fn remove_volumes(&self) -> Result<()> {
        self.remove_all("volume", &format!("name={STACK}_")).await
    }

    async fn remove_all(&self, kind: &str, filter: &str) -> Result<()> {
        let names = self.docker(&[kind, "ls", "--quiet", "--filter", filter]).await;
        for name in names.unwrap_or_default().lines() {
            self.docker(&[kind, "rm", name]).await?;
        }
        Ok(())
    }
}
