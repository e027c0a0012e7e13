//! What a node does with what it knows. Pure functions: the model in `tests/it` runs them through every order of
//! crashes, restarts and silence of a small cluster.
//!
//! The rule that all of it serves: an acknowledged write is on a member of the last membership. So while nobody runs,
//! the cluster starts only when all of those are back (and everyone whom they let in since), from the one that has
//! the most, after all have agreed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::memory::{Bootstrap, Expected, Memory, NodeId, Slot, ViewId};

/// What is on a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Data {
    /// Nothing.
    Empty,
    /// A copy that was not finished.
    Incomplete,
    /// A database, and where it stands.
    At {
        /// Its cluster; none before its first start.
        cluster: Option<Uuid>,
        /// How many write sets of the cluster it has.
        seqno: i64,
    },
}

impl Data {
    /// Where a database stands.
    pub fn seqno(self) -> Option<i64> {
        match self {
            Self::At { seqno, .. } => Some(seqno),
            Self::Empty | Self::Incomplete => None,
        }
    }
}

/// What a node is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It finds out what it has.
    Recovering,
    /// Its database is stopped, and it looks for a way to start it.
    Deciding {
        /// What it asks the others to agree on, when it does.
        ballot: Option<u64>,
    },
    /// All have agreed that it starts the cluster.
    Bootstrapping {
        /// What they agreed on.
        ballot: u64,
    },
    /// Its database starts, towards a cluster that runs.
    Joining,
    /// Its database is part of the running cluster.
    Primary,
    /// Its database runs without a majority, and refuses everything.
    NonPrimary,
    /// Its database stops.
    Stopping,
}

/// What one node knows of itself, and tells the others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Node {
    /// The identity of its volume.
    pub id: NodeId,
    /// Its number in the service.
    pub slot: Slot,
    /// What it has.
    pub data: Data,
    /// What it remembers.
    pub memory: Option<Memory>,
    /// What it is at.
    pub stage: Stage,
}

impl Node {
    /// The cluster that it belongs to.
    pub fn cluster(&self) -> Option<Uuid> {
        let of_data = match self.data {
            Data::At { cluster, .. } => cluster,
            Data::Empty | Data::Incomplete => None,
        };
        of_data.or(self.memory.as_ref().and_then(|memory| memory.cluster))
    }

    fn seqno(&self) -> Option<i64> {
        self.data.seqno()
    }

    /// Whether it never had anything. A founder that died before its cluster had a name is like that too: nobody
    /// joins a cluster without one.
    fn is_new(&self) -> bool {
        let unnamed = self.memory.as_ref().is_none_or(|memory| memory.cluster.is_none());
        self.data == Data::Empty && unnamed
    }

    /// Whether it had data once, and has none now although nobody was replacing it.
    fn has_lost_data(&self) -> bool {
        let joining = self.memory.as_ref().is_some_and(|memory| memory.joining);
        self.seqno().is_none() && !joining && !self.is_new()
    }

    fn is_stopped(&self) -> bool {
        matches!(self.stage, Stage::Deciding { .. })
    }

    /// More is better; of two that have the same, the lower slot.
    fn rank(&self) -> (i64, Reverse<Slot>, Reverse<NodeId>) {
        (
            self.seqno().unwrap_or(i64::MIN),
            Reverse(self.slot),
            Reverse(self.id),
        )
    }
}

/// What else a decision depends on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Around {
    /// How many addresses were found that did not answer.
    pub silent: usize,
    /// How many nodes a new cluster is founded with.
    pub founders: u32,
    /// Whether an operator gives up those who are missing.
    pub forced: bool,
    /// Whether those who are missing had time enough.
    pub waited: bool,
}

/// What a node does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Start the cluster, once all of these have agreed.
    Bootstrap(Plan),
    /// Join the running cluster, once all of its members have taken note.
    Join {
        /// Its members.
        members: BTreeMap<NodeId, Slot>,
    },
    /// Ask again soon.
    Wait(Waiting),
    /// Ask again soon too, but somebody has to do something first.
    Refuse(Refusal),
}

/// A start of the cluster that needs agreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Everyone who takes part, the node itself too.
    pub participants: BTreeMap<NodeId, Slot>,
    /// What the one with the newest membership remembers; none when the cluster is founded.
    pub newest: Option<Memory>,
    /// Whether an operator gave up those who are missing.
    pub forced: bool,
}

