//! The decision, run through every order of events that three nodes can meet.
//!
//! Galera is modelled by what the agent relies on: a membership that is a majority of the last one goes on, anything
//! less stops; an acknowledged write is durable where it was made and received by every member in step; a node that
//! joins may have nothing whole until it is in step. Everything that an agent decides, remembers and agrees to is the
//! real code.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use database_agent::decision::{
    Around, Data, Decision, Node, Plan, Promise, Proposal, Stage, consider, decide,
};
use database_agent::memory::{Memory, NodeId, Slot, Start};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

const NODES: usize = 3;

/// A process of MariaDB's: which node, and its how many-th.
type Incarnation = (usize, u8);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Process {
    Down,
    /// The agent runs, its database does not.
    Stopped {
        promise: Option<Promise>,
        next: Option<Next>,
    },
    Running(Running),
}

/// What was agreed on and has not been done yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Next {
    Bootstrap(Box<Agreed>),
    Join,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Agreed {
    participants: BTreeMap<NodeId, Slot>,
    newest: Option<Memory>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Running {
    /// The last majority that this process was part of; none before it has joined.
    view: Option<View>,
    primary: bool,
    in_step: bool,
    /// Received and not durable: lost when the process dies.
    pending: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct View {
    cluster: u128,
    /// Tells the starts of one cluster apart, as the model sees them.
    start: u8,
    number: u64,
    members: Vec<Incarnation>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Machine {
    process: Process,
    incarnation: u8,
    memory: Option<Memory>,
    data: Data,
    /// The writes that are on its disk.
    writes: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    machines: Vec<Machine>,
    /// Which node hears nobody.
    cut: Option<usize>,
    founders: u32,
    acknowledged: Vec<u8>,
    starts: u8,
    faults: u8,
    /// What went wrong, for the one who reads the failure.
    violation: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Write {
        at: usize,
        others_have_it: bool,
    },
    Crash(usize),
    Leave(usize),
    Cut(usize),
    Heal,
    Begin(usize),
    /// Ask everyone, decide, and gather what it needs from the others.
    Decide(usize),
    /// Do what was agreed on.
    Go(usize),
    /// Give up a database that cannot get a majority.
    Stop(usize),
    Sync(usize),
    /// The agent looks at the membership.
    Poll(usize),
}

#[derive(Clone, Copy)]
struct Bounds {
    faults: u8,
    writes: usize,
}

fn id(node: usize) -> NodeId {
    NodeId(node as u64 + 1)
}

fn slot(node: usize) -> Slot {
    u32::try_from(node).expect("a small number") + 1
}

impl World {
    /// Empty volumes, nobody started.
    fn empty(founders: u32) -> Self {
        let machine = Machine {
            process: Process::Down,
            incarnation: 0,
            memory: None,
            data: Data::Empty,
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

    /// Everybody in step.
    fn running() -> Self {
        let mut world = Self::empty(3);
        assert!(world.settle(), "three empty nodes found no cluster");
        world
    }

    fn node(&self, node: usize) -> Node {
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
            Process::Running(running) => match (running.primary, running.in_step, &running.view) {
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

    fn hears(&self, a: usize, b: usize) -> bool {
        a == b || (self.cut != Some(a) && self.cut != Some(b))
    }

    fn answers(&self, asking: usize) -> Vec<usize> {
        (0..NODES)
            .filter(|other| {
                *other != asking
                    && self.hears(asking, *other)
                    && self.machines[*other].process != Process::Down
            })
            .collect()
    }

    fn events(&self, bounds: Bounds) -> Vec<Event> {
        let mut events = Vec::new();
        let more = self.faults < bounds.faults;
        if self.cut.is_some() {
            events.push(Event::Heal);
        }
        for node in 0..NODES {
            if more && self.cut.is_none() {
                events.push(Event::Cut(node));
            }
            match &self.machines[node].process {
                Process::Down => events.push(Event::Begin(node)),
                Process::Stopped { next, .. } => {
                    events.push(if next.is_some() {
                        Event::Go(node)
                    } else {
                        Event::Decide(node)
                    });
                    if more && next.is_some() {
                        events.push(Event::Crash(node));
                    }
                }
                Process::Running(running) => {
                    if more {
                        events.extend([Event::Crash(node), Event::Leave(node)]);
                    }
                    if running.primary && running.in_step && self.acknowledged.len() < bounds.writes {
                        events.extend([true, false].map(|others_have_it| Event::Write {
                            at: node,
                            others_have_it,
                        }));
                    }
                    events.push(match (running.primary, running.in_step) {
                        (true, true) => Event::Poll(node),
                        (true, false) if self.donor(node).is_some() => Event::Sync(node),
                        _ => Event::Stop(node),
                    });
                }
            }
        }
        events
    }

    fn apply(&mut self, event: Event) {
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

    fn stopped(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        machine.incarnation += 1;
        machine.process = Process::Stopped {
            promise: None,
            next: None,
        };
    }

    fn running_mut(&mut self, node: usize) -> Option<&mut Running> {
        match &mut self.machines[node].process {
            Process::Running(running) => Some(running),
            _ => None,
        }
    }

    fn running_at(&self, node: usize) -> Option<&Running> {
        match &self.machines[node].process {
            Process::Running(running) => Some(running),
            _ => None,
        }
    }

    fn write(&mut self, at: usize, others_have_it: bool) {
        let write = u8::try_from(self.acknowledged.len()).expect("few writes");
        self.acknowledged.push(write);
        let view = self.running_at(at).and_then(|running| running.view.clone());
        for node in 0..NODES {
            let Some(running) = self.running_mut(node) else {
                continue;
            };
            if !running.in_step || running.view != view || !running.primary {
                continue;
            }
            running.pending.push(write);
            if node == at || others_have_it {
                self.flush(node);
            }
        }
    }

    /// Memberships are numbered among the writes.
    fn count_membership(&mut self, node: usize) {
        let in_step = self.running_at(node).is_some_and(|running| running.in_step);
        if in_step && let Data::At { seqno, .. } = &mut self.machines[node].data {
            *seqno += 1;
        }
    }

    /// What was received becomes durable.
    fn flush(&mut self, node: usize) {
        let Some(running) = self.running_mut(node) else {
            return;
        };
        let pending = std::mem::take(&mut running.pending);
        let machine = &mut self.machines[node];
        if let Data::At { seqno, .. } = &mut machine.data {
            *seqno += i64::try_from(pending.len()).expect("few writes");
        }
        machine.writes.extend(pending);
    }

    /// An orderly end: the others do not count the node any more, and it keeps what it has received.
    fn leave(&mut self, node: usize) {
        self.flush(node);
        if self.running_at(node).is_some_and(|running| running.primary) {
            self.poll(node);
        }
        let Some(running) = self.running_mut(node) else {
            return;
        };
        let (view, primary) = (running.view.take(), running.primary);
        self.machines[node].process = Process::Down;
        let Some(view) = view.filter(|_| primary) else {
            return;
        };
        for other in 0..NODES {
            if self.running_at(other).and_then(|running| running.view.as_ref()) != Some(&view) {
                continue;
            }
            // A membership comes after the writes before it, and is remembered after they are durable.
            self.flush(other);
            self.count_membership(other);
            if let Some(theirs) = self.running_mut(other).and_then(|running| running.view.as_mut()) {
                theirs.number += 1;
                theirs.members.retain(|(member, _)| *member != node);
            }
        }
        self.regroup();
    }

    /// Forms memberships anew among those who hear each other.
    fn regroup(&mut self) {
        let groups: Vec<Vec<usize>> = match self.cut {
            Some(cut) => vec![vec![cut], (0..NODES).filter(|node| *node != cut).collect()],
            None => vec![(0..NODES).collect()],
        };
        for group in groups {
            self.regroup_among(&group);
        }
    }

    fn regroup_among(&mut self, group: &[usize]) {
        let alive: Vec<usize> = group
            .iter()
            .copied()
            .filter(|node| self.running_at(*node).is_some())
            .collect();
        let Some(view) = alive
            .iter()
            .filter_map(|node| self.running_at(*node)?.view.clone())
            .max_by_key(|view| (view.start, view.number))
        else {
            return;
        };
        let old: Vec<usize> = alive
            .iter()
            .copied()
            .filter(|node| view.members.contains(&(*node, self.machines[*node].incarnation)))
            .collect();
        let majority = old.len() * 2 > view.members.len();
        let members: Vec<Incarnation> = alive
            .iter()
            .map(|node| (*node, self.machines[*node].incarnation))
            .collect();
        let changed = majority
            && (members != view.members
                || alive.iter().any(|node| {
                    self.running_at(*node)
                        .is_none_or(|running| running.view.as_ref() != Some(&view) || !running.primary)
                }));
        for node in alive {
            if !majority {
                if let Some(running) = self.running_mut(node) {
                    running.primary = false;
                }
                continue;
            }
            if !changed {
                continue;
            }
            let was_member = old.contains(&node);
            self.flush(node);
            if was_member {
                self.count_membership(node);
            }
            let next = View {
                number: view.number + 1,
                members: members.clone(),
                ..view.clone()
            };
            if let Some(running) = self.running_mut(node) {
                running.in_step &= was_member;
                running.primary = true;
                running.view = Some(next);
            }
        }
        // Somebody who is in step has to be left to copy from; a membership without one serves nobody.
    }

    fn poll(&mut self, node: usize) {
        let Some(running) = self.running_at(node) else {
            return;
        };
        // A node without the data knows nothing of where they are: it remembers who let it in until it is in step.
        let (Some(view), true) = (running.view.clone(), running.in_step) else {
            return;
        };
        let members: BTreeMap<_, _> = view
            .members
            .iter()
            .map(|(member, _)| (id(*member), slot(*member)))
            .collect();
        let memory = self.machines[node].memory.get_or_insert_default();
        memory.saw_view(Uuid::from_u128(view.cluster), view.number, &members);
        memory.joining = false;
    }

    /// Who a node can copy from. MariaDB ends when there is nobody.
    fn donor(&self, node: usize) -> Option<usize> {
        let view = self.running_at(node)?.view.as_ref()?;
        (0..NODES).find(|donor| {
            self.running_at(*donor).is_some_and(|running| {
                running.in_step && running.primary && running.view.as_ref() == Some(view)
            })
        })
    }

    fn sync(&mut self, node: usize) {
        let Some(donor) = self.donor(node) else { return };
        self.flush(donor);
        let (data, writes) = (self.machines[donor].data, self.machines[donor].writes.clone());
        let machine = &mut self.machines[node];
        if machine.writes.iter().any(|write| !writes.contains(write)) {
            self.violation = Some("a node that joined had a write that the cluster lacks");
        }
        machine.data = data;
        machine.writes = writes;
        if let Some(running) = self.running_mut(node) {
            running.in_step = true;
        }
    }

    fn decide(&mut self, node: usize) {
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
        let around = Around {
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

    fn propose(&mut self, node: usize, plan: Plan) {
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

    fn register(&mut self, node: usize, members: &BTreeMap<NodeId, Slot>) {
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
        let Some(memory) = Memory::of_joiner(id(node), &memories) else {
            return;
        };
        self.machines[node].memory = Some(memory);
        if let Process::Stopped { next, .. } = &mut self.machines[node].process {
            *next = Some(Next::Join);
        }
    }

    fn go(&mut self, node: usize) {
        let Process::Stopped { next: Some(next), .. } = self.machines[node].process.clone() else {
            return;
        };
        let mut running = Running {
            view: None,
            primary: false,
            in_step: false,
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
                machine.memory = Some(Memory::of_bootstrapper(agreed.newest.as_ref(), &start));
                let cluster = match machine.data {
                    Data::At {
                        cluster: Some(cluster),
                        ..
                    } => cluster.as_u128(),
                    _ => 1000 + u128::from(self.starts),
                };
                machine.data = Data::At {
                    cluster: Some(Uuid::from_u128(cluster)),
                    seqno: seqno(machine.data) + 1,
                };
                running.view = Some(View {
                    cluster,
                    start: self.starts,
                    number: 1,
                    members: vec![(node, machine.incarnation)],
                });
                running.primary = true;
                running.in_step = true;
            }
            Next::Join => {
                let machine = &mut self.machines[node];
                // An empty node is copied to; the third one always is.
                if node == 2 || machine.data == Data::Empty {
                    machine.data = Data::Incomplete;
                    machine.writes.clear();
                }
            }
        }
        self.machines[node].process = Process::Running(running);
        self.regroup();
    }

    fn judge_bootstrap(&mut self, node: usize) {
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

    /// Everything comes back and nothing more fails: whether all get in step.
    fn settle(&mut self) -> bool {
        self.apply(Event::Heal);
        for _ in 0..12 {
            for node in 0..NODES {
                match self.machines[node].process.clone() {
                    Process::Down => self.apply(Event::Begin(node)),
                    Process::Stopped { next: None, .. } => self.apply(Event::Decide(node)),
                    Process::Stopped { .. } => self.apply(Event::Go(node)),
                    Process::Running(running) if running.primary && self.donor(node).is_some() => {
                        self.apply(Event::Sync(node));
                        self.apply(Event::Poll(node));
                    }
                    Process::Running(_) => self.apply(Event::Stop(node)),
                }
            }
            let in_step = |node| {
                self.running_at(node)
                    .is_some_and(|running| running.primary && running.in_step)
            };
            if (0..NODES).all(in_step) {
                return true;
            }
        }
        false
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    /// The reasons why this world must not be.
    fn judge(&self, trace: &dyn Fn() -> String) {
        if let Some(violation) = self.violation {
            panic!("{violation}, after:\n{}\nwhich made {self:#?}", trace());
        }
        let mut later = self.clone();
        let settled = later.settle();
        if let Some(violation) = later.violation {
            panic!(
                "{violation} once all were back, after:\n{}\nwhich made {self:#?}",
                trace()
            );
        }
        assert!(
            settled,
            "not all nodes are in step although all came back, after:\n{}\nwhich made {later:#?}",
            trace()
        );
        for machine in &later.machines {
            for write in &later.acknowledged {
                assert!(
                    machine.writes.contains(write),
                    "an acknowledged write is not on every node, after:\n{}",
                    trace()
                );
            }
        }
    }
}

fn seqno(data: Data) -> i64 {
    match data {
        Data::At { seqno, .. } => seqno,
        Data::Empty | Data::Incomplete => -1,
    }
}

/// Visits every world that `start` can become; says how many there are.
fn explore(start: World, bounds: Bounds) -> usize {
    let mut known = HashSet::from([start.fingerprint()]);
    // Where each world came from, to tell the story of one that must not be.
    let mut origins: Vec<(usize, Event)> = vec![(0, Event::Heal)];
    let mut queue = VecDeque::from([(0, start)]);
    while let Some((index, world)) = queue.pop_front() {
        world.judge(&|| {
            let mut events = Vec::new();
            let mut at = index;
            while at != 0 {
                let (from, event) = origins[at];
                events.push(format!("  {event:?}"));
                at = from;
            }
            events.reverse();
            events.join("\n")
        });
        for event in world.events(bounds) {
            let mut next = world.clone();
            next.apply(event);
            if known.insert(next.fingerprint()) {
                origins.push((index, event));
                queue.push_back((origins.len() - 1, next));
            }
        }
    }
    known.len()
}

#[test]
fn every_order_of_events_of_a_running_cluster() {
    let started = std::time::Instant::now();
    let worlds = explore(World::running(), Bounds { faults: 2, writes: 1 });
    println!("{worlds} worlds in {:.1} s", started.elapsed().as_secs_f32());
    assert!(worlds > 1000, "the model explored too little: {worlds} worlds");
}

#[test]
fn every_order_of_events_of_empty_volumes() {
    let started = std::time::Instant::now();
    let worlds = explore(World::empty(3), Bounds { faults: 1, writes: 1 });
    println!("{worlds} worlds in {:.1} s", started.elapsed().as_secs_f32());
    assert!(worlds > 1000, "the model explored too little: {worlds} worlds");
}

#[test]
#[ignore = "long: ./dev test --long"]
fn every_order_of_more_events() {
    let started = std::time::Instant::now();
    let worlds = explore(World::running(), Bounds { faults: 3, writes: 2 });
    println!("{worlds} worlds in {:.1} s", started.elapsed().as_secs_f32());
}

/// Long histories, which no search reaches.
#[test]
fn long_histories_at_random() {
    let walks: u64 = std::env::var("MODEL_WALKS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(150);
    for seed in 0..walks {
        let mut random = StdRng::seed_from_u64(seed);
        let mut world = if seed % 2 == 0 {
            World::running()
        } else {
            World::empty(3)
        };
        let mut events = Vec::new();
        for _ in 0..80 {
            let possible = world.events(Bounds {
                faults: u8::MAX,
                writes: 20,
            });
            let faults = |event: &Event| matches!(event, Event::Crash(_) | Event::Leave(_) | Event::Cut(_));
            let mut event = possible[random.random_range(0..possible.len())];
            // As often calm as not, so that something is built up that a fault can break.
            if faults(&event) && random.random_bool(0.7) {
                event = possible[random.random_range(0..possible.len())];
            }
            world.apply(event);
            events.push(event);
            world.judge(&|| format!("seed {seed}: {events:#?}"));
        }
    }
}
