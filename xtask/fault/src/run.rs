//! One run: load, fault, recovery, wait for background work, audit.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::api::Site;
use harness::cluster::{Cluster, Options};
use harness::topology::Topology as _;
use harness::wait;
use sqlx::MySqlPool;
use workload::audit::{Audited, Auditor, DefectKind, Finding, wait_for_quiet};
use workload::counter::{self, CounterMode};
use workload::databases;
use workload::deletions::{DeletionWatch, Gone};
use workload::history::{History, Outcome, Record, longest_gap};
use workload::users::{ALL_ACTIONS, SimulatedUser, Workload};

use crate::controls::{self, Control};
use crate::nemesis::{self, FaultWindow};
use crate::plan::Plan;

/// The same timeout as the app's.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);
const USER_COUNT: u64 = 8;
/// Number of photos before the fault.
const INITIAL_PHOTOS: usize = 5;
const FIRST_PHOTOS_TIMEOUT: Duration = Duration::from_secs(60);
/// The node whose disk can be filled, and its size in MiB: enough for the data and a copy.
pub(crate) const SMALL_VOLUME: (u32, u32) = (2, 1024);

/// A cluster with the history of all operations on it.
#[derive(Debug)]
pub(crate) struct TestCluster {
    cluster: Cluster,
    pools: Vec<MySqlPool>,
    workload: Arc<Workload>,
    auditor: Auditor,
    runs: u32,
}

/// The outcomes of a run.
#[derive(Debug)]
pub(crate) struct Outcomes {
    pub(crate) plan: Plan,
    pub(crate) control: Option<Control>,
    /// Counts of the site's writes in this run.
    pub(crate) acknowledged: usize,
    pub(crate) refused: usize,
    pub(crate) unknown: usize,
    /// The longest time without an acknowledged write, in seconds.
    pub(crate) gap: f64,
    pub(crate) struck: FaultWindow,
    /// How long deletions took to be complete everywhere: those before the fault, and later ones counted from the end
    /// of recovery.
    pub(crate) calm: Vec<f64>,
    pub(crate) disturbed: Vec<f64>,
    pub(crate) findings: Vec<Finding>,
    /// The operations of the findings.
    pub(crate) evidence: Vec<Record>,
}

impl Outcomes {
    pub(crate) fn count(&self, kind: DefectKind) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.kind == kind)
            .count()
    }
}

impl TestCluster {
    /// Starts a cluster, with the history in `history`.
    pub(crate) async fn start(history: &Path, data: Option<PathBuf>) -> Result<Self> {
        let cluster = start_cluster(data, Some(SMALL_VOLUME)).await?;
        let pools = databases::pools(&cluster.databases())?;
        counter::prepare(&pools[0]).await?;
        Ok(Self {
            workload: start_workload(&cluster, history)?,
            cluster,
            pools,
            auditor: Auditor::default(),
            runs: 0,
        })
    }

    /// Returns the folder of logs and volumes.
    pub(crate) fn folder(&self) -> &Path {
        self.cluster.data_dir()
    }

