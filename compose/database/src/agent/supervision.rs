//! Supervises a running MariaDB, and stops it.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::process::Child;

use super::start::{PeerStates, StartPlan};
use super::{Agent, AgentError, MariaDbExit, POLL_PAUSE, Secrets};
use crate::backup;
use crate::decision::{Node, Stage, VolumeState, is_known_to_all};
use crate::mariadb::{self, Mode, ServerError};
use crate::peers::LeaveNotice;
use crate::sql::{self, Status};

/// MariaDB flushes its pages when it stops.
const MARIADB_STOP_TIMEOUT: Duration = Duration::from_mins(5);
/// For a node without data to flush: a joiner, or one with a full volume.
const SHORT_STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait for another node that leaves first. By then it has left the membership, even if it is still
/// flushing pages.
const LEAVE_SLOT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long services may take to move to other nodes.
const DRAIN_DELAY: Duration = Duration::from_millis(2_500);
/// Timeout of sending the leave notice.
const LEAVE_NOTICE_TIMEOUT: Duration = Duration::from_secs(5);
/// A joiner that has all data and is not marked as synced after this long is stuck.
const STUCK_JOINER_TIMEOUT: Duration = Duration::from_secs(20);

/// The result of checking MariaDB.
pub(super) enum CheckResult {
    Stay,
    /// Stop MariaDB to start it in another way, with the reason.
    Withdraw(&'static str),
    /// The volume is nearly full.
    MakeRoom,
}

impl Agent {
    /// Runs MariaDB until it ends.
    pub(super) async fn supervise(&self, plan: StartPlan) -> Result<MariaDbExit, AgentError> {
        let shared = &self.shared;
        shared.set_stage(plan.stage);
        let mut child = mariadb::spawn(&shared.volume, &plan.mode, plan.data)?;
        let group = child.id();
        let mut watch = Watch::new(matches!(plan.mode, Mode::Bootstrap));
        shared.count_start();
        let ended = loop {
            tokio::select! {
                status = child.wait() => {
                    shared.count_death();
                    break MariaDbExit::Died(status.map_err(|source| ServerError::Io { path: "mariadbd".into(), source })?);
                }
                () = self.stop.cancelled() => {
                    self.leave(&mut child, MARIADB_STOP_TIMEOUT).await;
                    tracing::info!("MariaDB has stopped");
                    break MariaDbExit::Asked;
                }
                verdict = self.observe(&mut watch) => match verdict {
                    CheckResult::Stay => {}
                    CheckResult::Withdraw(why) => {
                        self.say(why, true);
                        self.end(&mut child, MARIADB_STOP_TIMEOUT).await;
                        break MariaDbExit::Withdrawn;
                    }
                    CheckResult::MakeRoom => if self.leave_full_cluster(&mut child).await {
                        break MariaDbExit::Full;
                    },
                },
            }
        };
        mariadb::kill_helpers(group);
        Ok(ended)
    }

    /// Stops MariaDB without disturbing the cluster, and passes this node's record to the members.
    pub(super) async fn leave(&self, child: &mut Child, limit: Duration) {
        let shared = &self.shared;
        let member = shared.stage() == Stage::Primary;
        let _ = tokio::time::timeout(LEAVE_SLOT_TIMEOUT, self.wait_for_leave_slot()).await;
        if member {
            // Updates the record, because the remaining nodes continue without this one. A node that returned after a
            // network failure has not registered.
            let _ = shared.update_membership().await;
            // On a full volume the statement would block.
            if !shared.lacks_space() {
                self.drain_clients().await;
            }
        }
        self.end(child, limit).await;
        let _ = tokio::time::timeout(LEAVE_NOTICE_TIMEOUT, self.send_leave_notice()).await;
        shared.set_leaving(false);
    }

