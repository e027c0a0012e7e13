//! `./dev stack-test`: deploys, changes, breaks and removes the stack on a real Docker engine; then on three engines
//! that form a Swarm.
//!
//! If no engine is running, an isolated one is started (`compose/engine`). If images cannot be pulled, base images are
//! built from Debian packages (`compose/base`). Both stay in cargo's target folder for the next time.

mod backup;
mod deploy;
mod engine;
mod https;
mod nodes;
mod objects;
mod steps;
mod table;
mod upgrade;
mod alerts;
mod failed_deploys;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, ValueEnum as _};

use harness::api::Site;
use workload::load::Requests::{NoneFails, SomeMayFail};
use workload::load::SiteLoad;
use xtask::tools::say;
use xtask::workspace::target_dir;

use self::engine::DockerEngine;
use self::table::Table;

const STACK: &str = "proofsheet-test";
/// Timeout of a step, for three databases on two cores.
const STEP_TIMEOUT: Duration = Duration::from_secs(300);
/// The step in which users begin to use a new site.
const BEGIN_LOAD: &str = "register, upload, vote, comment";

/// Deploys, scales, breaks and removes the stack on a real Docker engine, and prints a table of results.
#[derive(Debug, Parser)]
#[command(
    name = "./dev stack-test",
    bin_name = "./dev stack-test",
    max_term_width = 100
)]
struct Arguments {
    /// The folder of the programs to pack; by default those that ./dev builds.
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// Run only one part: on one engine or on several.
    #[arg(long)]
    part: Option<Part>,
    /// Run only these chapters of the part on one engine.
    #[arg(long, value_name = "CHAPTER")]
    only: Vec<Chapter>,
    /// Compile the object store if its image is missing (15 minutes).
    #[arg(long)]
    objects: bool,
    /// Leave the stack running at the end, and print its address.
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    One,
    Several,
}

/// The chapters on one engine, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Chapter {
    /// Scaling, updates, and killed tasks.
    ScaleAndUpdate,
    /// Failed deploys and their messages.
    FailedDeploys,
    /// A new release, and the replacement of a leaked key.
    Upgrade,
    /// Removal and a new deploy, and a full volume.
    Redeploy,
    /// Backup.
    Backup,
    /// Alerts of Prometheus.
    Alerts,
    /// Restore after a loss of all data; needs `backup`.
    Restore,
    /// TLS in the router.
    Https,
    /// A new site with photos in an object store.
    Objects,
}

#[tokio::main]
async fn main() -> ExitCode {
    xtask::exit_code(stack_test(Arguments::parse()).await)
}

async fn stack_test(arguments: Arguments) -> Result<()> {
    let default = xtask::workspace::binaries;
    let binaries = arguments.binaries.clone().unwrap_or_else(default);
    let mut table = Table::default();
    if arguments.part != Some(Part::Several) {
        let mut engine = DockerEngine::new(1);
        // The table contains the errors.
        let _ = on_one(&mut engine, &mut table, &binaries, &arguments).await;
        if arguments.keep {
            say(&format!(
                "it runs at {}; DOCKER_HOST={}",
                engine.url(),
                engine.host()
            ));
            table.print();
            return table.verdict();
        }
        table.try_step("take everything down", engine.tear_down()).await;
    }
    if arguments.part != Some(Part::One) {
        nodes::on_several(&mut table, &binaries, arguments.keep).await;
    }
    table.print();
    table.verdict()
}

async fn on_one(
    engine: &mut DockerEngine,
    table: &mut Table,
    binaries: &Path,
    arguments: &Arguments,
) -> Result<()> {
    table.step("an engine", engine.start()).await?;
    table.step("a Swarm of one", engine.swarm()).await?;
    table.step("base images", engine.make_bases()).await?;
    if arguments.objects {
        let garage = engine.make_base("proofsheet/garage", "garage");
        table.step("the object store, compiled", garage).await?;
    }
    table.step("images", async { engine.pack(binaries) }).await?;
    table.step("secrets", engine.make_secrets()).await?;
    table
        .step("deploy on a port in use", engine.deploy_on_a_port_in_use())
        .await?;
    let load = begin_load(vec![engine.url()], STEP_TIMEOUT);
    let load = table.step(BEGIN_LOAD, load).await?;
    let is_wanted = |chapter: &&Chapter| arguments.only.is_empty() || arguments.only.contains(chapter);
    for chapter in Chapter::value_variants().iter().filter(is_wanted) {
        match chapter {
            Chapter::ScaleAndUpdate => scale_and_update(engine, table, &load).await,
            Chapter::FailedDeploys => failed_deploys(engine, table, &load).await,
            Chapter::Upgrade => upgrade(engine, table, &load).await,
            Chapter::Redeploy => redeploy(engine, table, &load).await,
            Chapter::Backup => backup(engine, table, &load).await,
            Chapter::Alerts => alerts(engine, table, &load).await,
            Chapter::Restore => {
                let restore = engine.restore(&load);
                table.try_step("all data lost: restore", restore).await;
            }
            Chapter::Https => {
                table.try_step("one database", engine.scale_database(1)).await;
                let https = engine.over_https(&load);
                table
                    .try_step("https by the router, two certificates", https)
                    .await;
            }
            // Everything else is removed for it.
            Chapter::Objects => objects(engine, table).await,
        }
    }
    Ok(())
}

