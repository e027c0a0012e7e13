//! Regular operation: scaling, updates, and killed tasks.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::topology::Topology as _;
use serde_json::Value;
use workload::load::SiteLoad;
use xtask::SERVICES;

use crate::engine::DockerEngine;
use crate::{STACK, STEP_TIMEOUT};

impl DockerEngine {
    pub(super) async fn scale_database(&self, count: usize) -> Result<String> {
        self.scale("db", count).await?;
        self.database_has(count).await
    }

    /// Waits until `count` nodes report that they are in sync.
    pub(super) async fn database_has(&self, count: usize) -> Result<String> {
        let wanted = format!("{count} database nodes are Synced");
        let are_in_sync = async || Ok(in_sync(&self.database_nodes().await?, count));
        if let Err(error) = self.until(&wanted, are_in_sync).await {
            let nodes = self.database_nodes().await?;
            let say: Vec<_> = nodes.iter().map(|node| &node["message"]).collect();
            return Err(error.context(format!("the nodes say {say:?}")));
        }
        Ok(format!("wsrep_cluster_size = {count}, all Synced"))
    }

    /// Deploys with three database nodes, so that another deployment changes nothing.
    pub(super) async fn deploy_with_three(&self) -> Result<String> {
        self.deploy_here(3).await?;
        self.settled().await?;
        self.database_has(3).await
    }

    pub(super) async fn update_services(&self) -> Result<String> {
        for service in SERVICES.iter() {
            self.update(service, &["--force"]).await?;
        }
        Ok("each has a new task".to_owned())
    }

    pub(super) async fn update_database(&self) -> Result<String> {
        self.update("db", &["--force"]).await?;
        self.database_has(3).await
    }

    /// Waits until all nodes have connections for requests, beside the one of each service's probe.
    pub(super) async fn spread(&self) -> Result<String> {
        let watched = u32::try_from(SERVICES.len())?;
        let began = Instant::now();
        // Connections live for five minutes.
        let patience = STEP_TIMEOUT + Duration::from_secs(60);
        self.until_within(patience, "the connections have spread", async || {
            let pages = (0..8).map(|_| self.answers("latestPhotos"));
            futures::future::join_all(pages).await;
            let counts = self.connections().await?;
            Ok(counts.len() == 3 && counts.iter().all(|count| *count > watched))
        })
        .await?;
        Ok(format!(
            "services have {:?} connections to the nodes, after {:.0} s more",
            self.connections().await?,
            began.elapsed().as_secs_f64()
        ))
    }

    /// Rotates the signing key, as an operator would.
    pub(super) async fn rotate_keys(&self) -> Result<String> {
        self.run_in("authentication", &["rotate-keys"]).await?;
        Ok("the next key is published".to_owned())
    }

    pub(super) async fn kill_database(&self) -> Result<String> {
        let victim = self.container("db").await?;
        self.docker(&["kill", "--signal", "KILL", &victim]).await?;
        let began = Instant::now();
        self.until("Swarm has noticed", async || {
            Ok(!self.containers("db").await?.contains(&victim))
        })
        .await?;
        self.database_has(3).await?;
        Ok(format!(
            "three in sync again after {:.0} s",
            began.elapsed().as_secs_f64()
        ))
    }

    pub(super) async fn kill(&self, service: &str) -> Result<String> {
        self.kill_part(service).await?;
        self.has(service, 1).await?;
        Ok("it is back".to_owned())
    }

    /// Stops one service after another, and checks that data of the others is still returned.
    pub(super) async fn stop_each_service(&self, load: &SiteLoad) -> Result<String> {
        for service in SERVICES.iter().filter(|service| **service != "photo") {
            self.stop_service_and_check(service, load)
                .await
                .context(service)?;
        }
        self.stop_part("photo").await?;
        let answer = self.ask("{ latestPhotos(first: 1) { nodes { title } } }").await?;
        ensure!(answer.code() == Some("UNAVAILABLE"), "without photos: {answer:?}");
        self.start_part("photo").await?;
        load.wait_for_all_writes().await?;
        Ok(
            "all photos were returned without comments, votes, people or sign-in; without photos, there was an error"
                .to_owned(),
        )
    }

    async fn stop_service_and_check(&self, service: &str, load: &SiteLoad) -> Result<()> {
        self.stop_part(service).await?;
        let page = "{ latestPhotos(first: 100) { nodes { title commentCount votes { up down } author { displayName } } } }";
        let answer = self.ask(page).await?;
        let nodes = answer.0["data"]["latestPhotos"]["nodes"].as_array();
        // A photo whose publication was not acknowledged may exist too.
        ensure!(
            nodes.map_or(0, Vec::len) >= load.photos().len().min(100),
            "not every photo is there: {answer:?}"
        );
        ensure!(
            answer.code().is_some() || service == "authentication",
            "no error says what is missing: {answer:?}"
        );
        self.start_part(service).await?;
        load.wait_for_all_writes().await
    }

    pub(super) async fn scale_and_back(&self, service: &str, count: usize) -> Result<String> {
        self.scale(service, count).await?;
        self.has(service, count).await?;
        self.scale(service, 1).await?;
        self.has(service, 1).await?;
        Ok(format!("{count} of {count}, then 1 of 1"))
    }

    pub(super) async fn remove_and_deploy(&self, databases: usize) -> Result<String> {
        self.remove().await?;
        let answers = self.deploy_here(databases).await?;
        let said = self.database_has(databases).await?;
        Ok(format!("{answers}; {said}"))
    }

    /// Deploys without changes. No task is restarted.
    pub(super) async fn deploy_again(&self, databases: usize) -> Result<String> {
        let before = self.tasks().await?;
        self.deploy_here(databases).await?;
        tokio::time::sleep(Duration::from_secs(5)).await;
        ensure!(before == self.tasks().await?, "tasks were restarted");
        Ok("no task was restarted".to_owned())
    }

    /// Returns the ids of the running tasks.
    pub(super) async fn tasks(&self) -> Result<Vec<String>> {
        let list = ["stack", "ps", STACK, "--filter", "desired-state=running"];
        let columns = ["--no-trunc", "--format", "{{.Name}} {{.ID}}"];
        let tasks = self.docker(&[&list[..], &columns[..]].concat()).await?;
        let mut tasks: Vec<_> = tasks.lines().map(str::to_owned).collect();
        tasks.sort();
        Ok(tasks)
    }
}

/// Whether there are `count` database nodes, and all report a cluster of that size.
pub(super) fn in_sync(nodes: &[Value], count: usize) -> bool {
    let size = Value::from(count.to_string());
    let synced =
        |node: &&Value| node["wsrep"]["cluster_size"] == size && node["message"] == "running: Synced";
    nodes.len() == count && nodes.iter().filter(synced).count() == count
}
