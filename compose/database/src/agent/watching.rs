//! While MariaDB runs: watching it, and ending it in order.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::process::Child;

use super::deciding::{Course, Peers};
use super::{Agent, AgentError, Ended, Secrets, TICK};
use crate::backup;
use crate::decision::{Data, Node, Stage, is_known_to_all};
use crate::mariadb::{self, Mode, ServerError};
use crate::peers::Farewell;
use crate::sql::{self, Status};

/// MariaDB writes its pages out when it stops.
const STOP: Duration = Duration::from_mins(5);
/// One that is being copied to has nothing to write out; one whose volume is full cannot.
const STOP_SHORT: Duration = Duration::from_secs(10);
/// A node that leaves before this one has left the membership by then, even if it writes pages for longer.
const TURN: Duration = Duration::from_secs(10);
/// By then the services have noticed, and what they had begun is done.
const SENT_AWAY: Duration = Duration::from_millis(2_500);
/// The others hear what this node knew, if they answer at once.
const FAREWELL: Duration = Duration::from_secs(5);
/// A node that has everything and is not in step after this long was forgotten.
const FORGOTTEN: Duration = Duration::from_secs(20);

/// The result of checking MariaDB.
pub(super) enum Verdict {
    Stay,
    /// It had better be started anew, and why.
    Withdraw(&'static str),
    /// It fills the volume.
    MakeRoom,
}

impl Agent {
    /// Runs MariaDB until it ends.
    pub(super) async fn supervise(&self, course: Course) -> Result<Ended, AgentError> {
        let shared = &self.shared;
        shared.set_stage(course.stage);
        let mut child = mariadb::spawn(&shared.volume, &course.mode, course.data)?;
        let group = child.id();
        let mut watch = Watch::new(matches!(course.mode, Mode::Bootstrap));
        shared.count_start();
        let ended = loop {
            tokio::select! {
                status = child.wait() => {
                    shared.count_death();
                    break Ended::Died(status.map_err(|source| ServerError::Io { path: "mariadbd".into(), source })?);
                }
                () = self.stop.cancelled() => {
                    self.leave(&mut child, STOP).await;
                    tracing::info!("MariaDB has stopped in order");
                    break Ended::Asked;
                }
                verdict = self.observe(&mut watch) => match verdict {
                    Verdict::Stay => {}
                    Verdict::Withdraw(why) => {
                        self.say(why, true);
                        self.end(&mut child, STOP).await;
                        break Ended::Withdrawn;
                    }
                    Verdict::MakeRoom => if self.make_room(&mut child).await {
                        break Ended::Full;
                    },
                },
            }
        };
        mariadb::end_helpers(group);
        Ok(ended)
    }

    /// Ends MariaDB so that the others go on, and know what this node knew.
    pub(super) async fn leave(&self, child: &mut Child, limit: Duration) {
        let shared = &self.shared;
        let member = shared.stage() == Stage::Primary;
        let _ = tokio::time::timeout(TURN, self.wait_for_turn()).await;
        if member {
            // The remaining nodes continue without this one: it must know them up to the last moment. A node that was
            // cut off and came back since the last check has not registered.
            let _ = shared.look_at_membership().await;
            // On a full volume every write waits for space, and being sent away would wait with it.
            if !shared.lacks_space() {
                self.send_away().await;
            }
        }
        self.end(child, limit).await;
        let _ = tokio::time::timeout(FAREWELL, self.say_farewell()).await;
        shared.set_leaves(false);
    }

    /// The services look every second how each node is, and leave one that is out of step where another is in step: so
    /// no service uses this node when MariaDB ends. When the other nodes leave too, waiting has no use.
    async fn send_away(&self) {
        let shared = &self.shared;
        let found = shared.client.ask_all().await;
        let others = found
            .answers
            .values()
            .filter(|answer| answer.boot != shared.boot && answer.cluster == shared.config.cluster);
        let stages: Vec<_> = others.map(|other| other.node.stage).collect();
        if stages.contains(&Stage::Primary) && !stages.contains(&Stage::Stopping) {
            match backup::desync(shared, true).await {
                Ok(()) => tokio::time::sleep(SENT_AWAY).await,
                Err(error) => tracing::debug!("the services are not sent away: {error}"),
            }
        }
    }