    /// Drains the services: they poll the nodes every second, and leave a desynced node if another one is synced.
    /// Skipped if all nodes are leaving.
    async fn drain_clients(&self) {
        let shared = &self.shared;
        let found = shared.client.poll_all().await;
        let others = found
            .answers
            .values()
            .filter(|answer| answer.boot != shared.boot && answer.cluster == shared.config.cluster);
        let stages: Vec<_> = others.map(|other| other.node.stage).collect();
        if stages.contains(&Stage::Primary) && !stages.contains(&Stage::Stopping) {
            match backup::desync(shared, true).await {
                Ok(()) => tokio::time::sleep(DRAIN_DELAY).await,
                Err(error) => tracing::debug!("the services cannot be drained: {error}"),
            }
        }
    }

    /// Nodes that leave at the same time look like a network failure, and the remaining ones lose the majority. So
    /// nodes leave one after another: first one that has already started, then the highest slot.
    async fn wait_for_leave_slot(&self) {
        let shared = &self.shared;
        shared.set_stage(Stage::Stopping);
        // The claim is published between two polls, so of two claimants at least one sees the other.
        let mut free = 0;
        while free < 2 {
            let found = shared.client.poll_all().await;
            let before_us = found.answers.values().any(|answer| {
                answer.boot != shared.boot
                    && answer.cluster == shared.config.cluster
                    && answer.node.stage == Stage::Stopping
                    && (answer.leaves || answer.node.slot > shared.config.slot)
            });
            free = if before_us { 0 } else { free + 1 };
            shared.set_leaving(free > 0);
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    }

    /// Stops MariaDB, which flushes its pages and leaves the membership.
    async fn end(&self, child: &mut Child, limit: Duration) {
        // An incomplete copy is useless, and MariaDB would not stop before it is complete.
        let joining = self.shared.memory().is_some_and(|memory| memory.joining);
        let limit = if joining {
            limit.min(SHORT_STOP_TIMEOUT)
        } else {
            limit
        };
        self.shared.set_stage(Stage::Stopping);
        mariadb::signal(child, Signal::SIGTERM);
        if tokio::time::timeout(limit, child.wait()).await.is_err() {
            tracing::warn!(
                "MariaDB did not stop within {limit:?} and is killed; it recovers at its next start"
            );
            mariadb::signal(child, Signal::SIGKILL);
            let _ = child.wait().await;
        }
    }

    /// Sends this node's record to the remaining members.
    async fn send_leave_notice(&self) {
        let Some(memory) = self.shared.memory() else {
            return;
        };
        let farewell = LeaveNotice { memory };
        let found = self.shared.client.poll_all().await;
        for (at, answer) in found.answers {
            if answer.boot != self.shared.boot {
                let _ = self
                    .shared
                    .client
                    .send_leave_notice(at, answer.boot, &farewell)
                    .await;
            }
        }
    }

    /// Checks MariaDB once per poll.
    async fn observe(&self, watch: &mut Watch) -> CheckResult {
        tokio::time::sleep(POLL_PAUSE).await;
        let shared = &self.shared;
        if self.lacks_space(watch).await {
            return CheckResult::MakeRoom;
        }
        let asked = tokio::time::timeout(Duration::from_secs(3), sql::status(&shared.sql)).await;
        let status = match asked {
            Ok(Ok(status)) => status,
            Ok(Err(sqlx::Error::Database(error))) if error.message().contains("Access denied") => {
                // The database is new, or the secret has changed.
                let account = sql::agent_account(&self.password);
                if let Err(error) = mariadb::run_admin_sql(&shared.volume, &account).await {
                    tracing::debug!(%error, "the agent has no account yet");
                }
                return CheckResult::Stay;
            }
            _ => return CheckResult::Stay,
        };
        let is = |name: &str, value: &str| status.get(name).is_some_and(|is| is == value);
        let primary = is("cluster_status", "Primary");
        let in_sync = is("local_state", "4") || is("local_state", "2");
        let position = position(&status).filter(|_| primary);
        if let Some(position) = position {
            shared.set_data(position);
        }
        let comment = status.get("local_state_comment").cloned().unwrap_or_default();
        shared.set_status(status);
        if primary && in_sync {
            watch.stuck_joiner = StuckJoiner::default();
            self.in_sync(watch, &comment).await;
            CheckResult::Stay
        } else if primary {
            watch.alone_since = None;
            shared.set_stage(Stage::Joining);
            self.say("catching up with the cluster", false);
            self.is_stuck_joiner(watch, position).await
        } else {
            watch.stuck_joiner = StuckJoiner::default();
            self.without_majority(watch).await
        }
    }

    /// Galera loses track of a joiner that completes at the moment when another node joins: it receives all writes and
    /// is never marked as synced.
    async fn is_stuck_joiner(&self, watch: &mut Watch, position: Option<VolumeState>) -> CheckResult {
        let found = self.shared.client.poll_all().await;
        let newest = found
            .answers
            .values()
            .filter(|answer| answer.node.stage == Stage::Primary)
            .filter_map(|answer| answer.node.data.seqno())
            .max();
        let ours = position.and_then(VolumeState::seqno);
        if watch.stuck_joiner.record(ours, newest, Instant::now()) {
            CheckResult::Withdraw(
                "this node has all data and is not marked as synced; stopping MariaDB to join again",
            )
        } else {
            CheckResult::Stay
        }
    }

    async fn in_sync(&self, watch: &mut Watch, comment: &str) {
        let shared = &self.shared;
        watch.alone_since = None;
        if let Err(error) = shared.update_membership().await {
            if watch.is_recorded {
                tracing::warn!("the membership cannot be recorded: {error}");
            }
            watch.is_recorded = false;
            return;
        }
        watch.is_recorded = true;
        if !watch.has_full_weight {
            watch.has_full_weight = self.set_full_weight().await;
        }
        shared.set_stage(Stage::Primary);
        self.say(&format!("running: {comment}"), false);
        if watch.accounts != AccountTask::Made {
            match self.make_accounts(watch.accounts == AccountTask::Renew).await {
                Ok(()) => watch.accounts = AccountTask::Made,
                Err(error) => {
                    tracing::warn!(%error, "the accounts of the services could not be made; trying again");
                }
            }
        }
    }

    /// Sets the full quorum weight once all members know this node. Returns whether it is set.
    async fn set_full_weight(&self) -> bool {
        let shared = &self.shared;
        let found = shared.client.poll_all().await;
        let peers: Vec<Node> = PeerStates::of(&found, shared)
            .answers
            .into_values()
            .map(|(_, answer)| answer.node)
            .collect();
        is_known_to_all(&shared.node(), &peers) && shared.set_full_weight().await.is_ok()
    }

    async fn make_accounts(&self, always: bool) -> Result<(), sqlx::Error> {
        let Secrets {
            accounts,
            copy_password,
            ..
        } = &self.secrets;
        let pool = &self.shared.sql;
        if always || sql::accounts_missing(pool, accounts).await? {
            sql::make_accounts(pool, accounts, copy_password).await?;
        }
        Ok(())
    }

    /// Whether a node without a majority should stop. Galera recovers only if a quorum of the last membership is still
    /// running.
    async fn without_majority(&self, watch: &mut Watch) -> CheckResult {
        if self.should_withdraw(watch).await {
            CheckResult::Withdraw(
                "the majority does not return; stopping MariaDB to restart the cluster with the other nodes",
            )
        } else {
            CheckResult::Stay
        }
    }

    async fn should_withdraw(&self, watch: &mut Watch) -> bool {
        let shared = &self.shared;
        let since = *watch.alone_since.get_or_insert_with(Instant::now);
        if matches!(shared.stage(), Stage::Primary | Stage::NonPrimary) {
            shared.set_stage(Stage::NonPrimary);
            self.say(
                "no majority: reads and writes are refused until enough nodes are back",
                true,
            );
        }
        let alone = since.elapsed();
        if self.is_forced() {
            return true;
        }
        if alone < Duration::from_secs(2) {
            return false;
        }
        let Some(memory) = shared.memory() else {
            return false;
        };
        let found = shared.client.poll_all().await;
        let members: Vec<&Node> = found
            .answers
            .values()
            .map(|answer| &answer.node)
            .filter(|node| memory.members.contains_key(&node.id))
            .collect();
        let count = |wanted: fn(Stage) -> bool| members.iter().filter(|node| wanted(node.stage)).count();
        let running = count(|stage| matches!(stage, Stage::Primary | Stage::NonPrimary));
        let stopped = count(|stage| matches!(stage, Stage::Deciding { .. }));
        let cluster_goes_on = found
            .answers
            .values()
            .any(|answer| answer.node.stage == Stage::Primary);
        if cluster_goes_on {
            // By now Galera should have recovered.
            return alone > Duration::from_secs(20);
        }
        let hopeless = running * 2 <= memory.members.len();
        (stopped > 0 && hopeless)
            || (members.len() == memory.members.len() && alone > Duration::from_secs(30))
    }
}

/// The observed state of a running MariaDB.
pub(super) struct Watch {
    accounts: AccountTask,
    /// Whether the node has its full quorum weight.
    has_full_weight: bool,
    is_recorded: bool,
    alone_since: Option<Instant>,
    stuck_joiner: StuckJoiner,
    /// Whether writes are refused because no node has space left.
    pub(super) read_only: bool,
}

/// The pending work on the services' accounts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AccountTask {
    /// Update the accounts.
    Renew,
    /// Create missing accounts.
    Look,
    /// Done.
    Made,
}

/// Distinguishes a stuck joiner from one that is catching up.
#[derive(Default)]
struct StuckJoiner {
    /// The newest position of the peers at the last check.
    others_had: Option<i64>,
    /// Since when this node has had that position.
    since: Option<Instant>,
}

impl StuckJoiner {
    /// Records both positions. Returns whether the node has had all data for too long.
    fn record(&mut self, ours: Option<i64>, others: Option<i64>, now: Instant) -> bool {
        // Compared with the previous position of the peers, because they are always slightly ahead while they write.
        let before = std::mem::replace(&mut self.others_had, others);
        if before.is_none() || ours < before {
            self.since = None;
            return false;
        }
        now.duration_since(*self.since.get_or_insert(now)) >= STUCK_JOINER_TIMEOUT
    }
}

impl Watch {
    fn new(bootstrapped: bool) -> Self {
        Self {
            accounts: if bootstrapped {
                AccountTask::Renew
            } else {
                AccountTask::Look
            },
            has_full_weight: bootstrapped,
            is_recorded: true,
            alone_since: None,
            stuck_joiner: StuckJoiner::default(),
            read_only: false,
        }
    }
}

/// The replication position of MariaDB.
fn position(status: &Status) -> Option<VolumeState> {
    let cluster = status.get("local_state_uuid")?.parse().ok();
    let seqno = status.get("last_committed")?.parse().ok()?;
    cluster.is_some().then_some(VolumeState::At { cluster, seqno })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a node with these lags, one per second, is detected as stuck.
    fn is_found(behind: impl IntoIterator<Item = i64>) -> bool {
        let (mut stuck_joiner, began) = (StuckJoiner::default(), Instant::now());
        (0_u32..).zip(behind).any(|(second, behind)| {
            let theirs = 1000 + 10 * i64::from(second);
            let now = began + Duration::from_secs(1) * second;
            stuck_joiner.record(Some(theirs - behind), Some(theirs), now)
        })
    }

    #[test]
    fn a_joiner_with_all_data_is_stuck_after_the_timeout() {
        assert!(is_found([0; 22]));
        // The peers are queried slightly later than the local MariaDB.
        assert!(is_found([9; 22]));
        assert!(!is_found([0; 20]), "too early");
        // A node that is catching up or falling behind is not stuck.
        assert!(!is_found((11..1000).rev()));
        assert!(!is_found([vec![0; 15], vec![50], vec![0; 15]].concat()));
    }

    #[test]
    fn a_joiner_without_positions_of_peers_is_not_stuck() {
        let (mut stuck_joiner, began) = (StuckJoiner::default(), Instant::now());
        for second in 0..60 {
            let now = began + Duration::from_secs(second);
            assert!(!stuck_joiner.record(Some(7), None, now));
            assert!(!StuckJoiner::default().record(None, Some(7), now));
        }
    }
}
