//! Decides how MariaDB is started: polls the peers and agrees with them on a start plan.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use uuid::Uuid;

use super::{Agent, AgentError, POLL_PAUSE, STATUS_LOG_INTERVAL};
use crate::cluster_record::{ClusterRecord, NodeId, Slot, Start};
use crate::decision::{BootstrapPlan, Decision, Node, Proposal, Situation, Stage, VolumeState, decide};
use crate::mariadb::{self, Mode};
use crate::peers::{PeerStatus, PeerSurvey, Registration};
use crate::state::Shared;

/// Maximum age of an operator's force flag, which applies to the situation in which it was set.
const FORCE_FLAG_MAX_AGE: Duration = Duration::from_mins(15);

/// The start plan that the nodes agreed on.
pub(super) struct StartPlan {
    pub(super) mode: Mode,
    pub(super) stage: Stage,
    pub(super) data: VolumeState,
}

impl Agent {
    /// Polls the peers until a start plan is agreed on; `None` if the agent should stop.
    pub(super) async fn decide(&self) -> Result<Option<StartPlan>, AgentError> {
        let began = Instant::now();
        let mut logged_at = Instant::now();
        self.shared.forget_promise();
        self.shared.set_stage(Stage::Deciding { ballot: None });
        loop {
            // SIGTERM does not wait for DNS and peers. State that was written before is valid whether or not MariaDB
            // starts.
            let attempted = tokio::select! {
                attempted = self.attempt(began) => attempted?,
                () = self.stop.cancelled() => return Ok(None),
            };
            if attempted.is_some() {
                return Ok(attempted);
            }
            self.shared.set_stage(Stage::Deciding { ballot: None });
            if logged_at.elapsed() > STATUS_LOG_INTERVAL {
                logged_at = Instant::now();
                let report = self.shared.report();
                tracing::warn!("still {}", report["message"].as_str().unwrap_or_default());
            }
            tokio::select! {
                () = tokio::time::sleep(POLL_PAUSE) => {}
                () = self.stop.cancelled() => return Ok(None),
            }
        }
    }

    async fn attempt(&self, began: Instant) -> Result<Option<StartPlan>, AgentError> {
        let asked = Instant::now();
        let found = self.shared.client.poll_all().await;
        let peers = PeerStates::of(&found, &self.shared);
        for (_, answer) in peers.answers.values() {
            self.shared.release(asked, answer);
        }
        let own = self.shared.node();
        let nodes: Vec<Node> = peers
            .answers
            .values()
            .map(|(_, answer)| answer.node.clone())
            .collect();
        let around = Situation {
            silent: found.silent.len(),
            founders: self.shared.config.nodes,
            forced: self.is_forced(),
            waited: began.elapsed().as_secs() >= self.shared.config.missing_member_timeout,
        };
        let decision = decide(&own, &nodes, around);
        self.shared
            .set_needs_operator(matches!(decision, Decision::Refuse(_)));
        let Some(address) = self.shared.config.address.or(peers.own) else {
            self.say(
                "waiting to be found: none of the peers' addresses is this node (set DATABASE_ADDRESS, or add it to DATABASE_PEERS)",
                true,
            );
            return Ok(None);
        };
        match decision {
            Decision::Wait(waiting) => {
                self.say(&waiting.to_string(), false);
                Ok(None)
            }
            Decision::Refuse(refusal) => {
                self.say(&format!("refusing to start: {refusal}"), true);
                Ok(None)
            }
            Decision::Join { members } => self.join(&own, &members, &peers, address).await,
            Decision::Bootstrap(plan) => self.bootstrap(&own, plan, &peers, address).await,
        }
    }

    /// Whether a recent force flag exists.
    pub(super) fn is_forced(&self) -> bool {
        let flag = self.shared.volume.force_flag();
        let Ok(set) = flag.metadata().and_then(|metadata| metadata.modified()) else {
            return false;
        };
        // The only use of wall-clock time. A flag from the future (after the clock was set back) counts as expired.
        let age = SystemTime::now().duration_since(set);
        if age.is_err() || age.is_ok_and(|age| age > FORCE_FLAG_MAX_AGE) {
            tracing::warn!(
                "force-bootstrap was set more than 15 minutes ago and is ignored: set it again if it is still needed"
            );
            let _ = std::fs::remove_file(flag);
            return false;
        }
        true
    }

    fn drop_flag(&self) {
        let _ = std::fs::remove_file(self.shared.volume.force_flag());
    }

