//! Three engines as the nodes of a Swarm, one node of the database on each, and one of the three dies.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use xtask::workspace::target_dir;

use super::STACK;
use super::engine::{Engine, Stop, said};
use super::load::Requests::{NoneFails, SomeMayFail};
use super::load::under_load;
use super::steps::in_step;
use super::table::Table;
use super::visit::Visit;
use crate::seed::site::Site;
use crate::tools::say;

const MACHINES: [&str; 3] = ["1", "2", "3"];
/// How long a request may take from one end to the other.
const REQUEST: Duration = Duration::from_secs(20);

struct Swarm {
    engines: [Engine; 3],
}

pub(super) async fn on_several(table: &mut Table, binaries: &Path, keep: bool) {
    let mut swarm = Swarm {
        engines: [1, 2, 3].map(Engine::new),
    };
    // What went wrong is in the table.
    let _ = walk(&mut swarm, table, binaries).await;
    if keep {
        for engine in &swarm.engines {
            say(&format!(
                "it runs at {}; DOCKER_HOST={}",
                engine.url(),
                engine.host()
            ));
        }
        return;
    }
    table.try_step("take everything down", swarm.take_down()).await;
}

async fn walk(swarm: &mut Swarm, table: &mut Table, binaries: &Path) -> Result<()> {
    table.step("three engines", async { swarm.start() }).await?;
    let first = swarm.first();
    table.step("base images", first.make_bases()).await?;
    table.step("images", async { first.pack(binaries) }).await?;
    table.step("compose/swarm send", swarm.send()).await?;
    table.step("compose/swarm up, twice", swarm.up()).await?;
    table.step("deploy, a database on each", swarm.deploy()).await?;
    let urls = swarm.engines.iter().map(Engine::url).collect();
    let site = Site::over(urls, REQUEST)?;
    let visit = table
        .step("register, upload, vote, comment", Visit::begin(&site))
        .await?;
    table.try_step("compose/swarm status", swarm.status()).await;
    let work = under_load(&visit, NoneFails, swarm.roll_routers());
    table.try_step("load: update the routers", work).await;
    let work = under_load(&visit, SomeMayFail, swarm.lose_one());
    table.try_step("load: a machine dies", work).await;
    let work = under_load(&visit, SomeMayFail, swarm.bring_back());
    table.try_step("load: it comes back", work).await;
    Ok(())
}

impl Swarm {
    fn first(&self) -> &Engine {
        &self.engines[0]
    }

    fn start(&mut self) -> Result<String> {
        for engine in &mut self.engines {
            engine.start_own()?;
        }
        let addresses: Vec<_> = self.engines.iter().map(Engine::address).collect();
        Ok(addresses.join(", "))
    }

    /// Runs compose/swarm as an operator would, with sockets in the place of ssh.
    async fn script(&self, task: &str, machines: &[&str]) -> Result<String> {
        let mut command = self.first().command("compose/swarm", &[task]);
        let folder = target_dir().join("stack-test");
        let links = folder.join("machines");
        std::fs::create_dir_all(&links)?;
        for (engine, machine) in self.engines.iter().zip(MACHINES) {
            let link = links.join(machine);
            let _ = std::fs::remove_file(&link);
            let socket = engine.host().trim_start_matches("unix://");
            std::os::unix::fs::symlink(socket, link)?;
        }
        command
            .args(machines)
            .env("SWARM_HOST", format!("unix://{}/%s", links.display()))
            .env("SWARM_MANAGERS", "3");
        said(command).await
    }

    async fn send(&self) -> Result<String> {
        self.script("send", &MACHINES[1..]).await
    }

    async fn up(&self) -> Result<String> {
        let machines: Vec<_> = self
            .engines
            .iter()
            .zip(MACHINES)
            .map(|(engine, name)| format!("{name}={}", engine.address()))
            .collect();
        let machines: Vec<_> = machines.iter().map(String::as_str).collect();
        self.script("up", &machines).await?;
        let again = self.script("up", &machines).await?;
        ensure!(
            again.starts_with("0 secrets made") && again.lines().count() == 1,
            "a second run did more: {again}"
        );
        let nodes = self.first().docker(&["node", "ls", "--quiet"]).await?;
        ensure!(nodes.lines().count() == 3, "{nodes}");
        Ok("three managers; the second run changed nothing".to_owned())
    }

