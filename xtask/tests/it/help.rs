//! The help texts of `./dev`, which need no compilation, and the dependencies of xtask.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use harness::workspace::{binaries, root};

/// The commands, by their help texts.
pub(crate) fn commands() -> BTreeSet<String> {
    let files = fs::read_dir(root().join("xtask/help")).unwrap();
    let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter_map(|name| name.strip_suffix(".txt").map(str::to_owned))
        .collect()
}

/// The names and requirements of the steps in `xtask/steps.txt`.
pub(crate) fn step_names() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("xtask/steps.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .flat_map(|line| {
            let mut columns = line.split('|');
            let name = columns.next().unwrap().trim().to_owned();
            let needs = columns.next().unwrap().split_whitespace().map(str::to_owned);
            needs.chain([name]).collect::<Vec<_>>()
        })
        .collect()
}

/// The output of a program's `--help`.
fn help_of(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).arg("--help").output();
    let output =
        output.unwrap_or_else(|error| panic!("{}: {error}; run cargo build --bins", program.display()));
    assert!(output.status.success(), "{}", program.display());
    String::from_utf8(output.stdout).unwrap()
}

/// The subcommands in a help text.
fn subcommands(help: &str) -> Vec<String> {
    let Some((_, list)) = help.split_once("\nCommands:\n") else {
        return Vec::new();
    };
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// The help text of a command and its subcommands.
fn help_text(command: &str) -> String {
    let xtask = Path::new(env!("CARGO_BIN_EXE_xtask"));
    let (program, arguments) = match command {
        "test" | "check" | "supergraph" | "service-list" | "new-subgraph" => {
            (xtask.to_path_buf(), vec![command])
        }
        "drill" => (binaries().join("fault"), vec![command]),
        // `watch` is `up` with a flag.
        "watch" => return fs::read_to_string(root().join("xtask/help/watch.txt")).unwrap(),
        _ => (binaries().join(command), vec![]),
    };
    let mut text = help_of(&program, &arguments);
    for inner in subcommands(&text) {
        write!(text, "\n{inner}\n\n{}", help_of(&program, &[&inner])).unwrap();
    }
    text
}

/// Help texts are committed, so that `./dev help` does not compile.
#[test]
fn help_texts_are_current() {
    let update = std::env::var_os("UPDATE_HELP").is_some();
    let general = help_of(Path::new(env!("CARGO_BIN_EXE_xtask")), &[]);
    let listed: BTreeSet<_> = subcommands(&general).into_iter().collect();
    let mut texts = vec![("xtask/help.txt".to_owned(), general)];
    texts.extend(
        listed
            .iter()
            .map(|command| (format!("xtask/help/{command}.txt"), help_text(command))),
    );
    for (file, text) in texts {
        let path = root().join(&file);
        if update {
            fs::write(&path, text).unwrap();
        } else {
            let committed = fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(
                committed, text,
                "{file} is stale; UPDATE_HELP=1 cargo test --test xtask help_texts writes it"
            );
        }
    }
    assert_eq!(commands(), listed, "xtask/help has a text for each command");
}

/// Runs `./dev` without cargo, and checks that it builds nothing.
fn dev(arguments: &[&str]) -> (Output, Duration) {
    let empty = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let output = Command::new(root().join("dev"))
        .args(arguments)
        .env("PATH", "/usr/bin:/bin")
        .env("CARGO_HOME", empty.path())
        .env("CARGO_TARGET_DIR", empty.path())
        .output()
        .unwrap();
    let files = fs::read_dir(empty.path()).unwrap().count();
    assert_eq!(files, 0, "{arguments:?} built files");
    (output, started.elapsed())
}

#[test]
fn help_needs_no_build() {
    let file = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    let general = file("xtask/help.txt");
    let up = file("xtask/help/up.txt");
    for (arguments, expected) in [
        (vec![], &general),
        (vec!["help"], &general),
        (vec!["--help"], &general),
        (vec!["help", "up"], &up),
        (vec!["up", "--help"], &up),
        (vec!["up", "--port", "5000", "-h"], &up),
    ] {
        let (output, took) = dev(&arguments);
        assert!(output.status.success(), "{arguments:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(&text, expected, "{arguments:?}");
        assert!(took < Duration::from_secs(1), "{arguments:?}: {took:?}");
    }
}

#[test]
fn unknown_names_give_one_line_without_a_build() {
    for (arguments, expected) in [
        (
            vec!["upp"],
            "dev: there is no command \"upp\"; ./dev help lists them",
        ),
        (
            vec!["help", "upp"],
            "dev: there is no command \"upp\"; ./dev help lists them",
        ),
        (
            vec!["../up"],
            "dev: there is no command \"../up\"; ./dev help lists them",
        ),
        (
            vec!["test", "vote", "phto"],
            "dev: there is no step \"phto\"; the steps: \"build\" \"bundle\"",
        ),
    ] {
        let (output, took) = dev(&arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(error.starts_with(expected), "{arguments:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(took < Duration::from_secs(1), "{arguments:?}: {took:?}");
    }
}

#[test]
fn steps_are_listed_without_a_build() {
    let (output, _) = dev(&["test", "--list"]);
    let slow = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["test", "--list"])
        .output();
    assert!(output.status.success());
    let list = String::from_utf8(output.stdout).unwrap();
    assert_eq!(list, String::from_utf8(slow.unwrap().stdout).unwrap());
    for step in ["format", "app units", "vote", "e2e"] {
        let is_listed = list.lines().any(|line| line.starts_with(&format!("{step:<20} ")));
        assert!(is_listed, "{list}");
    }
}

/// `./dev` compiles xtask before anything else.
#[test]
fn xtask_has_few_dependencies() {
    let tree = Command::new("cargo")
        .args([
            "tree", "-p", "xtask", "--edges", "normal", "--prefix", "none", "--format", "{p}",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let tree = String::from_utf8(tree.stdout).unwrap();
    let packages: BTreeSet<_> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    assert!(
        (2..=60).contains(&packages.len()),
        "{} packages: {packages:?}",
        packages.len()
    );
}
