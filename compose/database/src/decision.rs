//! Decides a node's next step from its state and its peers'. The functions are pure: the model checker in `tests/it`
//! runs them with all orders of crashes, restarts and network failures of a small cluster.
//!
//! The underlying rule: an acknowledged write is on a member of the last membership. So if no node runs, the cluster
//! starts only when all of those members (and the nodes that they have admitted since) are back, from the one with the
//! newest data, after all have agreed.

mod agreement;
mod reasons;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::agreement::{Objection, Promise, Proposal, consider};
pub use self::reasons::{Slots, StartRefusal, WaitReason};
use crate::cluster_record::{AdmittedNode, Bootstrap, ClusterRecord, NodeId, Slot};

/// The state of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeState {
    /// No data.
    Empty,
    /// An incomplete copy.
    Incomplete,
    /// A database with its position.
    At {
        /// The cluster; `None` before its first start.
        cluster: Option<Uuid>,
        /// The sequence number of its last write set.
        seqno: i64,
    },
}

impl VolumeState {
    /// The position of a database.
    pub fn seqno(self) -> Option<i64> {
        match self {
            Self::At { seqno, .. } => Some(seqno),
            Self::Empty | Self::Incomplete => None,
        }
    }
}

/// The stage of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Recovering the position.
    Recovering,
    /// The database is stopped, and the agent decides how to start it.
    Deciding {
        /// The ballot on which the other nodes should agree, if any.
        ballot: Option<u64>,
    },
    /// All nodes have agreed that this one starts the cluster.
    Bootstrapping {
        /// The ballot on which they agreed.
        ballot: u64,
    },
    /// The database is joining the running cluster.
    Joining,
    /// The database is part of the running cluster.
    Primary,
    /// The database runs without a majority and refuses all requests.
    NonPrimary,
    /// The database is stopping.
    Stopping,
}

/// The state of a node, as its peers see it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Node {
    /// The identity of its volume.
    pub id: NodeId,
    /// The number of the replica.
    pub slot: Slot,
    pub data: VolumeState,
    pub memory: Option<ClusterRecord>,
    pub stage: Stage,
}

impl Node {
    /// Returns the cluster of the node.
    pub fn cluster(&self) -> Option<Uuid> {
        let of_data = match self.data {
            VolumeState::At { cluster, .. } => cluster,
            VolumeState::Empty | VolumeState::Incomplete => None,
        };
        of_data.or(self.memory.as_ref().and_then(|memory| memory.cluster))
    }

    fn seqno(&self) -> Option<i64> {
        self.data.seqno()
    }

    /// Whether the node never had data. A node that crashed before its new cluster had an id counts as new, because no
    /// node joins a cluster without one.
    fn is_new(&self) -> bool {
        let unnamed = self.memory.as_ref().is_none_or(|memory| memory.cluster.is_none());
        self.data == VolumeState::Empty && unnamed
    }

    /// Whether the node has lost its data: it was a member, has no data, and no copy was in progress.
    fn has_lost_data(&self) -> bool {
        let joining = self.memory.as_ref().is_some_and(|memory| memory.joining);
        self.seqno().is_none() && !joining && !self.is_new()
    }

    fn is_stopped(&self) -> bool {
        matches!(self.stage, Stage::Deciding { .. })
    }

    /// Sorts by position, then by lower slot.
    fn rank(&self) -> (i64, Reverse<Slot>, Reverse<NodeId>) {
        (
            self.seqno().unwrap_or(i64::MIN),
            Reverse(self.slot),
            Reverse(self.id),
        )
    }
}

/// The inputs of a decision beside the nodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Situation {
    /// Number of addresses without a response.
    pub silent: usize,
    /// Number of nodes that a new cluster needs.
    pub founders: u32,
    /// Whether an operator forces a start without the missing nodes.
    pub forced: bool,
    /// Whether missing nodes had enough time to return.
    pub waited: bool,
}

/// The next step of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Start the cluster once all participants agree.
    Bootstrap(BootstrapPlan),
    /// Join the running cluster once all members have registered this node.
    Join {
        /// Its members.
        members: BTreeMap<NodeId, Slot>,
    },
    /// Wait and poll again.
    Wait(WaitReason),
    /// Wait for an operator.
    Refuse(StartRefusal),
}

/// A start of the cluster that needs agreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootstrapPlan {
    /// All participants, including the node.
    pub participants: BTreeMap<NodeId, Slot>,
    /// The cluster record with the newest membership. `None` for a new cluster.
    pub newest: Option<ClusterRecord>,
    /// Whether an operator forces the start without the missing nodes.
    pub forced: bool,
}

