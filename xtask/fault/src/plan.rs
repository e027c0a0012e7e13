//! The plan of one run, derived from the seed.

use std::fmt;
use std::time::Duration;

use harness::cluster::NODES;
use harness::system::SERVICES;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

/// The faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Fault {
    /// kill -9 of one database node, the agent and MariaDB.
    KillOne,
    /// kill -9 of one MariaDB under its agent.
    KillServer,
    /// One database node is frozen for some seconds.
    PauseOne,
    /// The link of one database node is cut for some seconds.
    CutOne,
    /// The link of one database node becomes slow for some seconds.
    SlowOne,
    /// The disk of one database node is full for some seconds.
    FullDisk,
    /// kill -9 of all database nodes at once.
    KillAll,
    /// The links of all database nodes are cut for some seconds.
    CutAll,
    /// All programs are stopped by SIGTERM and started again, as by `docker stack rm` and a new deployment.
    StopAll,
    /// kill -9 of all processes of all services, one after another.
    KillServices,
    /// kill -9 of the router, twice.
    KillRouter,
    /// No fault, as a baseline of the audit.
    #[value(skip)]
    Nothing,
    /// Control only: after a kill of all nodes, MariaDB is started without its agent, on a stale node first.
    #[value(skip)]
    PlainRestart,
}

impl Fault {
    /// All faults of normal runs.
    pub(crate) const ALL: [Self; 11] = [
        Self::KillOne,
        Self::KillServer,
        Self::PauseOne,
        Self::CutOne,
        Self::SlowOne,
        Self::FullDisk,
        Self::KillAll,
        Self::CutAll,
        Self::StopAll,
        Self::KillServices,
        Self::KillRouter,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KillOne => "kill-one",
            Self::KillServer => "kill-server",
            Self::PauseOne => "pause-one",
            Self::CutOne => "cut-one",
            Self::SlowOne => "slow-one",
            Self::FullDisk => "full-disk",
            Self::KillAll => "kill-all",
            Self::CutAll => "cut-all",
            Self::StopAll => "stop-all",
            Self::KillServices => "kill-services",
            Self::KillRouter => "kill-router",
            Self::Nothing => "nothing",
            Self::PlainRestart => "plain-restart",
        }
    }

    /// The description in the report.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::KillOne => "kill -9 of one database node",
            Self::KillServer => "kill -9 of one MariaDB under its agent",
            Self::PauseOne => "one database node frozen",
            Self::CutOne => "one database node cut off",
            Self::SlowOne => "the link of one database node slow",
            Self::FullDisk => "the disk of one database node full",
            Self::KillAll => "kill -9 of all database nodes at once",
            Self::CutAll => "all database nodes cut off from each other",
            Self::StopAll => "SIGTERM to all programs, and a new deployment",
            Self::KillServices => "kill -9 of each process of each service",
            Self::KillRouter => "kill -9 of the router, twice",
            Self::Nothing => "nothing",
            Self::PlainRestart => "all killed, MariaDB started plainly",
        }
    }
}

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) fault: Fault,
    /// The slot of the database node.
    pub(crate) slot: u32,
    /// How long users use the site before the fault.
    pub(crate) before: Duration,
    /// Duration of a fault that lasts.
    pub(crate) hold: Duration,
    /// Delay of a slow link in each direction.
    pub(crate) delay: Duration,
    /// The order in which services are killed, with the pauses between them.
    pub(crate) order: Vec<(String, Duration)>,
}

impl Plan {
    /// `small` is the node whose disk can be filled.
    pub(crate) fn new(seed: u64, fault: Fault, small: u32) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let slot = rng.random_range(1..=NODES);
        let before = Duration::from_millis(rng.random_range(4_000..6_000));
        let hold = Duration::from_millis(match fault {
            Fault::KillRouter => rng.random_range(2_000..3_000),
            _ => rng.random_range(3_000..8_000),
        });
        let delay = Duration::from_millis(rng.random_range(10..50));
        let mut parts: Vec<_> = SERVICES
            .iter()
            .flat_map(|service| (1..=2).map(move |replica| format!("{service}-{replica}")))
            .collect();
        parts.shuffle(&mut rng);
        let order = parts
            .into_iter()
            .map(|part| (part, Duration::from_millis(rng.random_range(200..900))))
            .collect();
        Self {
            seed,
            fault,
            slot: if fault == Fault::FullDisk { small } else { slot },
            before,
            hold,
            delay,
            order,
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Duration::as_secs_f32;
        write!(
            f,
            "seed {}: {} after {:.1} s",
            self.seed,
            self.fault.name(),
            seconds(&self.before)
        )?;
        let (slot, hold) = (self.slot, seconds(&self.hold));
        match self.fault {
            Fault::KillOne | Fault::KillServer => write!(f, ", db-{slot}"),
            Fault::PauseOne | Fault::CutOne | Fault::FullDisk => write!(f, ", db-{slot} for {hold:.1} s"),
            Fault::SlowOne => write!(
                f,
                ", db-{slot} by {} ms each way for {hold:.1} s",
                self.delay.as_millis()
            ),
            Fault::CutAll => write!(f, ", for {hold:.1} s"),
            Fault::KillRouter => write!(f, ", again after {hold:.1} s"),
            Fault::KillServices => {
                let order: Vec<_> = self.order.iter().map(|(part, _)| part.as_str()).collect();
                write!(f, ": {}", order.join(" "))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_determines_the_plan() {
        for fault in Fault::ALL {
            let say = |seed| Plan::new(seed, fault, 2).to_string();
            assert_eq!(say(7), say(7));
            assert_ne!(say(7), say(8));
        }
    }
}
