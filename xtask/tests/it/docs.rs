//! The documentation: relative links lead somewhere, and the configuration reference matches the programs.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::system::SERVICES;
use harness::workspace::{binaries, root};
use walkdir::WalkDir;

const REFERENCE: &str = "docs/configuration.md";

const INTRODUCTION: &str = "\
# Configuration

Every flag can also be set by its environment variable. A secret can be given as a file (`…_FILE`), which keeps it out of the
environment. [deploy.md](deploy.md#settings) lists what an operator sets first.

This page is generated from the programs' `--help`. `UPDATE_DOCS=1 cargo test --test xtask configuration` writes it.
";

fn files(extensions: &[&str]) -> Vec<PathBuf> {
    WalkDir::new(root())
        .into_iter()
        .filter_entry(|entry| {
            let name = entry.file_name().to_string_lossy();
            let is_hidden = name.starts_with('.') && entry.depth() > 0;
            !is_hidden && !["node_modules", "target", "dist"].contains(&name.as_ref())
        })
        .filter_map(Result::ok)
        .map(walkdir::DirEntry::into_path)
        .filter(|path| {
            let extension = path.extension().and_then(|extension| extension.to_str());
            extension.is_some_and(|extension| extensions.contains(&extension))
        })
        .collect()
}

/// The lines of a page that are not in a code block.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    page.lines().filter(move |line| {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
            return false;
        }
        !is_code
    })
}

/// The anchors that GitHub gives to the headings of a page.
fn anchors(page: &str) -> BTreeSet<String> {
    prose(page)
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            title
                .chars()
                .filter_map(|c| match c {
                    ' ' => Some('-'),
                    c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
                    _ => None,
                })
                .collect()
        })
        .collect()
}

/// The targets of the links and images on a page.
fn links(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(page) {
        let ends = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        found.extend(ends.map(|(target, _)| target.to_owned()));
        let sources = line
            .split("src=\"")
            .skip(1)
            .filter_map(|rest| rest.split_once('"'));
        found.extend(sources.map(|(target, _)| target.to_owned()));
    }
    found
}

#[test]
fn relative_links_lead_to_a_file_and_a_heading() {
    let mut checked = 0;
    let mut dead = Vec::new();
    for file in files(&["md"]) {
        let page = fs::read_to_string(&file).unwrap();
        for link in links(&page).iter().filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() {
                file.clone()
            } else {
                file.parent().unwrap().join(path)
            };
            let is_found = if anchor.is_empty() {
                target.exists()
            } else {
                fs::read_to_string(&target).is_ok_and(|page| anchors(&page).contains(anchor))
            };
            if !is_found {
                dead.push(format!("{}: {link}", file.display()));
            }
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} links were found");
    assert!(dead.is_empty(), "dead links: {dead:#?}");
}

#[test]
fn sources_name_existing_pages() {
    let is_part_of_path = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
    for file in files(&["rs", "yml", "sql", "toml", "Dockerfile"]) {
        let text = fs::read_to_string(&file).unwrap();
        for rest in text.split("docs/").skip(1) {
            let path: String = rest.chars().take_while(|c| is_part_of_path(*c)).collect();
            let path = path.trim_end_matches('.');
            // Reports of tests may not have been written yet.
            let is_page = std::path::Path::new(path)
                .extension()
                .is_some_and(|extension| extension == "md");
            if is_page && !path.starts_with("measurements/") {
                assert!(
                    root().join("docs").join(path).exists(),
                    "{} names docs/{path}, which does not exist",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn the_table_of_contents_lists_every_page() {
    let contents = fs::read_to_string(root().join("docs/README.md")).unwrap();
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if Path::new(&name)
            .extension()
            .is_some_and(|extension| extension == "md")
            && name != "README.md"
        {
            assert!(
                contents.contains(&format!("]({name})")),
                "docs/README.md does not list {name}"
            );
        }
    }
}

/// Runs a program for its help. The environment is empty, because clap prints the values of variables.
fn help(program: &str, command: Option<&str>) -> String {
    let output = Command::new(binaries().join(program))
        .args(command)
        .arg("--help")
        .env_clear()
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be started; run cargo build --bins: {error}"));
    assert!(output.status.success(), "{program} {command:?} --help fails");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands in the help of a program, with their descriptions.
fn commands(help: &str) -> Vec<(String, String)> {
    let section = help.split("Commands:\n").nth(1).unwrap_or_default();
    section
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.trim().split_once("  "))
        .map(|(name, about)| (name.to_owned(), about.trim().to_owned()))
        .filter(|(name, _)| name != "help")
        .collect()
}

/// One row of a table for each option in the help of a command.
fn options(help: &str) -> Vec<String> {
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    for line in help.lines().skip_while(|line| *line != "Options:").skip(1) {
        let text = line.trim();
        if line.starts_with(' ') && text.starts_with('-') && !line.starts_with("          ") {
            let (flag, meaning) = text.split_once("  ").unwrap_or((text, ""));
            rows.push((flag.to_owned(), vec![meaning.trim().to_owned()]));
        } else if let (Some((_, lines)), false) = (rows.last_mut(), text.is_empty()) {
            lines.push(text.to_owned());
        }
    }
    let is_own = |flag: &str| !flag.contains("--help") && !flag.contains("--version");
    rows.retain(|(flag, _)| is_own(flag));
    rows.into_iter()
        .map(|(flag, lines)| {
            let (mut variable, mut default, mut meaning) = (String::new(), String::new(), Vec::new());
            for line in lines {
                // Short help has all three on one line: `Meaning [env: NAME=] [default: value]`.
                for part in line.split('[') {
                    let value = part.trim().trim_end_matches(']');
                    if let Some(name) = value.strip_prefix("env: ") {
                        variable = format!("`{}`", name.trim_end_matches('='));
                    } else if let Some(value) = value.strip_prefix("default: ") {
                        default = format!("`{value}`");
                    } else if !value.is_empty() {
                        meaning.push(part.trim().trim_start_matches("- ").to_owned());
                    }
                }
            }
            let meaning = meaning.join("; ").replace(":;", ":").replace('|', "\\|");
            format!("| `{flag}` | {variable} | {default} | {meaning} |")
        })
        .collect()
}

fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    let mut programs = vec!["router"];
    programs.extend(SERVICES.iter());
    programs.extend(["database-agent", "backup"]);
    for program in programs {
        let text = help(program, None);
        let about = text.lines().next().unwrap_or_default();
        write!(
            page,
            "\n## {program}\n\n{about}.\n\n| command | purpose |\n|---|---|\n"
        )
        .unwrap();
        let commands = commands(&text);
        assert!(!commands.is_empty(), "{program} has no commands");
        for (name, about) in &commands {
            writeln!(page, "| `{program} {name}` | {about} |").unwrap();
        }
        for (name, _) in &commands {
            let rows = options(&help(program, Some(name)));
            if !rows.is_empty() {
                let head = "| flag | variable | default | meaning |\n|---|---|---|---|";
                write!(page, "\n### {program} {name}\n\n{head}\n{}\n", rows.join("\n")).unwrap();
            }
        }
    }
    page
}

#[test]
fn the_configuration_reference_is_current() {
    let file = root().join(REFERENCE);
    let current = reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, &current).unwrap();
    }
    assert!(
        fs::read_to_string(&file).is_ok_and(|page| page == current),
        "{REFERENCE} is out of date; run UPDATE_DOCS=1 cargo test --test xtask configuration"
    );
}
