//! Load on a site during a change of it: users act while the change happens, and keep what they write.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::api::{Site, operations};
use harness::wait;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::audit::{Audited, Auditor};
use crate::history::{History, Operation, Outcome, Record, longest_gap};
use crate::users::{Action, Mix, SimulatedUser, Workload};

/// No deletions, and few pictures, so that no request is refused on a healthy site.
const LASTING_ACTIONS: Mix = Mix {
    actions: &[
        (Action::ReadTimeline, 30),
        (Action::ReadFile, 25),
        (Action::Vote, 30),
        (Action::Comment, 12),
        (Action::Refresh, 2),
        (Action::Publish, 1),
    ],
    timelines: &["latestPhotos", "trendingPhotos"],
    pause: 40..100,
    attempts: 1,
};
const LOAD_USERS: u64 = 5;
/// The kinds of operations that must work after a change.
const KINDS: [&str; 6] = ["timelines", "files", "votes", "comments", "uploads", "photos"];
/// Minimum number of successful operations of each kind during a change, and after it.
const MIN_REPETITIONS: (usize, usize) = (3, 1);
const WORKING_POLL_INTERVAL: Duration = Duration::from_millis(500);

/// The allowed outcomes of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requests {
    /// All requests succeed at the first attempt.
    NoneFails,
    /// Some fail, acknowledged writes are kept, and later requests succeed.
    SomeMayFail,
}

/// Users of a site, and all that they have written.
#[derive(Debug)]
pub struct SiteLoad {
    workload: Arc<Workload>,
    users: Mutex<Vec<SimulatedUser>>,
    /// How long requests may fail after a change.
    recovery_limit: Duration,
}

impl SiteLoad {
    /// Registers users who upload, vote and comment, and checks the result.
    pub async fn begin(site: Site, history: &Path, recovery_limit: Duration) -> Result<Self> {
        let workload = Workload::new(site, History::new(history)?, &LASTING_ACTIONS);
        let seed = u64::from(rand::random::<u32>());
        let load = Self {
            users: Mutex::new(SimulatedUser::several(
                &workload,
                LOAD_USERS,
                &format!("s{seed}"),
                seed,
            )),
            workload,
            recovery_limit,
        };
        let mut users = load.users.lock().await;
        for action in [Action::Register, Action::Publish, Action::Vote, Action::Comment] {
            for user in users.iter_mut() {
                Box::pin(user.perform(action)).await;
            }
        }
        drop(users);
        let summary = load.summary(0, 0.0);
        ensure!(summary.failed() == 0, "requests failed: {summary}");
        load.check().await?;
        for timeline in LASTING_ACTIONS.timelines {
            load.wait_for_photos(timeline).await?;
        }
        Ok(load)
    }

    /// Waits until a timeline has photos. The vote service learns of a new photo by an event, a moment after its upload.
    async fn wait_for_photos(&self, timeline: &str) -> Result<()> {
        let request = operations::timeline(timeline, 1, "id");
        wait::until("photos in a timeline", self.recovery_limit, || async {
            let data = self.workload.site().run(None, &request).await?;
            let nodes = data[timeline]["nodes"].as_array();
            ensure!(
                nodes.is_some_and(|nodes| !nodes.is_empty()),
                "{timeline} is empty"
            );
            Ok(())
        })
        .await
    }

    /// Continues with another client of the same site.
    pub async fn move_to(&self, site: Site) -> Result<()> {
        self.workload.move_to(site);
        let from = self.workload.history.count();
        for action in [Action::Publish, Action::Vote, Action::Comment] {
            for user in self.users.lock().await.iter_mut() {
                Box::pin(user.perform(action)).await;
            }
        }
        let summary = self.summary(from, self.workload.history.now());
        ensure!(summary.failed() == 0, "requests failed: {summary}");
        self.check().await.map(drop)
    }

    /// Runs `work` under load, and then checks that every acknowledged write exists.
    pub async fn during(
        &self,
        requests: Requests,
        work: impl Future<Output = Result<String>>,
    ) -> Result<String> {
        let history = &self.workload.history;
        let (from, began) = (history.count(), history.now());
        self.workload.begin();
        let users: Vec<_> = self
            .users
            .lock()
            .await
            .drain(..)
            .map(SimulatedUser::start)
            .collect();
        let outcome = Box::pin(self.work(from, work)).await;
        self.workload.end();
        for user in users {
            self.users.lock().await.push(user.await?);
        }
        let said = outcome?;
        let internal = self.workload.site().take_internal_errors();
        ensure!(
            internal.is_empty(),
            "{said}, but there were internal errors: {internal:?}"
        );
        Box::pin(self.check()).await?;
        let summary = self.summary(from, began);
        ensure!(
            requests == Requests::SomeMayFail || summary.failed() == 0,
            "{said}, but requests failed: {summary}"
        );
        Ok(format!("{said}; nothing lost; {summary}"))
    }

