//! Messages why a node does not start yet, and what to do.

use std::fmt;

use uuid::Uuid;

use crate::cluster_record::Slot;

/// A list of slots in words.
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
pub enum WaitReason {
    /// Another node is joining; Galera loses track of joiners that complete at the same time.
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
        /// The number of slots without an answering node.
        missing: usize,
        /// How many addresses do not answer.
        silent: usize,
    },
    /// An empty node waits for those who have data.
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
    /// Two clusters meet.
    #[error(
        "this volume belongs to cluster {own}, but the node in slot {slot} belongs to cluster {other}; they never mix. \
         If this volume is the stranger, stop this node and move the volume's contents away: it then joins as an empty \
         node. Else do that with slot {slot}"
    )]
    Foreign {
        /// This cluster.
        own: String,
        /// The slot of the other node.
        slot: Slot,
        /// The other cluster.
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
        "the data on this volume are of cluster {data}, but the agent's record beside them is of cluster {memory}: restore data and agent.json that belong together"
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
         `database-agent force-bootstrap` here; else move the volume's contents away and let the node join empty"
    )]
    NoMemory,
    /// A record without data.
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
        "no node runs, and {missing} may have newer data than seqno {seqno}, which is what is here. Start it (or them). \
         Only if it is lost for good: run `database-agent force-bootstrap` in this container, which gives up whatever \
         is nowhere else"
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
