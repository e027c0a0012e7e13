//! Several engines as the machines of a Swarm, with a database node on each of three. Machines fail.
//!
//! The part on one engine uses another engine, other secrets and another folder, so both can run at the same time.

mod redeploy;
mod lost;
mod moved;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use xtask::workspace::target_dir;

use crate::engine::{DockerEngine, Stop, has_ipvs, said};
use crate::steps::in_sync;
use crate::table::Table;
use crate::{BEGIN_LOAD, STACK, begin_load};
use workload::load::Requests::{NoneFails, SomeMayFail};
use workload::load::SiteLoad;
use xtask::tools::say;

/// The number of the first engine.
const FIRST_ENGINE: u32 = 2;
/// Number of managers, each with a database node.
const MANAGERS: u32 = 3;

struct Swarm {
    machines: Vec<Machine>,
}

struct Machine {
    /// The name for compose/swarm, which is also the host name of the engine.
    name: String,
    engine: DockerEngine,
    runs: bool,
}

/// The storage of photos.
#[derive(Clone, Copy)]
enum PhotoStorage {
    /// In the object store of the stack.
    Store,
    /// In a volume of the machine that has the label.
    Folder,
}

pub(super) async fn on_several(table: &mut Table, binaries: &Path, keep: bool) {
    let mut swarm = Swarm {
        machines: (FIRST_ENGINE..FIRST_ENGINE + MANAGERS)
            .map(Machine::new)
            .collect(),
    };
    // The table contains the errors.
    let _ = walk(&mut swarm, table, binaries).await;
    if keep {
        for machine in &swarm.machines {
            let engine = &machine.engine;
            say(&format!(
                "it runs at {}; DOCKER_HOST={}",
                engine.url(),
                engine.host()
            ));
        }
        return;
    }
    table.try_step("take everything down", swarm.tear_down()).await;
}

async fn walk(swarm: &mut Swarm, table: &mut Table, binaries: &Path) -> Result<()> {
    table.step("three engines", async { swarm.start() }).await?;
    let first = &swarm.machines[0].engine;
    table.step("base images", first.make_bases()).await?;
    table.step("images", async { first.pack(binaries) }).await?;
    table.step("compose/swarm send", swarm.send(1..3)).await?;
    table.step("compose/swarm up, twice", swarm.up_twice()).await?;
    let photos = if first.has_objects().await {
        PhotoStorage::Store
    } else {
        PhotoStorage::Folder
    };
    table
        .step("deploy, a database on each", swarm.deploy(photos))
        .await?;
    let urls = swarm.machines.iter().map(|it| it.engine.url()).collect();
    let load = begin_load(urls, lost::REQUEST_LIMIT);
    let load = table.step(BEGIN_LOAD, load).await?;
    table.step("compose/swarm status", swarm.status()).await?;
    // With host ports, the old router ends before the new one starts on a machine.
    let requests = if has_ipvs() { NoneFails } else { SomeMayFail };
    let work = load.during(requests, swarm.update_routers());
    table.try_step("load: update the routers", work).await;
    temporary_failures(swarm, table, &load, photos).await?;
    permanent_failures(swarm, table, &load).await
}

/// Machines fail and return, and a database node moves.
async fn temporary_failures(
    swarm: &mut Swarm,
    table: &mut Table,
    load: &SiteLoad,
    photos: PhotoStorage,
) -> Result<()> {
    let work = load.during(SomeMayFail, swarm.lose_one());
    table.step("load: a machine dies", work).await?;
    let work = load.during(SomeMayFail, swarm.bring_back());
    table.step("load: it comes back", work).await?;
    let work = load.during(SomeMayFail, swarm.lose_two_for_a_while());
    table
        .step("load: two of three die at once, and come back", work)
        .await?;
    table
        .step("stack rm and deploy", swarm.remove_and_deploy(photos))
        .await?;
    table.step("all data are there", load.check()).await?;
    let work = load.during(SomeMayFail, swarm.move_a_database());
    table
        .step("load: the database moves to a fourth machine", work)
        .await
        .map(drop)
}

/// Machines are lost with their disks.
async fn permanent_failures(swarm: &mut Swarm, table: &mut Table, load: &SiteLoad) -> Result<()> {
    let work = load.during(SomeMayFail, swarm.lose_all_but_one());
    table.step("load: all but one are lost for good", work).await?;
    let work = load.during(SomeMayFail, swarm.replace());
    table.step("load: new machines", work).await?;
    table
        .step("all are lost; a new Swarm and the backup", swarm.lose_all())
        .await?;
    table.step("all data are there", load.check()).await?;
    let work = load.during(SomeMayFail, swarm.lose_media());
    table
        .step("load: the machine with the photos dies, and is back", work)
        .await
        .map(drop)
}

impl Machine {
    fn new(number: u32) -> Self {
        Self {
            name: format!("node-{number}"),
            engine: DockerEngine::new(number),
            runs: false,
        }
    }

    fn start(&mut self) -> Result<()> {
        self.engine.start_own()?;
        self.runs = true;
        Ok(())
    }

    /// Kills all processes of the machine.
    fn kill(&mut self) -> Result<()> {
        self.runs = false;
        self.engine.stop(Stop::Kill)
    }

    /// Kills the machine and deletes its disk.
    fn lose(&mut self) -> Result<()> {
        self.kill()?;
        self.engine.wipe()
    }

    /// Returns the argument of compose/swarm for this machine.
    fn reached(&self) -> String {
        format!("{}={}", self.name, self.engine.address())
    }
}

