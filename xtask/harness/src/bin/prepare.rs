//! `./dev prepare`: regenerates `.sqlx/`, the metadata of all checked queries.
//!
//! sqlx's macros write the metadata if they can reach a database and `SQLX_OFFLINE_DIR` is set. So this starts a
//! private MariaDB, creates the schemas from `migrations/`, and checks the crates with queries against it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use clap::Parser;
use harness::system::{SERVICES, TemporaryDatabase};
use harness::workspace::root;

use xtask::tools::{cargo, run, say};

/// The collation of results in `utf8mb4` where a connection chooses none: `utf8mb4_unicode_ci` since `MariaDB` 11.5,
/// `utf8mb4_general_ci` before. The types of the queries do not depend on it, so `.sqlx/` has the same for all servers.
const COLLATION_OF_MARIADB_11: &str = "\"collation\": 224";
const COLLATION_OF_MARIADB_10: &str = "\"collation\": 45";

/// The crates with checked queries. Each has a schema of the same name, which contains the tables of chassis too.
fn crates() -> impl Iterator<Item = &'static str> {
    std::iter::once("chassis").chain(SERVICES.iter().copied())
}

/// Writes .sqlx/, the metadata of all SQL queries. Needed after changing one.
#[derive(Debug, Parser)]
#[command(name = "./dev prepare", bin_name = "./dev prepare", max_term_width = 100)]
struct Arguments {
    /// Fails if .sqlx/ is stale, and writes nothing.
    #[arg(long)]
    check: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = if Arguments::parse().check {
        check().await
    } else {
        write().await
    };
    xtask::exit_code(result)
}

/// Writes `.sqlx/`.
async fn write() -> Result<()> {
    let fresh = generate().await?;
    let place = root().join(".sqlx");
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    fs::create_dir_all(&place)?;
    for (name, text) in &fresh {
        fs::write(place.join(name), text)?;
    }
    say(&format!("wrote .sqlx/: {} queries", fresh.len()));
    Ok(())
}

/// Fails if the committed `.sqlx/` is not current.
async fn check() -> Result<()> {
    let fresh = generate().await?;
    let committed = read_folder(&root().join(".sqlx"))?;
    if fresh != committed {
        let differing: Vec<_> = fresh
            .keys()
            .chain(committed.keys())
            .filter(|name| fresh.get(*name) != committed.get(*name))
            .map(String::as_str)
            .collect();
        bail!(
            ".sqlx/ is stale ({}): run ./dev prepare and commit the result",
            differing.join(", ")
        );
    }
    Ok(())
}

async fn generate() -> Result<BTreeMap<String, String>> {
    let database = TemporaryDatabase::start().await?;
    let answers = tempfile::tempdir()?;
    let mut check = cargo(&["check"]);
    for name in SERVICES.iter() {
        // The program and, through it, the libraries: not the tests, which use unchecked queries.
        check.args(["--bin", name]);
    }
    check
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", answers.path());
    for name in crates() {
        make_schema(&database, name)?;
        check.env(
            format!("{}_DATABASE_URL", name.to_uppercase()),
            format!("{}/{name}", database.url()),
        );
    }

    // cargo does not track the database, so the crates are touched. Afterwards their times are restored, so that
    // nothing is compiled again.
    let touched = crates()
        .map(|name| TouchedFile::new(&root().join(format!("subgraphs/{name}/src/lib.rs"))))
        .collect::<Result<Vec<_>>>()?;
    say("checking every query against MariaDB");
    let checked = run("checking the queries", &mut check);
    drop(touched);
    checked?;
    let mut queries = read_folder(answers.path())?;
    for text in queries.values_mut() {
        *text = text.replace(COLLATION_OF_MARIADB_11, COLLATION_OF_MARIADB_10);
    }
    Ok(queries)
}

fn read_folder(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(files);
    };
    for entry in entries {
        let entry = entry?;
        files.insert(
            entry.file_name().to_string_lossy().into_owned(),
            fs::read_to_string(entry.path())?,
        );
    }
    Ok(files)
}

/// Creates a schema as the service's `migrate` would: the tables of chassis, then those of the service.
fn make_schema(database: &TemporaryDatabase, name: &str) -> Result<()> {
    let mut sql =
        format!("CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;\nUSE `{name}`;\n");
    let mut folders = vec!["chassis"];
    if name != "chassis" {
        folders.push(name);
    }
    for folder in folders {
        let mut files: Vec<PathBuf> = fs::read_dir(root().join("migrations").join(folder))?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
            .collect();
        files.sort();
        for file in files {
            sql.push_str(&fs::read_to_string(&file)?);
            sql.push('\n');
        }
    }
    database
        .execute(&sql)
        .with_context(|| format!("the migrations of {name} do not apply"))
}

/// Sets the modification time of a source file to now, and restores it when dropped.
struct TouchedFile {
    file: PathBuf,
    modified: SystemTime,
}

impl TouchedFile {
    fn new(file: &Path) -> Result<Self> {
        let modified = fs::metadata(file)
            .with_context(|| format!("could not find {}", file.display()))?
            .modified()?;
        File::options()
            .write(true)
            .open(file)?
            .set_modified(SystemTime::now())?;
        Ok(Self {
            file: file.to_path_buf(),
            modified,
        })
    }
}

impl Drop for TouchedFile {
    fn drop(&mut self) {
        let put_back = File::options()
            .write(true)
            .open(&self.file)
            .and_then(|file| file.set_modified(self.modified));
        if let Err(error) = put_back {
            say(&format!(
                "could not restore the time of {}: {error}",
                self.file.display()
            ));
        }
    }
}
