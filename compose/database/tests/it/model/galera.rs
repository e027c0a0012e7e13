//! The model of Galera: memberships, replication and copies.

use database_agent::decision::VolumeState;

use super::world::{IN_STEP, Member, NODES, Process, Running, View, World};

impl World {
    pub(super) fn running_mut(&mut self, node: usize) -> Option<&mut Running> {
        match &mut self.machines[node].process {
            Process::Running(running) => Some(running),
            _ => None,
        }
    }

    pub(super) fn running_at(&self, node: usize) -> Option<&Running> {
        match &self.machines[node].process {
            Process::Running(running) => Some(running),
            _ => None,
        }
    }

    pub(super) fn write(&mut self, at: usize, others_have_it: bool) {
        let write = u8::try_from(self.acknowledged.len()).expect("few writes");
        self.acknowledged.push(write);
        let view = self.running_at(at).and_then(|running| running.view.clone());
        for node in 0..NODES {
            let Some(running) = self.running_mut(node) else {
                continue;
            };
            if !running.in_sync || running.view != view || !running.primary {
                continue;
            }
            running.pending.push(write);
            if node == at || others_have_it {
                self.flush(node);
            }
        }
    }

    /// Counts a membership, which takes a sequence number as writes do.
    pub(super) fn count_membership(&mut self, node: usize) {
        let in_sync = self.running_at(node).is_some_and(|running| running.in_sync);
        if in_sync && let VolumeState::At { seqno, .. } = &mut self.machines[node].data {
            *seqno += 1;
        }
    }

    /// Makes received writes durable.
    pub(super) fn flush(&mut self, node: usize) {
        let Some(running) = self.running_mut(node) else {
            return;
        };
        let pending = std::mem::take(&mut running.pending);
        let machine = &mut self.machines[node];
        if let VolumeState::At { seqno, .. } = &mut machine.data {
            *seqno += i64::try_from(pending.len()).expect("few writes");
        }
        machine.writes.extend(pending);
    }

    /// Stops a node in order: it leaves the membership, and its received writes are durable.
    pub(super) fn leave(&mut self, node: usize) {
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
            // A membership is ordered after earlier writes, and recorded after they are durable.
            self.flush(other);
            self.count_membership(other);
            if let Some(theirs) = self.running_mut(other).and_then(|running| running.view.as_mut()) {
                theirs.number += 1;
                theirs.members.retain(|member| member.node != node);
            }
        }
        self.regroup();
    }

    /// Forms new memberships of connected nodes.
    pub(super) fn regroup(&mut self) {
        let groups: Vec<Vec<usize>> = match self.cut {
            Some(cut) => vec![vec![cut], (0..NODES).filter(|node| *node != cut).collect()],
            None => vec![(0..NODES).collect()],
        };
        for group in groups {
            self.regroup_among(&group);
        }
    }

    /// Returns the process of a node as a member.
    pub(super) fn member(&self, node: usize) -> Option<Member> {
        Some(Member {
            node,
            incarnation: self.machines[node].incarnation,
            weight: self.running_at(node)?.weight,
        })
    }

    /// Whether the running process is a member.
    pub(super) fn is_counted(&self, node: usize, view: &View) -> bool {
        let incarnation = self.machines[node].incarnation;
        view.members
            .iter()
            .any(|member| member.node == node && member.incarnation == incarnation)
    }

    pub(super) fn regroup_among(&mut self, group: &[usize]) {
        let alive: Vec<usize> = group
            .iter()
            .copied()
            .filter(|node| self.running_at(*node).is_some())
            .collect();
        // Processes of different starts of the cluster do not form a membership.
        let start = |node: usize| self.running_at(node)?.view.as_ref().map(|view| view.start);
        let latest = alive.iter().filter_map(|node| start(*node)).max();
        let alive: Vec<usize> = alive
            .into_iter()
            .filter(|node| start(*node).is_none_or(|start| Some(start) == latest))
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
            .filter(|node| self.is_counted(*node, &view))
            .collect();
        let there = view.members.iter().filter(|member| old.contains(&member.node));
        let majority = set_weight(there) * 2 > set_weight(view.members.iter());
        let members: Vec<Member> = alive.iter().filter_map(|node| self.member(*node)).collect();
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
                running.in_sync &= was_member;
                running.primary = true;
                running.view = Some(next);
            }
        }
        // A synced member must remain as a donor. A membership without one serves no requests.
    }

    /// Gives a node its full weight, which all members learn at once.
    pub(super) fn set_full_weight(&mut self, node: usize) {
        let Some(running) = self.running_mut(node) else {
            return;
        };
        running.weight = IN_STEP;
        let view = running.view.clone();
        for other in 0..NODES {
            let theirs = self.running_mut(other).map(|running| &mut running.view);
            let Some(Some(theirs)) = theirs.filter(|theirs| **theirs == view) else {
                continue;
            };
            for member in theirs.members.iter_mut().filter(|member| member.node == node) {
                member.weight = IN_STEP;
            }
        }
    }

    /// Returns a donor for a node. MariaDB ends if there is none.
    pub(super) fn donor(&self, node: usize) -> Option<usize> {
        let view = self.running_at(node)?.view.as_ref()?;
        (0..NODES).find(|donor| {
            self.running_at(*donor).is_some_and(|running| {
                running.in_sync && running.primary && running.view.as_ref() == Some(view)
            })
        })
    }

    pub(super) fn sync(&mut self, node: usize) {
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
            running.in_sync = true;
        }
    }
}

fn set_weight<'a>(members: impl Iterator<Item = &'a Member>) -> u32 {
    members.map(|member| u32::from(member.weight)).sum()
}
