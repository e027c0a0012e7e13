//! `./dev test`: everything that CI runs, one step after the other, and a table at the end.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use tokio::signal::unix::{SignalKind, signal};
use xtask::system::TemporaryDatabase;
use xtask::workspace::target_dir;

use crate::tools::{cargo, command, run};
use crate::{budget, bundle, compose, fresh, licences, prepare};

/// The integration test targets, each named after its crate, in the order in which they run.
const TARGETS: [&str; 12] = [
    "database-agent",
    "backup",
    "chassis",
    "profile",
    "photo",
    "vote",
    "comment",
    "authentication",
    "router",
    "xtask",
    "fault",
    "e2e",
];

/// Those of them that need the database and no other program.
const SERVICE_TESTS: [&str; 6] = ["chassis", "profile", "photo", "vote", "comment", "authentication"];

/// The step that runs them on a server without Galera.
const WITHOUT_GALERA: &str = "without-galera";

/// Finds dependencies that nothing uses; its version is part of what CI promises.
const MACHETE: &str = "0.9.2";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Runs only these steps; the table at the end of a full run has their names.
    names: Vec<String>,
    /// Runs the tests too that take minutes: a cluster that scales, refuses, and keeps strangers out.
    #[arg(long)]
    long: bool,
    /// Runs `./dev up` and `./dev test` on a fresh Debian 12 and 13, or on one of them. Needs root, and hours. With
    /// names: only these steps, on the machine that the last run left.
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

/// The fast part: nothing but the compiler is needed.
pub(crate) async fn check() -> Result<()> {
    let mut steps = Steps::new(&[]);
    fast(&mut steps).await?;
    steps.finish()
}

pub(crate) async fn test(arguments: &Arguments) -> Result<()> {
    if !arguments.fresh.is_empty() {
        return fresh::test(&arguments.fresh, &arguments.names);
    }
    let mut steps = Steps::new(&arguments.names);
    // What tests leave in the temporary folder, killed ones too, goes with it.
    let temporary = tempfile::Builder::new().prefix("proofsheet-test-").tempdir()?;
    clean_up_when_interrupted(temporary.path().to_path_buf())?;

    let outcome = all(&mut steps, temporary.path(), arguments.long).await;
    drop(temporary);
    let finished = steps.finish();
    outcome.and(finished)
}

async fn fast(steps: &mut Steps) -> Result<()> {
    steps
        .run("format", async || {
            run("cargo fmt", &mut cargo(&["fmt", "--all", "--check"]))
        })
        .await;
    steps
        .run("lints", async || {
            let mut clippy = cargo(&["clippy", "--all-targets", "--", "-D", "warnings"]);
            run("clippy", &mut clippy)?;
            let mut clippy = cargo(&["clippy", "-p", "frontend", "--target", "wasm32-unknown-unknown"]);
            run(
                "clippy for the app",
                clippy.args(["--profile", "wasm", "--", "-D", "warnings"]),
            )
        })
        .await;
    steps
        .run("units", async || cargo_test(&["--lib", "--bins"], &[]))
        .await;
    steps
        .run("app units", async || cargo_test(&["-p", "frontend"], &[]))
        .await;
    steps
        .run("documentation", async || {
            let mut doc = cargo(&["doc", "--no-deps", "--document-private-items"]);
            run("cargo doc", doc.env("RUSTDOCFLAGS", "-D warnings"))?;
            let mut doc = cargo(&["doc", "--no-deps", "--document-private-items", "-p", "frontend"]);
            doc.args(["--target", "wasm32-unknown-unknown", "--profile", "wasm"]);
            run("cargo doc for the app", doc.env("RUSTDOCFLAGS", "-D warnings"))
        })
        .await;
    Ok(())
}

