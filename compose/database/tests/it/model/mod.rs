//! The decision, run through every order of events that three nodes can meet.
//!
//! Galera is modelled by what the agent relies on: a membership that is a majority of the last one goes on, anything
//! less stops, where one that has the data counts more than any that are being copied to; an acknowledged write is durable where it was made and received by every member in sync; a node that
//! joins may have nothing whole until it is in sync. Everything that an agent decides, remembers and agrees to is the
//! real code.

mod world;
mod galera;
mod outcome;
mod fingerprint;

use std::collections::{HashSet, VecDeque};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use self::world::{Bounds, Event, World};

/// Explores all states reachable from `start`, and returns their number. States with fewer faults are visited first, so
/// that a state is first met with the most remaining faults.
fn explore(start: World, bounds: Bounds) -> usize {
    let mut known = HashSet::from([start.fingerprint()]);
    let mut well = HashSet::new();
    // The origin of each state, for the trace of a violation.
    let mut origins: Vec<(usize, Event)> = vec![(0, Event::Heal)];
    let mut queues = vec![VecDeque::new(); usize::from(bounds.faults) + 1];
    queues[0].push_back((0, start));
    for faults in 0..queues.len() {
        while let Some((index, world)) = queues[faults].pop_front() {
            world.judge(&mut well, &|| story(&origins, index));
            for event in world.events(bounds) {
                let mut next = world.clone();
                next.apply(event);
                if known.insert(next.fingerprint()) {
                    origins.push((index, event));
                    queues[usize::from(next.faults)].push_back((origins.len() - 1, next));
                }
            }
        }
    }
    known.len()
}

/// The events that led to the world with number `at`.
fn story(origins: &[(usize, Event)], mut at: usize) -> String {
    let mut events = Vec::new();
    while at != 0 {
        let (from, event) = origins[at];
        events.push(format!("  {event:?}"));
        at = from;
    }
    events.reverse();
    events.join("\n")
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
    let worlds = explore(World::running(), Bounds { faults: 3, writes: 1 });
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
        let mut well = HashSet::new();
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
            world.judge(&mut well, &|| format!("seed {seed}: {events:#?}"));
        }
    }
}
