//! Messages why a node does not start yet, and what to do.

use std::fmt;

use uuid::Uuid;

use crate::cluster_record::Slot;

/// A list of slots for messages.
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

/// Why the node waits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WaitReason {
    /// Another node is joining; Galera loses track of joiners that complete at the same time.
    #[error("waiting for {0} to be in sync: one node joins at a time")]
    Joiner(Slots),
    /// Joining needs every member.
    #[error("waiting for {0} to respond: all members of the running cluster must register this node")]
    Member(Slots),
    /// The cluster is being started.
    #[error("waiting for {0}, which starts the cluster")]
    Starting(Slots),
    /// Another node founds the cluster.
    #[error("this volume is empty; waiting for a cluster to join, or for slot 1 to found one")]
    Founder,
    /// The founder waits until all nodes are present and empty.
    #[error(
        "a new cluster needs {wanted} nodes, all of them empty; {missing} are missing, {silent} do not respond"
    )]
    Founders {
        /// Number of nodes that a new cluster needs.
        wanted: u32,
        /// The number of slots without an answering node.
        missing: usize,
        /// Number of addresses without a response.
        silent: usize,
    },
    /// An empty node waits for the nodes with data.
    #[error("this volume has no data; waiting for {0} to start the cluster")]
    VolumeState(Slots),
    /// Members of the last membership are missing.
    #[error("no node runs; waiting for {0}, which may have newer data")]
    Missing(Slots),
    /// A node has not stopped yet.
    #[error("no node has a majority; waiting for {0} to stop and recover its position")]
    Unsettled(Slots),
    /// Another one starts the cluster.
    #[error("waiting for {0} to start the cluster: it has the newest data")]
    Better(Slots),
}

/// A reason why a node does not start, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartRefusal {
    /// The peers belong to another cluster.
    #[error(
        "this volume belongs to cluster {own}, but the node in slot {slot} belongs to cluster {other}. Decide which of \
         the two is wrong, stop that node and move the contents of its volume away: it then joins as an empty node"
    )]
    Foreign {
        /// This cluster.
        own: String,
        /// The slot of the other node.
        slot: Slot,
        /// The other cluster.
        other: String,
    },
    /// The node is empty, and the peers belong to two clusters.
    #[error(
        "this volume is empty and the other nodes belong to two clusters, {0} and {1}: stop the nodes of the wrong one"
    )]
    TwoClusters(Uuid, Uuid),
    /// Another volume has the same identity.
    #[error(
        "the node in slot {0} has the same identity as this one: one volume is a copy of the other; empty the copy"
    )]
    Twin(Slot),
    /// The data and the record are of different clusters.
    #[error(
        "the data on this volume is of cluster {data}, but agent.json beside it is of cluster {memory}: restore both from the same backup"
    )]
    Exchanged {
        /// The cluster of the data.
        data: Uuid,
        /// The cluster of the record.
        memory: Uuid,
    },
    /// Data without a record.
    #[error(
        "this volume has data but no record of its cluster (restored from a backup?). If no node has newer data, run \
         `database-agent force-bootstrap` here; else move the contents of the volume away: the node then joins as an empty node"
    )]
    NoMemory,
    /// A record without data.
    #[error(
        "this node was in a cluster, but its data is gone. It joins when another node runs, and does not start the cluster"
    )]
    DataGone,
    /// An operator's forced start discarded writes of this node.
    #[error(
        "this node has writes that were discarded by a forced start of the cluster without it. Keep a copy of the \
         volume if they matter, then move its contents away: the node then joins as an empty node"
    )]
    Diverged,
    /// There were two independent forced starts.
    #[error(
        "two parts of the cluster were started by force independently, and both accepted writes ({0} is in one of \
         them). Decide which part to keep, and move the contents of the other part's volumes away"
    )]
    Split(Slots),
    /// Members of the last membership are missing.
    #[error(
        "no node runs, and {missing} may have newer data than seqno {seqno}, the newest available here. Start the missing \
         nodes. Only if they are lost permanently: run `database-agent force-bootstrap` in this container, which \
         discards writes that only they have"
    )]
    Missing {
        missing: Slots,
        /// The newest position among the present nodes.
        seqno: i64,
    },
    /// The operator's flag is on the wrong node.
    #[error("force-bootstrap was set here, but the node in slot {0} has newer data: set it there")]
    ForceElsewhere(Slot),
}