    /// Waits for the work, and until requests of each kind succeed.
    async fn work(&self, from: usize, work: impl Future<Output = Result<String>>) -> Result<String> {
        let said = work.await?;
        let after = self.workload.history.count();
        wait::until_every(
            WORKING_POLL_INTERVAL,
            "requests of each kind to succeed",
            self.recovery_limit,
            || async {
                let records = self.workload.history.records_from(from);
                for kind in KINDS {
                    let done = |from: usize| {
                        let of_kind = records[from..]
                            .iter()
                            .filter(|record| record.operation.kind() == kind);
                        of_kind.filter(|record| record.is_ok()).count()
                    };
                    let (during, now) = (done(0), done(after - from));
                    ensure!(
                        during >= MIN_REPETITIONS.0 && now >= MIN_REPETITIONS.1,
                        "{during} {kind} worked, {now} of them after the change"
                    );
                }
                Ok(())
            },
        )
        .await
        .with_context(|| said.clone())?;
        Ok(said)
    }

    fn summary(&self, from: usize, began: f64) -> Summary {
        Summary::of(
            &self.workload.history.records_from(from),
            began,
            self.workload.history.now(),
        )
    }

    /// Checks through the site that all acknowledged writes and all files exist.
    pub async fn check(&self) -> Result<String> {
        let mut viewers = Vec::new();
        for user in self.users.lock().await.iter_mut() {
            Box::pin(user.refresh_if_old()).await;
            viewers.extend(user.account().map(|account| (account, user.access_token.clone())));
        }
        let records = self.workload.history.records();
        let site = self.workload.site();
        let audited = Audited {
            site: &site,
            pools: Vec::new(),
            files: None,
            viewers,
        };
        let mut auditor = Auditor::default();
        // Boxed, as are the actions, because the futures of steps would be very large.
        let findings = Box::pin(auditor.audit(&records, &audited)).await?;
        let complaints: Vec<_> = findings.iter().map(|finding| finding.what.as_str()).collect();
        ensure!(complaints.is_empty(), "{}", complaints.join("; "));
        let counts = ["photos", "votes", "comments"].map(|kind| {
            let of_kind = records.iter().filter(|record| record.operation.kind() == kind);
            format!("{} {kind}", of_kind.filter(|record| record.is_ok()).count())
        });
        Ok(format!("{}: all there", counts.join(", ")))
    }

    /// Waits until all acknowledged writes are returned.
    pub async fn wait_for_all_writes(&self) -> Result<()> {
        let what = "all acknowledged writes";
        wait::until_every(WORKING_POLL_INTERVAL, what, self.recovery_limit, || self.check())
            .await
            .map(drop)
    }

    /// The acknowledged photos.
    pub fn photos(&self) -> Vec<Uuid> {
        let records = self.workload.history.records().into_iter();
        let published = records
            .filter(Record::is_ok)
            .filter_map(|record| match record.operation {
                Operation::Publish { photo, .. } => Some(photo),
                _ => None,
            });
        published.collect()
    }

    /// Refreshes all sessions. Each must continue.
    pub async fn refresh_sessions(&self) -> Result<()> {
        for user in self.users.lock().await.iter_mut() {
            let outcome = Box::pin(user.refresh()).await;
            ensure!(outcome == Outcome::Ok, "a session does not continue: {outcome:?}");
        }
        Ok(())
    }

    /// Makes a user vote for a photo. Returns the user's address and the photo.
    pub async fn voter(&self) -> Result<(String, Uuid)> {
        let mut users = self.users.lock().await;
        let voter = users.first_mut().context("there are users")?;
        let photo = voter
            .vote_with(1)
            .await
            .context("there are photos of other users")?;
        Ok((voter.email.clone(), photo))
    }
}

/// The outcomes of operations by kind.
#[derive(Debug, Default)]
struct Summary(BTreeMap<&'static str, KindSummary>);

#[derive(Debug, Default)]
struct KindSummary {
    done: usize,
    /// Refused operations, and those of unknown outcome.
    failed: usize,
    first_failure: Option<String>,
    /// The longest time without success, in seconds.
    longest_gap: f64,
}

impl Summary {
    fn of(records: &[Record], began: f64, ended: f64) -> Self {
        let mut kinds: BTreeMap<_, KindSummary> = BTreeMap::new();
        for record in records {
            let kind = kinds.entry(record.operation.kind()).or_default();
            match &record.outcome {
                Some(Outcome::Ok) => kind.done += 1,
                Some(Outcome::Failed(why) | Outcome::Unknown(why)) => {
                    kind.failed += 1;
                    kind.first_failure.get_or_insert_with(|| why.clone());
                }
                None => {}
            }
        }
        for (name, kind) in &mut kinds {
            let of_kind = records.iter().filter(|record| record.operation.kind() == *name);
            kind.longest_gap = longest_gap(of_kind, began, ended);
        }
        Self(kinds)
    }

    fn failed(&self) -> usize {
        self.0.values().map(|kind| kind.failed).sum()
    }
}

impl Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, kind) in &self.0 {
            let gap = kind.longest_gap;
            write!(f, "{separator}{} {name}", kind.done)?;
            match &kind.first_failure {
                None => write!(f, " (gaps ≤ {gap:.1} s)")?,
                Some(failure) => write!(
                    f,
                    " (gaps ≤ {gap:.1} s, {} failed, first: {failure})",
                    kind.failed
                )?,
            }
            separator = ", ";
        }
        Ok(())
    }
}

impl Display for SiteLoad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.summary(0, 0.0).fmt(f)
    }
}
