//! `./dev new-subgraph NAME`: writes a new service from `xtask/template`, and adds it to the list of services.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use contracts::services::ServiceEntry;
use xtask::tools::{cargo, command, output, run, say};
use xtask::workspace::root;

use crate::service_list;

const LIST: &str = "subgraphs/contracts/services.txt";

/// The default port of the backup. Ports of new services are above it.
const BACKUP_PORT: u16 = 5006;

/// Maximum length of a name.
const MAX_SERVICE_NAME_LENGTH: usize = 16;

const RUST_KEYWORDS: &str = "abstract alloc as async await become box break const continue core crate do dyn else enum \
    extern false final fn for gen if impl in let loop macro match mod move mut override priv pub ref return self static std \
    struct super test trait true try type typeof unsafe unsized use virtual where while yield";

/// Names that MariaDB uses: its reserved words without digits and underscores, its system schemas and its users.
const SQL_WORDS: &str = "accessible add all alter analyze and as asc asensitive before between bigint binary blob both by \
    call cascade case change char character check collate column condition constraint continue convert create cross cursor \
    databases database dec decimal declare default delayed delete desc describe deterministic distinct distinctrow div \
    double drop dual each else elseif enclosed escaped except exists exit explain false fetch float for force foreign from \
    fulltext general grant group having if ignore in index infile inner inout insensitive insert int integer intersect \
    interval into is iterate join key keys kill leading leave left like limit linear lines load localtime localtimestamp \
    lock long longblob longtext loop match mediumblob mediumint mediumtext middleint mod modifies mysql natural not null \
    numeric offset on optimize option optionally or order out outer outfile over partition precision primary procedure \
    purge range read reads real recursive references regexp release rename repeat replace require resignal restrict return \
    returning revoke right rlike root row rows schema schemas select sensitive separator set show signal slow smallint \
    spatial specific sql sqlexception sqlstate sqlwarning sst starting stored sys table terminated then tinyblob tinyint \
    tinytext to trailing trigger true undo union unique unlock unsigned update usage use using values varbinary varchar \
    varcharacter varying when where while window with write xor zerofill";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Names the crate, the program, the subgraph and the schema: one word in the singular, such as `album`.
    name: String,
}

/// Writes the service, and everything that is generated from the list of services, the queries and the schemas.
pub(crate) fn write(arguments: &Arguments) -> Result<()> {
    let name = &arguments.name;
    let list = fs::read_to_string(root().join(LIST))?;
    let services = service_list::parse(&list)?;
    check_name(name, &services)?;

    for file in template()? {
        let target = root().join(target(&file, name));
        fs::create_dir_all(target.parent().context("a file is in a folder")?)?;
        let text = fs::read_to_string(root().join("xtask/template").join(&file))?;
        fs::write(&target, rename(&text, name))?;
    }
    let ports = services.iter().map(|service| service.port);
    let port = ports.fold(BACKUP_PORT, u16::max) + 1;
    fs::write(
        root().join(LIST),
        format!("{list}{name:<16} {port}  authentication\n"),
    )?;
    describe(name)?;
    service_list::write()?;

    // Adds the crate to Cargo.lock.
    output(
        "cargo metadata",
        &mut cargo(&["metadata", "--offline", "--format-version", "1"]),
    )?;
    run("cargo fmt", &mut cargo(&["fmt", "--package", name]))?;
    // Separate processes, because this one was compiled with the old list.
    for task in ["prepare", "supergraph"] {
        run(task, &mut command("./dev", &[task])).with_context(|| {
            format!("The files of {name} are written. When the error is resolved, run ./dev {task}")
        })?;
    }
    say(&format!(
        "{name} is in subgraphs/{name} and listens on port {port}. Next:"
    ));
    for step in [
        format!("./dev test {name}    runs its tests"),
        format!("./dev up    starts it with the others; the playground has {name}(id:) and create{}", pascal(name)),
        "cargo build --bins && UPDATE_DOCS=1 cargo test --test xtask configuration    adds its settings to docs/configuration.md".to_owned(),
        format!("Change the table in migrations/{name}, then run ./dev prepare and ./dev supergraph"),
    ] {
        say(&format!("  {step}"));
    }
    Ok(())
}

