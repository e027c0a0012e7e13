//! Injects the planned fault, and ends it.

use std::time::Duration;

use anyhow::{Context, Result};
use harness::cluster::Cluster;
use harness::topology::Topology as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use workload::history::History;

use crate::controls;
use crate::plan::{Fault, Plan};

/// Timeout of recovery, generous for busy machines.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(180);
/// How long an agent takes to notice the end of MariaDB.
const AGENT_NOTICE_TIME: Duration = Duration::from_secs(1);

/// The begin of the fault, and the begin and end of recovery, in seconds of the history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FaultWindow {
    pub(crate) began: f64,
    pub(crate) mending: f64,
    pub(crate) in_sync: f64,
}

impl FaultWindow {
    /// Returns the duration of the recovery in seconds.
    pub(crate) fn recovery(&self) -> f64 {
        self.in_sync - self.mending
    }
}

/// Injects the fault, and returns after recovery.
pub(crate) async fn inject_fault(cluster: &Cluster, plan: &Plan, history: &History) -> Result<FaultWindow> {
    let began = history.now();
    history.note(&format!("begins: {plan}"));
    let mending = inject_and_end(cluster, plan, history).await?;
    history.note("repaired");
    if plan.fault == Fault::PlainRestart {
        controls::wait_in_sync(cluster, RECOVERY_TIMEOUT).await?;
    } else {
        cluster.wait_in_sync(RECOVERY_TIMEOUT).await?;
    }
    let in_sync = history.now();
    history.note("three in sync");
    cluster.wait_until_ready(RECOVERY_TIMEOUT).await?;
    Ok(FaultWindow {
        began,
        mending,
        in_sync,
    })
}

/// Injects and ends the fault. Returns when recovery begins: at a kill, or at the end of a fault that lasts.
async fn inject_and_end(cluster: &Cluster, plan: &Plan, history: &History) -> Result<f64> {
    let began = history.now();
    let (slot, hold) = (plan.slot, plan.hold);
    let node = format!("db-{slot}");
    match plan.fault {
        Fault::Nothing => {}
        Fault::KillOne => cluster.kill_part(&node).await?,
        Fault::KillServer => {
            kill_server(cluster, slot)?;
            tokio::time::sleep(AGENT_NOTICE_TIME).await;
        }
        Fault::PauseOne => {
            cluster.pause_part(&node).await?;
            tokio::time::sleep(hold).await;
            cluster.resume_part(&node).await?;
            return Ok(history.now());
        }
        Fault::CutOne => {
            cluster.cut_part(&node, true)?;
            tokio::time::sleep(hold).await;
            cluster.cut_part(&node, false)?;
            return Ok(history.now());
        }
        Fault::SlowOne => {
            let link = cluster.slow_down(slot, plan.delay)?;
            tokio::time::sleep(hold).await;
            drop(link);
            return Ok(history.now());
        }
        Fault::FullDisk => {
            cluster.fill_volume()?;
            tokio::time::sleep(hold).await;
            cluster.clear_volume()?;
            return Ok(history.now());
        }
        Fault::KillAll => cluster.kill_all(&Cluster::databases()),
        Fault::CutAll => {
            Cluster::databases()
                .iter()
                .try_for_each(|node| cluster.cut_part(node, true))?;
            tokio::time::sleep(hold).await;
            Cluster::databases()
                .iter()
                .try_for_each(|node| cluster.cut_part(node, false))?;
            return Ok(history.now());
        }
        Fault::StopAll => {
            let mut all = cluster.site();
            all.extend(Cluster::databases());
            cluster.stop_parts(&all).await?;
            cluster.start_parts(&all)?;
        }
        Fault::KillServices => {
            for (part, pause) in &plan.order {
                cluster.kill_part(part).await?;
                tokio::time::sleep(*pause).await;
            }
        }
        Fault::KillRouter => {
            cluster.kill_part("router").await?;
            tokio::time::sleep(hold).await;
            cluster.kill_part("router").await?;
        }
        Fault::PlainRestart => controls::restart_plainly(cluster).await?,
    }
    Ok(began)
}

fn kill_server(cluster: &Cluster, slot: u32) -> Result<()> {
    let file = cluster.volume(slot).join("mariadb.pid");
    let pid = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    kill(Pid::from_raw(pid.trim().parse()?), Signal::SIGKILL)?;
    Ok(())
}
