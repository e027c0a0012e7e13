//! Model checking: runs the decision with all orders of events of three nodes.
//!
//! The model of Galera has the properties on which the agent relies: a membership that is a majority of the last one
//! continues, others stop, and a node with the data outweighs all nodes that are copying. An acknowledged write is
//! durable on its node and received by all members in sync. A joiner may have no usable data until it is in sync. The
//! decisions, records and agreements of the agents are the real code.

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
            world.judge(&mut well, &|| trace(&origins, index));
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
fn trace(origins: &[(usize, Event)], mut at: usize) -> String {
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
fn all_orders_of_events_of_a_running_cluster() {
    let started = std::time::Instant::now();
    let worlds = explore(World::running(), Bounds { faults: 2, writes: 1 });
    println!("{worlds} worlds in {:.1} s", started.elapsed().as_secs_f32());
    assert!(worlds > 1000, "the model explored too little: {worlds} worlds");
}

#[test]
fn all_orders_of_events_of_empty_volumes() {
    let started = std::time::Instant::now();
    let worlds = explore(World::empty(3), Bounds { faults: 1, writes: 1 });
    println!("{worlds} worlds in {:.1} s", started.elapsed().as_secs_f32());
    assert!(worlds > 1000, "the model explored too little: {worlds} worlds");
}

#[test]
#[ignore = "long: ./dev test --long"]
fn all_orders_of_more_events() {
    let started = std::time::Instant::now();
    let worlds = explore(World::running(), Bounds { faults: 3, writes: 1 });
    println!("{worlds} worlds in {:.1} s", started.elapsed().as_secs_f32());
}

/// Long histories, which the search does not reach.
#[test]
fn random_long_histories() {
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
            // Faults are possible in half of the steps, so that clusters can form in between.
            if faults(&event) && random.random_bool(0.7) {
                event = possible[random.random_range(0..possible.len())];
            }
            world.apply(event);
            events.push(event);
            world.judge(&mut well, &|| format!("seed {seed}: {events:#?}"));
        }
    }
}