/// Decides the next step of `own`, whose database is stopped. `peers` are the other nodes.
pub fn decide(own: &Node, peers: &[Node], situation: Situation) -> Decision {
    if let Some(refusal) = misplaced(own, peers) {
        return Decision::Refuse(refusal);
    }
    if let Some(decision) = join(own, peers) {
        return decision;
    }
    if own.seqno().is_none() {
        return without_data(own, peers, situation);
    }
    if own.memory.is_none() {
        let alone = peers.iter().all(|peer| peer.cluster().is_none());
        return if situation.forced && alone {
            Decision::Bootstrap(BootstrapPlan {
                participants: BTreeMap::from([(own.id, own.slot)]),
                newest: None,
                forced: true,
            })
        } else {
            Decision::Refuse(StartRefusal::NoMemory)
        };
    }
    restart(own, peers, situation)
}

/// Why this volume does not belong to the cluster, if so.
fn misplaced(own: &Node, peers: &[Node]) -> Option<StartRefusal> {
    if let (
        VolumeState::At {
            cluster: Some(data), ..
        },
        Some(memory),
    ) = (own.data, &own.memory)
        && let Some(memory) = memory.cluster
        && memory != data
    {
        return Some(StartRefusal::Exchanged { data, memory });
    }
    if let Some(twin) = peers.iter().find(|peer| peer.id == own.id) {
        return Some(StartRefusal::Twin(twin.slot));
    }
    let mut others = peers.iter().filter_map(|peer| Some((peer.slot, peer.cluster()?)));
    if own.is_new() {
        let (_, first) = others.next()?;
        let (_, second) = others.find(|(_, other)| *other != first)?;
        return Some(StartRefusal::TwoClusters(first, second));
    }
    let cluster = own.cluster();
    let (slot, other) = others.find(|(_, other)| Some(*other) != cluster)?;
    Some(StartRefusal::Foreign {
        own: cluster.map_or_else(|| "(not yet named)".to_owned(), |cluster| cluster.to_string()),
        slot,
        other: other.to_string(),
    })
}

/// Joins a running cluster.
fn join(own: &Node, peers: &[Node]) -> Option<Decision> {
    let running = peers
        .iter()
        .filter(|peer| peer.stage == Stage::Primary)
        .filter_map(|peer| peer.memory.as_ref())
        .max_by_key(|memory| memory.view)?;
    if !own.is_new() {
        match &own.memory {
            None => return Some(Decision::Refuse(StartRefusal::NoMemory)),
            Some(_) if !descends(own, &running.history) => {
                return Some(Decision::Refuse(StartRefusal::Diverged));
            }
            Some(_) => {}
        }
    }
    // The previous process of this volume may still count as a member.
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
        return Some(Decision::Wait(WaitReason::Member(Slots(silent))));
    }
    let joiners: Vec<_> = peers
        .iter()
        .filter(|peer| peer.stage == Stage::Joining)
        .map(|peer| peer.slot)
        .collect();
    if !joiners.is_empty() {
        return Some(Decision::Wait(WaitReason::Joiner(Slots(joiners))));
    }
    let mut members = running.members.clone();
    members.remove(&own.id);
    // A running node is a member, even if its membership is not recorded yet.
    members.extend(
        peers
            .iter()
            .filter(|peer| peer.stage == Stage::Primary)
            .map(|peer| (peer.id, peer.slot)),
    );
    Some(Decision::Join { members })
}

fn without_data(own: &Node, peers: &[Node], situation: Situation) -> Decision {
    if own.has_lost_data() {
        return Decision::Refuse(StartRefusal::DataGone);
    }
    let with_data: Vec<_> = peers
        .iter()
        .filter(|peer| !peer.is_new())
        .map(|peer| peer.slot)
        .collect();
    if !with_data.is_empty() {
        return Decision::Wait(WaitReason::VolumeState(Slots(with_data)));
    }
    if own.slot != 1 || !own.is_new() {
        return Decision::Wait(WaitReason::Founder);
    }
    let empty: BTreeMap<_, _> = peers
        .iter()
        .filter(|peer| peer.is_stopped())
        .map(|peer| (peer.slot, peer.id))
        .collect();
    let missing = (2..=situation.founders)
        .filter(|slot| !empty.contains_key(slot))
        .count();
    // A silent node, or one in the same slot, may have the data of an existing cluster.
    if missing > 0 || situation.silent > 0 || peers.len() != empty.len() || empty.contains_key(&1) {
        return Decision::Wait(WaitReason::Founders {
            wanted: situation.founders,
            missing,
            silent: situation.silent,
        });
    }
    let mut participants: BTreeMap<_, _> = empty.into_iter().map(|(slot, id)| (id, slot)).collect();
    participants.insert(own.id, own.slot);
    Decision::Bootstrap(BootstrapPlan {
        participants,
        newest: None,
        forced: false,
    })
}

