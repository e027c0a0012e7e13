//! Checks that the modules of a crate depend on each other in one direction.
//!
//! The graph has an edge between two modules of one parent if a file of the first uses an item of the second by
//! `crate::…` or `super::…`. A child that uses its parent is not an edge. The scan reads text, not types: it follows
//! explicit re-exports, and does not see what macros generate.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Result, bail};
use xtask::workspace::root;

/// Modules that still form a cycle, by the folder of their crate. Remove a line with its cycle. The app's are between
/// views that open each other, and between the stores of what outlives a view.
const KNOWN_CYCLES: &[(&str, &[&str])] = &[
    ("frontend", &["components", "conversation", "feed", "votes"]),
    ("frontend", &["lazy", "pages"]),
    ("frontend", &["pages::profile", "pages::timeline"]),
    ("frontend", &["pages::settings", "pages::welcome"]),
];

/// The segments of a module's path, without `crate`.
type Module = Vec<String>;

/// Fails if modules of a crate form a cycle that is not known, or a known one is gone.
pub(crate) fn check() -> Result<()> {
    let mut crates = 0;
    let mut wrong = Vec::new();
    for folder in crate_folders(root())? {
        let sources = read(&root().join(&folder).join("src"))?;
        crates += 1;
        let found: BTreeSet<String> = cycles(&sources).iter().map(|cycle| cycle.join(" ")).collect();
        let known = KNOWN_CYCLES.iter().filter(|(name, _)| *name == folder);
        let known: BTreeSet<String> = known.map(|(_, cycle)| cycle.join(" ")).collect();
        wrong.extend(
            found
                .difference(&known)
                .map(|cycle| format!("{folder}: these modules need each other: {cycle}")),
        );
        wrong.extend(known.difference(&found).map(|cycle| {
            format!("{folder}: this cycle is gone; remove it from xtask/src/modules.rs: {cycle}")
        }));
    }
    println!("{crates} crates, {} known cycles", KNOWN_CYCLES.len());
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}

/// The folders of the workspace's crates, from its root.
fn crate_folders(root: &Path) -> Result<Vec<String>> {
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let members = manifest.split("members = [").nth(1).unwrap_or_default();
    let members = members.split(']').next().unwrap_or_default();
    let mut folders = Vec::new();
    for line in members.lines() {
        let Some(member) = line.trim().strip_prefix('"').and_then(|it| it.split('"').next()) else {
            continue;
        };
        let Some(parent) = member.strip_suffix("/*") else {
            folders.push(member.to_owned());
            continue;
        };
        for entry in fs::read_dir(root.join(parent))? {
            let entry = entry?;
            if entry.path().join("Cargo.toml").exists() {
                folders.push(format!("{parent}/{}", entry.file_name().to_string_lossy()));
            }
        }
    }
    Ok(folders)
}

/// The sources of a crate by their module. A crate with a library is its library.
fn read(folder: &Path) -> Result<BTreeMap<Module, String>> {
    let mut sources = BTreeMap::new();
    let root_file = if folder.join("lib.rs").exists() {
        "lib.rs"
    } else {
        "main.rs"
    };
    read_into(folder, &Vec::new(), root_file, &mut sources)?;
    Ok(sources)
}