    /// Runs a plan. The load continues for `after` after recovery.
    pub(crate) async fn run(
        &mut self,
        plan: &Plan,
        control: Option<Control>,
        after: Duration,
    ) -> Result<Outcomes> {
        self.runs += 1;
        let workload = Arc::clone(&self.workload);
        let history = &workload.history;
        history.begin_run(self.runs);
        workload.begin();
        if control == Some(Control::Flush0) {
            controls::flush_lazily(&self.pools).await?;
        }

        let deletions =
            DeletionWatch::start(Arc::clone(&workload), self.pools.clone(), self.cluster.objects());
        let suffix = format!("r{}-s{}", self.runs, plan.seed);
        let users = SimulatedUser::several(&workload, USER_COUNT, &suffix, plan.seed);
        let users: Vec<_> = users.into_iter().map(SimulatedUser::start).collect();
        let mode = match control {
            Some(Control::Rmw) => CounterMode::ReadThenWrite,
            Some(Control::Flush0) => CounterMode::Apart,
            _ => CounterMode::InOneStatement,
        };
        let counters = counter::start_all(&workload, &self.pools, mode);

        self.wait_for_photos().await?;
        let from = history.now();
        tokio::time::sleep(plan.before).await;
        let struck = nemesis::inject_fault(&self.cluster, plan, history).await;
        if struck.is_ok() {
            tokio::time::sleep(after).await;
        }
        let until = history.now();
        workload.end();
        let mut ended = Vec::new();
        for user in users {
            ended.push(user.await?);
        }
        for counter in counters {
            counter.await?;
        }
        let struck = struck?;

        let site = workload.site();
        let mut complaints = site.take_internal_errors();
        complaints.extend(
            wait_for_quiet(&self.pools[0])
                .await
                .err()
                .map(|error| format!("{error:#}")),
        );
        let mut findings: Vec<_> = complaints
            .into_iter()
            .map(|what| Finding {
                kind: DefectKind::Wrong,
                what,
                records: Vec::new(),
            })
            .collect();
        let gone = deletions.finish().await?;
        check_sessions(&mut ended).await;
        let records = history.records();
        let audited = Audited::all_of(&self.cluster, &site)?;
        findings.extend(self.auditor.audit(&records, &audited).await?);
        let named: BTreeSet<_> = findings
            .iter()
            .flat_map(|finding| &finding.records)
            .copied()
            .collect();
        let evidence = named.into_iter().map(|number| records[number].clone()).collect();
        let mut outcomes = Outcomes {
            plan: plan.clone(),
            control,
            acknowledged: 0,
            refused: 0,
            unknown: 0,
            gap: longest_gap(
                records.iter().filter(|record| record.is_site_write()),
                from,
                until,
            ),
            struck,
            calm: Vec::new(),
            disturbed: Vec::new(),
            findings,
            evidence,
        };
        outcomes.count_records(&records, self.runs);
        outcomes.sort_deletions(&gone, history);
        Ok(outcomes)
    }

    async fn wait_for_photos(&self) -> Result<()> {
        let before = self.workload.photo_count();
        wait::until("photos before the fault", FIRST_PHOTOS_TIMEOUT, || async {
            let count = self.workload.photo_count() - before;
            ensure!(
                count >= INITIAL_PHOTOS,
                "{count} of {INITIAL_PHOTOS} are published"
            );
            Ok(())
        })
        .await
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.cluster.stop().await
    }
}

impl Outcomes {
    fn count_records(&mut self, records: &[Record], run: u32) {
        let own = |record: &&Record| record.run == run && record.is_site_write();
        for record in records.iter().filter(own) {
            match &record.outcome {
                Some(Outcome::Ok) => self.acknowledged += 1,
                Some(Outcome::Failed(_)) => self.refused += 1,
                Some(Outcome::Unknown(_)) | None => self.unknown += 1,
            }
        }
    }

    fn sort_deletions(&mut self, gone: &[Gone], history: &History) {
        let began = history.moment(self.struck.began);
        let whole = history.moment(self.struck.in_sync);
        for gone in gone {
            let end = gone.acknowledged + gone.took;
            if end < began {
                self.calm.push(gone.took.as_secs_f64());
            } else {
                // Work that a killed process had leased is delayed until its lease expires, and later deletions may
                // wait for it.
                let from = gone.acknowledged.max(whole);
                self.disturbed
                    .push(end.saturating_duration_since(from).as_secs_f64());
            }
        }
    }
}

/// Checks and records that each user's last refresh token works.
async fn check_sessions(users: &mut [SimulatedUser]) {
    for user in users {
        for _ in 0..10 {
            match user.is_signed_in().await {
                Some(Outcome::Unknown(_)) => tokio::time::sleep(Duration::from_millis(300)).await,
                _ => break,
            }
        }
    }
}

/// Starts a cluster whose users share one address.
pub(crate) async fn start_cluster(
    data_dir: Option<PathBuf>,
    small_volume: Option<(u32, u32)>,
) -> Result<Cluster> {
    let registrations = ["authentication", "REGISTRATIONS_PER_ADDRESS", "100000"].map(str::to_owned);
    Cluster::start(Options {
        data_dir,
        small_volume,
        environment: vec![registrations.into()],
        ..Options::default()
    })
    .await
}

pub(crate) fn start_workload(cluster: &Cluster, history: &Path) -> Result<Arc<Workload>> {
    let site = Site::new(cluster.urls(), CLIENT_TIMEOUT)?;
    Ok(Workload::new(site, History::new(history)?, &ALL_ACTIONS))
}
