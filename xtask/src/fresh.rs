//! `./dev test --fresh`: runs both commands of the README on fresh Debian machines, and writes a report.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{ChildStdin, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use xtask::workspace::{root, target_dir};

use xtask::tools::{command, output, run, say};

const REPORT: &str = "docs/measurements/fresh-machine.md";

/// The port of the site that `./dev up` starts.
const SITE_PORT: u16 = 4999;

/// The packages whose versions are in the report.
const PACKAGES: [&str; 4] = ["mariadb-server-core", "galera-4", "nodejs", "chromium"];

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Release {
    #[value(name = "12")]
    Bookworm,
    #[value(name = "13")]
    Trixie,
}

impl Release {
    fn number(self) -> u8 {
        match self {
            Self::Bookworm => 12,
            Self::Trixie => 13,
        }
    }

    fn suite(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }
}

/// Runs `./dev up` and `./dev test` on a new machine of each release, and writes the report.
///
/// With `steps`, runs only these steps of `./dev test` on the machine of a failed run, and writes no report.
pub(crate) fn test(releases: &[Release], steps: &[String]) -> Result<()> {
    if steps.is_empty() {
        // The machine has the network of this one. `./dev up` would find a taken port only after it has compiled all.
        TcpListener::bind(("127.0.0.1", SITE_PORT)).with_context(|| {
            format!("port {SITE_PORT} must be free until this test has ended; stop the site that runs on it")
        })?;
    }
    let mut failed = Vec::new();
    for &release in releases {
        let machine = Machine::new(release)?;
        let passed = if steps.is_empty() {
            machine.run_both_commands()?
        } else {
            machine.run_steps(steps)?
        };
        if passed {
            machine.delete()?;
        } else {
            say(&format!(
                "Debian {} failed; to inspect the machine: xtask/fresh-machine run {} bash -c '…'",
                release.number(),
                machine.dir.display()
            ));
            failed.push(format!("Debian {}", release.number()));
        }
    }
    if !failed.is_empty() {
        bail!(
            "failed: {}; the logs are in {}",
            failed.join(", "),
            logs().display()
        );
    }
    Ok(())
}

fn logs() -> PathBuf {
    target_dir().join("fresh")
}

struct Machine {
    release: Release,
    dir: PathBuf,
}

/// The result of a command on the machine.
struct Outcome {
    /// Time in seconds until the command was ready, or until it ended.
    seconds: f32,
    passed: bool,
    tests: u32,
    /// The table at the end of `./dev test`: name, seconds, result.
    steps: Vec<(String, String, String)>,
}

impl Machine {
    fn new(release: Release) -> Result<Self> {
        fs::create_dir_all(logs())?;
        let dir = logs().join(format!("debian-{}", release.number()));
        Ok(Self { release, dir })
    }

    fn script(&self, task: &str, arguments: &[&str]) -> std::process::Command {
        let mut script = command("xtask/fresh-machine", &[task]);
        script.arg(&self.dir).args(arguments);
        script
    }

    fn make(&self) -> Result<()> {
        say(&format!("making a Debian {}", self.release.number()));
        let mut make = self.script("make", &[self.release.suite()]);
        run("making the machine", &mut make)
    }

    fn check_out(&self) -> Result<()> {
        run("cloning the checkout", &mut self.script("checkout", &[]))
    }

    fn run_both_commands(&self) -> Result<bool> {
        self.make()?;
        self.check_out()?;
        let up = self.run(&["up"], true)?;
        let test = self.run(&["test"], false)?;
        self.report(&up, &test)?;
        Ok(up.passed && test.passed)
    }

    fn run_steps(&self, steps: &[String]) -> Result<bool> {
        if !self.dir.join("root").is_dir() {
            self.make()?;
        }
        self.check_out()?;
        let mut arguments = vec!["test"];
        arguments.extend(steps.iter().map(String::as_str));
        Ok(self.run(&arguments, false)?.passed)
    }

