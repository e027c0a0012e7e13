//! `./dev stack-test`: the stack on a real Docker engine, from nothing to nothing, with what may happen to it in between;
//! then on three engines that are the nodes of a Swarm.
//!
//! Where no engine runs, one is started that disturbs nothing (`compose/engine`); where no image can be pulled, its
//! bases are made from Debian's packages (`compose/base`). Both stay in cargo's target folder for the next time.

mod deploy;
mod engine;
mod load;
mod nodes;
mod steps;
mod table;
mod visit;
mod weather;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use self::engine::Engine;
use self::load::Requests::{NoneFails, SomeMayFail};
use self::load::under_load;
use self::table::Table;
use self::visit::Visit;
use crate::seed::site::Site;
use crate::tools::say;

const STACK: &str = "proofsheet-test";
/// The machine may have two cores, and three databases start on them.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder of the programs to pack. Without it: what ./dev builds.
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// Only one of the parts: on one engine, or on several.
    #[arg(long)]
    part: Option<Part>,
    /// Leaves the stack running at the end of the part, and says how to reach it.
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    One,
    Several,
}

pub(crate) async fn stack_test(arguments: Arguments) -> Result<()> {
    let binaries = arguments.binaries.unwrap_or_else(xtask::workspace::binaries);
    let mut table = Table::default();
    if arguments.part != Some(Part::Several) {
        let mut engine = Engine::new(1);
        // What went wrong is in the table.
        let _ = on_one(&mut engine, &mut table, &binaries).await;
        if arguments.keep {
            say(&format!(
                "it runs at {}; DOCKER_HOST={}",
                engine.url(),
                engine.host()
            ));
            table.print();
            return table.verdict();
        }
        table.try_step("take everything down", engine.take_down()).await;
    }
    if arguments.part != Some(Part::One) {
        nodes::on_several(&mut table, &binaries, arguments.keep).await;
    }
    table.print();
    table.verdict()
}

async fn on_one(engine: &mut Engine, table: &mut Table, binaries: &Path) -> Result<()> {
    table.step("an engine", engine.start()).await?;
    table.step("a Swarm of one", engine.swarm()).await?;
    table.step("base images", engine.make_bases()).await?;
    table.step("images", async { engine.pack(binaries) }).await?;
    table.step("secrets", engine.make_secrets()).await?;
    table
        .step("deploy on a port in use", engine.deploy_on_a_port_in_use())
        .await?;
    let site = Site::over(vec![engine.url()], PATIENCE)?;
    let visit = table
        .step("register, upload, vote, comment", Visit::begin(&site))
        .await?;
    good_weather(engine, table, &visit).await;
    bad_weather(engine, table, &visit).await;
    anew(engine, table, &visit).await;
    Ok(())
}

async fn good_weather(engine: &Engine, table: &mut Table, visit: &Visit<'_>) {
    table
        .try_step("deploy the same again", engine.deploy_again(1))
        .await;
    let work = under_load(visit, SomeMayFail, engine.scale_database(3));
    table.try_step("load: the database to 3", work).await;
    let work = under_load(visit, NoneFails, engine.roll_services());
    table.try_step("load: update every service", work).await;
    table.try_step("connections on each node", engine.spread()).await;
    let work = under_load(visit, NoneFails, engine.rotate_keys());
    table.try_step("load: the next signing key", work).await;
    let work = under_load(visit, SomeMayFail, engine.roll_database());
    table.try_step("load: update the database", work).await;
    let work = under_load(visit, SomeMayFail, engine.kill_database());
    table.try_step("load: kill a database node", work).await;
    let work = under_load(visit, SomeMayFail, engine.kill("vote"));
    table.try_step("load: kill the vote service", work).await;
    let work = under_load(visit, NoneFails, engine.scale_and_back("vote", 4));
    table.try_step("load: four vote services, and one", work).await;
    table
        .try_step("services to zero and back: holes", engine.holes(visit))
        .await;
}

async fn bad_weather(engine: &Engine, table: &mut Table, visit: &Visit<'_>) {
    let work = under_load(visit, NoneFails, engine.without_a_secret());
    table.try_step("load: deploy without a secret", work).await;
    let work = under_load(visit, NoneFails, engine.with_a_wrong_password());
    table.try_step("load: a wrong database password", work).await;
    let work = under_load(visit, NoneFails, engine.with_an_image_that_does_not_start());
    table.try_step("load: an image that does not start", work).await;
    let work = under_load(
        visit,
        NoneFails,
        engine.with_an_update_that_never_becomes_healthy(),
    );
    table
        .try_step("load: an update that never becomes healthy", work)
        .await;
    let work = under_load(visit, NoneFails, engine.another_on_the_port());
    table.try_step("load: another stack on the port", work).await;
}

async fn anew(engine: &Engine, table: &mut Table, visit: &Visit<'_>) {
    table
        .try_step("stack rm and deploy", engine.remove_and_deploy(3))
        .await;
    table.try_step("all data are there", visit.check()).await;
    table
        .try_step("the database back to 1", engine.scale_database(1))
        .await;
    let work = under_load(visit, SomeMayFail, engine.database_without_space());
    table.try_step("load: to 3, and one has no space", work).await;
    table
        .try_step("the database to 3 again", engine.scale_database(3))
        .await;
    let work = under_load(visit, NoneFails, engine.spread());
    table
        .try_step("load: connections spread by themselves", work)
        .await;
}
