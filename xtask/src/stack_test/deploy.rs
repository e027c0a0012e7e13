//! From nothing to a running stack, and back.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use xtask::workspace::target_dir;

use super::engine::{Engine, Stop, compose, has_ipvs, said};
use super::{PATIENCE, STACK};
use crate::tools::{output, run};

impl Engine {
    pub(super) async fn make_bases(&self) -> Result<String> {
        let mut made = Vec::new();
        for (image, what) in [
            ("proofsheet/base", "programs"),
            ("proofsheet/base-database", "database"),
        ] {
            if self.docker(&["image", "inspect", image]).await.is_err() {
                run("making a base image", &mut self.command("compose/base", &[what]))?;
                made.push(image);
            }
        }
        Ok(if made.is_empty() {
            "made before".to_owned()
        } else {
            format!("made {}", made.join(" and "))
        })
    }

    /// Packs all images, and looks that none is larger than it may be.
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

    /// `docker stack deploy`, with what this kernel needs. `changes` are further variables.
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

    /// Whether a timeline comes, from whatever services that takes.
    pub(super) async fn answers(&self, field: &str) -> Result<bool> {
        let query = format!("{{ {field}(first: 5) {{ nodes {{ id title votes {{ up }} }} }} }}");
        let answer = self.ask(&query).await?;
        Ok(answer["errors"].is_null() && answer["data"][field]["nodes"].is_array())
    }

    pub(super) async fn ask(&self, query: &str) -> Result<Value> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build()?;
        let request = client
            .post(format!("{}/graphql", self.url()))
            .json(&json!({ "query": query }));
        Ok(request.send().await?.json().await?)
    }

    /// Removes the stack, and waits until nothing of it is left but volumes and secrets.
    pub(super) async fn remove(&self) -> Result<()> {
        self.docker(&["stack", "rm", STACK]).await?;
        self.gone().await
    }

    /// Waits until this engine has nothing of the stack but volumes and secrets.
    pub(super) async fn gone(&self) -> Result<()> {
        let label = format!("label=com.docker.stack.namespace={STACK}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let containers = self
                .docker(&["ps", "--quiet", "--all", "--filter", &label])
                .await?;
            let networks = self
                .docker(&["network", "ls", "--quiet", "--filter", &label])
                .await?;
            if containers.is_empty() && networks.is_empty() {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "the stack does not go away: {containers} {networks}"
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Removes the stack and all its data, leaves the Swarm and stops the engine, as far as we started them.
    pub(super) async fn take_down(&mut self) -> Result<String> {
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
        for (kind, filter) in [
            ("secret", format!("label=org.proofsheet.stack={STACK}")),
            ("volume", format!("name={STACK}_")),
        ] {
            let names = self.docker(&[kind, "ls", "--quiet", "--filter", &filter]).await;
            for name in names.unwrap_or_default().lines() {
                self.docker(&[kind, "rm", name]).await?;
            }
        }
        Ok(())
    }
}
