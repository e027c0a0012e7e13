//! One run: load, fault, recovery, wait for background work, audit.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use harness::cluster::{Cluster, Options};
use sqlx::MySqlPool;

use crate::audit::{Auditor, DefectKind, Finding, wait_for_quiet};
use crate::controls::{self, Control};
use crate::counter::{self, CounterMode};
use crate::deletions::{DeletionWatch, Gone};
use crate::history::{History, Outcome, Record};
use crate::nemesis::{self, FaultWindow};
use crate::nodes;
use crate::people::{SharedState, SimulatedUser};
use crate::plan::Plan;
use crate::site::SiteClient;

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
    shared: Arc<SharedState>,
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
        let cluster = Cluster::start(Options {
            data_dir: data,
            small_volume: Some(SMALL_VOLUME),
            // All users share one address, so the login throttle is raised.
            environment: vec![(
                "authentication".to_owned(),
                "REGISTRATIONS_PER_ADDRESS".to_owned(),
                "100000".to_owned(),
            )],
            ..Options::default()
        })
        .await?;
        let pools = nodes::pools(&cluster);
        counter::prepare(&pools[0]).await?;
        let site = SiteClient::new(cluster.base_url())?;
        Ok(Self {
            shared: Arc::new(SharedState::new(site, History::new(history)?)),
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
        let shared = Arc::clone(&self.shared);
        let history = &shared.history;
        history.begin_run(self.runs);
        shared.stop.store(false, Ordering::Relaxed);
        if control == Some(Control::Flush0) {
            controls::flush_lazily(&self.pools).await?;
        }

        let deletions = DeletionWatch::start(Arc::clone(&shared), self.pools.clone(), self.cluster.objects());
        let people: Vec<_> = (1..=USER_COUNT)
            .map(|number| {
                let name = format!("p{number}-r{}-s{}", self.runs, plan.seed);
                SimulatedUser::new(&shared, name, plan.seed.wrapping_mul(1_000).wrapping_add(number)).start()
            })
            .collect();
        let mode = match control {
            Some(Control::Rmw) => CounterMode::ReadThenWrite,
            Some(Control::Flush0) => CounterMode::Apart,
            _ => CounterMode::InOneStatement,
        };
        let counters: Vec<_> = (1..)
            .zip(&self.pools)
            .map(|(node, pool)| counter::start(Arc::clone(&shared), pool.clone(), node, mode))
            .collect();

        self.wait_for_photos().await?;
        let from = history.now();
        tokio::time::sleep(plan.before).await;
        let struck = nemesis::inject_fault(&self.cluster, plan, history).await;
        if struck.is_ok() {
            tokio::time::sleep(after).await;
        }
        let until = history.now();
        shared.stop.store(true, Ordering::Relaxed);
        let mut persons = Vec::new();
        for person in people {
            persons.push(person.await?);
        }
        for counter in counters {
            counter.await?;
        }
        let struck = struck?;

        let mut findings = Vec::new();
        if let Err(error) = wait_for_quiet(&self.pools[0]).await {
            findings.push(Finding {
                kind: DefectKind::Wrong,
                what: format!("{error:#}"),
                records: Vec::new(),
            });
        }
        findings.extend(
            shared
                .site
                .take_internal_errors()
                .into_iter()
                .map(|what| Finding {
                    kind: DefectKind::Wrong,
                    what,
                    records: Vec::new(),
                }),
        );
        let gone = deletions.finish().await?;
        check_sessions(&mut persons).await;
        let records = history.records();
        let objects = self.cluster.objects();
        findings.extend(
            self.auditor
                .audit(&records, &self.pools, &objects, &shared.site)
                .await?,
        );
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
            gap: gap(&records, from, until),
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
        let (began, before) = (Instant::now(), self.shared.photo_count());
        while self.shared.photo_count() < before + INITIAL_PHOTOS {
            if began.elapsed() > FIRST_PHOTOS_TIMEOUT {
                bail!(
                    "fewer than {INITIAL_PHOTOS} photos were published within {} s, before the fault",
                    FIRST_PHOTOS_TIMEOUT.as_secs()
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
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
async fn check_sessions(persons: &mut [SimulatedUser]) {
    for person in persons {
        for _ in 0..10 {
            match person.is_signed_in().await {
                Some(Outcome::Unknown(_)) => tokio::time::sleep(Duration::from_millis(300)).await,
                _ => break,
            }
        }
    }
}

/// Returns the longest time without an acknowledged write of the site, also at both ends.
fn gap(records: &[Record], from: f64, until: f64) -> f64 {
    let mut ends: Vec<f64> = records
        .iter()
        .filter(|record| record.is_ok() && record.is_site_write())
        .filter_map(|record| record.ended)
        .filter(|ended| (from..=until).contains(ended))
        .collect();
    ends.extend([from, until]);
    ends.sort_by(f64::total_cmp);
    ends.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max)
}
