//! Sends random requests to a router process. No request may crash or block it, use much memory, or cause an internal
//! error.
//!
//! Inputs are generated from the structure of a request (see [`input`]). Inputs with a new kind of response, or with
//! the highest CPU time so far, are kept and mutated. For an hour on a release build: `FUZZ_SECONDS=3600 cargo test
//! --test router fuzz::release -- --ignored --nocapture`, after `cargo build --release --bin router`. `FUZZ_SEED`
//! selects other inputs, `FUZZ_INPUT` repeats a saved input.

mod documents;
mod input;
mod scan;
mod target;
mod worst;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use harness::workspace;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use input::{Generator, Input};
use target::{Observed, Target};

/// The CPU time limit of one request on the project's test machine.
const CPU_LIMIT: Duration = Duration::from_millis(50);
/// Factor by which a development build is slower.
const DEVELOPMENT_FACTOR: u32 = 2;
/// Maximum growth of the process since the start, with its caches.
const MEMORY_LIMIT: u64 = 256 * 1024 * 1024;
const MAX_FAILURES: usize = 10;
const MAX_KEPT: usize = 1_000;

#[tokio::test]
#[ignore = "long: ./dev test --long"]
async fn development_build() {
    let program = Path::new(env!("CARGO_BIN_EXE_router"));
    fuzz(program, seconds(), CPU_LIMIT * DEVELOPMENT_FACTOR).await;
}

#[tokio::test]
#[ignore = "long: ./dev test --long"]
async fn release_build() {
    let program = workspace::target_dir().join("release/router");
    assert!(
        program.is_file(),
        "cargo build --release --bin router makes {}",
        program.display()
    );
    fuzz(&program, seconds(), CPU_LIMIT).await;
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

fn seconds() -> Duration {
    Duration::from_secs(number("FUZZ_SECONDS").unwrap_or(60))
}

/// The results of the run so far.
#[derive(Default)]
struct Report {
    inputs: u64,
    kinds: BTreeMap<&'static str, u64>,
    answers: BTreeMap<String, u64>,
    failures: Vec<String>,
    slowest: Duration,
    largest: u64,
}

impl Report {
    /// Saves an input that broke a rule, so that it can be sent again.
    fn fail(&mut self, input: &Input, why: &str) {
        let folder = failures();
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{}-{}", std::process::id(), self.failures.len()));
        std::fs::write(&file, &input.bytes).unwrap();
        let start = String::from_utf8_lossy(&input.bytes[..input.bytes.len().min(400)]).into_owned();
        let failure = format!("{}: {why}; FUZZ_INPUT={}\n{start:?}", input.kind, file.display());
        eprintln!("{failure}");
        self.failures.push(failure);
    }

    fn print(&self, took: Duration) {
        let mut text = format!(
            "{} inputs in {:.0} s, {} a second; slowest {:.1?} of CPU; grew by {} MiB at most; {} failures\n",
            self.inputs,
            took.as_secs_f64(),
            self.inputs / took.as_secs().max(1),
            self.slowest,
            self.largest / 1024 / 1024,
            self.failures.len(),
        );
        writeln!(text, "kinds: {:?}", self.kinds).unwrap();
        for (answer, count) in &self.answers {
            writeln!(text, "{count:>9} {answer}").unwrap();
        }
        println!("{text}");
    }
}

fn failures() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz")
}

async fn fuzz(program: &Path, duration: Duration, cpu_limit: Duration) {
    let seed = number("FUZZ_SEED").unwrap_or(1);
    let mut rng = StdRng::seed_from_u64(seed);
    let generator = Generator::new();
    let mut target = Target::start(program).await;
    if let Some(file) = std::env::var_os("FUZZ_INPUT") {
        let bytes = std::fs::read(file).unwrap();
        println!("{:?}", target.send(&Input { kind: "saved", bytes }).await);
        return;
    }
    // Warm-up, so that the first input does not include lazy initialisation.
    for _ in 0..200 {
        target.send(&generator.ordinary(&mut rng)).await;
    }
    target.record_initial_size();

    let mut report = Report::default();
    let mut kept: Vec<Input> = Vec::new();
    let mut known = BTreeSet::new();
    let started = Instant::now();
    while started.elapsed() < duration && report.failures.len() < MAX_FAILURES {
        let input = match kept.choose(&mut rng) {
            Some(input) if rng.random_bool(0.4) => {
                let other = kept.choose(&mut rng).expect("there is one");
                generator.change(input, other, &mut rng)
            }
            _ => generator.input(&mut rng),
        };
        report.inputs += 1;
        *report.kinds.entry(input.kind).or_default() += 1;
        let mut observed = target.send(&input).await;
        // Repeat a slow input, because other processes may have slowed it down.
        for _ in 0..2 {
            if observed.is_alive && observed.cpu > cpu_limit {
                let again = target.send(&input).await;
                observed.cpu = observed.cpu.min(again.cpu);
                observed.is_alive = again.is_alive;
            }
        }
        if let Some(why) = broken_rule(&observed, cpu_limit) {
            report.fail(&input, &why);
            if !observed.is_alive || observed.growth > MEMORY_LIMIT {
                target = Target::start(program).await;
            }
            continue;
        }
        *report.answers.entry(observed.answer.clone()).or_default() += 1;
        let is_new = known.insert(observed.answer);
        if is_new || observed.cpu > report.slowest {
            kept.push(input);
            if kept.len() > MAX_KEPT {
                kept.remove(rng.random_range(0..MAX_KEPT));
            }
        }
        report.slowest = report.slowest.max(observed.cpu);
        report.largest = report.largest.max(observed.growth);
    }
    println!("{} from seed {seed}:", program.display());
    report.print(started.elapsed());
    assert!(report.failures.is_empty(), "{}", report.failures.join("\n"));
}

fn broken_rule(observed: &Observed, cpu_limit: Duration) -> Option<String> {
    if !observed.is_alive {
        return Some("the router has ended".to_owned());
    }
    if observed.cpu > cpu_limit {
        return Some(format!("{:?} of CPU time", observed.cpu));
    }
    if observed.growth > MEMORY_LIMIT {
        return Some(format!("the process has grown by {} bytes", observed.growth));
    }
    let answer = &observed.answer;
    // The fakes of services are down, so other internal errors are defects.
    if answer.starts_with('5') && !answer.starts_with("503")
        || answer.contains("INTERNAL")
        || answer == "none"
    {
        return Some(format!("answered {answer}"));
    }
    None
}
