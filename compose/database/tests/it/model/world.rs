//! The state of the model, its events, and the reactions of the agents.

use std::collections::{BTreeMap, HashSet};

use database_agent::cluster_record::{ClusterRecord, NodeId, Slot, Start};
use database_agent::decision::{
    BootstrapPlan, Decision, Node, Promise, Proposal, Situation, Stage, VolumeState, consider, decide,
    is_known_to_all,
};
use uuid::Uuid;

pub(super) const NODES: usize = 3;

/// A process of MariaDB, as a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Member {
    pub(super) node: usize,
    /// Ordinal of this process on its node.
    pub(super) incarnation: u8,
    pub(super) weight: u8,
}

/// The weight of a node that is still copying.
pub(super) const JOINING: u8 = 1;
/// The weight of a synced node.
pub(super) const IN_STEP: u8 = 100;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Process {
    Down,
    /// The agent runs, its database does not.
    Stopped {
        promise: Option<Promise>,
        next: Option<Next>,
    },
    Running(Running),
}

/// An agreed step that has not been taken yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Next {
    Bootstrap(Box<Agreed>),
    Join,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Agreed {
    pub(super) participants: BTreeMap<NodeId, Slot>,
    pub(super) newest: Option<ClusterRecord>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Running {
    /// The last majority of which this process was a member. `None` before it has joined.
    pub(super) view: Option<View>,
    pub(super) primary: bool,
    pub(super) in_sync: bool,
    pub(super) weight: u8,
    /// Received writes that are not durable, which a crash loses.
    pub(super) pending: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct View {
    pub(super) cluster: u128,
    /// The number of the start in the model.
    pub(super) start: u8,
    pub(super) number: u64,
    pub(super) members: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Machine {
    pub(super) process: Process,
    pub(super) incarnation: u8,
    pub(super) memory: Option<ClusterRecord>,
    pub(super) data: VolumeState,
    /// The durable writes.
    pub(super) writes: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) machines: Vec<Machine>,
    /// The disconnected node.
    pub(super) cut: Option<usize>,
    pub(super) founders: u32,
    pub(super) acknowledged: Vec<u8>,
    pub(super) starts: u8,
    pub(super) faults: u8,
    /// The violated invariant, for the failure message.
    pub(super) violation: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Write {
        at: usize,
        others_have_it: bool,
    },
    Crash(usize),
    Leave(usize),
    Cut(usize),
    Heal,
    Begin(usize),
    /// Poll all peers, decide, and request agreement or registration.
    Decide(usize),
    /// Perform the agreed step.
    Go(usize),
    /// Stop a database without a majority.
    Stop(usize),
    Sync(usize),
    /// The agent records the membership.
    Poll(usize),
}

#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) faults: u8,
    pub(super) writes: usize,
}

pub(super) fn id(node: usize) -> NodeId {
    NodeId(node as u64 + 1)
}

pub(super) fn slot(node: usize) -> Slot {
    u32::try_from(node).expect("a small number") + 1
}

impl World {
    /// Empty volumes, no node started.
    pub(super) fn empty(founders: u32) -> Self {
        let machine = Machine {
            process: Process::Down,
            incarnation: 0,
            memory: None,
            data: VolumeState::Empty,
            writes: Vec::new(),
        };
        Self {
            machines: vec![machine; NODES],
            cut: None,
            founders,
            acknowledged: Vec::new(),
            starts: 0,
            faults: 0,
            violation: None,
        }
    }

    /// A cluster with all nodes in sync.
    pub(super) fn running() -> Self {
        let mut world = Self::empty(3);
        world
            .settle(&mut HashSet::new())
            .expect("three empty nodes found a cluster");
        // Twice, because a node gets its full weight after the others know it.
        for node in (0..NODES).chain(0..NODES) {
            world.poll(node);
        }
        world
    }

    pub(super) fn node(&self, node: usize) -> Node {
        let machine = &self.machines[node];
        let stage = match &machine.process {
            Process::Down => Stage::Stopping,
            Process::Stopped {
                next: Some(Next::Bootstrap(_)),
                ..
            } => Stage::Deciding {
                ballot: Some(u64::from(machine.incarnation)),
            },
            Process::Stopped {
                next: Some(Next::Join),
                ..
            } => Stage::Joining,
            Process::Stopped { .. } => Stage::Deciding { ballot: None },
            Process::Running(running) => match (running.primary, running.in_sync, &running.view) {
                (true, true, _) => Stage::Primary,
                (true, false, _) | (false, _, None) => Stage::Joining,
                (false, _, Some(_)) => Stage::NonPrimary,
            },
        };
        Node {
            id: id(node),
            slot: slot(node),
            data: machine.data,
            memory: machine.memory.clone(),
            stage,
        }
    }

    pub(super) fn hears(&self, a: usize, b: usize) -> bool {
        a == b || (self.cut != Some(a) && self.cut != Some(b))
    }

    pub(super) fn answers(&self, asking: usize) -> Vec<usize> {
        (0..NODES)
            .filter(|other| {
                *other != asking
                    && self.hears(asking, *other)
                    && self.machines[*other].process != Process::Down
            })
            .collect()
    }

    pub(super) fn events(&self, bounds: Bounds) -> Vec<Event> {
        let mut events = Vec::new();
        let more = self.faults < bounds.faults;
        if self.cut.is_some() {
            events.push(Event::Heal);
        }
        for node in 0..NODES {
            if more && self.cut.is_none() {
                events.push(Event::Cut(node));
            }
            events.push(self.next_step(node));
            match &self.machines[node].process {
                Process::Stopped { next: Some(_), .. } if more => events.push(Event::Crash(node)),
                Process::Running(running) => {
                    if more {
                        events.extend([Event::Crash(node), Event::Leave(node)]);
                    }
                    if running.primary && running.in_sync && self.acknowledged.len() < bounds.writes {
                        events.extend([true, false].map(|others_have_it| Event::Write {
                            at: node,
                            others_have_it,
                        }));
                    }
                }
                _ => {}
            }
        }
        events
    }

    pub(super) fn apply(&mut self, event: Event) {
        match event {
            Event::Write { at, others_have_it } => self.write(at, others_have_it),
            Event::Crash(node) => {
                self.faults += 1;
                self.machines[node].process = Process::Down;
                self.regroup();
            }
            Event::Leave(node) => {
                self.faults += 1;
                self.leave(node);
                self.machines[node].process = Process::Down;
            }
            Event::Cut(node) => {
                self.faults += 1;
                self.cut = Some(node);
                self.regroup();
            }
            Event::Heal => {
                self.cut = None;
                self.regroup();
            }
            Event::Begin(node) => self.stopped(node),
            Event::Decide(node) => self.decide(node),
            Event::Go(node) => self.go(node),
            Event::Stop(node) => {
                self.leave(node);
                self.stopped(node);
            }
            Event::Sync(node) => self.sync(node),
            Event::Poll(node) => self.poll(node),
        }
    }

    pub(super) fn stopped(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        machine.incarnation += 1;
        machine.process = Process::Stopped {
            promise: None,
            next: None,
        };
    }

    pub(super) fn poll(&mut self, node: usize) {
        let Some(running) = self.running_at(node) else {
            return;
        };
        // A joiner does not know which nodes have the data: it keeps the record of its admission until it is in sync.
        let (Some(view), true) = (running.view.clone(), running.in_sync) else {
            return;
        };
        let members: BTreeMap<_, _> = view
            .members
            .iter()
            .map(|member| (id(member.node), slot(member.node)))
            .collect();
        let memory = self.machines[node].memory.get_or_insert_default();
        memory.record_membership(Uuid::from_u128(view.cluster), view.number, &members);
        memory.joining = false;
        let peers: Vec<Node> = self
            .answers(node)
            .into_iter()
            .map(|peer| self.node(peer))
            .collect();
        if is_known_to_all(&self.node(node), &peers) {
            self.set_full_weight(node);
        }
    }

    pub(super) fn decide(&mut self, node: usize) {
        let peers = self.answers(node);
        let own = self.node(node);
        let answers: Vec<Node> = peers.iter().map(|peer| self.node(*peer)).collect();
        let boots: Vec<u64> = peers
            .iter()
            .map(|peer| u64::from(self.machines[*peer].incarnation))
            .collect();
        if let Process::Stopped { promise, .. } = &mut self.machines[node].process
            && let Some(made) = promise
            && let Some(at) = answers.iter().position(|answer| answer.id == made.to)
            && made.is_void(answers[at].stage, boots[at])
        {
            *promise = None;
        }
        let around = Situation {
            silent: NODES - 1 - peers.len(),
            founders: self.founders,
            forced: false,
            waited: true,
        };
        match decide(&own, &answers, around) {
            Decision::Bootstrap(plan) => self.propose(node, plan),
            Decision::Join { members } => self.register(node, &members),
            Decision::Wait(_) | Decision::Refuse(_) => {}
        }
    }

    pub(super) fn propose(&mut self, node: usize, plan: BootstrapPlan) {
        if matches!(
            self.machines[node].process,
            Process::Stopped { promise: Some(_), .. }
        ) {
            return;
        }
        let own = self.node(node);
        let boot = u64::from(self.machines[node].incarnation);
        let proposal = Proposal {
            by: own.id,
            boot,
            ballot: boot,
            slot: own.slot,
            cluster: own.cluster(),
            seqno: seqno(own.data),
            newest: plan.newest.as_ref().map(|memory| memory.view),
            participants: plan.participants.keys().copied().collect(),
            forced: false,
        };
        let reachable = self.answers(node);
        let mut agreed = true;
        for other in (0..NODES).filter(|other| *other != node && plan.participants.contains_key(&id(*other)))
        {
            let theirs = self.node(other);
            let Process::Stopped { promise, .. } = &mut self.machines[other].process else {
                agreed = false;
                continue;
            };
            if !reachable.contains(&other) || consider(&theirs, promise.as_ref(), &proposal).is_err() {
                agreed = false;
                continue;
            }
            *promise = Some(Promise {
                to: proposal.by,
                boot,
                ballot: boot,
            });
        }
        if agreed && let Process::Stopped { next, .. } = &mut self.machines[node].process {
            *next = Some(Next::Bootstrap(Box::new(Agreed {
                participants: plan.participants,
                newest: plan.newest,
            })));
        }
    }

    pub(super) fn register(&mut self, node: usize, members: &BTreeMap<NodeId, Slot>) {
        let reachable = self.answers(node);
        let members: Vec<usize> = (0..NODES)
            .filter(|other| members.contains_key(&id(*other)))
            .collect();
        if members.iter().any(|member| !reachable.contains(member)) {
            return;
        }
        let mut memories = Vec::new();
        for member in &members {
            self.poll(*member);
            let Some(memory) = &mut self.machines[*member].memory else {
                return;
            };
            // A synced member waits until the previous process has left the membership.
            if !memory.joining && memory.members.contains_key(&id(node)) {
                return;
            }
            memory.expect(id(node), slot(node));
            memories.push(memory.clone());
        }
        let current = memories.iter().map(|memory| memory.view).max();
        let named: Vec<usize> = memories
            .iter()
            .filter(|memory| Some(memory.view) == current)
            .flat_map(|memory| memory.members.keys())
            .map(|member| usize::try_from(member.0 - 1).expect("a small number"))
            .filter(|member| *member != node)
            .collect();
        if named.iter().any(|member| !members.contains(member)) {
            return;
        }
        let Some(memory) = ClusterRecord::of_joiner(id(node), &memories) else {
            return;
        };
        self.machines[node].memory = Some(memory);
        if let Process::Stopped { next, .. } = &mut self.machines[node].process {
            *next = Some(Next::Join);
        }
    }

    pub(super) fn go(&mut self, node: usize) {
        let Process::Stopped { next: Some(next), .. } = self.machines[node].process.clone() else {
            return;
        };
        let mut running = Running {
            view: None,
            primary: false,
            in_sync: false,
            weight: JOINING,
            pending: Vec::new(),
        };
        match next {
            Next::Bootstrap(agreed) => {
                self.starts += 1;
                self.judge_bootstrap(node);
                let machine = &mut self.machines[node];
                let start = Start {
                    id: Uuid::from_u128(u128::from(self.starts)),
                    cluster: None,
                    seqno: seqno(machine.data),
                    forced: false,
                    participants: agreed.participants,
                };
                machine.memory = Some(ClusterRecord::of_bootstrapper(agreed.newest.as_ref(), &start));
                let cluster = match machine.data {
                    VolumeState::At {
                        cluster: Some(cluster),
                        ..
                    } => cluster.as_u128(),
                    _ => 1000 + u128::from(self.starts),
                };
                machine.data = VolumeState::At {
                    cluster: Some(Uuid::from_u128(cluster)),
                    seqno: seqno(machine.data) + 1,
                };
                running.view = Some(View {
                    cluster,
                    start: self.starts,
                    number: 1,
                    members: vec![Member {
                        node,
                        incarnation: machine.incarnation,
                        weight: IN_STEP,
                    }],
                });
                running.weight = IN_STEP;
                running.primary = true;
                running.in_sync = true;
            }
            Next::Join => {
                let machine = &mut self.machines[node];
                // Empty nodes need a copy, and so does the third node always.
                if node == 2 || machine.data == VolumeState::Empty {
                    machine.data = VolumeState::Incomplete;
                    machine.writes.clear();
                }
            }
        }
        self.machines[node].process = Process::Running(running);
        self.regroup();
    }

    pub(super) fn judge_bootstrap(&mut self, node: usize) {
        if (0..NODES).any(|other| self.running_at(other).is_some_and(|running| running.primary)) {
            self.violation = Some("a second cluster started while one ran");
        }
        if self
            .acknowledged
            .iter()
            .any(|write| !self.machines[node].writes.contains(write))
        {
            self.violation = Some("the cluster started from a node that lacks an acknowledged write");
        }
    }
}

pub(super) fn seqno(data: VolumeState) -> i64 {
    match data {
        VolumeState::At { seqno, .. } => seqno,
        VolumeState::Empty | VolumeState::Incomplete => -1,
    }
}