/// Slots, as a person says them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots(pub Vec<Slot>);

impl fmt::Display for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        match numbers.as_slice() {
            [one] => write!(f, "the node in slot {one}"),
            more => write!(f, "the nodes in slots {}", more.join(" and ")),
        }
    }
}

/// Why there is nothing to do yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Waiting {
    /// Galera forgets one who comes into step at the moment that another one comes in.
    #[error("waiting for {0} to be in step: one node joins at a time")]
    Joiner(Slots),
    /// Joining needs every member.
    #[error("waiting for {0} to answer: the running cluster counts on it, and has to know who joins")]
    Member(Slots),
    /// The cluster is being started.
    #[error("waiting for {0}, which starts the cluster")]
    Starting(Slots),
    /// The cluster is not founded here.
    #[error("this volume is empty; waiting for a cluster to join, or for slot 1 to found one")]
    Founder,
    /// The founder waits for the others, to be sure that none has data.
    #[error(
        "a new cluster is founded when {wanted} nodes are there and all are empty; {missing} missing, {silent} silent"
    )]
    Founders {
        /// How many it takes.
        wanted: u32,
        /// How many slots nobody answers for.
        missing: usize,
        /// How many addresses do not answer.
        silent: usize,
    },
    /// An empty node waits for those who have data.
    #[error("this volume has no data; waiting for {0} to start the cluster")]
    Data(Slots),
    /// Members of the last membership are missing.
    #[error("nobody runs; waiting for {0}, which may have newer data")]
    Missing(Slots),
    /// Somebody has not stopped yet.
    #[error("nobody has a majority; waiting for {0} to stop and recover its position")]
    Unsettled(Slots),
    /// Another one starts the cluster.
    #[error("waiting for {0} to start the cluster: it has the newest data")]
    Better(Slots),
}

/// What keeps a node from starting, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Two clusters meet.
    #[error(
        "this volume belongs to cluster {own}, but the node in slot {slot} belongs to cluster {other}; they never mix. \
         If this volume is the stranger, stop this node and move the volume's contents away: it then joins as an empty \
         node. Else do that with slot {slot}"
    )]
    Foreign {
        /// Ours.
        own: String,
        /// The other's slot.
        slot: Slot,
        /// The other's.
        other: String,
    },
    /// An empty node cannot choose.
    #[error(
        "this volume is empty and the other nodes belong to two clusters, {0} and {1}: stop the nodes of the wrong one"
    )]
    TwoClusters(Uuid, Uuid),
    /// A copied volume.
    #[error(
        "the node in slot {0} has the same identity as this one: one volume is a copy of the other; empty the copy"
    )]
    Twin(Slot),
    /// The folder was exchanged.
    #[error(
        "the data on this volume are of cluster {data}, but the agent's memory beside them is of cluster {memory}: put back what belongs together"
    )]
    Exchanged {
        /// What the data say.
        data: Uuid,
        /// What the memory says.
        memory: Uuid,
    },
    /// The data is older or newer than any memory of it.
    #[error(
        "this volume has data but no memory of its cluster (restored from a backup?). If no node has newer data, run \
         `database-agent force-bootstrap` here; else move the volume's contents away and let the node join empty"
    )]
    NoMemory,
    /// The data went away while the memory stayed.
    #[error(
        "this node remembers a cluster but its data are gone. It joins as soon as another node runs; nothing is started from it"
    )]
    DataGone,
    /// An operator gave up what this node has.
    #[error(
        "this node has writes that were given up when the cluster was started without it, by force. Keep a copy of the \
         volume if they matter, then move its contents away: the node then joins empty"
    )]
    Diverged,
    /// Two starts by force that did not know of each other.
    #[error(
        "the cluster was started by force twice, once without the other, and both took writes ({0} among them): choose \
         one line, and move the contents of the other's volumes away"
    )]
    Split(Slots),
    /// Members of the last membership do not come back.
    #[error(
        "nobody runs, and {missing} may have newer data than seqno {seqno}, which is what is here. Start it (or them). \
         Only if it is lost for good: run `database-agent force-bootstrap` in this container, which gives up whatever \
         is nowhere else"
    )]
    Missing {
        /// Who.
        missing: Slots,
        /// What the nodes that are there have.
        seqno: i64,
    },
    /// The operator's flag is on the wrong node.
    #[error("force-bootstrap was set here, but the node in slot {0} has newer data: set it there")]
    ForceElsewhere(Slot),
}

