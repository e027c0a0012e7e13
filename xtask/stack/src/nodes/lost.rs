//! Machines that fail and return with their disks: the site recovers automatically.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::api::ApiResponse;

use super::{PhotoStorage, Swarm};
use crate::STACK;
use crate::engine::DockerEngine;
use crate::steps::in_sync;

/// Timeout of a request.
pub(super) const REQUEST_LIMIT: Duration = Duration::from_secs(20);
/// Timeout of an error page, on a busy machine.
const REFUSAL_LIMIT: Duration = Duration::from_secs(10);

impl Swarm {
    pub(super) async fn lose_one(&mut self) -> Result<String> {
        self.machines[2].kill()?;
        let began = Instant::now();
        self.until_down(1).await?;
        let noticed = began.elapsed().as_secs_f64();
        self.databases_on(&[0, 1]).await?;
        // Its tasks are started elsewhere. Swarm still counts tasks on an unreachable machine.
        self.manager()
            .until("the site answers on two machines", async || {
                Ok(self.machines[0].engine.answers("latestPhotos").await?
                    && self.machines[1].engine.answers("latestPhotos").await?)
            })
            .await?;
        Ok(format!(
            "Swarm noticed after {noticed:.0} s; the site answers from two machines after {:.0} s",
            began.elapsed().as_secs_f64()
        ))
    }

    pub(super) async fn bring_back(&mut self) -> Result<String> {
        let began = Instant::now();
        self.machines[2].start()?;
        self.until_down(0).await?;
        self.whole().await?;
        Ok(format!(
            "a database on each again by itself, {:.0} s after it was switched on",
            began.elapsed().as_secs_f64()
        ))
    }

    /// Kills two managers with their database nodes. The third cannot know whether they are only disconnected.
    pub(super) async fn lose_two_for_a_while(&mut self) -> Result<String> {
        for machine in &mut self.machines[1..] {
            machine.kill()?;
        }
        let refused = self.is_refused().await?;
        self.manager()
            .until("compose/swarm status says what is wrong", async || {
                let screen = self.script("status", &[self.machines[0].name.clone()]).await?;
                // The remaining manager detects the loss later than the database.
                Ok(screen.contains("no majority of the managers")
                    && screen.contains("no majority: reads and writes"))
            })
            .await?;
        self.machines[1].start()?;
        let said = self.with_one_back().await?;
        let began = Instant::now();
        self.machines[2].start()?;
        self.until_down(0).await?;
        self.whole().await?;
        Ok(format!(
            "{refused}; with one of the two back, {said}; everything is back by itself {:.0} s after the other was \
             switched on",
            began.elapsed().as_secs_f64()
        ))
    }

    /// Returns the state when two of three nodes are back that were not a majority before.
    async fn with_one_back(&self) -> Result<String> {
        let said = Mutex::default();
        self.manager()
            .until("two databases decide", async || {
                let mut nodes = self.machines[0].engine.database_nodes().await?;
                nodes.append(&mut self.machines[1].engine.database_nodes().await?);
                let refusal = nodes.iter().filter_map(|node| node["message"].as_str());
                let refusal = refusal
                    .into_iter()
                    .find(|says| says.contains("Start the missing nodes"));
                *said.lock().unwrap_or_else(PoisonError::into_inner) = match refusal {
                    Some(refusal) => format!("the databases say {refusal:?}"),
                    None => "the database continues".to_owned(),
                };
                Ok(refusal.is_some() || in_sync(&nodes, 2))
            })
            .await?;
        Ok(said.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// The remaining machine serves the app and refuses everything else.
    pub(super) async fn is_refused(&self) -> Result<String> {
        let left = &self.machines[0].engine;
        left.until("the database that is left refuses", async || {
            let nodes = left.database_nodes().await?;
            let says = nodes.first().and_then(|node| node["message"].as_str());
            Ok(says.is_some_and(|says| says.starts_with("no majority")))
        })
        .await?;
        shows_the_app(left).await?;
        let (answer, took) = asked(left).await?;
        ensure!(
            answer.code() == Some("UNAVAILABLE"),
            "without a majority: {answer:?}"
        );
        ensure!(took < REFUSAL_LIMIT, "the refusal took {took:?}");
        Ok(format!(
            "the third shows the app, and refuses the rest after {:.1} s",
            took.as_secs_f64()
        ))
    }

    /// Database tasks get new slots, and find their data.
    pub(super) async fn remove_and_deploy(&self, photos: PhotoStorage) -> Result<String> {
        let before = self.slots().await?;
        self.manager().docker(&["stack", "rm", STACK]).await?;
        for machine in self.running() {
            machine.engine.gone().await?;
        }
        let said = self.deploy(photos).await?;
        let after = self.slots().await?;
        Ok(format!("{said}; slots {before} became {after}"))
    }

    /// Returns the slot of the database task on each machine.
    async fn slots(&self) -> Result<String> {
        let mut slots = Vec::new();
        for machine in self.running() {
            let nodes = machine.engine.database_nodes().await?;
            slots.extend(nodes.into_iter().map(|node| node["slot"].to_string()));
        }
        Ok(slots.join(", "))
    }

    /// Kills the machine with the photos, which also has a database node.
    pub(super) async fn lose_media(&mut self) -> Result<String> {
        self.machines[0].kill()?;
        self.until_down(1).await?;
        let seen = self.without_photos().await?;
        let began = Instant::now();
        self.machines[0].start()?;
        self.until_down(0).await?;
        self.whole().await?;
        Ok(format!(
            "{seen}; all is back {:.0} s after it was switched on",
            began.elapsed().as_secs_f64()
        ))
    }

    /// Checks that everything but photos works.
    async fn without_photos(&self) -> Result<String> {
        let other = &self.machines[1].engine;
        let left = self.machines[1..].iter().map(|machine| &machine.engine);
        other
            .until("two database nodes continue", async || {
                let mut nodes = Vec::new();
                for engine in left.clone() {
                    nodes.append(&mut engine.database_nodes().await?);
                }
                Ok(in_sync(&nodes, 2))
            })
            .await?;
        other
            .until("people can be looked up", async || {
                let person = "{ usernameAvailable(username: \"nobody.yet\") }";
                Ok(other.ask(person).await?.code().is_none())
            })
            .await?;
        shows_the_app(other).await?;
        let (answer, took) = asked(other).await?;
        ensure!(answer.code() == Some("UNAVAILABLE"), "without photos: {answer:?}");
        Ok(format!(
            "people are there, and timelines are UNAVAILABLE after {:.1} s",
            took.as_secs_f64()
        ))
    }

    /// Waits until the Swarm considers `count` machines down.
    pub(super) async fn until_down(&self, count: usize) -> Result<()> {
        let manager = self.manager();
        manager
            .until(&format!("{count} machines are down"), async || {
                let nodes = ["node", "ls", "--format", "{{.Status}}"];
                let nodes = manager.docker(&nodes).await?;
                let ready = nodes.lines().filter(|status| *status == "Ready").count();
                Ok(nodes.lines().count() - ready == count)
            })
            .await
    }
}

async fn shows_the_app(engine: &DockerEngine) -> Result<()> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(REQUEST_LIMIT)
        .build()?;
    let page = client.get(engine.url()).send().await?.error_for_status();
    page.context("the app's page").map(drop)
}

/// Queries a timeline, and returns how long it took.
async fn asked(engine: &DockerEngine) -> Result<(ApiResponse, Duration)> {
    let began = Instant::now();
    let answer = engine
        .ask("{ latestPhotos(first: 1) { nodes { title } } }")
        .await?;
    Ok((answer, began.elapsed()))
}
