//! The workload and its audits on a single system, without Galera and without Docker.

use std::time::Duration;

use harness::api::Site;
use harness::system::{Options, System};
use harness::topology::Topology as _;
use sqlx::{Connection as _, Executor as _, MySqlConnection};
use workload::audit::{Audited, Auditor, DefectKind, wait_for_quiet};
use workload::counter;
use workload::history::History;
use workload::load::{Requests, SiteLoad};
use workload::users::{ALL_ACTIONS, SimulatedUser, Workload};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
const RECOVERY_LIMIT: Duration = Duration::from_secs(120);

async fn delete(system: &System, statement: &'static str) {
    let mut admin = MySqlConnection::connect(&system.admin_database_url())
        .await
        .unwrap();
    assert_eq!(admin.execute(statement).await.unwrap().rows_affected(), 1);
}

async fn kill_and_start(system: &System, service: &str) -> anyhow::Result<String> {
    system.kill_part(service).await?;
    system.start_part(service).await?;
    Ok(format!("{service} was killed"))
}

/// The history against the database, the files and the site.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_service_costs_nothing_and_a_lost_comment_is_found() {
    let system = System::start(Options::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(system.urls(), REQUEST_TIMEOUT).unwrap();
    let history = History::new(&folder.path().join("history.jsonl")).unwrap();
    let workload = Workload::new(site, history, &ALL_ACTIONS);
    let site = workload.site();
    let audited = Audited::all_of(&system, &site).unwrap();
    counter::prepare(&audited.pools[0]).await.unwrap();

    let users: Vec<_> = SimulatedUser::several(&workload, 3, "single", 7)
        .into_iter()
        .map(SimulatedUser::start)
        .collect();
    tokio::time::sleep(Duration::from_secs(4)).await;
    kill_and_start(&system, "comment").await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    workload.end();
    for user in users {
        user.await.unwrap();
    }
    wait_for_quiet(&audited.pools[0]).await.unwrap();
    let audit = async || {
        Auditor::default()
            .audit(&workload.history.records(), &audited)
            .await
            .unwrap()
    };
    let findings = audit().await;
    assert!(findings.is_empty(), "{findings:#?}");

    delete(
        &system,
        "DELETE FROM comment.comment WHERE deleted_at IS NULL LIMIT 1",
    )
    .await;
    let findings = audit().await;
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert_eq!(findings[0].kind, DefectKind::Lost);
    system.stop().await;
}

/// The history against the site alone, as in the stack test.
#[tokio::test(flavor = "multi_thread")]
async fn load_needs_no_database_to_find_a_lost_comment() {
    let system = System::start(Options::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(system.urls(), REQUEST_TIMEOUT).unwrap();
    let load = SiteLoad::begin(site, &folder.path().join("history.jsonl"), RECOVERY_LIMIT)
        .await
        .unwrap();
    let nothing = async { Ok("nothing happened".to_owned()) };
    load.during(Requests::NoneFails, nothing).await.unwrap();
    let killing = kill_and_start(&system, "vote");
    load.during(Requests::SomeMayFail, killing).await.unwrap();
    let killing = kill_and_start(&system, "vote");
    let refused = load.during(Requests::NoneFails, killing).await.unwrap_err();
    assert!(refused.to_string().contains("but requests failed"), "{refused:#}");

    delete(&system, "DELETE FROM comment.comment LIMIT 1").await;
    let lost = load.check().await.unwrap_err();
    assert!(lost.to_string().contains("comments are expected"), "{lost:#}");
    system.stop().await;
}
