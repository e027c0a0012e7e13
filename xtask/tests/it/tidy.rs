//! Invariants of the repository that the compiler does not know.

use std::fs;
use std::path::{Path, PathBuf};

use harness::system::SERVICES;
use harness::workspace::root;

/// The visible entries of the root folder. A new entry needs a reason to be visible.
const VISIBLE: &[&str] = &[
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "compose",
    "deny.toml",
    "dev",
    "docs",
    "frontend",
    "migrations",
    "router",
    "rust-toolchain.toml",
    "subgraphs",
    "supergraph.graphql",
    "target",
    "xtask",
    "node_modules",
];

fn files(folder: &str, extension: &str) -> Vec<(PathBuf, String)> {
    walkdir::WalkDir::new(root().join(folder))
        .into_iter()
        .filter_entry(|entry| {
            !matches!(
                entry.file_name().to_str(),
                Some("node_modules" | "target" | "dist")
            )
        })
        .filter_map(Result::ok)
        .map(walkdir::DirEntry::into_path)
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| (path.clone(), fs::read_to_string(&path).unwrap()))
        .collect()
}

fn short(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

#[test]
fn the_top_level_stays_small() {
    let unexpected: Vec<_> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.') && !VISIBLE.contains(&name.as_str()))
        .collect();
    assert!(unexpected.is_empty(), "new entries in the root: {unexpected:?}");
}

#[test]
fn no_service_names_the_schema_of_another() {
    for service in SERVICES.iter() {
        for (path, text) in files(&format!("subgraphs/{service}/src"), "rs") {
            for other in SERVICES.iter().filter(|other| *other != service) {
                for wording in ["FROM", "JOIN", "INTO", "UPDATE"] {
                    let access = format!("{wording} {other}.");
                    assert!(
                        !text.contains(&access),
                        "{} reads or writes the schema of {other}",
                        short(&path)
                    );
                }
            }
        }
        for (path, text) in files(&format!("migrations/{service}"), "sql") {
            for other in SERVICES.iter().filter(|other| *other != service) {
                assert!(
                    !text.contains(&format!("`{other}`.")),
                    "{} names the schema of {other}",
                    short(&path)
                );
            }
        }
    }
}

#[test]
fn every_table_has_a_primary_key_without_auto_increment() {
    for (path, text) in files("migrations", "sql") {
        // Comments may say why something is not used.
        let sql: String = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("--"))
            .collect::<Vec<_>>()
            .join("\n");
        let upper = sql.to_uppercase();
        assert_eq!(
            upper.matches("CREATE TABLE").count(),
            upper.matches("PRIMARY KEY").count(),
            "{}: Galera needs a primary key on every table",
            short(&path)
        );
        assert!(
            !upper.contains("AUTO_INCREMENT"),
            "{}: ids are UUIDv7 and made by the service",
            short(&path)
        );
    }
}

#[test]
fn locks_that_galera_does_not_replicate_are_not_used() {
    for (path, text) in files("subgraphs", "rs") {
        for forbidden in ["GET_LOCK(", "LOCK TABLES"] {
            assert!(
                !text.contains(forbidden),
                "{} uses {forbidden}: a lease is a row",
                short(&path)
            );
        }
    }
}

#[test]
fn only_stores_contain_sql() {
    for service in SERVICES.iter() {
        for (path, text) in files(&format!("subgraphs/{service}/src"), "rs") {
            let name = short(&path);
            let may_contain_sql = name.contains("/store") || name.ends_with("/testing.rs");
            for query in ["query!(", "query_as!(", "query_scalar!("] {
                assert!(
                    may_contain_sql || !text.contains(query),
                    "{name} contains SQL; move it to the store module"
                );
            }
        }
    }
}