/// Restarts a stopped cluster: all members of the last membership are needed, and the one with the newest data starts.
fn restart(own: &Node, peers: &[Node], situation: Situation) -> Decision {
    if let Some(starting) = peers
        .iter()
        .find(|peer| matches!(peer.stage, Stage::Bootstrapping { .. }))
    {
        return Decision::Wait(WaitReason::Starting(Slots(vec![starting.slot])));
    }
    let everyone: BTreeMap<NodeId, &Node> = std::iter::once(own)
        .chain(peers)
        .filter(|node| node.cluster() == own.cluster() && node.memory.is_some())
        .map(|node| (node.id, node))
        .collect();
    let memories = || everyone.values().filter_map(|node| node.memory.as_ref());
    let Some(newest) = memories().max_by_key(|memory| memory.view) else {
        return Decision::Refuse(StartRefusal::NoMemory);
    };
    if let Some(decision) = split(own, &everyone, newest) {
        return decision;
    }
    if !descends(own, &newest.history) {
        return Decision::Refuse(StartRefusal::Diverged);
    }
    // Nodes whose writes were discarded refuse to start and do not take part.
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
            // Admitted or expected as a founder, but never joined.
            let new = peers.iter().any(|peer| peer.id == *id && peer.is_new());
            !there && !new
        })
        .map(|(_, slot)| slot)
        .collect();
    if !missing.is_empty() && !situation.forced {
        let missing = Slots(missing);
        return if situation.waited {
            let seqno = best.seqno().unwrap_or(-1);
            Decision::Refuse(StartRefusal::Missing { missing, seqno })
        } else {
            Decision::Wait(WaitReason::Missing(missing))
        };
    }
    let unsettled: Vec<_> = pool
        .iter()
        .filter(|node| !node.is_stopped())
        .map(|node| node.slot)
        .collect();
    if !unsettled.is_empty() {
        return Decision::Wait(WaitReason::Unsettled(Slots(unsettled)));
    }
    if best.id != own.id {
        return if situation.forced {
            Decision::Refuse(StartRefusal::ForceElsewhere(best.slot))
        } else {
            Decision::Wait(WaitReason::Better(Slots(vec![best.slot])))
        };
    }
    Decision::Bootstrap(BootstrapPlan {
        participants: pool.iter().map(|node| (node.id, node.slot)).collect(),
        newest: Some(newest.clone()),
        forced: !missing.is_empty(),
    })
}

/// The members of the newest membership, and the nodes that they have admitted since, transitively.
fn needed(newest: &ClusterRecord, everyone: &BTreeMap<NodeId, &Node>) -> BTreeMap<NodeId, Slot> {
    let mut needed = newest.members.clone();
    let mut unread: Vec<NodeId> = needed.keys().copied().collect();
    while let Some(id) = unread.pop() {
        let Some(memory) = everyone.get(&id).and_then(|node| node.memory.as_ref()) else {
            continue;
        };
        for (expected, AdmittedNode { slot, .. }) in &memory.expected {
            if needed.insert(*expected, *slot).is_none() {
                unread.push(*expected);
            }
        }
    }
    needed
}

/// Two histories of starts that diverged: only an operator can choose.
fn split(own: &Node, everyone: &BTreeMap<NodeId, &Node>, newest: &ClusterRecord) -> Option<Decision> {
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
    Some(Decision::Refuse(StartRefusal::Split(Slots(slots.collect()))))
}

/// The cluster starts that affected the node's data: those followed by a write.
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

/// Whether `history` contains all data of `node`.
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
    // The node must not have written after a point from which the others restarted.
    match (history.get(at + 1), node.seqno()) {
        (Some(next), Some(seqno)) => seqno <= next.seqno,
        _ => true,
    }
}

/// Whether every other member has recorded a membership with `own` that is at least as new as its own last one. Only
/// then may `own` get its full weight: otherwise the cluster could continue with a node that another member does not
/// know. Joiners are ignored, because they cannot start the cluster without their members.
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

#[cfg(test)]
mod tests;