    /// Nodes that leave at the very same time look to the others like nodes that were cut off, and leave them without a
    /// majority. So they leave one after the other: first a node that has begun to leave, then the highest slot.
    async fn wait_for_turn(&self) {
        let shared = &self.shared;
        shared.set_stage(Stage::Stopping);
        // It is said between two looks whose turn it is: of two nodes that say so, at least one sees the other.
        let mut free = 0;
        while free < 2 {
            let found = shared.client.ask_all().await;
            let before_us = found.answers.values().any(|answer| {
                answer.boot != shared.boot
                    && answer.cluster == shared.config.cluster
                    && answer.node.stage == Stage::Stopping
                    && (answer.leaves || answer.node.slot > shared.config.slot)
            });
            free = if before_us { 0 } else { free + 1 };
            shared.set_leaves(free > 0);
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    }

    /// Stops MariaDB in order: it writes everything out, and the others do not count it any more.
    async fn end(&self, child: &mut Child, limit: Duration) {
        // A copy that is not finished is worth nothing, and MariaDB does not stop before it is.
        let joining = self.shared.memory().is_some_and(|memory| memory.joining);
        let limit = if joining { limit.min(STOP_SHORT) } else { limit };
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

    /// Tells the members who go on what this node knew.
    async fn say_farewell(&self) {
        let Some(memory) = self.shared.memory() else {
            return;
        };
        let farewell = Farewell { memory };
        let found = self.shared.client.ask_all().await;
        for (at, answer) in found.answers {
            if answer.boot != self.shared.boot {
                let _ = self.shared.client.say_farewell(at, answer.boot, &farewell).await;
            }
        }
    }

    /// Looks at MariaDB once a tick.
    async fn observe(&self, watch: &mut Watch) -> Verdict {
        tokio::time::sleep(TICK).await;
        let shared = &self.shared;
        if self.lacks_space(watch).await {
            return Verdict::MakeRoom;
        }
        let asked = tokio::time::timeout(Duration::from_secs(3), sql::status(&shared.sql)).await;
        let status = match asked {
            Ok(Ok(status)) => status,
            Ok(Err(sqlx::Error::Database(error))) if error.message().contains("Access denied") => {
                // A database that was just made, or a secret that was changed.
                let account = sql::agent_account(&self.password);
                if let Err(error) = mariadb::administer(&shared.volume, &account).await {
                    tracing::debug!(%error, "the agent has no account yet");
                }
                return Verdict::Stay;
            }
            _ => return Verdict::Stay,
        };
        let is = |name: &str, value: &str| status.get(name).is_some_and(|is| is == value);
        let primary = is("cluster_status", "Primary");
        let in_step = is("local_state", "4") || is("local_state", "2");
        let position = position(&status).filter(|_| primary);
        if let Some(position) = position {
            shared.set_data(position);
        }
        let comment = status.get("local_state_comment").cloned().unwrap_or_default();
        shared.set_status(status);
        if primary && in_step {
            watch.forgotten = Forgotten::default();
            self.in_step(watch, &comment).await;
            Verdict::Stay
        } else if primary {
            watch.alone_since = None;
            shared.set_stage(Stage::Joining);
            self.say("catching up with the cluster", false);
            self.is_forgotten(watch, position).await
        } else {
            watch.forgotten = Forgotten::default();
            self.without_majority(watch).await
        }
    }

    /// Galera forgets a node that has caught up when another one comes in at that very moment: it then gets every write
    /// and is never called in step.
    async fn is_forgotten(&self, watch: &mut Watch, position: Option<Data>) -> Verdict {
        let found = self.shared.client.ask_all().await;
        let newest = found
            .answers
            .values()
            .filter(|answer| answer.node.stage == Stage::Primary)
            .filter_map(|answer| answer.node.data.seqno())
            .max();
        let ours = position.and_then(Data::seqno);
        if watch.forgotten.look(ours, newest, Instant::now()) {
            Verdict::Withdraw(
                "this node has everything and is not called in step; stopping MariaDB to join anew",
            )
        } else {
            Verdict::Stay
        }
    }

    async fn in_step(&self, watch: &mut Watch, comment: &str) {
        let shared = &self.shared;
        watch.alone_since = None;
        if let Err(error) = shared.look_at_membership().await {
            if watch.remembers {
                tracing::warn!("the membership cannot be remembered: {error}");
            }
            watch.remembers = false;
            return;
        }
        watch.remembers = true;
        if !watch.weighs {
            watch.weighs = self.weigh_in().await;
        }
        shared.set_stage(Stage::Primary);
        self.say(&format!("running: {comment}"), false);
        if watch.accounts != Accounts::Made {
            match self.make_accounts(watch.accounts == Accounts::Renew).await {
                Ok(()) => watch.accounts = Accounts::Made,
                Err(error) => {
                    tracing::warn!(%error, "the accounts of the services could not be made; trying again");
                }
            }
        }
    }

    /// Has this node count in full among the others, once all of them know of it. Whether it does.
    async fn weigh_in(&self) -> bool {
        let shared = &self.shared;
        let found = shared.client.ask_all().await;
        let peers: Vec<Node> = Peers::of(&found, shared)
            .answers
            .into_values()
            .map(|(_, answer)| answer.node)
            .collect();
        is_known_to_all(&shared.node(), &peers) && shared.weigh_in().await.is_ok()
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

    /// Whether a node without a majority had better stop: Galera goes on by itself when enough of the last members are
    /// still running and meet again, and never otherwise.
    async fn without_majority(&self, watch: &mut Watch) -> Verdict {
        if self.should_withdraw(watch).await {
            Verdict::Withdraw(
                "no majority comes back by itself; stopping MariaDB to start the cluster together with the others",
            )
        } else {
            Verdict::Stay
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
        let found = shared.client.ask_all().await;
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
            // It should have been taken back by now.
            return alone > Duration::from_secs(20);
        }
        let hopeless = running * 2 <= memory.members.len();
        (stopped > 0 && hopeless)
            || (members.len() == memory.members.len() && alone > Duration::from_secs(30))
    }
}

/// The observed state of a running MariaDB.
pub(super) struct Watch {
    accounts: Accounts,
    /// Whether it counts in full when the nodes vote on who goes on.
    weighs: bool,
    remembers: bool,
    alone_since: Option<Instant>,
    forgotten: Forgotten,
    /// Whether writes are refused because no node has space left.
    pub(super) read_only: bool,
}

/// The pending work on the services' accounts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Accounts {
    /// Update them: no other node has.
    Renew,
    /// Make them if any is missing.
    Look,
    /// Nothing.
    Made,
}

/// Distinguishes a forgotten node from one that catches up.
#[derive(Default)]
struct Forgotten {
    /// Where the others stood at the last look.
    others_had: Option<i64>,
    /// Since when it has all that they had.
    since: Option<Instant>,
}

impl Forgotten {
    /// Notes where this node and the newest of the others stand. Whether it has had everything for too long.
    fn look(&mut self, ours: Option<i64>, others: Option<i64>, now: Instant) -> bool {
        // The other nodes' positions a moment ago: while they write, they are always a little ahead.
        let before = std::mem::replace(&mut self.others_had, others);
        if before.is_none() || ours < before {
            self.since = None;
            return false;
        }
        now.duration_since(*self.since.get_or_insert(now)) >= FORGOTTEN
    }
}

impl Watch {
    fn new(bootstrapped: bool) -> Self {
        Self {
            accounts: if bootstrapped {
                Accounts::Renew
            } else {
                Accounts::Look
            },
            weighs: bootstrapped,
            remembers: true,
            alone_since: None,
            forgotten: Forgotten::default(),
            read_only: false,
        }
    }
}

/// Where MariaDB stands.
fn position(status: &Status) -> Option<Data> {
    let cluster = status.get("local_state_uuid")?.parse().ok();
    let seqno = status.get("last_committed")?.parse().ok()?;
    cluster.is_some().then_some(Data::At { cluster, seqno })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a node is found forgotten that is so far behind at each look, a second apart, while the others write.
    fn is_found(behind: impl IntoIterator<Item = i64>) -> bool {
        let (mut forgotten, began) = (Forgotten::default(), Instant::now());
        (0_u32..).zip(behind).any(|(second, behind)| {
            let theirs = 1000 + 10 * i64::from(second);
            let now = began + Duration::from_secs(1) * second;
            forgotten.look(Some(theirs - behind), Some(theirs), now)
        })
    }

    #[test]
    fn only_who_has_everything_for_long_was_forgotten() {
        assert!(is_found([0; 22]));
        // The others are asked a moment later than this node's own MariaDB.
        assert!(is_found([9; 22]));
        assert!(!is_found([0; 20]), "too early");
        // One that catches up is left alone, however long it takes, and one that falls back is as well.
        assert!(!is_found((11..1000).rev()));
        assert!(!is_found([vec![0; 15], vec![50], vec![0; 15]].concat()));
    }

    #[test]
    fn who_knows_nothing_of_the_others_was_not_forgotten() {
        let (mut forgotten, began) = (Forgotten::default(), Instant::now());
        for second in 0..60 {
            let now = began + Duration::from_secs(second);
            assert!(!forgotten.look(Some(7), None, now));
            assert!(!Forgotten::default().look(None, Some(7), now));
        }
    }
}