/// Decides for `own`, whose database is stopped. `peers` are the answers of the others.
pub fn decide(own: &Node, peers: &[Node], around: Around) -> Decision {
    if let Some(refusal) = misplaced(own, peers) {
        return Decision::Refuse(refusal);
    }
    if let Some(decision) = join(own, peers) {
        return decision;
    }
    if own.seqno().is_none() {
        return without_data(own, peers, around);
    }
    if own.memory.is_none() {
        let alone = peers.iter().all(|peer| peer.cluster().is_none());
        return if around.forced && alone {
            Decision::Bootstrap(Plan {
                participants: BTreeMap::from([(own.id, own.slot)]),
                newest: None,
                forced: true,
            })
        } else {
            Decision::Refuse(Refusal::NoMemory)
        };
    }
    restart(own, peers, around)
}

/// Whether this volume should not be here.
fn misplaced(own: &Node, peers: &[Node]) -> Option<Refusal> {
    if let (
        Data::At {
            cluster: Some(data), ..
        },
        Some(memory),
    ) = (own.data, &own.memory)
        && let Some(memory) = memory.cluster
        && memory != data
    {
        return Some(Refusal::Exchanged { data, memory });
    }
    if let Some(twin) = peers.iter().find(|peer| peer.id == own.id) {
        return Some(Refusal::Twin(twin.slot));
    }
    let mut others = peers.iter().filter_map(|peer| Some((peer.slot, peer.cluster()?)));
    if own.is_new() {
        let (_, first) = others.next()?;
        let (_, second) = others.find(|(_, other)| *other != first)?;
        return Some(Refusal::TwoClusters(first, second));
    }
    let cluster = own.cluster();
    let (slot, other) = others.find(|(_, other)| Some(*other) != cluster)?;
    Some(Refusal::Foreign {
        own: cluster.map_or_else(|| "(not yet named)".to_owned(), |cluster| cluster.to_string()),
        slot,
        other: other.to_string(),
    })
}

/// A cluster that runs is joined.
fn join(own: &Node, peers: &[Node]) -> Option<Decision> {
    let running = peers
        .iter()
        .filter(|peer| peer.stage == Stage::Primary)
        .filter_map(|peer| peer.memory.as_ref())
        .max_by_key(|memory| memory.view)?;
    if !own.is_new() {
        match &own.memory {
            None => return Some(Decision::Refuse(Refusal::NoMemory)),
            Some(_) if !descends(own, &running.history) => return Some(Decision::Refuse(Refusal::Diverged)),
            Some(_) => {}
        }
    }
    // The process that this volume ran before may still be counted as one.
    let silent: Vec<_> = running
        .members
        .iter()
        .filter(|(id, _)| **id != own.id)
        .filter(|(id, _)| {
            !peers
                .iter()
                .any(|peer| peer.id == **id && matches!(peer.stage, Stage::Primary | Stage::Joining))
        })
        .map(|(_, slot)| *slot)
        .collect();
    if !silent.is_empty() {
        return Some(Decision::Wait(Waiting::Member(Slots(silent))));
    }
    let joiners: Vec<_> = peers
        .iter()
        .filter(|peer| peer.stage == Stage::Joining)
        .map(|peer| peer.slot)
        .collect();
    if !joiners.is_empty() {
        return Some(Decision::Wait(Waiting::Joiner(Slots(joiners))));
    }
    let mut members = running.members.clone();
    members.remove(&own.id);
    // Whoever runs is a member, even where the membership that tells so is not remembered yet.
    members.extend(
        peers
            .iter()
            .filter(|peer| peer.stage == Stage::Primary)
            .map(|peer| (peer.id, peer.slot)),
    );
    Some(Decision::Join { members })
}