    async fn deploy(&self) -> Result<String> {
        let began = Instant::now();
        let first = self.first();
        let image = ["image", "inspect", "proofsheet/objects:stack-test"];
        let has_objects = first.docker(&image).await.is_ok();
        let (files, photo_nodes, photos) = if has_objects {
            (
                &["stack.yml", "objects.yml"][..],
                "node.platform.os == linux",
                "in an object store",
            )
        } else {
            (
                &["stack.yml"][..],
                "node.labels.proofsheet.media == true",
                "on the first",
            )
        };
        let changes = [
            ("PHOTO_NODES", photo_nodes),
            ("DB_REPLICAS", "3"),
            ("ROUTER_REPLICAS", "3"),
            ("DATABASE_BUFFER_POOL", "128M"),
            ("DATABASE_GCACHE", "64M"),
        ];
        first.deploy(files, &changes).await?;
        for engine in &self.engines {
            first
                .until("the site answers on every machine", async || {
                    engine.answers("latestPhotos").await
                })
                .await?;
        }
        self.database_has(3).await?;
        Ok(format!(
            "photos are {photos}; all three machines answer, and all databases are Synced, after {:.1} s",
            began.elapsed().as_secs_f64()
        ))
    }

    /// Waits until the first `count` machines have one node of the database each, in step.
    async fn database_has(&self, count: usize) -> Result<()> {
        let what = format!("{count} database nodes on {count} machines are Synced");
        self.first()
            .until(&what, async || {
                for engine in &self.engines[..count] {
                    let nodes = engine.database_nodes().await?;
                    let size = count.to_string();
                    let in_step = |it: &serde_json::Value| {
                        it["says"] == "running: Synced" && it["wsrep"]["cluster_size"] == size.as_str()
                    };
                    if nodes.len() != 1 || !nodes.iter().all(in_step) {
                        return Ok(false);
                    }
                }
                Ok(true)
            })
            .await
    }

    async fn status(&self) -> Result<String> {
        let screen = self.script("status", &MACHINES[..1]).await?;
        println!("{screen}");
        let synced = screen.lines().filter(|line| line.contains("Synced")).count();
        ensure!(synced == 3, "it does not show three members");
        Ok(format!("{} lines, three members Synced", screen.lines().count()))
    }

    async fn roll_routers(&self) -> Result<String> {
        self.first().update("router", &["--force"]).await?;
        Ok("each machine has a new one".to_owned())
    }

    async fn lose_one(&self) -> Result<String> {
        let last = self.engines.last().context("there are engines")?;
        last.stop(Stop::Kill)?;
        let began = Instant::now();
        self.first()
            .until("Swarm has noticed", async || {
                let nodes = ["node", "ls", "--format", "{{.Status}}"];
                Ok(self.first().docker(&nodes).await?.contains("Down"))
            })
            .await?;
        let noticed = began.elapsed().as_secs_f64();
        self.first()
            .until("everything runs on two machines", async || {
                let mut nodes = self.engines[0].database_nodes().await?;
                nodes.extend(self.engines[1].database_nodes().await?);
                // Swarm goes on counting the tasks of a machine that it cannot ask.
                let whole = self.engines[0].answers("latestPhotos").await?
                    && self.engines[1].answers("latestPhotos").await?;
                Ok(whole && in_step(&nodes, 3))
            })
            .await?;
        Ok(format!(
            "Swarm noticed after {noticed:.0} s; the third database has a new home after {:.0} s",
            began.elapsed().as_secs_f64()
        ))
    }

    async fn bring_back(&self) -> Result<String> {
        let mut again = Engine::new(3);
        again.start_own()?;
        let began = Instant::now();
        self.first()
            .until("the machine is back", async || {
                let nodes = ["node", "ls", "--format", "{{.Status}}"];
                Ok(!self.first().docker(&nodes).await?.contains("Down"))
            })
            .await?;
        self.first().update("db", &["--force"]).await?;
        self.database_has(3).await?;
        Ok(format!(
            "a database on each again after {:.0} s",
            began.elapsed().as_secs_f64()
        ))
    }

    async fn take_down(&mut self) -> Result<String> {
        let stacks = self.first().docker(&["stack", "ls"]).await;
        if stacks.is_ok_and(|stacks| stacks.contains(STACK)) {
            self.first().docker(&["stack", "rm", STACK]).await?;
        }
        for engine in &self.engines {
            engine.gone().await?;
        }
        for engine in &self.engines {
            engine.forget().await?;
        }
        for engine in &self.engines {
            engine.docker(&["swarm", "leave", "--force"]).await?;
        }
        for engine in &self.engines {
            engine.stop(Stop::InOrder)?;
        }
        let folder = target_dir().join("stack-test");
        for left in ["secrets", "machines"] {
            if folder.join(left).exists() {
                std::fs::remove_dir_all(folder.join(left))?;
            }
        }
        Ok("nothing is left".to_owned())
    }
}
