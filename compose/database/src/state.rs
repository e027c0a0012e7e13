//! State that the agent's tasks share: the node's stage, its record of the cluster, and its promises.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use chassis::config::Secret;
use sqlx::MySqlPool;

use crate::cluster_record::{ClusterRecord, NodeId, RecordError, RecordFile};
use crate::config::Config;
use crate::decision::{Node, Objection, Promise, Proposal, Stage, VolumeState, consider};
use crate::mariadb::{Volume, WEIGHT_SYNCED};
use crate::peers::{LeaveNotice, PeerClient, PeerStatus, Registration};
use crate::sql::{self, Status};

/// Timeout of reading the membership from MariaDB.
const MEMBERSHIP_TIMEOUT: Duration = Duration::from_millis(1500);

/// How long an admitted node may take to report that it joins.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(3);

/// Maximum number of stored nonces, which detect replays.
const MAX_NONCES: usize = 100_000;

/// Everything that the agent's tasks share.
#[derive(Debug)]
pub struct Shared {
    /// The configuration.
    pub config: Config,
    /// The secret that all agents share.
    pub secret: Secret,
    /// A random id of this process.
    pub boot: u64,
    /// The volume.
    pub volume: Volume,
    /// Connections to MariaDB.
    pub sql: MySqlPool,
    /// The client for the peers.
    pub client: PeerClient,
    /// Held while the node is copied for a backup.
    pub copying: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    record: RecordFile,
    data: VolumeState,
    stage: Stage,
    promise: Option<(Promise, Instant)>,
    /// The last admitted node, and when it was admitted.
    admitted: Option<(NodeId, Instant)>,
    status_message: String,
    status: Status,
    nonces: HashSet<String>,
    refuses: bool,
    lacks_space: bool,
    leaves: bool,
    starts: u64,
    deaths: u64,
}

/// The agent's counters.
#[derive(Clone, Copy, Debug)]
pub struct AgentCounters {
    /// Whether an operator must intervene before this node starts.
    pub refuses: bool,
    /// Number of starts of MariaDB.
    pub starts: u64,
    /// Number of unexpected ends of MariaDB.
    pub deaths: u64,
}

/// Why a node is not admitted.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// This node is not a member.
    #[error("this node is not in the running cluster")]
    NotAMember,
    /// MariaDB of this node does not respond.
    #[error("the database of this node does not respond")]
    Database,
    /// The previous process of the node is still a member.
    #[error("the previous process of the node is still counted as a member")]
    StillCounted,
    /// Another node is joining. Nodes join one at a time.
    #[error("another node is joining")]
    Busy,
    /// The record could not be made durable.
    #[error("this node cannot write its cluster record: {0}")]
    RecordFile(#[from] RecordError),
}