fn without_data(own: &Node, peers: &[Node], around: Around) -> Decision {
    if own.has_lost_data() {
        return Decision::Refuse(Refusal::DataGone);
    }
    let with_data: Vec<_> = peers
        .iter()
        .filter(|peer| !peer.is_new())
        .map(|peer| peer.slot)
        .collect();
    if !with_data.is_empty() {
        return Decision::Wait(Waiting::Data(Slots(with_data)));
    }
    if own.slot != 1 || !own.is_new() {
        return Decision::Wait(Waiting::Founder);
    }
    let empty: BTreeMap<_, _> = peers
        .iter()
        .filter(|peer| peer.is_stopped())
        .map(|peer| (peer.slot, peer.id))
        .collect();
    let missing = (2..=around.founders)
        .filter(|slot| !empty.contains_key(slot))
        .count();
    // Whoever is silent, or sits in our slot, may have the data of a cluster that exists.
    if missing > 0 || around.silent > 0 || peers.len() != empty.len() || empty.contains_key(&1) {
        return Decision::Wait(Waiting::Founders {
            wanted: around.founders,
            missing,
            silent: around.silent,
        });
    }
    let mut participants: BTreeMap<_, _> = empty.into_iter().map(|(slot, id)| (id, slot)).collect();
    participants.insert(own.id, own.slot);
    Decision::Bootstrap(Plan {
        participants,
        newest: None,
        forced: false,
    })
}

/// Nobody runs: all of the last members are needed, and the one with the most starts.
fn restart(own: &Node, peers: &[Node], around: Around) -> Decision {
    if let Some(starting) = peers
        .iter()
        .find(|peer| matches!(peer.stage, Stage::Bootstrapping { .. }))
    {
        return Decision::Wait(Waiting::Starting(Slots(vec![starting.slot])));
    }
    let everyone: BTreeMap<NodeId, &Node> = std::iter::once(own)
        .chain(peers)
        .filter(|node| node.cluster() == own.cluster() && node.memory.is_some())
        .map(|node| (node.id, node))
        .collect();
    let memories = || everyone.values().filter_map(|node| node.memory.as_ref());
    let Some(newest) = memories().max_by_key(|memory| memory.view) else {
        return Decision::Refuse(Refusal::NoMemory);
    };
    if let Some(decision) = split(own, &everyone, newest) {
        return decision;
    }
    if !descends(own, &newest.history) {
        return Decision::Refuse(Refusal::Diverged);
    }
    // Those whose writes were given up refuse by themselves, and decide nothing.
    let pool: Vec<&Node> = everyone
        .values()
        .copied()
        .filter(|node| descends(node, &newest.history))
        .collect();
    let best = pool
        .iter()
        .filter(|node| node.seqno().is_some())
        .max_by_key(|node| node.rank())
        .map_or(own, |node| node);
    let missing: Vec<_> = needed(newest, &everyone)
        .into_iter()
        .filter(|(id, _)| {
            let there = everyone.get(id).is_some_and(|node| !node.has_lost_data());
            // Let in, or counted on when the cluster was founded, but it never got to the point of joining.
            let new = peers.iter().any(|peer| peer.id == *id && peer.is_new());
            !there && !new
        })
        .map(|(_, slot)| slot)
        .collect();
    if !missing.is_empty() && !around.forced {
        let missing = Slots(missing);
        return if around.waited {
            let seqno = best.seqno().unwrap_or(-1);
            Decision::Refuse(Refusal::Missing { missing, seqno })
        } else {
            Decision::Wait(Waiting::Missing(missing))
        };
    }
    let unsettled: Vec<_> = pool
        .iter()
        .filter(|node| !node.is_stopped())
        .map(|node| node.slot)
        .collect();
    if !unsettled.is_empty() {
        return Decision::Wait(Waiting::Unsettled(Slots(unsettled)));
    }
    if best.id != own.id {
        return if around.forced {
            Decision::Refuse(Refusal::ForceElsewhere(best.slot))
        } else {
            Decision::Wait(Waiting::Better(Slots(vec![best.slot])))
        };
    }
    Decision::Bootstrap(Plan {
        participants: pool.iter().map(|node| (node.id, node.slot)).collect(),
        newest: Some(newest.clone()),
        forced: !missing.is_empty(),
    })
}

/// The members of the newest membership, whom they let in since, and whom those let in.
fn needed(newest: &Memory, everyone: &BTreeMap<NodeId, &Node>) -> BTreeMap<NodeId, Slot> {
    let mut needed = newest.members.clone();
    let mut unread: Vec<NodeId> = needed.keys().copied().collect();
    while let Some(id) = unread.pop() {
        let Some(memory) = everyone.get(&id).and_then(|node| node.memory.as_ref()) else {
            continue;
        };
        for (expected, Expected { slot, .. }) in &memory.expected {
            if needed.insert(*expected, *slot).is_none() {
                unread.push(*expected);
            }
        }
    }
    needed
}

