//! Invariants of every state of the model, and the outcome once nothing more fails.

use std::collections::HashSet;

use super::world::{Event, NODES, Process, World};

impl World {
    /// Ends all faults, and checks that all nodes get in sync with all acknowledged writes. `well` caches worlds for
    /// which this is known.
    pub(super) fn settle(&mut self, well: &mut HashSet<u64>) -> Result<(), &'static str> {
        self.apply(Event::Heal);
        let mut passed = Vec::new();
        for _ in 0..20 {
            let fingerprint = self.fingerprint();
            passed.push(fingerprint);
            if well.contains(&fingerprint) {
                well.extend(passed);
                return Ok(());
            }
            for node in 0..NODES {
                self.apply(self.next_step(node));
            }
            if let Some(violation) = self.violation {
                return Err(violation);
            }
            let in_sync = |node| {
                self.running_at(node)
                    .is_some_and(|running| running.primary && running.in_sync)
            };
            if (0..NODES).all(in_sync) {
                if self.lacks_a_write() {
                    return Err("an acknowledged write is not on every node");
                }
                well.extend(passed);
                return Ok(());
            }
        }
        Err("not all nodes are in sync")
    }

    /// The next step of a node without outside events.
    pub(super) fn next_step(&self, node: usize) -> Event {
        match &self.machines[node].process {
            Process::Down => Event::Begin(node),
            Process::Stopped { next: None, .. } => Event::Decide(node),
            Process::Stopped { .. } => Event::Go(node),
            Process::Running(running) => match (running.primary, running.in_sync) {
                (true, true) => Event::Poll(node),
                (true, false) if self.donor(node).is_some() => Event::Sync(node),
                _ => Event::Stop(node),
            },
        }
    }

    /// Whether an acknowledged write is missing on a node. Received writes count, because they become durable.
    pub(super) fn lacks_a_write(&self) -> bool {
        (0..NODES).any(|node| {
            let received = self.running_at(node).map_or(&[][..], |running| &running.pending);
            let has = |write| self.machines[node].writes.contains(write) || received.contains(write);
            !self.acknowledged.iter().all(has)
        })
    }

    /// Checks the invariants of this state.
    pub(super) fn judge(&self, well: &mut HashSet<u64>, trace: &dyn Fn() -> String) {
        if let Some(violation) = self.violation {
            panic!("{violation}, after:\n{}\nwhich made {self:#?}", trace());
        }
        let mut later = self.clone();
        if let Err(reason) = later.settle(well) {
            panic!(
                "{reason}, although all came back, after:\n{}\nwhich made {self:#?}\nand then {later:#?}",
                trace()
            );
        }
    }
}
