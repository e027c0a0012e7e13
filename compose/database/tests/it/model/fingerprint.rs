//! Equivalence of model states.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use database_agent::cluster_record::{Bootstrap, ClusterRecord};
use database_agent::decision::VolumeState;
use uuid::Uuid;

use super::world::{Next, Process, Running, World};

/// Maximum distance of positions that the search distinguishes. Larger ones cannot become equal within its bounds.
const MAX_DISTANCE: i128 = 4;

impl World {
    /// A hash that is equal for states with the same future behaviour, so that the search visits only one of them.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut world = self.clone();
        world.faults = 0;
        world.forget_processes();
        world.forget_common_starts();
        let views = compact(&mut world, World::views, 1);
        world.views(&mut |view| *view = compacted(&views, *view));
        let positions = compact(&mut world, World::positions, MAX_DISTANCE);
        world.positions(&mut |position| *position = compacted(&positions, *position));
        let epochs = compact(&mut world, World::epochs, 1);
        world.epochs(&mut |epoch| *epoch = compacted(&epochs, *epoch));
        let starts = compact(&mut world, World::start_numbers, 1);
        world.start_numbers(&mut |start| *start = compacted(&starts, *start));
        world.starts = u8::try_from(starts.len()).expect("few starts");
        let mut hasher = DefaultHasher::new();
        world.hash(&mut hasher);
        hasher.finish()
    }

    /// Replaces the numbers of processes by whether they are those of the running process.
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

    /// Removes all starts but the last one that are in the histories of all nodes: they do not distinguish states.
    fn forget_common_starts(&mut self) {
        let mut common: Option<Vec<Bootstrap>> = None;
        let mut common_length = usize::MAX;
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
            common_length = common_length.min(written);
            let before = common.take().unwrap_or_else(|| memory.history.clone());
            let both = before.iter().zip(&memory.history).take_while(|(a, b)| a == b);
            common = Some(both.map(|(start, _)| *start).collect());
        }
        let common = common.map_or(0, |common| common.len()).min(common_length);
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

    /// Visits the numbers of memberships.
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

    /// Visits the positions of data and of starts.
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

    /// Visits the ids of starts, which are numbers in the model.
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

/// Maps each number of one kind to a smaller one. The order is kept, and so are distances of less than `far`.
fn compact<T: Copy + Into<i128>>(world: &mut World, visit: Visit<T>, far: i128) -> BTreeMap<i128, i128> {
    let mut compacted = BTreeMap::new();
    visit(world, &mut |number| {
        compacted.insert((*number).into(), 0);
    });
    let mut before: Option<(i128, i128)> = None;
    for (number, place) in &mut compacted {
        *place = before.map_or(0, |(other, compacted_before)| {
            compacted_before + (number - other).min(far)
        });
        before = Some((*number, *place));
    }
    compacted
}

fn compacted<T: Copy + Into<i128> + TryFrom<i128>>(compacted: &BTreeMap<i128, i128>, number: T) -> T {
    T::try_from(compacted[&number.into()])
        .ok()
        .expect("compacted are smaller than what was there")
}
