//! Equivalence of model states.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use database_agent::cluster_record::{Bootstrap, ClusterRecord};
use database_agent::decision::VolumeState;
use uuid::Uuid;

use super::world::{Next, Process, Running, World};

/// Positions that lie further apart than this never meet again within the bounds of a search.
const FAR: i128 = 4;

impl World {
    /// Equal for states with the same future behaviour, so that a recovered fault leads to a known state.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut world = self.clone();
        world.faults = 0;
        world.forget_processes();
        world.forget_common_starts();
        let views = closer(&mut world, World::views, 1);
        world.views(&mut |view| *view = place(&views, *view));
        let positions = closer(&mut world, World::positions, FAR);
        world.positions(&mut |position| *position = place(&positions, *position));
        let epochs = closer(&mut world, World::epochs, 1);
        world.epochs(&mut |epoch| *epoch = place(&epochs, *epoch));
        let starts = closer(&mut world, World::start_numbers, 1);
        world.start_numbers(&mut |start| *start = place(&starts, *start));
        world.starts = u8::try_from(starts.len()).expect("few starts");
        let mut hasher = DefaultHasher::new();
        world.hash(&mut hasher);
        hasher.finish()
    }

    /// How often a process was started does not matter, only whether a message is about the one that runs now.
    fn forget_processes(&mut self) {
        let current: Vec<u8> = self.machines.iter().map(|machine| machine.incarnation).collect();
        for machine in &mut self.machines {
            machine.incarnation = 1;
            match &mut machine.process {
                Process::Stopped {
                    promise: Some(promise),
                    ..
                } => {
                    let to = usize::try_from(promise.to.0 - 1).expect("a small number");
                    promise.boot = u64::from(promise.boot == u64::from(current[to]));
                    promise.ballot = promise.boot;
                }
                Process::Running(Running { view: Some(view), .. }) => {
                    for member in &mut view.members {
                        member.incarnation = u8::from(member.incarnation == current[member.node]);
                    }
                }
                _ => {}
            }
        }
    }

    /// Starts in the history of every node do not distinguish states, except the last one.
    fn forget_common_starts(&mut self) {
        let mut common: Option<Vec<Bootstrap>> = None;
        let mut went_through = usize::MAX;
        for machine in &self.machines {
            let Some(memory) = &machine.memory else { continue };
            let written = match machine.data {
                VolumeState::At { seqno, .. } => memory
                    .history
                    .iter()
                    .take_while(|start| start.seqno < seqno)
                    .count(),
                VolumeState::Empty | VolumeState::Incomplete => memory.history.len(),
            };
            went_through = went_through.min(written);
            let before = common.take().unwrap_or_else(|| memory.history.clone());
            let both = before.iter().zip(&memory.history).take_while(|(a, b)| a == b);
            common = Some(both.map(|(start, _)| *start).collect());
        }
        let common = common.map_or(0, |common| common.len()).min(went_through);
        let dropped = common.saturating_sub(1);
        self.memories(&mut |memory| drop(memory.history.drain(..dropped)));
    }

    fn memories(&mut self, change: &mut dyn FnMut(&mut ClusterRecord)) {
        for machine in &mut self.machines {
            machine.memory.iter_mut().for_each(&mut *change);
            if let Process::Stopped {
                next: Some(Next::Bootstrap(agreed)),
                ..
            } = &mut machine.process
            {
                agreed.newest.iter_mut().for_each(&mut *change);
            }
        }
    }

    /// Numbers of memberships.
    fn views(&mut self, change: &mut dyn FnMut(&mut u64)) {
        self.memories(&mut |memory| {
            change(&mut memory.view.number);
            memory
                .expected
                .values_mut()
                .for_each(|expected| change(&mut expected.since));
        });
        for machine in &mut self.machines {
            if let Process::Running(Running { view: Some(view), .. }) = &mut machine.process {
                change(&mut view.number);
            }
        }
    }

    /// Where data stand, or stood.
    fn positions(&mut self, change: &mut dyn FnMut(&mut i64)) {
        self.memories(&mut |memory| {
            memory
                .history
                .iter_mut()
                .for_each(|start| change(&mut start.seqno));
        });
        for machine in &mut self.machines {
            if let VolumeState::At { seqno, .. } = &mut machine.data {
                change(seqno);
            }
        }
    }

    fn epochs(&mut self, change: &mut dyn FnMut(&mut u32)) {
        self.memories(&mut |memory| {
            change(&mut memory.view.epoch.number);
            memory
                .history
                .iter_mut()
                .for_each(|start| change(&mut start.epoch.number));
        });
    }

    /// The model's own numbers of starts.
    fn start_numbers(&mut self, change: &mut dyn FnMut(&mut u8)) {
        self.memories(&mut |memory| {
            for start in &mut memory.history {
                let mut number = u8::try_from(start.id.as_u128()).expect("few starts");
                change(&mut number);
                start.id = Uuid::from_u128(number.into());
            }
        });
        for machine in &mut self.machines {
            if let Process::Running(Running { view: Some(view), .. }) = &mut machine.process {
                change(&mut view.start);
            }
        }
    }
}

/// Visits all numbers of one kind.
type Visit<T> = fn(&mut World, &mut dyn FnMut(&mut T));

/// Where each number of one kind goes when they move together. Their order stays, and distances of less than `far`.
fn closer<T: Copy + Into<i128>>(world: &mut World, visit: Visit<T>, far: i128) -> BTreeMap<i128, i128> {
    let mut places = BTreeMap::new();
    visit(world, &mut |number| {
        places.insert((*number).into(), 0);
    });
    let mut before: Option<(i128, i128)> = None;
    for (number, place) in &mut places {
        *place = before.map_or(0, |(other, its)| its + (number - other).min(far));
        before = Some((*number, *place));
    }
    places
}

fn place<T: Copy + Into<i128> + TryFrom<i128>>(places: &BTreeMap<i128, i128>, number: T) -> T {
    T::try_from(places[&number.into()])
        .ok()
        .expect("places are smaller than what was there")
}
