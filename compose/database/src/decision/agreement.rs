//! The agreement on a start of the whole cluster.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Node, Stage};
use crate::cluster_record::{NodeId, Slot, ViewId};

/// The request of a node that wants to start the cluster, sent to each of the others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Proposal {
    /// The node that wants to start the cluster.
    pub by: NodeId,
    /// Its process.
    pub boot: u64,
    /// The attempt.
    pub ballot: u64,
    /// Its slot.
    pub slot: Slot,
    /// Its cluster. `None` for a new one.
    pub cluster: Option<Uuid>,
    /// Its position.
    pub seqno: i64,
    /// The newest membership that it knows. `None` for a new cluster.
    pub newest: Option<ViewId>,
    /// The nodes that take part.
    pub participants: BTreeSet<NodeId>,
    /// Whether an operator forces the start without the other nodes.
    pub forced: bool,
}

/// A promise to another node. Valid until that node runs or abandons its attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Promise {
    /// The node.
    pub to: NodeId,
    /// Its process.
    pub boot: u64,
    /// Its attempt.
    pub ballot: u64,
}

impl Promise {
    /// Whether a later response shows that the attempt has ended.
    pub fn is_void(&self, stage: Stage, boot: u64) -> bool {
        let current = match stage {
            Stage::Deciding { ballot } => ballot,
            Stage::Bootstrapping { ballot } => Some(ballot),
            // The node has started, or has stopped again.
            _ => None,
        };
        boot != self.boot || current != Some(self.ballot)
    }
}

/// Why a node does not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objection {
    /// The node's database may be running.
    #[error("its database is not stopped")]
    Running,
    /// The node wants to start the cluster itself.
    #[error("it proposes a start itself")]
    Proposing,
    /// The node has agreed to another start.
    #[error("it has agreed to another start")]
    Promised,
    /// The node is not a participant of the proposal.
    #[error("it takes no part in this start")]
    Stranger,
    /// The node belongs to another cluster.
    #[error("it belongs to another cluster")]
    Foreign,
    /// The node knows a later membership.
    #[error("it has recorded a later membership")]
    Later,
    /// The node has newer data.
    #[error("it has newer data")]
    Newer,
}

/// Whether `own`, bound by `promise`, agrees to a proposal of another node.
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
