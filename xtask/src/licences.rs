//! The licences of everything that is compiled into what we ship, against a list of those that an MIT
//! project may ship with.
//!
//! It reads `cargo metadata`, which needs no network. Advisories are another matter: their database is
//! not part of any package registry, so whoever watches over a deployment runs `cargo deny` there.

use anyhow::{Result, bail};
use serde::Deserialize;

use crate::tools::{cargo, output};

/// Permissive licences, and MPL-2.0, whose conditions end at its own files.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "IJG",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "NCSA",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    license_file: Option<String>,
}

/// Fails with a list of the packages whose licence is not on the list.
pub(crate) fn check() -> Result<()> {
    let metadata = output(
        "cargo metadata",
        &mut cargo(&["metadata", "--format-version=1", "--locked"]),
    )?;
    let metadata: Metadata = serde_json::from_slice(&metadata)?;
    let refused: Vec<_> = metadata
        .packages
        .iter()
        .filter(|package| !package.license.as_deref().is_some_and(is_allowed))
        .map(|package| {
            let licence = package
                .license
                .as_deref()
                .or(package.license_file.as_deref())
                .unwrap_or("no licence");
            format!("  {} {}: {licence}", package.name, package.version)
        })
        .collect();
    if !refused.is_empty() {
        bail!(
            "licences that are not on the list in xtask/src/licences.rs:\n{}",
            refused.join("\n")
        );
    }
    println!("{} packages, every licence allowed", metadata.packages.len());
    Ok(())
}

/// Whether an SPDX expression can be met with allowed licences alone.
fn is_allowed(expression: &str) -> bool {
    // Before SPDX expressions, crates wrote "MIT/Apache-2.0" and meant OR.
    let text = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut tokens = text.split_whitespace().peekable();
    let allowed = either(&mut tokens);
    allowed && tokens.next().is_none()
}

type Tokens<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(tokens: &mut Tokens<'_>) -> bool {
    let mut allowed = both(tokens);
    while tokens.next_if_eq(&"OR").is_some() {
        allowed |= both(tokens);
    }
    allowed
}

fn both(tokens: &mut Tokens<'_>) -> bool {
    let mut allowed = one(tokens);
    while tokens.next_if_eq(&"AND").is_some() {
        allowed &= one(tokens);
    }
    allowed
}

fn one(tokens: &mut Tokens<'_>) -> bool {
    if tokens.next_if_eq(&"(").is_some() {
        let allowed = either(tokens);
        return tokens.next_if_eq(&")").is_some() && allowed;
    }
    let mut licence = tokens.next().unwrap_or_default().to_owned();
    if tokens.next_if_eq(&"WITH").is_some() {
        licence = format!("{licence} WITH {}", tokens.next().unwrap_or_default());
    }
    ALLOWED.contains(&licence.as_str())
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn an_expression_is_allowed_when_one_of_its_choices_is() {
        for allowed in [
            "MIT",
            "MIT/Apache-2.0",
            "Apache-2.0 WITH LLVM-exception OR MIT",
            "GPL-3.0 OR (MIT AND Zlib)",
            "(MIT OR GPL-2.0) AND Unicode-3.0",
        ] {
            assert!(is_allowed(allowed), "{allowed}");
        }
        for refused in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT OR Apache-2.0) AND AGPL-3.0",
            "",
            "MIT Apache-2.0",
        ] {
            assert!(!is_allowed(refused), "{refused}");
        }
    }
}