/// Two lines of starts that went on beside each other: nobody but a person can choose.
fn split(own: &Node, everyone: &BTreeMap<NodeId, &Node>, newest: &Memory) -> Option<Decision> {
    let last = newest.history.last()?;
    let same_start = |node: &&&Node| {
        significant(node)
            .last()
            .is_some_and(|start| start.epoch == last.epoch)
    };
    let other_line = |node: &Node| significant(node).last().is_some_and(|start| start.id != last.id);
    if !everyone.values().filter(same_start).any(|node| other_line(node)) {
        return None;
    }
    let slots = everyone
        .values()
        .filter(same_start)
        .filter(|node| node.id != own.id)
        .map(|node| node.slot);
    Some(Decision::Refuse(Refusal::Split(Slots(slots.collect()))))
}

/// The starts that a node's data went through. One after which nothing was written left no trace.
fn significant(node: &Node) -> &[Bootstrap] {
    let history = node
        .memory
        .as_ref()
        .map_or(&[][..], |memory| memory.history.as_slice());
    let Some(seqno) = node.seqno() else {
        return history;
    };
    let written = history.iter().take_while(|start| start.seqno < seqno).count();
    &history[..written]
}

/// Whether everything that `node` has is also in the line of starts `history`.
fn descends(node: &Node, history: &[Bootstrap]) -> bool {
    let Some(last) = significant(node).last() else {
        return true;
    };
    let Some(at) = history
        .iter()
        .position(|start| start.epoch == last.epoch && start.id == last.id)
    else {
        return false;
    };
    // It may not have gone on where the others had already started again from less.
    match (history.get(at + 1), node.seqno()) {
        (Some(next), Some(seqno)) => seqno <= next.seqno,
        _ => true,
    }
}

/// Whether every other member remembers a membership with `own` in it that is no older than its own last one. Only then
/// may it count in full: one that remembers going on without it must not find later that this node, without having
/// registered, is what others go on with. Those who are still being copied to remember nothing of the kind, and start
/// nothing without those who let them in.
pub fn is_known_to_all(own: &Node, peers: &[Node]) -> bool {
    let Some(memory) = &own.memory else { return false };
    let knows = |peer: &Node| match &peer.memory {
        Some(theirs) if peer.stage != Stage::Joining => {
            theirs.view >= memory.view && theirs.members.contains_key(&own.id)
        }
        theirs => theirs.is_some(),
    };
    memory
        .members
        .keys()
        .filter(|id| **id != own.id)
        .all(|id| peers.iter().any(|peer| peer.id == *id && knows(peer)))
}

/// What a node that wants to start the cluster asks each of the others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Proposal {
    /// Who wants to.
    pub by: NodeId,
    /// Its process: another one knows nothing of this.
    pub boot: u64,
    /// Which attempt.
    pub ballot: u64,
    /// Its slot.
    pub slot: Slot,
    /// Its cluster; none when it founds one.
    pub cluster: Option<Uuid>,
    /// What it has.
    pub seqno: i64,
    /// The newest membership that it knows of; none when it founds the cluster.
    pub newest: Option<ViewId>,
    /// Who takes part.
    pub participants: BTreeSet<NodeId>,
    /// Whether an operator gave up the others.
    pub forced: bool,
}

/// What a node has agreed to. It holds until the other one runs, or is seen to have given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Promise {
    /// To whom.
    pub to: NodeId,
    /// To which process.
    pub boot: u64,
    /// To which attempt.
    pub ballot: u64,
}

impl Promise {
    /// Whether an answer that was asked for after the promise shows that nothing came of it.
    pub fn is_void(&self, stage: Stage, boot: u64) -> bool {
        let current = match stage {
            Stage::Deciding { ballot } => ballot,
            Stage::Bootstrapping { ballot } => Some(ballot),
            // It has started, or has stopped again.
            _ => None,
        };
        boot != self.boot || current != Some(self.ballot)
    }
}