/// Fails if the name cannot be that of a service. The error says why.
fn check_name(name: &str, services: &[ServiceEntry<'_>]) -> Result<()> {
    let is_word = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if !is_word || !(2..=MAX_SERVICE_NAME_LENGTH).contains(&name.len()) {
        bail!(
            "{name:?} cannot be the name of a crate, a schema, a host and a type: use 2 to {MAX_SERVICE_NAME_LENGTH} lower-case \
             letters and digits, with a letter first, for example album"
        );
    }
    if services.iter().any(|service| service.name == name) {
        bail!("{name} is a service already; see {LIST}");
    }
    let reason = if is_among(name, RUST_KEYWORDS) {
        Some("it is a keyword of Rust, or a crate of the compiler".to_owned())
    } else if is_among(name, SQL_WORDS) {
        Some("it is a reserved word of MariaDB, or one of its schemas or users".to_owned())
    } else {
        conflict(name)?
    };
    if let Some(reason) = reason {
        bail!("a service cannot be called {name}: {reason}. Choose another name");
    }
    Ok(())
}

fn is_among(name: &str, words: &str) -> bool {
    words.split_whitespace().any(|word| word == name)
}

/// The existing thing with this name, if there is one.
fn conflict(name: &str) -> Result<Option<String>> {
    let read = |file: &str| fs::read_to_string(root().join(file)).context(file.to_owned());
    let has_line = |text: &str, start: &str, end: &[char]| {
        let mut rest = text.lines().filter_map(|line| line.strip_prefix(start));
        rest.any(|rest| rest.is_empty() || rest.starts_with(end))
    };
    let graph = read("supergraph.graphql")?;
    let type_name = pascal(name);
    let kinds = ["type", "interface", "union", "enum", "input", "scalar"];
    let in_schema = ["Boolean", "Float", "Int", "String", "Subscription"];
    if in_schema.contains(&type_name.as_str())
        || kinds
            .iter()
            .any(|kind| has_line(&graph, &format!("{kind} {type_name}"), &[' ']))
    {
        return Ok(Some(format!("the graph has a type {type_name} already")));
    }
    if has_line(&read("Cargo.lock")?, &format!("name = \"{name}\""), &[]) {
        return Ok(Some("Cargo.lock has a crate of this name".to_owned()));
    }
    let steps = read("xtask/steps.txt")?;
    let steps = steps.lines().filter(|line| !line.starts_with('#'));
    // The columns with the names of steps and with their requirements.
    let mut words = steps
        .flat_map(|line| line.split('|').take(2))
        .flat_map(str::split_whitespace);
    if words.any(|word| word == name) || root().join(format!("xtask/help/{name}.txt")).exists() {
        return Ok(Some("./dev uses this word for a command or a step".to_owned()));
    }
    for entry in fs::read_dir(root().join("compose"))? {
        let file = entry?.path();
        let is_stack = file.extension().is_some_and(|extension| extension == "yml");
        if is_stack && has_line(&fs::read_to_string(&file)?, &format!("  {name}:"), &[' ']) {
            let file = file.strip_prefix(root())?.display();
            return Ok(Some(format!("{file} has a part of this name")));
        }
    }
    let folders = ["subgraphs", "migrations"].map(|folder| format!("{folder}/{name}"));
    let existing = folders.into_iter().find(|folder| root().join(folder).exists());
    Ok(existing.map(|folder| format!("the folder {folder} exists")))
}

/// The files of the template, relative to its folder.
fn template() -> Result<Vec<PathBuf>> {
    let folder = root().join("xtask/template");
    let mut folders = vec![folder.clone()];
    let mut files = Vec::new();
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path.strip_prefix(&folder)?.to_path_buf());
            }
        }
    }
    Ok(files)
}

/// Where a file of the template is written, relative to the root.
fn target(file: &Path, name: &str) -> PathBuf {
    match file.to_str() {
        // The name differs, so that cargo does not take the template for a crate.
        Some("manifest.toml") => format!("subgraphs/{name}/Cargo.toml").into(),
        Some("migration.sql") => format!("migrations/{name}/0001_{}.sql", plural(name)).into(),
        _ => PathBuf::from(format!("subgraphs/{name}")).join(file),
    }
}

