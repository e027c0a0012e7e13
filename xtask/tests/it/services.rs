//! The services are listed in `subgraphs/contracts/services.txt`. Everything else reads that list or is generated from it.

use std::collections::BTreeSet;
use std::fs;

use harness::system::SERVICES;
use harness::workspace::root;

const LIST: &str = "subgraphs/contracts/services.txt";

/// Names within so many lines are a list.
const LINES_OF_A_LIST: usize = 12;

/// Files that may name all services, with the reason. A folder ends with a slash.
const ALLOWED: [(&str, &str); 6] = [
    (LIST, "the list"),
    ("README.md", "draws the services"),
    ("docs/architecture.md", "says what each service owns"),
    ("docs/configuration.md", "generated from the programs' help"),
    ("docs/measurements/", "reports of what was measured"),
    ("supergraph.graphql", "generated from the services' schemas"),
];

/// The lines of a file outside of generated sections.
fn handwritten(text: &str) -> Vec<&str> {
    let mut is_generated = false;
    let lines = text.lines().filter(|line| {
        let comment = line.trim();
        is_generated |= comment.starts_with("# each service") || comment.starts_with("# the service ");
        let is_handwritten = !is_generated;
        is_generated &= comment != "# end";
        is_handwritten
    });
    lines.collect()
}

/// Whether all services are named within a few lines.
fn has_list(text: &str) -> bool {
    let lines: Vec<BTreeSet<String>> = handwritten(text)
        .into_iter()
        .map(|line| {
            let words = line.split(|c: char| !c.is_ascii_alphanumeric());
            words.map(str::to_lowercase).collect()
        })
        .collect();
    let is_list = |lines: &[BTreeSet<String>]| {
        SERVICES
            .iter()
            .all(|service| lines.iter().any(|words| words.contains(*service)))
    };
    // A short file is one window.
    lines
        .windows(LINES_OF_A_LIST.min(lines.len()).max(1))
        .any(is_list)
}

#[test]
fn only_one_file_lists_the_services() {
    let is_source = |entry: &walkdir::DirEntry| {
        let name = entry.file_name().to_string_lossy();
        let is_hidden = name.starts_with('.') && entry.depth() > 0;
        !is_hidden && !["node_modules", "target", "dist"].contains(&name.as_ref())
    };
    let files = walkdir::WalkDir::new(root()).into_iter().filter_entry(is_source);
    let mut listed = Vec::new();
    for file in files
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file())
    {
        let name = file.path().strip_prefix(root()).unwrap().display().to_string();
        let is_allowed = |(allowed, _): &(&str, &str)| {
            name == *allowed || allowed.ends_with('/') && name.starts_with(allowed)
        };
        // Pictures and other binary files are not text.
        let Ok(text) = fs::read_to_string(file.path()) else {
            continue;
        };
        if !ALLOWED.iter().any(is_allowed) && name != "Cargo.lock" && has_list(&text) {
            listed.push(name);
        }
    }
    assert!(
        listed.is_empty(),
        "{listed:?} list the services: read {LIST}, or make a generated section (xtask/src/service_list.rs)"
    );
}

#[test]
fn lists_are_found_and_sections_are_not() {
    let names = SERVICES.join("\", \"");
    assert!(has_list(&format!("const ALL: [&str; 5] = [\"{names}\"];")));
    assert!(has_list(&SERVICES.join(":\n  deploy: {}\n")));
    let section = format!("# each service: {{name}}\n{}\n# end\n", SERVICES.join("\n"));
    assert!(!has_list(&section));
    assert!(has_list(&format!("{section}\n{names}")));
    let spread = SERVICES.join(&"\n".repeat(LINES_OF_A_LIST));
    assert!(!has_list(&spread));
}
