//! `./dev test`: runs all steps of CI in order, and prints a table.

use std::fs::{self, DirBuilder};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use xtask::SERVICES;
use xtask::tools::{cargo, run};
use xtask::workspace::target_dir;

use crate::fresh::tests_passed;
use crate::{comments, dependencies, fresh, modules, names, program, service_list, supergraph};

/// The steps with their requirements and descriptions. `dev` reads this list too.
const STEP_LIST: &str = include_str!("../steps.txt");

const BUILD: &str = "build";
const BUNDLE: &str = "bundle";
const RELEASE_ROUTER: &str = "release router";
const WITHOUT_GALERA_STEP: &str = "without-galera";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Runs only these steps, and builds only what they need.
    names: Vec<String>,
    /// Prints the names of the steps, and runs none.
    #[arg(long)]
    list: bool,
    /// Also runs tests that take minutes, such as scaling a cluster.
    #[arg(long)]
    long: bool,
    /// Runs `./dev up` and `./dev test` on a fresh Debian 12 and 13, or on one of them. Needs root and takes hours.
    /// With names: only these steps, on the machine of the last run.
    #[arg(
        long,
        value_name = "RELEASE",
        num_args = 0..=1,
        require_equals = true,
        value_delimiter = ',',
        default_missing_value = "12,13",
        conflicts_with = "long"
    )]
    fresh: Vec<fresh::Release>,
}

/// A line of [`STEP_LIST`].
struct Step {
    name: &'static str,
    needs: Vec<&'static str>,
    about: &'static str,
}

impl Step {
    fn needs(&self, what: &str) -> bool {
        self.needs.contains(&what)
    }

    /// Returns the other programs that the tests of the step start.
    fn programs(&self) -> Vec<&'static str> {
        let mut programs: Vec<_> = self
            .needs
            .iter()
            .filter_map(|need| need.strip_prefix("bin:"))
            .collect();
        if self.needs("services") {
            programs.extend(program::services());
        }
        programs
    }

    /// Whether the step is the integration test of the crate with the same name.
    fn is_integration_test(&self) -> bool {
        let others = [
            BUILD,
            BUNDLE,
            RELEASE_ROUTER,
            WITHOUT_GALERA_STEP,
            "app units",
            "comments",
            "dependencies",
            "documentation",
            "format",
            "lints",
            "modules",
            "names",
            "queries",
            "service list",
            "sizes",
            "supergraph",
            "units",
            "unused dependencies",
        ];
        !others.contains(&self.name)
    }
}

fn steps() -> Vec<Step> {
    let lines = STEP_LIST.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let (name, rest) = line.split_once('|')?;
            let (needs, about) = rest.split_once('|')?;
            Some(Step {
                name: name.trim(),
                needs: needs.split_whitespace().collect(),
                about: about.trim(),
            })
        })
        .collect()
}

/// Runs the steps that need only the compiler.
pub(crate) fn check() -> Result<()> {
    let mut table = Table::default();
    for step in steps().iter().filter(|step| step.needs("check")) {
        table.run(step.name, || run_step(step, &[], false));
    }
    table.finish()
}

pub(crate) fn test(arguments: &Arguments) -> Result<()> {
    if arguments.list {
        for step in steps() {
            println!("{:<20} {}", step.name, step.about);
        }
        return Ok(());
    }
    if !arguments.fresh.is_empty() {
        return fresh::test(&arguments.fresh, &arguments.names);
    }
    let selected = select(&arguments.names, arguments.long)?;
    // Deleted at the end with all leftovers of tests.
    let temporary = std::env::temp_dir().join(format!("proofsheet-test-{}", std::process::id()));
    DirBuilder::new().mode(0o700).create(&temporary)?;
    clean_up_when_interrupted(temporary.clone())?;

    let mut table = Table::default();
    let outcome = run_steps(&mut table, &selected, arguments, &temporary);
    let _ = fs::remove_dir_all(temporary);
    let finished = table.finish();
    outcome.and(finished)
}

