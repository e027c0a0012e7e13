//! Checks that a name means the same in all crates: constants of one name have one value, and public types of one name
//! are one type.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use xtask::SERVICES;
use xtask::workspace::root;

use crate::comments::sources;

/// Names that several crates may use, with the reason. Also allowed are the types of the GraphQL schema, and types of the
/// services, which use the same names for the same roles.
const ALLOWED: &[(&str, &str)] = &[
    ("Arguments", "clap's arguments of a program"),
    ("Client", "an HTTP client of tests and benchmarks"),
    ("Config", "the settings of a program"),
    ("Error", "the errors of a crate"),
    ("EventHandler", "applies the events that a service receives"),
    ("METRICS", "the metrics of a program"),
    ("PROGRAM", "the program of a service"),
    ("Settings", "the settings of a program"),
    (
        "PhotoImage",
        "the image data of a photo, in the app and on rendered pages",
    ),
    ("Timeline", "a list of photos, as in the API"),
];

/// Where a name is declared.
struct Declaration {
    name: String,
    /// The folder of the crate.
    owner: PathBuf,
    file: String,
    /// The value of a constant; `None` for a type.
    value: Option<String>,
}

/// Lists names with different meanings, and fails if there are any.
pub(crate) fn check() -> Result<()> {
    let mut declarations = Vec::new();
    for path in sources(root())? {
        if path.iter().any(|folder| folder == "tests") {
            continue;
        }
        let file = path.strip_prefix(root())?.display().to_string();
        let owner = owner(&path);
        let text = fs::read_to_string(&path)?;
        declarations.extend(declared(&text).into_iter().map(|(name, value)| Declaration {
            name,
            owner: owner.clone(),
            file: file.clone(),
            value,
        }));
    }
    let mut allowed = graph_types(&fs::read_to_string(root().join("supergraph.graphql"))?);
    allowed.extend(ALLOWED.iter().map(|(name, _)| (*name).to_owned()));
    let findings = conflicts(&declarations, &allowed);
    println!("{} names, {} conflicts", declarations.len(), findings.len());
    for (name, files) in &findings {
        println!("  {name}: {}", files.join(", "));
    }
    if !findings.is_empty() {
        bail!("choose names that say what the constant limits, or what the type is, in each crate");
    }
    Ok(())
}

/// The folder of the crate that a source belongs to.
fn owner(source: &Path) -> PathBuf {
    let mut folders = source.ancestors().skip(1);
    let manifest = folders.find(|folder| folder.join("Cargo.toml").exists());
    manifest.unwrap_or(source).to_owned()
}

/// Whether this is the folder of a service's crate.
fn is_service(owner: &Path) -> bool {
    let name = owner.file_name().and_then(|name| name.to_str());
    let is_subgraph = owner.parent().is_some_and(|parent| parent.ends_with("subgraphs"));
    is_subgraph && name.is_some_and(|name| SERVICES.contains(&name))
}

/// The constants and the public types at the top level of a source, except in its tests. Constants have a value.
fn declared(text: &str) -> Vec<(String, Option<String>)> {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let mut found = Vec::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let mut words = line.split(' ');
        let mut first = words.next().unwrap_or_default();
        let is_public = first.starts_with("pub");
        if is_public {
            first = words.next().unwrap_or_default();
        }
        let name = words.next().unwrap_or_default();
        let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
        let name = name[..end.unwrap_or(name.len())].to_owned();
        match first {
            "const" | "static" if !name.is_empty() && name != "_" && name != "fn" => {
                let mut whole = line.to_owned();
                while !whole.ends_with(';') {
                    let Some(next) = lines.next() else { break };
                    whole.push(' ');
                    whole.push_str(next.trim());
                }
                let value = whole.split_once(" = ").map_or("", |(_, value)| value);
                found.push((name, Some(value.to_owned())));
            }
            "struct" | "enum" | "trait" | "type" if is_public => found.push((name, None)),
            _ => {}
        }
    }
    found
}

/// The names of the types of the schema.
fn graph_types(schema: &str) -> BTreeSet<String> {
    let types = schema.lines().filter_map(|line| {
        let (kind, rest) = line.split_once(' ')?;
        let is_type = ["type", "enum", "input", "scalar", "interface", "union"].contains(&kind);
        is_type
            .then(|| rest.split(' ').next())
            .flatten()
            .map(ToOwned::to_owned)
    });
    types.collect()
}

/// Names that are declared in several crates: types, and constants whose values differ.
fn conflicts<'d>(
    declarations: &'d [Declaration],
    allowed: &BTreeSet<String>,
) -> BTreeMap<&'d str, Vec<&'d str>> {
    let mut by_name: BTreeMap<(&str, bool), Vec<&Declaration>> = BTreeMap::new();
    for declaration in declarations {
        let key = (declaration.name.as_str(), declaration.value.is_some());
        by_name.entry(key).or_default().push(declaration);
    }
    let mut found = BTreeMap::new();
    for ((name, is_constant), same) in by_name {
        let crates: BTreeSet<_> = same.iter().map(|declaration| &declaration.owner).collect();
        let values: BTreeSet<_> = same.iter().map(|declaration| &declaration.value).collect();
        let differs = if is_constant {
            values.len() > 1
        } else {
            crates.iter().any(|owner| !is_service(owner))
        };
        if crates.len() > 1 && differs && !allowed.contains(name) {
            found.insert(
                name,
                same.iter().map(|declaration| declaration.file.as_str()).collect(),
            );
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declaration(name: &str, owner: &str, value: Option<&str>) -> Declaration {
        Declaration {
            name: name.to_owned(),
            owner: PathBuf::from(owner),
            file: format!("{owner}/src/lib.rs"),
            value: value.map(ToOwned::to_owned),
        }
    }

    #[test]
    fn constants_and_public_types_are_found() {
        let text = "pub(crate) const LIMIT: [u8; 2] = [\n    1,\n    2,\n];\nstruct Private;\npub struct Page<T>(T);\n\
                    const fn two() {}\n    const LOCAL: u8 = 1;\nstatic COUNT: u8 = 1;\n#[cfg(test)]\nmod tests {\n\
                    pub struct Test;\n}";
        let found = declared(text);
        let expected = [
            ("LIMIT", Some("[ 1, 2, ];")),
            ("Page", None),
            ("COUNT", Some("1;")),
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for ((name, value), (expected_name, expected_value)) in found.iter().zip(expected) {
            assert_eq!((name.as_str(), value.as_deref()), (expected_name, expected_value));
        }
    }

    #[test]
    fn a_conflict_is_one_name_with_two_meanings() {
        let declarations = [
            declaration("SAME", "a", Some("1;")),
            declaration("SAME", "b", Some("1;")),
            declaration("LIMIT", "a", Some("1;")),
            declaration("LIMIT", "b", Some("2;")),
            declaration("Page", "a", None),
            declaration("Page", "b", None),
            declaration("Photo", "a", None),
            declaration("Photo", "b", None),
            declaration("State", "subgraphs/vote", None),
            declaration("State", "subgraphs/photo", None),
            declaration("TWICE", "a", Some("1;")),
            declaration("TWICE", "a", Some("2;")),
        ];
        let allowed = graph_types("type Photo\n  @key {\nscalar Date\n");
        let found: Vec<_> = conflicts(&declarations, &allowed).into_keys().collect();
        assert_eq!(found, ["LIMIT", "Page"]);
    }
}
