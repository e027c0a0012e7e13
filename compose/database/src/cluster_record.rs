//! A node's record of its cluster: enough to know, after everything has stopped, which node has the newest data.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The identity of a volume. Slots move between machines, volumes do not: the members of a cluster are volumes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<NodeId> for String {
    fn from(id: NodeId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for NodeId {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for NodeId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

/// The number of a replica in its service, from 1.
pub type Slot = u32;

/// The number of a cluster start. Forced starts sort after all agreed ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch {
    /// Number of forced starts.
    pub forced: u32,
    /// Number of all starts.
    pub number: u32,
}

/// A membership of the running cluster. Galera numbers them from one again at each start of the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ViewId {
    /// The start of the cluster to which it belongs.
    pub epoch: Epoch,
    /// Galera's number of the membership.
    pub number: u64,
}

/// One start of the whole cluster. The list of starts distinguishes nodes whose writes were discarded from nodes that
/// only lag behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Bootstrap {
    /// The number of the start.
    pub epoch: Epoch,
    /// Random, so that independent starts differ.
    pub id: Uuid,
    /// The position of the data.
    pub seqno: i64,
}

/// A node that was admitted, and is not in a membership yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AdmittedNode {
    /// Its slot.
    pub slot: Slot,
    /// The membership in which it was admitted. Only a later one can contain it.
    pub since: u64,
}

/// Maximum number of recorded bootstraps. A node that missed more needs a full copy (SST).
const MAX_BOOTSTRAPS: usize = 500;

/// A node's record of its cluster, as of the last time that it was a member.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterRecord {
    /// The cluster; `None` until its first start is finished.
    pub cluster: Option<Uuid>,
    /// The last known membership.
    pub view: ViewId,
    /// The members.
    pub members: BTreeMap<NodeId, Slot>,
    /// Nodes that may have joined since.
    pub expected: BTreeMap<NodeId, AdmittedNode>,
    /// Every start of the whole cluster, oldest first.
    pub history: Vec<Bootstrap>,
    /// Whether this node was admitted and has not been in sync since. It then has no data that others lack.
    pub joining: bool,
}

impl ClusterRecord {
    /// Records a membership of the running cluster. Returns whether it is new.
    pub fn record_membership(
        &mut self,
        cluster: Uuid,
        number: u64,
        members: &BTreeMap<NodeId, Slot>,
    ) -> bool {
        if number < self.view.number {
            return false;
        }
        let before = self.clone();
        self.cluster = Some(cluster);
        self.view.number = number;
        self.members.clone_from(members);
        self.expected
            .retain(|id, expected| !(members.contains_key(id) && number > expected.since));
        *self != before
    }

    /// Records a node that is about to join. The record must be durable before that node starts, because the cluster
    /// may then continue without this one.
    pub fn expect(&mut self, id: NodeId, slot: Slot) {
        let since = self.view.number;
        self.expected.insert(id, AdmittedNode { slot, since });
    }

    /// Returns the record of `own` once the members of the running cluster have admitted it.
    pub fn of_joiner(own: NodeId, members: &[Self]) -> Option<Self> {
        let mut memory = members.iter().max_by_key(|memory| memory.view)?.clone();
        for other in members {
            for (id, expected) in &other.expected {
                memory.expected.entry(*id).or_insert(*expected);
            }
        }
        memory.expected.remove(&own);
        memory.joining = true;
        Some(memory)
    }

    /// Returns the record of a node that starts the whole cluster. Until a membership is known, all nodes that agreed
    /// are needed again.
    pub fn of_bootstrapper(newest: Option<&Self>, start: &Start) -> Self {
        let mut memory = newest.cloned().unwrap_or_default();
        memory.cluster = memory.cluster.or(start.cluster);
        let epoch = Epoch {
            forced: memory.view.epoch.forced + u32::from(start.forced),
            number: memory.view.epoch.number + 1,
        };
        memory.view = ViewId { epoch, number: 0 };
        memory.members.clone_from(&start.participants);
        memory.expected.clear();
        memory.joining = false;
        memory.history.push(Bootstrap {
            epoch,
            id: start.id,
            seqno: start.seqno,
        });
        let excess = memory.history.len().saturating_sub(MAX_BOOTSTRAPS);
        memory.history.drain(..excess);
        memory
    }
}