impl Shared {
    /// Creates the initial state.
    pub fn new(
        config: Config,
        secret: Secret,
        volume: Volume,
        sql: MySqlPool,
        client: PeerClient,
        record: RecordFile,
    ) -> Self {
        Self {
            config,
            secret,
            boot: rand::random(),
            volume,
            sql,
            client,
            copying: tokio::sync::Mutex::default(),
            state: Mutex::new(State {
                record,
                data: VolumeState::Empty,
                stage: Stage::Recovering,
                promise: None,
                admitted: None,
                status_message: "recovering the position".to_owned(),
                status: Status::new(),
                nonces: HashSet::new(),
                refuses: false,
                lacks_space: false,
                leaves: false,
                starts: 0,
                deaths: 0,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while locked")
    }

    /// Returns the state of the node for its peers.
    pub fn node(&self) -> Node {
        let state = self.state();
        Node {
            id: state.record.id,
            slot: self.config.slot,
            data: state.data,
            memory: state.record.memory.clone(),
            stage: state.stage,
        }
    }

    /// Returns the status of the agent for its peers.
    pub fn answer(&self) -> PeerStatus {
        PeerStatus {
            cluster: self.config.cluster.clone(),
            boot: self.boot,
            lacks_space: self.lacks_space(),
            leaves: self.is_leaving(),
            node: self.node(),
        }
    }

    pub fn memory(&self) -> Option<ClusterRecord> {
        self.state().record.memory.clone()
    }

    pub fn stage(&self) -> Stage {
        self.state().stage
    }

    /// Sets the stage of the node.
    pub fn set_stage(&self, stage: Stage) {
        self.state().stage = stage;
    }

    pub fn set_data(&self, data: VolumeState) {
        self.state().data = data;
    }

    /// Sets the status message in `/status`. Returns whether it changed.
    pub fn set_status_message(&self, message: &str) -> bool {
        let mut state = self.state();
        let is_new = state.status_message != message;
        message.clone_into(&mut state.status_message);
        is_new
    }

    /// Whether an operator is needed before this node starts.
    pub fn set_needs_operator(&self, refuses: bool) {
        self.state().refuses = refuses;
    }

    /// Whether the volume is nearly full.
    pub fn lacks_space(&self) -> bool {
        self.state().lacks_space
    }

    /// Sets whether the volume is nearly full.
    pub fn set_lacks_space(&self, lacks_space: bool) {
        self.state().lacks_space = lacks_space;
    }

    /// Whether this node is leaving the cluster.
    pub fn is_leaving(&self) -> bool {
        self.state().leaves
    }

    /// Sets whether this node is leaving the cluster.
    pub fn set_leaving(&self, leaves: bool) {
        self.state().leaves = leaves;
    }

    /// Counts a start of MariaDB.
    pub fn count_start(&self) {
        self.state().starts += 1;
    }

    /// Counts an unexpected end of MariaDB.
    pub fn count_death(&self) {
        self.state().deaths += 1;
    }

    /// Returns the counters for `/metrics`.
    pub fn counts(&self) -> AgentCounters {
        let state = self.state();
        AgentCounters {
            refuses: state.refuses,
            starts: state.starts,
            deaths: state.deaths,
        }
    }

    /// Stores the last status of MariaDB.
    pub fn set_status(&self, status: Status) {
        self.state().status = status;
    }

    /// Returns the JSON of `/status`.
    pub fn report(&self) -> serde_json::Value {
        let node = self.node();
        let state = self.state();
        serde_json::json!({
            "id": node.id,
            "slot": node.slot,
            "stage": node.stage,
            "message": state.status_message,
            "data": node.data,
            "memory": node.memory,
            "wsrep": state.status,
        })
    }

    /// Changes the cluster record. The change is durable when this returns.
    pub fn update_record(&self, change: impl FnOnce(&mut Option<ClusterRecord>)) -> Result<(), RecordError> {
        let mut state = self.state();
        let mut record = state.record.clone();
        change(&mut record.memory);
        if record != state.record {
            record.save(&self.volume.record())?;
            state.record = record;
        }
        Ok(())
    }

    /// Stores a nonce. Returns false if it is invalid or was used before.
    pub fn is_new_nonce(&self, nonce: &str) -> bool {
        let mut state = self.state();
        if state.nonces.len() >= MAX_NONCES {
            // A replayed request could only repeat what a peer may request at any time.
            state.nonces.clear();
        }
        nonce.len() == 32 && state.nonces.insert(nonce.to_owned())
    }

    pub fn promise(&self) -> Option<Promise> {
        self.state().promise.map(|(promise, _)| promise)
    }

    /// Promises that another node may start the cluster, or returns an objection.
    pub fn consider(&self, proposal: &Proposal) -> Result<(), Objection> {
        let node = self.node();
        let mut state = self.state();
        let current = state.promise.map(|(promise, _)| promise);
        let node = Node {
            stage: state.stage,
            ..node
        };
        consider(&node, current.as_ref(), proposal)?;
        let promise = Promise {
            to: proposal.by,
            boot: proposal.boot,
            ballot: proposal.ballot,
        };
        state.promise = Some((promise, Instant::now()));
        Ok(())
    }

    /// Releases a promise if a response to a request sent at `sent_at` shows that the attempt has ended.
    pub fn release(&self, sent_at: Instant, answer: &PeerStatus) {
        let mut state = self.state();
        let void = state.promise.is_some_and(|(promise, made)| {
            made < sent_at && promise.to == answer.node.id && promise.is_void(answer.node.stage, answer.boot)
        });
        if void {
            state.promise = None;
        }
    }

    /// Releases all promises.
    pub fn forget_promise(&self) {
        self.state().promise = None;
    }

    /// Starts a ballot, unless this node has promised to another one.
    pub fn begin_ballot(&self, ballot: u64, forced: bool) -> bool {
        let mut state = self.state();
        if state.promise.is_some() && !forced {
            return false;
        }
        state.promise = None;
        state.stage = Stage::Deciding { ballot: Some(ballot) };
        true
    }

    /// Reads the membership from MariaDB and records it, if the node is in sync. A joiner does not know which nodes
    /// have the data.
    pub async fn update_membership(&self) -> Result<(), RegisterError> {
        let view = tokio::time::timeout(MEMBERSHIP_TIMEOUT, sql::view(&self.sql))
            .await
            .ok()
            .and_then(Result::ok)
            .flatten()
            .ok_or(RegisterError::Database)?;
        self.update_record(|memory| {
            let memory = memory.get_or_insert_default();
            memory.record_membership(view.cluster, view.number, &view.members);
            memory.joining = false;
        })?;
        Ok(())
    }

    /// Sets the full quorum weight.
    pub async fn set_full_weight(&self) -> Result<(), RegisterError> {
        tokio::time::timeout(MEMBERSHIP_TIMEOUT, sql::set_weight(&self.sql, WEIGHT_SYNCED))
            .await
            .ok()
            .and_then(Result::ok)
            .ok_or(RegisterError::Database)
    }

    /// Durably records a node that is about to join.
    pub async fn register(&self, registration: Registration) -> Result<ClusterRecord, RegisterError> {
        match self.stage() {
            Stage::Primary => {
                self.update_membership().await?;
                let counted = |memory: ClusterRecord| memory.members.contains_key(&registration.id);
                if self.memory().is_some_and(counted) {
                    return Err(RegisterError::StillCounted);
                }
            }
            Stage::Joining => {}
            _ => return Err(RegisterError::NotAMember),
        }
        self.admit(registration.id)?;
        self.update_record(|memory| {
            if let Some(memory) = memory {
                memory.expect(registration.id, registration.slot);
            }
        })?;
        self.memory().ok_or(RegisterError::NotAMember)
    }

    /// Admits one node at a time: no other until that one reports that it joins.
    fn admit(&self, node: NodeId) -> Result<(), RegisterError> {
        let mut state = self.state();
        let busy = state
            .admitted
            .is_some_and(|(id, at)| id != node && at.elapsed() < ADMISSION_TIMEOUT);
        if busy {
            return Err(RegisterError::Busy);
        }
        state.admitted = Some((node, Instant::now()));
        Ok(())
    }

    /// Merges the record of a node that has left in order.
    pub async fn accept_leave_notice(&self, notice: &LeaveNotice) -> Result<(), RegisterError> {
        if self.stage() != Stage::Primary {
            return Ok(());
        }
        self.update_membership().await?;
        self.update_record(|memory| {
            let Some(memory) = memory else { return };
            for (id, expected) in &notice.memory.expected {
                let came = memory.members.contains_key(id) && memory.view.number > expected.since;
                if !came {
                    memory.expected.entry(*id).or_insert(*expected);
                }
            }
        })?;
        Ok(())
    }
}