    /// Registers this node with every member of the running cluster.
    async fn join(
        &self,
        own: &Node,
        members: &BTreeMap<NodeId, Slot>,
        peers: &PeerStates,
        address: IpAddr,
    ) -> Result<Option<StartPlan>, AgentError> {
        let shared = &self.shared;
        let registration = Registration {
            id: own.id,
            slot: own.slot,
        };
        let mut memories = Vec::new();
        let mut addresses = Vec::new();
        for id in members.keys() {
            let Some((at, answer)) = peers.answers.get(id) else {
                return Ok(None);
            };
            match shared.client.register(*at, answer.boot, registration).await {
                Ok(memory) => memories.push(memory),
                Err(error) => {
                    self.say(
                        &format!("the running cluster does not admit this node yet: {error}"),
                        false,
                    );
                    return Ok(None);
                }
            }
            if answer.node.stage == Stage::Primary {
                addresses.push(at.ip());
            }
        }
        let Some(memory) = ClusterRecord::of_joiner(own.id, &memories) else {
            return Ok(None);
        };
        // The membership has changed meanwhile, so a member may not know this node yet.
        if memory
            .members
            .keys()
            .any(|id| *id != own.id && !members.contains_key(id))
        {
            return Ok(None);
        }
        // From here on no other node is admitted.
        shared.set_stage(Stage::Joining);
        shared.update_record(|current| *current = Some(memory))?;
        shared.forget_promise();
        self.drop_flag();
        if own.data == VolumeState::Incomplete {
            shared.volume.clear_data()?;
        }
        let mode = Mode::Join(addresses);
        self.configure(Some((address, &mode)))?;
        self.say("joining the running cluster", false);
        Ok(Some(StartPlan {
            mode,
            stage: Stage::Joining,
            data: own.data,
        }))
    }

    /// Asks all participants to agree, and starts the cluster if they do.
    async fn bootstrap(
        &self,
        own: &Node,
        plan: BootstrapPlan,
        peers: &PeerStates,
        address: IpAddr,
    ) -> Result<Option<StartPlan>, AgentError> {
        let shared = &self.shared;
        let ballot: u64 = rand::random();
        if !shared.begin_ballot(ballot, plan.forced) {
            self.say("waiting for the node that this one has agreed to", false);
            return Ok(None);
        }
        let (cluster, seqno) = match own.data {
            VolumeState::At { cluster, seqno } => (cluster, seqno),
            VolumeState::Empty | VolumeState::Incomplete => (None, -1),
        };
        let proposal = Proposal {
            by: own.id,
            boot: shared.boot,
            ballot,
            slot: own.slot,
            cluster: own.cluster(),
            seqno,
            newest: plan.newest.as_ref().map(|memory| memory.view),
            participants: plan.participants.keys().copied().collect(),
            forced: plan.forced,
        };
        for id in plan.participants.keys().filter(|id| **id != own.id) {
            let Some((at, answer)) = peers.answers.get(id) else {
                return Ok(None);
            };
            let agreed = match shared.client.propose(*at, answer.boot, &proposal).await {
                Ok(agreed) => agreed.map_err(|objection| objection.to_string()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(reason) = agreed {
                self.say(
                    &format!(
                        "slot {} does not agree to a start yet: {reason}",
                        answer.node.slot
                    ),
                    false,
                );
                return Ok(None);
            }
        }
        shared.set_stage(Stage::Bootstrapping { ballot });
        if own.data == VolumeState::Empty {
            self.say("founding a new cluster", true);
        } else if plan.forced {
            self.say(
                "starting the cluster from here WITHOUT the missing nodes, because force-bootstrap was set",
                true,
            );
        } else {
            self.say(
                "starting the cluster: all nodes agreed that this one has the newest data",
                false,
            );
        }
        let start = Start {
            id: Uuid::from_u128(rand::random()),
            cluster,
            seqno,
            forced: plan.forced,
            participants: plan.participants,
        };
        let memory = ClusterRecord::of_bootstrapper(plan.newest.as_ref(), &start);
        shared.update_record(|current| *current = Some(memory))?;
        self.drop_flag();
        self.configure(Some((address, &Mode::Bootstrap)))?;
        // After the record is written: a founder that crashes here founds again, but data without a record would be
        // refused.
        let data = if own.data == VolumeState::Empty {
            mariadb::install(&shared.volume).await?;
            VolumeState::At {
                cluster: None,
                seqno: -1,
            }
        } else {
            own.data
        };
        Ok(Some(StartPlan {
            mode: Mode::Bootstrap,
            stage: Stage::Bootstrapping { ballot },
            data,
        }))
    }
}

/// The peers without duplicates, and the addresses of this node.
pub(super) struct PeerStates {
    pub(super) answers: BTreeMap<NodeId, (SocketAddr, PeerStatus)>,
    own: Option<IpAddr>,
}

impl PeerStates {
    pub(super) fn of(found: &PeerSurvey, shared: &Shared) -> Self {
        let mut peers = Self {
            answers: BTreeMap::new(),
            own: None,
        };
        for (at, answer) in &found.answers {
            if answer.boot == shared.boot {
                peers.own.get_or_insert(at.ip());
            } else if answer.cluster == shared.config.cluster {
                peers.answers.insert(answer.node.id, (*at, answer.clone()));
            } else {
                shared.client.warn_once(
                    &at.to_string(),
                    &format!(
                        "{at} belongs to the cluster named {}, this node to {}: it is ignored",
                        answer.cluster, shared.config.cluster
                    ),
                );
            }
        }
        peers
    }
}