fn read_into(
    folder: &Path,
    parent: &Module,
    own_file: &str,
    sources: &mut BTreeMap<Module, String>,
) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let mut module = parent.clone();
        if path.is_dir() && name != "bin" {
            module.push(name);
            read_into(&path, &module, "mod.rs", sources)?;
        } else if name == own_file {
            sources.insert(module, fs::read_to_string(&path)?);
        } else if let Some(stem) = name.strip_suffix(".rs")
            && !["lib", "main"].contains(&stem)
        {
            module.push(stem.to_owned());
            sources.insert(module, fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// The sets of sibling modules that need each other.
fn cycles(sources: &BTreeMap<Module, String>) -> Vec<Vec<String>> {
    let plain: BTreeMap<&Module, String> = sources
        .iter()
        .map(|(module, text)| (module, strip(text)))
        .collect();
    let imports: BTreeMap<&Module, Vec<Module>> = plain
        .iter()
        .map(|(module, text)| (*module, imports(text, module)))
        .collect();
    let mut edges: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for (module, text) in &plain {
        for named in references(text, module) {
            let target = resolve(&named, sources, &imports);
            let shared = module.iter().zip(&target).take_while(|(a, b)| a == b).count();
            if shared < module.len() && shared < target.len() {
                let (from, to) = (module[..=shared].to_vec(), target[..=shared].to_vec());
                edges.entry(from).or_default().insert(to);
            }
        }
    }
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        edges.keys().map(|from| (from, reachable(from, &edges))).collect();
    let mut found = BTreeSet::new();
    for (from, to) in &reached {
        if to.contains(*from) {
            let cycle = to
                .iter()
                .filter(|other| reached.get(**other).is_some_and(|back| back.contains(*from)));
            found.insert(cycle.map(|module| module.join("::")).collect::<Vec<_>>());
        }
    }
    found.into_iter().collect()
}

fn reachable<'a>(from: &Module, edges: &'a BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<&'a Module> {
    let mut found = BTreeSet::new();
    let mut waiting: Vec<&Module> = edges.get(from).into_iter().flatten().collect();
    while let Some(next) = waiting.pop() {
        if found.insert(next) {
            waiting.extend(edges.get(next).into_iter().flatten());
        }
    }
    found
}

/// The module that a path leads to: its longest beginning that is a module, by way of what that module imports.
fn resolve(
    path: &Module,
    sources: &BTreeMap<Module, String>,
    imports: &BTreeMap<&Module, Vec<Module>>,
) -> Module {
    let mut path = path.clone();
    // Each import is followed once at most; a re-export of a re-export is rare and never this deep.
    for _ in 0..4 {
        let length = (0..=path.len())
            .rev()
            .find(|length| sources.contains_key(&path[..*length]))
            .unwrap_or_default();
        let (module, rest) = path.split_at(length);
        let import = rest.first().and_then(|name| {
            let imports = imports.get(&module.to_vec())?;
            imports.iter().find(|import| import.last() == Some(name))
        });
        match import {
            Some(import) if *import != path => path = [import, &rest[1..]].concat(),
            _ => return module.to_vec(),
        }
    }
    path
}

/// The imports of a file from its own crate, as paths from the root.
fn imports(text: &str, module: &Module) -> Vec<Module> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("use ") {
        let statement = text[at + 4..].split(';').next().unwrap_or_default();
        for path in expand(statement) {
            found.push(absolute(&path, module).unwrap_or_else(|| [module.clone(), path].concat()));
        }
    }
    found
}

/// The paths that a file names by `crate::…` or `super::…`, as paths from the root.
fn references(text: &str, module: &Module) -> Vec<Module> {
    let mut found = Vec::new();
    for word in ["crate::", "super::"] {
        for (at, _) in text.match_indices(word) {
            let before = text[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$' || c == ':') {
                continue;
            }
            for path in expand(&text[at..]) {
                found.extend(absolute(&path, module));
            }
        }
    }
    found
}

/// The path from the root of one that begins with `crate`, `self` or `super`.
fn absolute(path: &Module, module: &Module) -> Option<Module> {
    let (first, rest) = path.split_first()?;
    let mut base = match first.as_str() {
        "crate" => Vec::new(),
        "self" => module.clone(),
        "super" => module[..module.len().checked_sub(1)?].to_vec(),
        _ => return None,
    };
    let ups = rest.iter().take_while(|segment| *segment == "super").count();
    base.truncate(base.len().checked_sub(ups)?);
    base.extend_from_slice(&rest[ups..]);
    Some(base)
}

/// The paths of a tree such as `a::{b, c::{self, D as E}}`, which the text begins with.
fn expand(text: &str) -> Vec<Module> {
    let mut found = Vec::new();
    expand_into(text.trim_start(), &mut Vec::new(), &mut found);
    found
}