/// Replaces `sample` in a text of the template by the name, in all its forms.
fn rename(text: &str, name: &str) -> String {
    let article = if name.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "n"
    } else {
        ""
    };
    let (plural, pascal) = (plural(name), pascal(name));
    let mut text = text.to_owned();
    for (from, to) in [
        ("a sample", format!("a{article} {name}")),
        ("A sample", format!("A{article} {name}")),
        ("a_sample", format!("a{article}_{name}")),
        ("samples", plural.clone()),
        ("Samples", self::pascal(&plural)),
        ("sample", name.to_owned()),
        ("Sample", pascal),
        ("SAMPLE", name.to_uppercase()),
    ] {
        text = text.replace(from, &to);
    }
    text
}

fn pascal(name: &str) -> String {
    name[..1].to_uppercase() + &name[1..]
}

fn plural(name: &str) -> String {
    let is_after_vowel = |end: &str| {
        let stem = name.strip_suffix(end);
        stem.is_some_and(|stem| stem.ends_with(['a', 'e', 'i', 'o', 'u']))
    };
    if ["s", "x", "z", "ch", "sh"].iter().any(|end| name.ends_with(end)) {
        format!("{name}es")
    } else if name.ends_with('y') && !is_after_vowel("y") {
        format!("{}ies", &name[..name.len() - 1])
    } else {
        format!("{name}s")
    }
}

/// Adds a row to the table of services in the documentation.
fn describe(name: &str) -> Result<()> {
    let page = root().join("docs/architecture.md");
    let text = fs::read_to_string(&page)?;
    let (before, table) = text
        .split_once("| service | owns |")
        .context("docs/architecture.md has no table of services")?;
    let (rows, after) = table.split_once("\n\n").unwrap_or((table, ""));
    let row = format!("| {name} | {}; `{}` | |", plural(name), pascal(name));
    fs::write(
        page,
        format!("{before}| service | owns |{rows}\n{row}\n\n{after}"),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(name: &str) -> String {
        let services = contracts::services::all();
        check_name(name, services).unwrap_err().to_string()
    }

    #[test]
    fn a_name_is_one_word_that_nothing_else_has() {
        let services = contracts::services::all();
        for name in ["album", "tag", "collection", "prize2"] {
            check_name(name, services).unwrap();
        }
        for (name, expected) in [
            ("", "2 to 16 lower-case letters and digits"),
            ("a", "2 to 16 lower-case letters and digits"),
            ("Album", "2 to 16 lower-case letters and digits"),
            ("photo-album", "2 to 16 lower-case letters and digits"),
            ("photo_album", "2 to 16 lower-case letters and digits"),
            ("2album", "2 to 16 lower-case letters and digits"),
            ("../album", "2 to 16 lower-case letters and digits"),
            ("álbum", "2 to 16 lower-case letters and digits"),
            ("albumofphotographs", "2 to 16 lower-case letters and digits"),
            ("photo", "photo is a service already"),
            ("match", "a keyword of Rust"),
            ("order", "a reserved word of MariaDB"),
            ("mysql", "a reserved word of MariaDB"),
            ("user", "the graph has a type User already"),
            ("query", "the graph has a type Query already"),
            ("string", "the graph has a type String already"),
            ("router", "Cargo.lock has a crate of this name"),
            ("image", "Cargo.lock has a crate of this name"),
            ("up", "./dev uses this word"),
            ("npm", "./dev uses this word"),
            ("grafana", "has a part of this name"),
            ("db", "./dev uses this word"),
        ] {
            let error = error(name);
            assert!(error.contains(expected), "{name}: {error}");
        }
    }

    #[test]
    fn the_template_is_renamed_in_all_forms() {
        let text = "a sample, A sample, a_sample, samples, Samples, Sample, SAMPLE_URL";
        for (name, expected) in [
            (
                "album",
                "an album, An album, an_album, albums, Albums, Album, ALBUM_URL",
            ),
            (
                "story",
                "a story, A story, a_story, stories, Stories, Story, STORY_URL",
            ),
            ("box", "a box, A box, a_box, boxes, Boxes, Box, BOX_URL"),
        ] {
            assert_eq!(rename(text, name), expected);
        }
    }
}