impl Swarm {
    /// Returns the engine of a running manager.
    fn manager(&self) -> &DockerEngine {
        let running = self.machines.iter().find(|machine| machine.runs);
        &running.unwrap_or(&self.machines[0]).engine
    }

    fn running(&self) -> impl Iterator<Item = &Machine> {
        self.machines.iter().filter(|machine| machine.runs)
    }

    fn start(&mut self) -> Result<String> {
        for machine in &mut self.machines {
            machine.start()?;
        }
        let machines: Vec<_> = self.machines.iter().map(Machine::reached).collect();
        Ok(machines.join(", "))
    }

    /// Runs compose/swarm as an operator would, with sockets instead of ssh.
    async fn script(&self, task: &str, machines: &[String]) -> Result<String> {
        let mut command = self.manager().command("compose/swarm", &[task]);
        let links = folder("machines");
        std::fs::create_dir_all(&links)?;
        for machine in &self.machines {
            let link = links.join(&machine.name);
            let _ = std::fs::remove_file(&link);
            let socket = machine.engine.host().trim_start_matches("unix://");
            std::os::unix::fs::symlink(socket, link)?;
        }
        command
            .args(machines)
            .env("SECRETS", folder("secrets"))
            .env("SWARM_HOST", format!("unix://{}/%s", links.display()))
            .env("SWARM_MANAGERS", MANAGERS.to_string());
        said(command).await
    }

    async fn send(&self, machines: Range<usize>) -> Result<String> {
        let names: Vec<_> = self.machines[machines].iter().map(|it| it.name.clone()).collect();
        self.script("send", &names).await
    }

    async fn up(&self) -> Result<String> {
        let machines: Vec<_> = self.running().map(Machine::reached).collect();
        self.script("up", &machines).await
    }

    async fn up_twice(&self) -> Result<String> {
        self.up().await?;
        let again = self.up().await?;
        ensure!(
            again.starts_with("0 secrets made") && again.lines().count() == 1,
            "a second run did more: {again}"
        );
        let nodes = self.manager().docker(&["node", "ls", "--quiet"]).await?;
        ensure!(nodes.lines().count() == self.machines.len(), "{nodes}");
        Ok("three managers; the second run changed nothing".to_owned())
    }

    async fn deploy(&self, photos: PhotoStorage) -> Result<String> {
        let began = Instant::now();
        let (place, extra, more): (_, &[&str], &[_]) = match photos {
            PhotoStorage::Store => (
                "in an object store",
                &["objects.yml"],
                &[
                    ("PHOTO_NODES", "node.platform.os == linux"),
                    ("MEDIA_STORE", "s3://media"),
                ],
            ),
            PhotoStorage::Folder => ("on the first", &[], &[]),
        };
        let files = [&["stack.yml", "several.yml"][..], extra, &["backup.yml"]].concat();
        let changes = [
            &[
                ("ROUTER_REPLICAS", "3"),
                ("DATABASE_BUFFER_POOL", "128M"),
                ("DATABASE_GCACHE", "64M"),
            ][..],
            more,
        ];
        self.manager().deploy(&files, &changes.concat()).await?;
        self.whole().await?;
        Ok(format!(
            "photos are {place}; all machines answer, and all databases are Synced, after {:.1} s",
            began.elapsed().as_secs_f64()
        ))
    }

    /// Waits until all machines respond, and the first three have a database node each.
    async fn whole(&self) -> Result<()> {
        self.databases_on(&[0, 1, 2]).await?;
        for machine in self.running() {
            self.manager()
                .until("the site answers on every machine", async || {
                    machine.engine.answers("latestPhotos").await
                })
                .await?;
        }
        Ok(())
    }

    /// Waits until each of these machines has a database node, all in sync.
    async fn databases_on(&self, machines: &[usize]) -> Result<()> {
        let what = format!("a database in sync on each of {machines:?}");
        self.manager()
            .until(&what, async || {
                let mut all = Vec::new();
                for &machine in machines {
                    let mut nodes = self.machines[machine].engine.database_nodes().await?;
                    if nodes.len() != 1 {
                        return Ok(false);
                    }
                    all.append(&mut nodes);
                }
                Ok(in_sync(&all, machines.len()))
            })
            .await
    }

    async fn status(&self) -> Result<String> {
        let screen = self.script("status", &[self.machines[0].name.clone()]).await?;
        println!("{screen}");
        let synced = screen.lines().filter(|line| line.contains("Synced")).count();
        ensure!(synced == 3, "it does not show three members");
        ensure!(!screen.contains("several.yml"), "it is not content: {screen}");
        Ok(format!("{} lines, three members Synced", screen.lines().count()))
    }

    async fn update_routers(&self) -> Result<String> {
        self.manager().update("router", &["--force"]).await?;
        Ok("each machine has a new one".to_owned())
    }

    async fn tear_down(&mut self) -> Result<String> {
        let _ = self.manager().docker(&["stack", "rm", STACK]).await;
        for machine in &self.machines {
            let engine = &machine.engine;
            if machine.runs {
                // Leaving the Swarm removes the tasks if the stack could not be removed.
                let _ = engine.docker(&["swarm", "leave", "--force"]).await;
                engine.gone().await?;
                engine.forget().await?;
                engine.stop(Stop::InOrder)?;
            } else {
                engine.wipe()?;
            }
        }
        for left in ["secrets", "machines", "copy"] {
            let left = folder(left);
            if left.exists() {
                std::fs::remove_dir_all(&left).with_context(|| left.display().to_string())?;
            }
        }
        Ok("nothing is left".to_owned())
    }
}

/// Returns a folder of this part.
fn folder(name: &str) -> PathBuf {
    target_dir().join("stack-test").join(format!("several-{name}"))
}