/// A planned start of the whole cluster.
#[derive(Clone, Debug)]
pub struct Start {
    /// A random id.
    pub id: Uuid,
    /// The cluster, if the data contains its id.
    pub cluster: Option<Uuid>,
    /// The position of the data.
    pub seqno: i64,
    /// Whether an operator forced the start without the missing nodes.
    pub forced: bool,
    /// The nodes that agreed, including this node.
    pub participants: BTreeMap<NodeId, Slot>,
}

/// The agent's durable file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordFile {
    /// The identity of the volume.
    pub id: NodeId,
    /// The record of the cluster, if the node has ever been in one.
    pub memory: Option<ClusterRecord>,
}

/// Why the record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A file operation failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file was edited or damaged.
    #[error(
        "{path} is damaged ({source}). It says which nodes may hold newer data, so this node does not start without it. \
         If another node runs, move this volume's contents away and let the node join empty; else restore the file, or \
         delete it and run `database-agent force-bootstrap`"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: serde_json::Error,
    },
}

impl RecordFile {
    /// Reads `path`, or creates the file with a new identity.
    pub fn load_or_create(path: &Path) -> Result<Self, RecordError> {
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|source| RecordError::Damaged {
                path: path.to_owned(),
                source,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let record = Self {
                    id: NodeId(rand::random()),
                    memory: None,
                };
                record.save(path)?;
                Ok(record)
            }
            Err(source) => Err(RecordError::Io {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Writes `path` atomically and durably.
    pub fn save(&self, path: &Path) -> Result<(), RecordError> {
        let write = || {
            let new = path.with_extension("new");
            let mut file = File::create(&new)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&new, path)?;
            sync_folder_of(path)
        };
        write().map_err(|source| RecordError::Io {
            path: path.to_owned(),
            source,
        })
    }
}

/// Syncs the folder of a file, so that its name is durable.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64) -> (NodeId, Slot) {
        (NodeId(id), u32::try_from(id).expect("a small number"))
    }

    #[test]
    fn a_saved_record_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.json");
        let mut record = RecordFile::load_or_create(&path).unwrap();
        let mut memory = ClusterRecord::default();
        memory.record_membership(Uuid::from_u128(7), 3, &BTreeMap::from([member(1), member(2)]));
        memory.expect(NodeId(3), 3);
        record.memory = Some(memory);
        record.save(&path).unwrap();
        assert_eq!(RecordFile::load_or_create(&path).unwrap(), record);
    }

    #[test]
    fn a_damaged_record_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.json");
        fs::write(&path, "{").unwrap();
        assert!(matches!(
            RecordFile::load_or_create(&path),
            Err(RecordError::Damaged { .. })
        ));
    }

    #[test]
    fn an_admitted_node_is_expected_until_a_later_membership_contains_it() {
        let cluster = Uuid::from_u128(7);
        let mut memory = ClusterRecord::default();
        memory.record_membership(cluster, 5, &BTreeMap::from([member(1), member(3)]));
        memory.expect(NodeId(3), 3);
        // The same membership, which still contains the old process.
        memory.record_membership(cluster, 5, &BTreeMap::from([member(1), member(3)]));
        assert!(memory.expected.contains_key(&NodeId(3)));
        memory.record_membership(cluster, 6, &BTreeMap::from([member(1)]));
        assert!(memory.expected.contains_key(&NodeId(3)));
        memory.record_membership(cluster, 7, &BTreeMap::from([member(1), member(3)]));
        assert!(memory.expected.is_empty());
    }
}