async fn all(steps: &mut Steps, temporary: &Path, long: bool) -> Result<()> {
    // Without a build nothing after it means anything.
    steps
        .run_or_stop("build", async || {
            run("cargo build", &mut cargo(&["build", "--bins"]))?;
            let mut tests = cargo(&["test", "--no-run", "--lib", "--bins"]);
            for target in TARGETS {
                tests.args(["--test", target]);
            }
            run("building the tests", &mut tests)
        })
        .await?;
    if long {
        // The fuzz test tries it too.
        steps
            .run_or_stop("release router", async || {
                run(
                    "cargo build",
                    &mut cargo(&["build", "--release", "--bin", "router"]),
                )
            })
            .await?;
    }
    steps.run_or_stop("bundle", async || bundle::bundle()).await?;
    steps.run("sizes", async || budget::sizes()).await;
    fast(steps).await?;

    steps.run("supergraph", async || compose::check()).await;
    steps.run("queries", async || prepare::check().await).await;

    let database = if steps.wants_any(&TARGETS) || long && steps.wants_any(&[WITHOUT_GALERA]) {
        Some(TemporaryDatabase::start().await?)
    } else {
        None
    };
    for target in TARGETS {
        let mut environment = vec![("TMPDIR", temporary.display().to_string())];
        if let Some(database) = &database {
            environment.push(("TEST_DATABASE_URL", database.url().to_owned()));
        }
        let mut selection = vec!["--test", target];
        if long {
            selection.extend(["--", "--include-ignored"]);
        }
        steps
            .run(target, async || {
                let outcome = cargo_test(&selection, &environment);
                if target == "e2e" {
                    println!("screenshots: {}", target_dir().join("screenshots").display());
                }
                outcome
            })
            .await;
    }
    if long && let Some(database) = &database {
        let environment = [
            ("TMPDIR", temporary.display().to_string()),
            ("TEST_DATABASE_URL", database.url().to_owned()),
            ("TEST_DATABASE_WITHOUT_GALERA", "1".to_owned()),
        ];
        let selection = SERVICE_TESTS.map(|target| ["--test", target]).concat();
        steps
            .run(WITHOUT_GALERA, async || cargo_test(&selection, &environment))
            .await;
    }
    drop(database);

    steps.run("licences", async || licences::check()).await;
    steps
        .run("unused dependencies", async || unused_dependencies())
        .await;
    Ok(())
}

/// Runs `cargo test`, shows what it says, and fails as well when no test ran at all.
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

/// The count in cargo's closing line: `test result: ok. 12 passed; 0 failed; …`.
pub(crate) fn tests_passed(line: &str) -> Option<u32> {
    line.strip_prefix("test result: ")?
        .split_once(". ")?
        .1
        .split_once(" passed")?
        .0
        .parse()
        .ok()
}

fn unused_dependencies() -> Result<()> {
    let tools = target_dir().join("tools");
    let program = tools.join("bin/cargo-machete");
    let stamp = tools.join(format!("cargo-machete-{MACHETE}"));
    if !stamp.exists() {
        let mut install = cargo(&[
            "install",
            "--locked",
            "cargo-machete",
            "--version",
            MACHETE,
            "--root",
        ]);
        // A release build of a small tool; its own folder keeps it out of the way of ours.
        run(
            "installing cargo-machete",
            install.arg(&tools).env("CARGO_TARGET_DIR", tools.join("build")),
        )?;
        fs::remove_dir_all(tools.join("build"))?;
        fs::write(&stamp, "")?;
    }
    run(
        "cargo machete",
        &mut command(&program.display().to_string(), &["--skip-target-dir"]),
    )
}

/// Ctrl-C reaches cargo and the tests by itself; what they leave behind is ours to remove.
fn clean_up_when_interrupted(temporary: PathBuf) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        let _ = fs::remove_dir_all(temporary);
        std::process::exit(130);
    });
    Ok(())
}

/// Runs steps, tells about each, and remembers how they went.
struct Steps {
    only: Vec<String>,
    results: Vec<(String, Duration, Result<(), String>)>,
}

impl Steps {
    fn new(only: &[String]) -> Self {
        Self {
            only: only.to_vec(),
            results: Vec::new(),
        }
    }

    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    fn wants_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.wants(name))
    }

    /// A step that others do not depend on: the ones after it run even when it fails.
    async fn run(&mut self, name: &str, step: impl AsyncFnOnce() -> Result<()>) {
        if !self.wants(name) {
            return;
        }
        self.record(name, step).await;
    }

    /// A step that the ones after it depend on, whichever of them were asked for.
    async fn run_or_stop(&mut self, name: &str, step: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
        if self.record(name, step).await {
            Ok(())
        } else {
            Err(anyhow!("{name} failed; the steps after it were not run"))
        }
    }

    async fn record(&mut self, name: &str, step: impl AsyncFnOnce() -> Result<()>) -> bool {
        println!("\n=== {name}");
        let started = Instant::now();
        let result = step().await.map_err(|error| format!("{error:#}"));
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

    /// Prints the table; fails when a step failed, or when a name matched none.
    fn finish(&self) -> Result<()> {
        println!();
        for (name, took, result) in &self.results {
            let result = if result.is_ok() { "ok" } else { "FAILED" };
            println!("{name:<20} {:>8.1} s  {result}", took.as_secs_f32());
        }
        for name in &self.only {
            if !self.results.iter().any(|(step, ..)| step == name) {
                bail!("there is no step called {name}; run ./dev test without names to see them all");
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_of_a_test_run_is_understood() {
        let line =
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(tests_passed(line), Some(12));
        assert_eq!(tests_passed("test result: FAILED. 3 passed; 1 failed"), Some(3));
        assert_eq!(tests_passed("running 12 tests"), None);
    }
}
