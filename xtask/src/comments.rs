//! Checks how comments are written: the component is the subject of a sentence, not a pronoun.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use xtask::workspace::root;

/// Pronouns that stand in for the component.
const PRONOUNS: [&str; 8] = [
    "whoever",
    "whomever",
    "whatever",
    "nobody",
    "nobody's",
    "somebody",
    "somebody's",
    "one's",
];

/// Sentences that begin with these have a clause as their subject.
const OPENINGS: [&str; 3] = ["What", "Who", "Whom"];

/// At most one line in so many may break the rule.
const LINES_PER_FINDING: usize = 1000;

/// Lists the comment lines that break the rule, and fails if there are too many.
pub(crate) fn check() -> Result<()> {
    let (mut lines, mut findings) = (0, Vec::new());
    for path in sources(root())? {
        let text = fs::read_to_string(&path)?;
        let name = path.strip_prefix(root())?.display();
        let (count, found) = check_source(&text);
        lines += count;
        findings.extend(
            found
                .iter()
                .map(|(line, comment)| format!("{name}:{line}: {comment}")),
        );
    }
    println!("{} of {lines} comment lines", findings.len());
    for finding in &findings {
        println!("  {finding}");
    }
    if findings.len() * LINES_PER_FINDING > lines {
        bail!(
            "name the component as the subject instead of a pronoun; at most 1 line in {LINES_PER_FINDING} may differ"
        );
    }
    Ok(())
}

/// The Rust files below a folder.
pub(crate) fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if entry.file_type()?.is_dir() {
            // The template is checked as part of the crate that is made from it.
            let others = ["node_modules", "target", "dist", "template"];
            if !name.starts_with('.') && !others.contains(&name.as_ref()) {
                found.extend(sources(&path)?);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Counts the comment lines of a source, and returns those that break the rule, with their numbers.
fn check_source(text: &str) -> (usize, Vec<(usize, &str)>) {
    let (mut count, mut found) = (0, Vec::new());
    let mut starts_sentence = true;
    for (number, line) in text.lines().enumerate() {
        let Some(comment) = line.trim_start().strip_prefix("//") else {
            starts_sentence = true;
            continue;
        };
        let comment = comment.trim_start_matches(['/', '!']).trim();
        count += 1;
        if breaks_rule(comment, starts_sentence) {
            found.push((number + 1, comment));
        }
        starts_sentence = comment.is_empty() || comment.ends_with(['.', ':', '!', '?', '`']);
    }
    (count, found)
}

fn breaks_rule(comment: &str, mut starts_sentence: bool) -> bool {
    for word in comment.split_whitespace() {
        let plain = word.trim_matches(|c: char| !c.is_alphanumeric());
        let is_pronoun = PRONOUNS.contains(&plain.to_lowercase().as_str());
        if is_pronoun || starts_sentence && OPENINGS.contains(&plain) {
            return true;
        }
        starts_sentence = word.ends_with(['.', ':', '!']);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pronouns_and_clauses_as_subjects_are_found() {
        // Written with `#`, so that this test does not break the rule itself.
        let text = "\
### What it holds.
### The content. Who reads it waits.
## The pool waits for whoever comes.
## It says
## What is a quotation here.
fn whatever() {}
### The content.";
        let text = text.replace('#', "/");
        let (count, found) = check_source(&text);
        assert_eq!(count, 6);
        let numbers: Vec<_> = found.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 2, 3]);
    }
}