async fn scale_and_update(engine: &DockerEngine, table: &mut Table, load: &SiteLoad) {
    table
        .try_step("deploy the same again", engine.deploy_again(1))
        .await;
    let work = load.during(SomeMayFail, engine.scale_database(3));
    table.try_step("load: the database to 3", work).await;
    let work = load.during(NoneFails, engine.update_services());
    table.try_step("load: update every service", work).await;
    table.try_step("connections on each node", engine.spread()).await;
    let work = load.during(NoneFails, engine.rotate_keys());
    table.try_step("load: the next signing key", work).await;
    let work = load.during(NoneFails, engine.update_database());
    table.try_step("load: update the database", work).await;
    let work = load.during(SomeMayFail, engine.kill_database());
    table.try_step("load: kill a database node", work).await;
    let work = load.during(SomeMayFail, engine.kill("vote"));
    table.try_step("load: kill the vote service", work).await;
    let work = load.during(NoneFails, engine.scale_and_back("vote", 4));
    table.try_step("load: four vote services, and one", work).await;
    table
        .try_step("services to zero and back: holes", engine.stop_each_service(load))
        .await;
}

async fn failed_deploys(engine: &DockerEngine, table: &mut Table, load: &SiteLoad) {
    let work = load.during(NoneFails, engine.without_a_secret());
    table.try_step("load: deploy without a secret", work).await;
    let work = load.during(NoneFails, engine.with_a_wrong_password());
    table.try_step("load: a wrong database password", work).await;
    let work = load.during(NoneFails, engine.with_an_image_that_does_not_start());
    table.try_step("load: an image that does not start", work).await;
    let work = load.during(NoneFails, engine.with_an_update_that_never_becomes_healthy());
    table
        .try_step("load: an update that never becomes healthy", work)
        .await;
    let work = load.during(NoneFails, engine.another_on_the_port());
    table.try_step("load: another stack on the port", work).await;
}

async fn redeploy(engine: &DockerEngine, table: &mut Table, load: &SiteLoad) {
    table
        .try_step("stack rm and deploy", engine.remove_and_deploy(3))
        .await;
    table.try_step("all data are there", load.check()).await;
    table
        .try_step("the database back to 1", engine.scale_database(1))
        .await;
    let work = load.during(SomeMayFail, engine.database_without_space());
    table.try_step("load: to 3, and one has no space", work).await;
    table
        .try_step("the database to 3 again", engine.scale_database(3))
        .await;
    let work = load.during(NoneFails, engine.spread());
    table
        .try_step("load: connections spread by themselves", work)
        .await;
}

async fn upgrade(engine: &DockerEngine, table: &mut Table, load: &SiteLoad) {
    let work = load.during(SomeMayFail, engine.upgrade());
    table
        .try_step("load: migrate, and upgrade everything", work)
        .await;
    table
        .try_step(
            "a key has leaked: all others withdrawn",
            engine.withdraw_keys(load),
        )
        .await;
}

async fn backup(engine: &DockerEngine, table: &mut Table, load: &SiteLoad) {
    table
        .try_step("three databases", engine.deploy_with_three())
        .await;
    let work = load.during(NoneFails, engine.back_up());
    table.try_step("load: the first backup", work).await;
    let work = load.during(NoneFails, engine.verify_backups());
    table.try_step("load: another backup, and verify", work).await;
}

async fn alerts(engine: &DockerEngine, table: &mut Table, load: &SiteLoad) {
    let work = load.during(SomeMayFail, engine.watch());
    table.try_step("load: Prometheus sees every part", work).await;
    table
        .try_step("a page, and only one", engine.check_paging())
        .await;
}

async fn objects(engine: &DockerEngine, table: &mut Table) {
    const STEP: &str = "a new site with an object store";
    if !engine.has_objects().await {
        table
            .try_step(STEP, async { Ok("left out: --objects compiles the store") })
            .await;
        return;
    }
    let begun = table.step(STEP, engine.begin_with_objects()).await;
    if begun.is_err() {
        return;
    }
    let load = begin_load(vec![engine.url()], STEP_TIMEOUT);
    if let Ok(load) = table.step(BEGIN_LOAD, load).await {
        let work = load.during(SomeMayFail, engine.kill("objects"));
        table.try_step("load: kill the object store", work).await;
    }
}

/// Users register at a new site, and begin to use it. `timeout` limits a request.
async fn begin_load(urls: Vec<String>, timeout: Duration) -> Result<SiteLoad> {
    let history = target_dir().join(format!("stack-test/history-{}.jsonl", std::process::id()));
    SiteLoad::begin(Site::new(urls, timeout)?, &history, STEP_TIMEOUT).await
}