/// Why a node does not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objection {
    /// Its database may be running.
    #[error("its database is not stopped")]
    Running,
    /// It wants to start the cluster itself.
    #[error("it proposes a start itself")]
    Proposing,
    /// It has agreed to another one.
    #[error("it has agreed to another start")]
    Promised,
    /// The proposal does not count on it.
    #[error("it takes no part in this start")]
    Stranger,
    /// It belongs to another cluster.
    #[error("it belongs to another cluster")]
    Foreign,
    /// It knows of a later membership.
    #[error("it remembers a later membership")]
    Later,
    /// It has more.
    #[error("it has newer data")]
    Newer,
}

/// Whether `own`, which is bound by `promise`, agrees that another node starts the cluster.
pub fn consider(own: &Node, promise: Option<&Promise>, proposal: &Proposal) -> Result<(), Objection> {
    match own.stage {
        Stage::Deciding { ballot: None } => {}
        Stage::Deciding { ballot: Some(_) } => return Err(Objection::Proposing),
        _ => return Err(Objection::Running),
    }
    let bound = promise.is_some_and(|promise| {
        let other = (promise.to, promise.boot) != (proposal.by, proposal.boot);
        let given_up = proposal.forced && !proposal.participants.contains(&promise.to);
        other && !given_up
    });
    if bound {
        return Err(Objection::Promised);
    }
    if !proposal.participants.contains(&own.id) {
        return Err(Objection::Stranger);
    }
    if own.is_new() {
        return Ok(());
    }
    if own.cluster() != proposal.cluster || proposal.newest.is_none() {
        return Err(Objection::Foreign);
    }
    if own.memory.as_ref().map(|memory| memory.view) > proposal.newest {
        return Err(Objection::Later);
    }
    let theirs = (proposal.seqno, Reverse(proposal.slot), Reverse(proposal.by));
    if own.seqno().is_some() && own.rank() > theirs {
        return Err(Objection::Newer);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Start;

    const CLUSTER: Uuid = Uuid::from_u128(7);

    fn around() -> Around {
        Around {
            silent: 0,
            founders: 3,
            forced: false,
            waited: true,
        }
    }

    fn forced() -> Around {
        Around {
            forced: true,
            ..around()
        }
    }

    /// A member of a cluster of three that was started once, stopped, with so much data.
    fn member(slot: Slot, seqno: i64) -> Node {
        let participants = (1..=3).map(|slot| (NodeId(slot.into()), slot)).collect();
        let start = Start {
            id: Uuid::from_u128(1),
            cluster: Some(CLUSTER),
            seqno: -1,
            forced: false,
            participants,
        };
        Node {
            id: NodeId(slot.into()),
            slot,
            data: Data::At {
                cluster: Some(CLUSTER),
                seqno,
            },
            memory: Some(Memory::of_bootstrapper(None, &start)),
            stage: Stage::Deciding { ballot: None },
        }
    }

    fn empty(slot: Slot) -> Node {
        Node {
            data: Data::Empty,
            memory: None,
            ..member(slot, 0)
        }
    }

    /// What `node` is after it has started the cluster with what `plan` says, and has written.
    fn started(node: &Node, plan: &Plan, id: u128, written: i64) -> Node {
        let start = Start {
            id: Uuid::from_u128(id),
            cluster: node.cluster(),
            seqno: node.seqno().unwrap(),
            forced: plan.forced,
            participants: plan.participants.clone(),
        };
        Node {
            memory: Some(Memory::of_bootstrapper(plan.newest.as_ref(), &start)),
            data: Data::At {
                cluster: Some(CLUSTER),
                seqno: start.seqno + written,
            },
            ..node.clone()
        }
    }

    fn plan(decision: Decision) -> Plan {
        match decision {
            Decision::Bootstrap(plan) => plan,
            other => panic!("it does not start the cluster: {other:?}"),
        }
    }

    #[test]
    fn the_newest_starts_and_the_lowest_slot_of_equals() {
        let (one, two, three) = (member(1, 5), member(2, 6), member(3, 6));
        let better = Decision::Wait(Waiting::Better(Slots(vec![2])));
        assert_eq!(decide(&one, &[two.clone(), three.clone()], around()), better);
        assert_eq!(decide(&three, &[one.clone(), two.clone()], around()), better);
        assert!(!plan(decide(&two, &[one, three], around())).forced);
    }

    #[test]
    fn who_is_missing_is_waited_for_and_then_asked_for() {
        let (one, two) = (member(1, 5), member(2, 6));
        let early = Around {
            waited: false,
            ..around()
        };
        let missing = Slots(vec![3]);
        assert_eq!(
            decide(&two, std::slice::from_ref(&one), early),
            Decision::Wait(Waiting::Missing(missing.clone()))
        );
        let refusal = Refusal::Missing { missing, seqno: 6 };
        assert_eq!(decide(&two, &[one], around()), Decision::Refuse(refusal));
    }

    #[test]
    fn force_starts_from_the_newest_that_is_there_and_from_no_other() {
        let (one, two) = (member(1, 5), member(2, 6));
        let elsewhere = Decision::Refuse(Refusal::ForceElsewhere(2));
        assert_eq!(decide(&one, std::slice::from_ref(&two), forced()), elsewhere);
        assert!(plan(decide(&two, &[one], forced())).forced);
    }

    #[test]
    fn writes_that_were_given_up_do_not_come_back() {
        let (one, two, three) = (member(1, 5), member(2, 6), member(3, 8));
        let plan = plan(decide(&two, std::slice::from_ref(&one), forced()));
        let running = Node {
            stage: Stage::Primary,
            memory: started(&two, &plan, 2, 1).memory.map(|mut memory| {
                memory.saw_view(CLUSTER, 1, &BTreeMap::from([(two.id, 2)]));
                memory
            }),
            ..two
        };
        let peers = [running];
        assert_eq!(
            decide(&three, &peers, around()),
            Decision::Refuse(Refusal::Diverged)
        );
        // One that has no more than the cluster was started with is only late.
        assert!(matches!(
            decide(&member(3, 6), &peers, around()),
            Decision::Join { .. }
        ));
        assert!(matches!(decide(&one, &peers, around()), Decision::Join { .. }));
    }

    #[test]
    fn two_forced_halves_never_mix() {
        let (one, two) = (member(1, 5), member(2, 6));
        let left = started(&one, &plan(decide(&one, &[], forced())), 2, 3);
        let right = started(&two, &plan(decide(&two, &[], forced())), 3, 3);
        for (own, other) in [(&left, &right), (&right, &left)] {
            let decision = decide(own, std::slice::from_ref(other), around());
            assert!(
                matches!(decision, Decision::Refuse(Refusal::Split(_))),
                "{decision:?}"
            );
        }
    }

    #[test]
    fn another_clusters_volume_is_refused() {
        let mut stranger = member(3, 50);
        stranger.id = NodeId(99);
        stranger.data = Data::At {
            cluster: Some(Uuid::from_u128(8)),
            seqno: 50,
        };
        stranger.memory.as_mut().unwrap().cluster = Some(Uuid::from_u128(8));
        let running = Node {
            stage: Stage::Primary,
            ..member(1, 6)
        };
        let decision = decide(&stranger, &[running], around());
        assert!(matches!(
            decision,
            Decision::Refuse(Refusal::Foreign { slot: 1, .. })
        ));
    }

    #[test]
    fn a_cluster_is_founded_once_and_by_all() {
        let (one, two, three) = (empty(1), empty(2), empty(3));
        assert!(
            plan(decide(&one, &[two.clone(), three.clone()], around()))
                .newest
                .is_none()
        );
        // Two of three are not enough, nor is somebody who does not answer.
        let waits = |decision| matches!(decision, Decision::Wait(Waiting::Founders { .. }));
        assert!(waits(decide(&one, std::slice::from_ref(&two), around())));
        let silent = Around {
            silent: 1,
            ..around()
        };
        assert!(waits(decide(&one, &[two.clone(), three.clone()], silent)));
        assert_eq!(
            decide(&two, &[one.clone(), three], around()),
            Decision::Wait(Waiting::Founder)
        );
        // The others have data: slot 1 lost its own.
        let decision = decide(&one, &[member(2, 6), member(3, 6)], around());
        assert_eq!(decision, Decision::Wait(Waiting::Data(Slots(vec![2, 3]))));
    }

    #[test]
    fn a_member_whose_data_are_gone_has_not_come_back() {
        let (one, mut two, three) = (member(1, 5), member(2, 6), member(3, 5));
        two.data = Data::Empty;
        assert!(matches!(
            decide(&one, &[two.clone(), three.clone()], around()),
            Decision::Refuse(Refusal::Missing { .. })
        ));
        assert_eq!(
            decide(&two, &[one, three], around()),
            Decision::Refuse(Refusal::DataGone)
        );
    }
}