    /// Runs `./dev` on the machine, and prints and stores its output. With `stop_when_ready`, stops it when it is
    /// ready.
    fn run(&self, arguments: &[&str], stop_when_ready: bool) -> Result<Outcome> {
        let name = format!("debian-{}-{}", self.release.number(), arguments[0]);
        let log = logs().join(format!("{name}.log"));
        let mut log = File::create(&log).with_context(|| format!("could not write {}", log.display()))?;
        say(&format!("{name}: ./dev {}", arguments.join(" ")));

        let started = Instant::now();
        let mut child = self
            .script("run", &["bash", "-c", "exec ./dev \"$@\" 2>&1", "./dev"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("could not start the machine")?;
        let mut input: Option<ChildStdin> = child.stdin.take();
        let output = child.stdout.take().context("the standard output is a pipe")?;

        let mut outcome = Outcome {
            seconds: 0.0,
            passed: false,
            tests: 0,
            steps: Vec::new(),
        };
        let mut ready = None;
        for line in BufReader::new(output).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            writeln!(log, "{:7.1} {line}", started.elapsed().as_secs_f32())?;
            println!("{name} | {line}");
            if stop_when_ready && line.starts_with("ready: ") {
                ready = Some(started.elapsed());
                // Closing its input stops the command.
                input = None;
            }
            outcome.tests += tests_passed(&line).unwrap_or(0);
            outcome.steps.extend(step(&line));
        }
        let status = child.wait()?;
        drop(input);
        outcome.seconds = ready.unwrap_or_else(|| started.elapsed()).as_secs_f32();
        outcome.passed = status.success() && (ready.is_some() || !stop_when_ready);
        say(&format!(
            "{name}: {}, {:.0} s",
            word(outcome.passed),
            outcome.seconds
        ));
        Ok(outcome)
    }

    /// Replaces the section of this release in the report.
    fn report(&self, up: &Outcome, test: &Outcome) -> Result<()> {
        let section = self.section(up, test)?;
        let file = root().join(REPORT);
        fs::create_dir_all(file.parent().context("the report lies in a folder")?)?;
        let old = fs::read_to_string(&file).unwrap_or_default();
        fs::write(&file, replace_section(&old, self.release.number(), &section))
            .with_context(|| format!("could not write {}", file.display()))
    }

    fn section(&self, up: &Outcome, test: &Outcome) -> Result<String> {
        let mut section = String::new();
        let commit = text(&mut command("git", &["log", "-1", "--format=%h of %cs"]))?;
        let debian = fs::read_to_string(self.dir.join("etc/debian_version"))?;
        let cores = std::thread::available_parallelism()?;
        writeln!(
            section,
            "Commit {commit}, Debian {}, {cores} cores. Versions: {}.\n",
            debian.trim(),
            self.versions()?
        )?;
        writeln!(section, "| command | seconds | outcome |\n| --- | ---: | --- |")?;
        writeln!(
            section,
            "| `./dev up`, until it is ready | {:.0} | {} |",
            up.seconds,
            word(up.passed)
        )?;
        let tests = format!("{}, {} tests passed", word(test.passed), test.tests);
        writeln!(
            section,
            "| `./dev test` after it | {:.0} | {tests} |\n",
            test.seconds
        )?;
        writeln!(
            section,
            "| step of `./dev test` | seconds | outcome |\n| --- | ---: | --- |"
        )?;
        for (name, seconds, result) in &test.steps {
            writeln!(section, "| {name} | {seconds} | {result} |")?;
        }
        Ok(section)
    }

    fn versions(&self) -> Result<String> {
        let format = "--showformat=${Package} ${Version}, ";
        let mut query = self.script("run", &["dpkg-query", "--show", format]);
        let (input, _open) = std::io::pipe()?;
        let packages = text(query.args(PACKAGES).stdin(input))?;
        let rust = text(&mut command("rustc", &["--version"]))?;
        Ok(format!("{packages}{rust}"))
    }

    fn delete(&self) -> Result<()> {
        fs::remove_dir_all(&self.dir).with_context(|| format!("could not delete {}", self.dir.display()))
    }
}

fn word(passed: bool) -> &'static str {
    if passed { "ok" } else { "FAILED" }
}

fn text(command: &mut std::process::Command) -> Result<String> {
    let output = output("querying a version", command)?;
    Ok(String::from_utf8_lossy(&output)
        .trim_start()
        .trim_end_matches('\n')
        .to_owned())
}

/// Parses a line of the table at the end of `./dev test`: `lints 332.7 s ok`.
fn step(line: &str) -> Option<(String, String, String)> {
    let (rest, result) = line.rsplit_once(" s  ")?;
    let (name, seconds) = rest.rsplit_once(' ')?;
    let is_step = matches!(result, "ok" | "FAILED") && seconds.parse::<f32>().is_ok();
    is_step.then(|| (name.trim().to_owned(), seconds.to_owned(), result.to_owned()))
}

/// Returns the report with a new section for a release. The other section is kept.
fn replace_section(report: &str, release: u8, section: &str) -> String {
    const TITLE: &str = "# On a fresh machine\n\n\
        Both commands of the README on a minimal Debian that has rustup and the package managers' configuration and\n\
        caches, and compiles everything. `./dev test --fresh` writes this page.\n";
    let kept = |other: u8| {
        let start = report.find(&format!("\n## Debian {other}\n"))?;
        let end = report[start + 1..]
            .find("\n## ")
            .map_or(report.len(), |end| start + 1 + end);
        Some(report[start..end].to_owned())
    };
    let mut text = TITLE.to_owned();
    for number in Release::value_variants().iter().map(|release| release.number()) {
        if number == release {
            let _ = write!(text, "\n## Debian {number}\n\n{section}");
        } else if let Some(kept) = kept(number) {
            text.push_str(&kept);
        }
    }
    text
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_test_run_is_parsed() {
        let line =
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(tests_passed(line), Some(12));
        assert_eq!(tests_passed("test result: FAILED. 3 passed; 1 failed"), Some(3));
        assert_eq!(tests_passed("running 12 tests"), None);
    }

    #[test]
    fn only_lines_of_the_table_are_steps() {
        let read = step("unused dependencies     204.3 s  ok").unwrap();
        assert_eq!(read, ("unused dependencies".into(), "204.3".into(), "ok".into()));
        assert_eq!(
            step("backup                   85.3 s  FAILED").unwrap().2,
            "FAILED"
        );
        assert_eq!(step("=== backup: ok, 85.3 s"), None);
        assert_eq!(step("test result: ok. 3 passed; finished in 2.0 s"), None);
    }

    #[test]
    fn a_run_of_one_release_keeps_the_section_of_the_other() {
        let first = replace_section("", 13, "thirteen\n");
        let both = replace_section(&first, 12, "twelve\n");
        assert!(
            both.ends_with("\n## Debian 12\n\ntwelve\n\n## Debian 13\n\nthirteen\n"),
            "{both}"
        );
        let again = replace_section(&both, 12, "another\n");
        assert_eq!(again, both.replace("twelve", "another"));
        assert_eq!(replace_section(&again, 13, "thirteen\n"), again);
    }
}