/// Returns the text behind the tree.
fn expand_into<'t>(text: &'t str, prefix: &mut Module, found: &mut Vec<Module>) -> &'t str {
    let name_end = |text: &str| {
        text.find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(text.len())
    };
    let length = prefix.len();
    let mut rest = text;
    loop {
        if let Some(group) = rest.strip_prefix('{') {
            rest = group.trim_start();
            while !rest.is_empty() && !rest.starts_with('}') {
                let before = rest.len();
                rest = expand_into(rest, prefix, found).trim_start();
                rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
                if rest.len() == before {
                    return "";
                }
            }
            prefix.truncate(length);
            return rest.strip_prefix('}').unwrap_or(rest);
        }
        let (name, behind) = rest.split_at(name_end(rest));
        if name != "self" || prefix.is_empty() {
            prefix.extend(Some(name).filter(|name| !name.is_empty()).map(str::to_owned));
        }
        let Some(next) = behind.strip_prefix("::") else {
            rest = behind;
            break;
        };
        rest = next;
    }
    found.push(prefix.clone());
    prefix.truncate(length);
    match rest.trim_start().strip_prefix("as ") {
        Some(alias) => &alias[name_end(alias)..],
        None => rest,
    }
}

/// The text without comments, texts, and the unit tests at its end.
fn strip(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let mut plain = String::new();
    for line in text.lines() {
        let mut in_text = false;
        let mut characters = line.chars().peekable();
        while let Some(c) = characters.next() {
            match c {
                '\\' if in_text => drop(characters.next()),
                '"' => in_text = !in_text,
                '/' if !in_text && characters.peek() == Some(&'/') => break,
                _ if !in_text => plain.push(c),
                _ => {}
            }
        }
        plain.push('\n');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(sources: &[(&str, &str)]) -> Vec<Vec<String>> {
        let module = |path: &str| {
            path.split("::")
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let sources = sources
            .iter()
            .map(|(path, text)| (module(path), (*text).to_owned()));
        cycles(&sources.collect())
    }

    #[test]
    fn one_way_is_no_cycle() {
        let sources = [
            ("", "mod a; mod b; pub use a::A;"),
            ("a", "pub struct A; // crate::b\nconst TEXT: &str = \"crate::b\";"),
            ("b", "use crate::{A, a::{self, A as B}};"),
            ("b::c", "use super::B; use crate::a;"),
        ];
        assert_eq!(found(&sources), Vec::<Vec<String>>::new());
    }

    #[test]
    fn a_cycle_is_found() {
        let sources = [
            ("", "mod a; mod b; mod c;"),
            ("a", "use crate::b::B;"),
            ("b", "fn f() { crate::c::g() }"),
            ("c", "use std::fmt;\nuse super::a;"),
        ];
        assert_eq!(found(&sources), [["a", "b", "c"]]);
    }

    #[test]
    fn a_cycle_through_the_root_is_found() {
        let sources = [
            ("", "mod a;\nmod b;\npub use a::A;"),
            ("a", "use crate::b;"),
            ("b", "use crate::{A};"),
        ];
        assert_eq!(found(&sources), [["a", "b"]]);
    }

    #[test]
    fn a_cycle_inside_a_module_is_found() {
        let sources = [
            ("", "mod a;"),
            ("a", "mod b; mod c; use c::C;"),
            ("a::b", "use super::C;"),
            ("a::c", "use crate::a::b;"),
        ];
        assert_eq!(found(&sources), [["a::b", "a::c"]]);
    }

    #[test]
    fn unit_tests_do_not_count() {
        let sources = [
            ("", "mod a; mod b;"),
            ("a", "use crate::b;"),
            ("b", "#[cfg(test)]\nmod tests { use crate::a; }"),
        ];
        assert_eq!(found(&sources), Vec::<Vec<String>>::new());
    }
}