/// Returns the steps with these names, in the order of the list. Without names, all steps.
fn select(names: &[String], long: bool) -> Result<Vec<Step>> {
    let steps = steps();
    for name in names {
        if !steps.iter().any(|step| step.name == name) {
            let known: Vec<_> = steps.iter().map(|step| step.name).collect();
            bail!("there is no step {name:?}; the steps: {}", known.join(", "));
        }
    }
    let is_selected = |step: &Step| {
        if names.is_empty() {
            long || !step.needs("long")
        } else {
            names.iter().any(|name| name == step.name)
        }
    };
    Ok(steps.into_iter().filter(is_selected).collect())
}

fn run_steps(table: &mut Table, selected: &[Step], arguments: &Arguments, temporary: &Path) -> Result<()> {
    // The other steps depend on the build.
    if selected.iter().any(|step| step.name == BUILD) {
        table.run_or_stop(BUILD, build_everything)?;
    } else {
        let mut programs: Vec<_> = selected.iter().flat_map(Step::programs).collect();
        programs.sort_unstable();
        programs.dedup();
        if !programs.is_empty() {
            table.run_or_stop(BUILD, || program::build(&programs))?;
        }
    }
    if selected.iter().any(|step| step.name == RELEASE_ROUTER) {
        table.run_or_stop(RELEASE_ROUTER, || {
            run(
                "cargo build",
                &mut cargo(&["build", "--release", "--bin", "router"]),
            )
        })?;
    }
    if selected.iter().any(|step| step.needs("bundle")) {
        table.run_or_stop(BUNDLE, program::bundle)?;
    }
    let mut database = None;
    for step in selected {
        if [BUILD, BUNDLE, RELEASE_ROUTER].contains(&step.name) {
            continue;
        }
        let mut environment = vec![("TMPDIR", temporary.display().to_string())];
        if step.needs("database") {
            if database.is_none() {
                database = Some(Database::start()?);
            }
            let url = database.iter().map(|it| it.url.clone());
            environment.extend(url.map(|url| ("TEST_DATABASE_URL", url)));
        }
        table.run(step.name, || run_step(step, &environment, arguments.long));
    }
    Ok(())
}

fn build_everything() -> Result<()> {
    program::build_all()?;
    let mut tests = cargo(&["test", "--no-run", "--lib", "--bins"]);
    for step in steps().iter().filter(|step| step.is_integration_test()) {
        tests.args(["--test", step.name]);
    }
    run("building the tests", &mut tests)
}

fn run_step(step: &Step, environment: &[(&str, String)], long: bool) -> Result<()> {
    match step.name {
        "format" => run("cargo fmt", &mut cargo(&["fmt", "--all", "--check"])),
        "comments" => comments::check(),
        "modules" => modules::check(),
        "names" => names::check(),
        "service list" => service_list::check(),
        "lints" => lint(),
        "units" => cargo_test(&["--lib", "--bins"], &[]),
        "app units" => cargo_test(&["-p", "frontend"], &[]),
        "documentation" => document(),
        "sizes" => program::build_and_run("budget", &["--sizes"]),
        "supergraph" => supergraph::check(),
        "queries" => program::build_and_run("prepare", &["--check"]),
        "dependencies" => dependencies::check(),
        "unused dependencies" => dependencies::check_unused(),
        WITHOUT_GALERA_STEP => {
            let mut environment = environment.to_vec();
            environment.push(("TEST_DATABASE_WITHOUT_GALERA", "1".to_owned()));
            // The tests that need a database and no other program.
            let targets = ["chassis", "subgraph"].iter().chain(SERVICES.iter());
            let selection: Vec<_> = targets.flat_map(|&target| ["--test", target]).collect();
            cargo_test(&selection, &environment)
        }
        target => {
            let mut selection = vec!["--test", target];
            if long {
                selection.extend(["--", "--include-ignored"]);
            }
            let outcome = cargo_test(&selection, environment);
            if target == "e2e" {
                println!("screenshots: {}", target_dir().join("screenshots").display());
            }
            outcome
        }
    }
}

fn lint() -> Result<()> {
    let mut clippy = cargo(&["clippy", "--all-targets", "--", "-D", "warnings"]);
    run("clippy", &mut clippy)?;
    let mut clippy = cargo(&[
        "clippy",
        "-p",
        "frontend",
        "-p",
        "ui",
        "--target",
        "wasm32-unknown-unknown",
    ]);
    run(
        "clippy for the app",
        clippy.args(["--profile", "wasm", "--", "-D", "warnings"]),
    )
}

