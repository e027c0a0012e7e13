//! State that the agent's tasks share: the node's stage, its record of the cluster, and its promises.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use chassis::config::Secret;
use sqlx::MySqlPool;

use crate::config::Config;
use crate::decision::{Data, Node, Objection, Promise, Proposal, Stage, consider};
use crate::mariadb::{Volume, WEIGHT_IN_STEP};
use crate::memory::{Memory, NodeId, Record, RecordError};
use crate::peers::{Answer, Client, Farewell, Registration};
use crate::sql::{self, Status};

/// The membership is asked of a MariaDB that may hang.
const MEMBERSHIP_TIMEOUT: Duration = Duration::from_millis(1500);

/// Within this, a node that was let in tells everybody who asks that it joins.
const ADMISSION: Duration = Duration::from_secs(3);

/// So many questions are remembered, to know one that is played again.
const NONCES: usize = 100_000;

/// Everything that the agent's tasks share.
#[derive(Debug)]
pub struct Shared {
    /// The flags.
    pub config: Config,
    /// The secret that the agents share.
    pub secret: Secret,
    /// This process.
    pub boot: u64,
    /// The files.
    pub volume: Volume,
    /// MariaDB, when it runs.
    pub sql: MySqlPool,
    /// The others.
    pub client: Client,
    /// Held while the node is copied for a backup.
    pub copying: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    record: Record,
    data: Data,
    stage: Stage,
    promise: Option<(Promise, Instant)>,
    /// The node that was admitted last.
    admitted: Option<(NodeId, Instant)>,
    says: String,
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
pub struct Counts {
    /// Whether an operator is needed before this node starts.
    pub refuses: bool,
    /// How often it has started MariaDB.
    pub starts: u64,
    /// How often MariaDB ended by itself.
    pub deaths: u64,
}

/// Why a node is not let in.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// It is the wrong one to ask.
    #[error("this node is not in the running cluster")]
    NotAMember,
    /// Its MariaDB does not answer.
    #[error("this node's database does not answer")]
    Database,
    /// It would not see the new process come.
    #[error("the process that ran there before is still counted as a member")]
    StillCounted,
    /// One node joins at a time.
    #[error("another node was let in a moment ago")]
    Busy,
    /// The record could not be made durable.
    #[error("this node cannot write its memory: {0}")]
    Record(#[from] RecordError),
}

impl Shared {
    /// A node that has not looked at anything yet.
    pub fn new(
        config: Config,
        secret: Secret,
        volume: Volume,
        sql: MySqlPool,
        client: Client,
        record: Record,
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
                data: Data::Empty,
                stage: Stage::Recovering,
                promise: None,
                admitted: None,
                says: "recovering the position".to_owned(),
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

    /// The node, as it tells others.
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

    /// The response to a peer.
    pub fn answer(&self) -> Answer {
        Answer {
            cluster: self.config.cluster.clone(),
            boot: self.boot,
            lacks_space: self.lacks_space(),
            leaves: self.leaves(),
            node: self.node(),
        }
    }

    pub fn memory(&self) -> Option<Memory> {
        self.state().record.memory.clone()
    }

    pub fn stage(&self) -> Stage {
        self.state().stage
    }

    /// Moves on.
    pub fn set_stage(&self, stage: Stage) {
        self.state().stage = stage;
    }

    pub fn set_data(&self, data: Data) {
        self.state().data = data;
    }

    /// Says what the node is doing, in the log when it is news and in `/status`. Whether it was news.
    pub fn says(&self, sentence: &str) -> bool {
        let mut state = self.state();
        let news = state.says != sentence;
        sentence.clone_into(&mut state.says);
        news
    }

    /// Whether an operator is needed before this node starts.
    pub fn set_refuses(&self, refuses: bool) {
        self.state().refuses = refuses;
    }

    /// Whether the volume is as good as full.
    pub fn lacks_space(&self) -> bool {
        self.state().lacks_space
    }

    /// Whether its volume is nearly full.
    pub fn set_lacks_space(&self, lacks_space: bool) {
        self.state().lacks_space = lacks_space;
    }

    /// Whether it is this node's turn to leave the others.
    pub fn leaves(&self) -> bool {
        self.state().leaves
    }

    /// Whether it is this node's turn to leave the others.
    pub fn set_leaves(&self, leaves: bool) {
        self.state().leaves = leaves;
    }

    /// MariaDB was started.
    pub fn count_start(&self) {
        self.state().starts += 1;
    }

    /// MariaDB ended by itself.
    pub fn count_death(&self) {
        self.state().deaths += 1;
    }

    /// The counters for `/metrics`.
    pub fn counts(&self) -> Counts {
        let state = self.state();
        Counts {
            refuses: state.refuses,
            starts: state.starts,
            deaths: state.deaths,
        }
    }

    /// The last status that MariaDB told.
    pub fn set_status(&self, status: Status) {
        self.state().status = status;
    }

    /// For `/status`.
    pub fn report(&self) -> serde_json::Value {
        let node = self.node();
        let state = self.state();
        serde_json::json!({
            "id": node.id,
            "slot": node.slot,
            "stage": node.stage,
            "says": state.says,
            "data": node.data,
            "memory": node.memory,
            "wsrep": state.status,
        })
    }

    /// Changes the memory, on disk first.
    pub fn remember(&self, change: impl FnOnce(&mut Option<Memory>)) -> Result<(), RecordError> {
        let mut state = self.state();
        let mut record = state.record.clone();
        change(&mut record.memory);
        if record != state.record {
            record.save(&self.volume.record())?;
            state.record = record;
        }
        Ok(())
    }

    /// Whether this question was not asked before.
    pub fn is_new_question(&self, nonce: &str) -> bool {
        let mut state = self.state();
        if state.nonces.len() >= NONCES {
            // An old question that comes again now changes nothing that a peer could not ask for at any time.
            state.nonces.clear();
        }
        nonce.len() == 32 && state.nonces.insert(nonce.to_owned())
    }

    pub fn promise(&self) -> Option<Promise> {
        self.state().promise.map(|(promise, _)| promise)
    }

    /// Agrees that another node starts the cluster, or says why not.
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

    /// Takes back a promise that came to nothing, as an answer to a question asked at `asked` shows.
    pub fn release(&self, asked: Instant, answer: &Answer) {
        let mut state = self.state();
        let void = state.promise.is_some_and(|(promise, made)| {
            made < asked && promise.to == answer.node.id && promise.is_void(answer.node.stage, answer.boot)
        });
        if void {
            state.promise = None;
        }
    }

    /// Forgets every promise: the cluster runs, or an operator decided.
    pub fn forget_promise(&self) {
        self.state().promise = None;
    }

    /// Begins to ask for agreement, unless it has itself agreed to something since.
    pub fn begin_ballot(&self, ballot: u64, forced: bool) -> bool {
        let mut state = self.state();
        if state.promise.is_some() && !forced {
            return false;
        }
        state.promise = None;
        state.stage = Stage::Deciding { ballot: Some(ballot) };
        true
    }

    /// Reads the membership from MariaDB and remembers it. Only a node that is in step may: one that is still being
    /// copied to does not know where the data are.
    pub async fn look_at_membership(&self) -> Result<(), RegisterError> {
        let view = tokio::time::timeout(MEMBERSHIP_TIMEOUT, sql::view(&self.sql))
            .await
            .ok()
            .and_then(Result::ok)
            .flatten()
            .ok_or(RegisterError::Database)?;
        self.remember(|memory| {
            let memory = memory.get_or_insert_default();
            memory.saw_view(view.cluster, view.number, &view.members);
            memory.joining = false;
        })?;
        Ok(())
    }

    /// Has the node count in full among the others.
    pub async fn weigh_in(&self) -> Result<(), RegisterError> {
        tokio::time::timeout(MEMBERSHIP_TIMEOUT, sql::weigh(&self.sql, WEIGHT_IN_STEP))
            .await
            .ok()
            .and_then(Result::ok)
            .ok_or(RegisterError::Database)
    }

    /// Takes note, durably, of a node that is about to join.
    pub async fn register(&self, newcomer: Registration) -> Result<Memory, RegisterError> {
        match self.stage() {
            Stage::Primary => {
                self.look_at_membership().await?;
                let counted = |memory: Memory| memory.members.contains_key(&newcomer.id);
                if self.memory().is_some_and(counted) {
                    return Err(RegisterError::StillCounted);
                }
            }
            Stage::Joining => {}
            _ => return Err(RegisterError::NotAMember),
        }
        self.admit(newcomer.id)?;
        self.remember(|memory| {
            if let Some(memory) = memory {
                memory.expect(newcomer.id, newcomer.slot);
            }
        })?;
        self.memory().ok_or(RegisterError::NotAMember)
    }

    /// Admits one node at a time: no other until that one reports that it joins.
    fn admit(&self, newcomer: NodeId) -> Result<(), RegisterError> {
        let mut state = self.state();
        let busy = state
            .admitted
            .is_some_and(|(id, at)| id != newcomer && at.elapsed() < ADMISSION);
        if busy {
            return Err(RegisterError::Busy);
        }
        state.admitted = Some((newcomer, Instant::now()));
        Ok(())
    }

    /// Takes note of what a node knew that has left in order.
    pub async fn hear_farewell(&self, farewell: &Farewell) -> Result<(), RegisterError> {
        if self.stage() != Stage::Primary {
            return Ok(());
        }
        self.look_at_membership().await?;
        self.remember(|memory| {
            let Some(memory) = memory else { return };
            for (id, expected) in &farewell.memory.expected {
                let came = memory.members.contains_key(id) && memory.view.number > expected.since;
                if !came {
                    memory.expected.entry(*id).or_insert(*expected);
                }
            }
        })?;
        Ok(())
    }
}