fn document() -> Result<()> {
    let mut doc = cargo(&["doc", "--no-deps", "--document-private-items"]);
    run("cargo doc", doc.env("RUSTDOCFLAGS", "-D warnings"))?;
    let mut doc = cargo(&["doc", "--no-deps", "--document-private-items", "-p", "frontend"]);
    doc.args(["--target", "wasm32-unknown-unknown", "--profile", "wasm"]);
    run("cargo doc for the app", doc.env("RUSTDOCFLAGS", "-D warnings"))
}

/// A MariaDB for the duration of the tests. It stops when its standard input is closed.
struct Database {
    process: Child,
    url: String,
}

impl Database {
    fn start() -> Result<Self> {
        program::build(&["db"])?;
        let mut process = std::process::Command::new(program::path("db"))
            .arg("--attached")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("could not start the test database")?;
        let mut url = String::new();
        let output = process.stdout.as_mut().expect("the standard output is a pipe");
        BufReader::new(output).read_line(&mut url)?;
        if url.is_empty() {
            bail!("the test database did not start; see the output above");
        }
        let url = url.trim_end().to_owned();
        Ok(Self { process, url })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Runs `cargo test`, prints its output, and also fails if no test ran.
fn cargo_test(selection: &[&str], environment: &[(&str, String)]) -> Result<()> {
    let mut test = cargo(&["test", "--no-fail-fast"]);
    test.args(selection).stdout(Stdio::piped());
    for (name, value) in environment {
        test.env(name, value);
    }
    let mut child = test.spawn().context("could not start cargo test")?;
    let lines = BufReader::new(child.stdout.take().expect("the standard output is a pipe")).lines();
    let mut passed = 0;
    for line in lines {
        let line = line?;
        println!("{line}");
        passed += tests_passed(&line).unwrap_or(0);
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("tests failed ({status})");
    }
    if passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}

/// Ctrl-C stops cargo and the tests; this removes their temporary files.
fn clean_up_when_interrupted(temporary: PathBuf) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        signals.forever().next();
        let _ = fs::remove_dir_all(temporary);
        std::process::exit(130);
    });
    Ok(())
}

/// Runs steps, and collects their results.
#[derive(Default)]
struct Table {
    results: Vec<(String, Duration, Result<(), String>)>,
}

impl Table {
    /// Runs a step on which others do not depend: later ones run even if it fails.
    fn run(&mut self, name: &str, step: impl FnOnce() -> Result<()>) {
        self.record(name, step);
    }

    /// Runs a step on which later ones depend.
    fn run_or_stop(&mut self, name: &str, step: impl FnOnce() -> Result<()>) -> Result<()> {
        if self.record(name, step) {
            Ok(())
        } else {
            Err(anyhow!("{name} failed; later steps were not run"))
        }
    }

    fn record(&mut self, name: &str, step: impl FnOnce() -> Result<()>) -> bool {
        println!("\n=== {name}");
        let started = Instant::now();
        let result = step().map_err(|error| format!("{error:#}"));
        let took = started.elapsed();
        match &result {
            Ok(()) => println!("=== {name}: ok, {:.1} s", took.as_secs_f32()),
            Err(error) => println!("=== {name}: FAILED, {:.1} s: {error}", took.as_secs_f32()),
        }
        let _ = std::io::stdout().flush();
        let passed = result.is_ok();
        self.results.push((name.to_owned(), took, result));
        passed
    }

    /// Prints the table, and fails if a step failed.
    fn finish(&self) -> Result<()> {
        println!();
        for (name, took, result) in &self.results {
            let result = if result.is_ok() { "ok" } else { "FAILED" };
            println!("{name:<20} {:>8.1} s  {result}", took.as_secs_f32());
        }
        let failed: Vec<_> = self
            .results
            .iter()
            .filter(|(.., result)| result.is_err())
            .map(|(name, ..)| name.as_str())
            .collect();
        if !failed.is_empty() {
            bail!("failed: {}", failed.join(", "));
        }
        Ok(())
    }
}
